//! Owns the effective configuration: for each keyword the value that counts for a map, and where it
//! comes from. Pure.

use std::collections::HashMap;
use std::rc::Rc;

use serde::Serialize;

use super::section::{File, Note, Refusal};
use super::tables::{Entry, Origin, Subject, Tables, last, useless};

/// The keywords that decide how paths are grouped, ranked, checked and used.
pub const KEYWORDS: [&str; 13] = [
    "path_grouping_policy",
    "detect_pgpolicy",
    "prio",
    "prio_args",
    "detect_prio",
    "path_checker",
    "hardware_handler",
    "failback",
    "no_path_retry",
    "features",
    "path_selector",
    "rr_min_io",
    "rr_min_io_rq",
];

/// Keywords whose values multipathd prints in other words than they are written
/// (libmultipath/propsel.c `reconcile_features_with_options`).
const REWRITTEN: [&str; 2] = ["no_path_retry", "features"];

/// All configuration there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The built-in tables, and the user's files.
    pub files: Tables,
    /// The same with the files' sections as they may be meant, where some are not read as that.
    pub meant: Option<Tables>,
    /// Lines for which multipath-tools refuse to start.
    pub refusals: Vec<Refusal>,
    /// What multipathd runs with, if it could be asked.
    pub running: Option<Tables>,
}

/// Where a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `/etc/multipath.conf`: multipath-tools refuse it for some mistakes, and do not start.
    Main,
    /// `conf.d`.
    Additional,
}

/// What counts for one map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Effective {
    settings: Vec<Value>,
}

/// A value that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Value {
    /// The keyword.
    pub keyword: &'static str,
    /// The value.
    pub value: String,
    /// Where it comes from: `/etc/multipath.conf:7`, `built in`, `multipathd`.
    #[serde(serialize_with = "shown")]
    pub origin: Origin,
    /// What a file says that multipathd, which runs with something else, has not read.
    pub unread: Option<String>,
}

fn shown<S: serde::Serializer>(origin: &Origin, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(origin)
}

impl Configuration {
    /// The configuration of the user's files over the built-in tables.
    pub fn new(files: Tables) -> Self {
        Self {
            files,
            meant: None,
            refusals: Vec::new(),
            running: None,
        }
    }

    /// Adds a file of the user's: `/etc/multipath.conf`, or one of `conf.d`, which multipath-tools
    /// read as far as they can. Gives what should be known of it.
    pub fn add_file(&mut self, file: File, place: Place) -> Vec<Note> {
        let mut notes = file.notes.clone();
        notes.extend(useless(&file));
        for refusal in file.refusals {
            if place == Place::Main || refusal.wherever {
                self.refusals.push(refusal);
            } else {
                notes.push(Note {
                    at: Some(refusal.at),
                    text: format!("{}: ignored", refusal.why),
                });
            }
        }
        if file.meant.is_some() && self.meant.is_none() {
            self.meant = Some(self.files.clone());
        }
        if let Some(tables) = &mut self.meant {
            let meant = file.meant.unwrap_or_else(|| file.sections.clone());
            tables.add_file(&file.name, meant);
        }
        self.files.add_file(&file.name, file.sections);
        notes
    }

    /// What counts for a device.
    pub fn of(&self, subject: &Subject<'_>) -> Effective {
        let files = self.files.layers(subject);
        let running = self.running.as_ref().map(|tables| tables.layers(subject));
        let value = |keyword| {
            let file = first(&files, keyword);
            match &running {
                None => Some(value(keyword, file?, None)),
                Some(running) => value_of_both(keyword, first(running, keyword), file),
            }
        };
        Effective {
            settings: KEYWORDS.into_iter().filter_map(value).collect(),
        }
    }
}

/// The answers of a [`Configuration`]: hundreds of maps of one array have the same settings.
#[derive(Debug)]
pub struct Answers<'a> {
    configuration: &'a Configuration,
    known: HashMap<Subject<'a>, Rc<Effective>>,
}

impl<'a> Answers<'a> {
    /// None yet.
    pub fn new(configuration: &'a Configuration) -> Self {
        Self {
            configuration,
            known: HashMap::new(),
        }
    }

    /// What counts for a device.
    pub fn of(&mut self, subject: Subject<'a>) -> Rc<Effective> {
        let Configuration { files, running, .. } = self.configuration;
        let tables = [Some(files), running.as_ref()];
        let named = |wwid: &&str| tables.iter().flatten().any(|tables| tables.names(wwid));
        let subject = Subject {
            wwid: subject.wwid.filter(named),
            ..subject
        };
        let answer = || Rc::new(self.configuration.of(&subject));
        self.known.entry(subject).or_insert_with(answer).clone()
    }
}

fn first<'a>(layers: &[&'a [Entry]], keyword: &str) -> Option<&'a Entry> {
    layers.iter().find_map(|layer| last(layer, keyword))
}

fn value(keyword: &'static str, entry: &Entry, unread: Option<String>) -> Value {
    Value {
        keyword,
        value: entry.value.clone(),
        origin: entry.origin.clone(),
        unread,
    }
}

/// multipathd's value counts. A file that says the same tells where it has it from.
fn value_of_both(
    keyword: &'static str,
    running: Option<&Entry>,
    file: Option<&Entry>,
) -> Option<Value> {
    match (running, file) {
        (None, None) => None,
        // `show config` leaves out what has no default, such as hardware_handler.
        (None, Some(file)) => Some(value(keyword, file, None)),
        (Some(running), None) => Some(value(keyword, running, None)),
        (Some(running), Some(file)) if same(&running.value, &file.value) => {
            Some(value(keyword, file, None))
        }
        (Some(running), Some(file)) => {
            let comparable = !REWRITTEN.contains(&keyword);
            let unread = (comparable && matches!(file.origin, Origin::File(_)))
                .then(|| format!("{} says {}", file.origin, file.value));
            Some(value(keyword, running, unread))
        }
    }
}

/// Whether two values mean the same to multipath-tools, which print `yes` for `1`.
pub fn same(a: &str, b: &str) -> bool {
    let plain = |text: &str| match text {
        "1" => "yes".to_owned(),
        "0" => "no".to_owned(),
        other => other.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    plain(a) == plain(b)
}

impl Effective {
    /// All of it, in a fixed order.
    pub fn settings(&self) -> &[Value] {
        &self.settings
    }

    /// The value of a keyword.
    pub fn get(&self, keyword: &str) -> Option<&Value> {
        self.settings.iter().find(|value| value.keyword == keyword)
    }

    /// Whether a keyword has a value, and its first word is `word`.
    pub fn is(&self, keyword: &str, word: &str) -> bool {
        let value = self.get(keyword).map(|value| value.value.as_str());
        value.and_then(|value| value.split_whitespace().next()) == Some(word)
    }

    /// Whether a switch is on; `None` when it has no value.
    pub fn switch(&self, keyword: &str) -> Option<bool> {
        self.get(keyword).map(|value| same(&value.value, "yes"))
    }

    /// Whether multipath-tools choose the prioritizer themselves for paths with TPGS
    /// (libmultipath/propsel.c `select_prio`).
    pub fn detects_prio(&self) -> bool {
        self.switch("detect_prio").unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multipath_conf::parse::parse;

    fn configuration(conf: &str, running: Option<&str>) -> Configuration {
        let mut configuration = Configuration::new(Tables::built_in());
        configuration.add_file(parse("a.conf", conf), Place::Main);
        configuration.running = running.map(Tables::of_multipathd);
        configuration
    }

    fn shown(configuration: &Configuration, keyword: &str) -> String {
        let effective = configuration.of(&Subject::default());
        effective.get(keyword).map_or("none".to_owned(), |value| {
            let unread = value.unread.as_deref().unwrap_or("read");
            format!("{} from {}, {unread}", value.value, value.origin)
        })
    }

    #[test]
    fn files_alone_tell_every_value_and_its_line() {
        let configuration = configuration("defaults {\nprio alua\n}\n", None);
        assert_eq!(shown(&configuration, "prio"), "alua from a.conf:2, read");
        assert_eq!(
            shown(&configuration, "failback"),
            "manual from built in, read"
        );
        assert_eq!(shown(&configuration, "detect_pgpolicy"), "none");
    }

    #[test]
    fn what_multipathd_runs_with_counts_before_files() {
        let conf = "defaults {\nprio alua\nfailback immediate\ndetect_prio 1\n}\n";
        let running = "defaults {\n\tprio \"alua\"\n\tfailback \"manual\"\n\
                       \tdetect_prio \"yes\"\n\tpath_checker \"directio\"\n}\n";
        let configuration = configuration(conf, Some(running));
        assert_eq!(shown(&configuration, "prio"), "alua from a.conf:2, read");
        assert_eq!(
            shown(&configuration, "failback"),
            "manual from multipathd, a.conf:3 says immediate"
        );
        assert_eq!(
            shown(&configuration, "detect_prio"),
            "1 from a.conf:4, read"
        );
        assert_eq!(
            shown(&configuration, "path_checker"),
            "directio from multipathd, read"
        );
        assert_eq!(
            shown(&configuration, "hardware_handler"),
            "0 from built in, read"
        );
    }

    #[test]
    fn answers_are_those_of_the_configuration() {
        let conf = "multipaths {\nmultipath {\nwwid 3600b\nprio x\n}\n}\n";
        let running = "multipaths {\nmultipath {\nwwid 3600c\nprio y\n}\n}\n";
        let configuration = configuration(conf, Some(running));
        let mut answers = Answers::new(&configuration);
        for (wwid, prio) in [
            ("3600a", "const"),
            ("3600b", "x"),
            ("3600c", "y"),
            ("3600d", "const"),
        ] {
            let subject = Subject {
                wwid: Some(wwid),
                ..Subject::default()
            };
            let answer = answers.of(subject);
            assert_eq!(*answer, configuration.of(&subject));
            assert!(answer.is("prio", prio), "{wwid}: {answer:?}");
        }
        assert_eq!(answers.known.len(), 3);
    }

    #[test]
    fn switches_and_first_words_are_understood() {
        for (conf, detects, alua) in [
            ("", true, false),
            (
                "defaults {\ndetect_prio no\nprio \"alua exclusive_pref_bit\"\n}",
                false,
                true,
            ),
            ("defaults {\ndetect_prio 0\nprio \" alua\"\n}", false, true),
            (
                "defaults {\ndetect_prio no\ndetect_prio NO\n}",
                false,
                false,
            ),
            ("defaults {\ndetect_prio 1\nprio alua2\n}", true, false),
        ] {
            let effective = configuration(conf, None).of(&Subject::default());
            assert_eq!(effective.detects_prio(), detects, "{conf}");
            assert_eq!(effective.is("prio", "alua"), alua, "{conf}");
        }
    }
}
