//! Owns the text that the multipath target prints: its status line and its table line
//! (drivers/md/dm-mpath.c `multipath_status`). Pure; the lines come from [`super::dm`].

use std::str::FromStr;
use std::str::SplitAsciiWhitespace;

use super::DevNo;
use super::map::GroupState;
use super::map::MapPath;

/// Why a line is not one of the multipath target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MultipathError {
    /// It ends too early.
    #[error("the line ends before {0}")]
    Ends(&'static str),
    /// A word is something else.
    #[error("a word is not {0}")]
    Not(&'static str),
    /// It goes on.
    #[error("the line goes on after the last path group")]
    GoesOn,
}

/// A status line (`STATUSTYPE_INFO`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether I/O waits for the initialisation of a path group (`MPATHF_QUEUE_IO`).
    pub queue_io: bool,
    /// Number of the current path group, or of the next one when there is none.
    pub group_number: u32,
    /// The path groups, in order.
    pub groups: Vec<GroupStatus>,
}

/// A path group in a status line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// Active, enabled or disabled.
    pub state: GroupState,
    /// Its paths, in order.
    pub paths: Vec<MapPath>,
}

/// A table line (`STATUSTYPE_TABLE`), as far as it is not in the status line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The features, without their number: `queue_if_no_path`; empty when there are none.
    pub features: String,
    /// Whether the feature `queue_mode bio` is set.
    pub bio_based: bool,
    /// Whether the feature `queue_if_no_path` is set at present.
    pub queue_if_no_path: bool,
    /// Name of the hardware handler; `None` when the map demands none.
    pub handler: Option<String>,
    /// Each path group's selector with the number of its arguments and these, in order:
    /// `service-time 0`.
    pub selectors: Vec<String>,
    /// Each path group's paths, in order, as far as they are told by number.
    pub paths: Vec<Vec<DevNo>>,
}

/// Reads a status line, with or without `dmsetup`'s start, length and type before it.
pub fn parse_status(line: &str) -> Result<Status, MultipathError> {
    let mut words = Words::new(line);
    let n_features: u32 = words.number("the number of features")?;
    let mut queue_io = false;
    for i in 0..n_features {
        let word = words.word("a feature")?;
        queue_io |= i == 0 && word != "0";
    }
    words.skip_counted("the handler's status")?;
    let n_groups: u32 = words.number("the number of path groups")?;
    let group_number = words.number("the current path group")?;
    let mut groups = Vec::new();
    for _ in 0..n_groups {
        groups.push(group_status(&mut words)?);
    }
    words.end()?;
    Ok(Status {
        queue_io,
        group_number,
        groups,
    })
}

fn group_status(words: &mut Words<'_>) -> Result<GroupStatus, MultipathError> {
    let state = match words.word("a path group's state")? {
        "A" => GroupState::Active,
        "E" => GroupState::Enabled,
        "D" => GroupState::Disabled,
        _ => return Err(MultipathError::Not("a path group's state")),
    };
    words.skip_counted("the selector's status")?;
    let n_paths: u32 = words.number("the number of paths")?;
    let n_args: u32 = words.number("the number of path arguments")?;
    let mut paths = Vec::new();
    for _ in 0..n_paths {
        let devno = words.number::<DevNo>("a path's device number")?;
        let active = match words.word("a path's state")? {
            "A" => true,
            "F" => false,
            _ => return Err(MultipathError::Not("a path's state")),
        };
        let fail_count = words.number("a path's count of failures")?;
        words.skip(n_args, "a path's arguments")?;
        paths.push(MapPath {
            devno,
            active,
            fail_count,
        });
    }
    Ok(GroupStatus { state, paths })
}

/// Reads a table line, with or without `dmsetup`'s start, length and type before it.
pub fn parse_table(line: &str) -> Result<Table, MultipathError> {
    let mut words = Words::new(line);
    let features = words.counted("the number of features", "a feature")?;
    let n_handler_args: u32 = words.number("the number of handler arguments")?;
    let mut handler = None;
    for i in 0..n_handler_args {
        let word = words.word("the handler")?;
        if i == 0 {
            handler = Some(word.to_owned());
        }
    }
    let n_groups: u32 = words.number("the number of path groups")?;
    let _: u32 = words.number("the first path group")?;
    let (mut selectors, mut paths) = (Vec::new(), Vec::new());
    for _ in 0..n_groups {
        selectors.push(selector(&mut words)?);
        let n_paths: u32 = words.number("the number of paths")?;
        let n_args: u32 = words.number("the number of path arguments")?;
        let mut of_group = Vec::new();
        for _ in 0..n_paths {
            of_group.extend(words.word("a path")?.parse::<DevNo>());
            words.skip(n_args, "a path's arguments")?;
        }
        paths.push(of_group);
    }
    words.end()?;
    // Some features are followed by their value (`parse_features`).
    let mut pairs = features.windows(2);
    Ok(Table {
        bio_based: pairs.any(|pair| pair == ["queue_mode", "bio"]),
        queue_if_no_path: features.contains(&"queue_if_no_path"),
        features: features.join(" "),
        handler,
        selectors,
        paths,
    })
}

/// A path selector's name, the number of its arguments and these, as one text.
fn selector(words: &mut Words<'_>) -> Result<String, MultipathError> {
    let name = words.word("a path selector")?;
    let arguments = words.counted("the selector's arguments", "a selector's argument")?;
    let mut text = format!("{name} {}", arguments.len());
    for argument in arguments {
        text.push(' ');
        text.push_str(argument);
    }
    Ok(text)
}

/// The words of a line. Counts in it are believed no further than there are words.
struct Words<'a>(SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Self {
        let words = line.split_ascii_whitespace();
        let mut rest = words.clone();
        match rest.nth(2) {
            Some("multipath") => Self(rest),
            _ => Self(words),
        }
    }

    fn word(&mut self, what: &'static str) -> Result<&'a str, MultipathError> {
        self.0.next().ok_or(MultipathError::Ends(what))
    }

    fn number<T: FromStr>(&mut self, what: &'static str) -> Result<T, MultipathError> {
        self.word(what)?
            .parse()
            .map_err(|_| MultipathError::Not(what))
    }

    fn skip(&mut self, n: u32, what: &'static str) -> Result<(), MultipathError> {
        for _ in 0..n {
            self.word(what)?;
        }
        Ok(())
    }

    /// A count, and the as many words that follow it.
    fn counted(
        &mut self,
        count: &'static str,
        each: &'static str,
    ) -> Result<Vec<&'a str>, MultipathError> {
        let n: u32 = self.number(count)?;
        (0..n).map(|_| self.word(each)).collect()
    }

    /// A count, and as many words.
    fn skip_counted(&mut self, what: &'static str) -> Result<(), MultipathError> {
        let n = self.number(what)?;
        self.skip(n, what)
    }

    fn end(&mut self) -> Result<(), MultipathError> {
        self.0
            .next()
            .map_or(Ok(()), |_| Err(MultipathError::GoesOn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str =
        "2 0 1 0 2 2 A 0 2 2 8:0 A 0 0 1 8:32 A 0 0 1 E 0 2 2 8:16 A 0 0 1 8:48 A 0 0 1";
    const TABLE: &str = "0 131072 multipath 1 queue_if_no_path 1 alua 2 1 \
        service-time 0 2 2 8:0 1 1 8:32 1 1 service-time 0 2 2 8:16 1 1 8:48 1 1";

    #[test]
    fn a_status_line_of_service_time_is_read() {
        let status = parse_status(STATUS).unwrap();
        assert_eq!((status.queue_io, status.group_number), (false, 2));
        let states: Vec<_> = status.groups.iter().map(|group| group.state).collect();
        assert_eq!(states, [GroupState::Active, GroupState::Enabled]);
        let paths: Vec<_> = status.groups[1]
            .paths
            .iter()
            .map(|p| p.devno.to_string())
            .collect();
        assert_eq!(paths, ["8:16", "8:48"]);
    }

    #[test]
    fn failed_paths_and_disabled_groups_are_told() {
        let line = "0 131072 multipath 2 1 0 0 2 1 D 0 1 0 8:0 F 7 E 2 50 5 1 3 65:16 A 1 0 1 2";
        let status = parse_status(line).unwrap();
        assert!(status.queue_io);
        assert_eq!(status.groups[0].state, GroupState::Disabled);
        let failed = &status.groups[0].paths[0];
        assert_eq!((failed.active, failed.fail_count), (false, 7));
        assert_eq!(
            status.groups[1].paths[0].devno,
            DevNo {
                major: 65,
                minor: 16
            }
        );
    }

    #[test]
    fn a_table_line_is_read() {
        let table = parse_table(TABLE).unwrap();
        assert_eq!(table.handler.as_deref(), Some("alua"));
        assert!(table.queue_if_no_path && !table.bio_based);
        assert_eq!(table.selectors, ["service-time 0", "service-time 0"]);
        assert_eq!(table.features, "queue_if_no_path");
    }

    #[test]
    fn features_with_values_do_not_shift_the_rest() {
        let line =
            "5 queue_mode bio queue_if_no_path pg_init_retries 50 0 1 1 round-robin 0 1 1 8:0 1000";
        let table = parse_table(line).unwrap();
        assert!(table.bio_based && table.queue_if_no_path);
        assert_eq!((table.handler, table.selectors.len()), (None, 1));
        assert_eq!(
            table.features,
            "queue_mode bio queue_if_no_path pg_init_retries 50"
        );
        assert!(!parse_table("2 queue_mode mq 0 0 0").unwrap().bio_based);
    }

    #[test]
    fn a_map_may_have_no_groups() {
        assert_eq!(parse_status("2 0 0 0 0 0").unwrap().groups, []);
        assert!(parse_table("0 1 rdac 0 0").unwrap().selectors.is_empty());
    }

    #[test]
    fn cut_and_lying_lines_are_errors() {
        for (end, _) in STATUS.match_indices(' ') {
            assert!(parse_status(&STATUS[..end]).is_err());
        }
        for (end, _) in TABLE.match_indices(' ') {
            assert!(parse_table(&TABLE[..end]).is_err());
        }
        let lies = [
            "4294967295 a b",
            "2 0 0 0 4294967295 1 A 0 4294967295 4294967295 8:0 A 0",
            "",
        ];
        for line in lies {
            assert!(
                matches!(parse_status(line), Err(MultipathError::Ends(_))),
                "{line}"
            );
        }
        assert_eq!(parse_status("2 0 0 0 0 0 A"), Err(MultipathError::GoesOn));
        assert!(parse_status("2 0 0 0 1 1 X 0 0 0").is_err());
        assert!(parse_status("2 0 0 0 1 1 A 0 1 0 sda A 0").is_err());
    }
}
