//! Recordings in several files, of what led to something, and without commands; and parts of them.

mod scenes;

#[cfg(test)]
mod tests {
    use std::{
        io,
        path::{Path, PathBuf},
        time::Duration,
    };

    use alua_trace::{
        cli::Span,
        engine::Thresholds,
        evidence::Evidence,
        json,
        model::{FlagKind, Line, Start, Summary},
        record::{Holds, recorder::Way},
        replay::{Audience, Played, Playing, play},
        setup::Setup,
    };

    use super::scenes::{self, BEGAN_NS};

    const S: u64 = 1_000_000_000;
    /// When the array moves the first unit of the scene, since its start.
    const MOVES_NS: u64 = 30 * S + 7_000_000;

    #[derive(Default)]
    struct Heard {
        lines: Vec<Line>,
        setups: Vec<Setup>,
    }

    impl Audience for Heard {
        fn line(&mut self, line: Line) -> io::Result<()> {
            self.lines.push(line);
            Ok(())
        }

        fn setup(&mut self, setup: Setup) {
            self.setups.push(setup);
        }
    }

    impl Heard {
        fn json(&self) -> Vec<String> {
            self.lines
                .iter()
                .map(|line| json::to_line(line).unwrap())
                .collect()
        }

        fn start(&self) -> &Start {
            let Some(Line::Start(start)) = self.lines.first() else {
                panic!("no start");
            };
            start
        }

        fn summary(&self) -> &Summary {
            let Some(Line::Summary(summary)) = self.lines.last() else {
                panic!("no summary: {:?}", self.lines.last());
            };
            summary
        }

        /// Commands that ended, by when.
        fn ends_ns(&self) -> Vec<u64> {
            let commands = self.lines.iter().filter_map(|line| match line {
                Line::Command(command) => Some(command.dispatched_at_ns + command.latency_ns),
                _ => None,
            });
            commands.collect()
        }
    }

    fn heard(files: &[PathBuf], playing: &Playing) -> anyhow::Result<(Heard, Played)> {
        let mut heard = Heard::default();
        let played = play(files, playing, &mut heard)?;
        Ok((heard, played))
    }

    fn all(file: &Path) -> Heard {
        let (heard, played) = heard(&[file.to_owned()], &Playing::default()).unwrap();
        assert!(played.missing.is_none(), "{:?}", played.missing);
        heard
    }

    fn with_commands() -> Playing {
        Playing {
            commands: true,
            ..Playing::default()
        }
    }

    fn scene() -> scenes::Scene {
        let (_, scene) = scenes::NAMED
            .iter()
            .find(|(name, _)| *name == "transfer")
            .unwrap();
        *scene
    }

    fn make(dir: &Path, way: Way, holds: Holds) -> PathBuf {
        let file = dir.join("it.atr");
        scenes::record_as(&scene(), &file, way, holds);
        file
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
            .unwrap()
            .map(|it| it.unwrap().path())
            .collect();
        files.sort();
        files
    }

    /// Every command is in the account, and all that was told is.
    fn check_account(summary: &Summary) {
        for path in &summary.paths {
            let it = path.counts;
            assert_eq!(it.dispatched, it.completed + it.in_flight, "{it:?}");
            assert_eq!(it.completed, it.recorded + it.ring_full, "{it:?}");
            let told: u64 = path.latency.iter().map(|it| it.commands).sum();
            assert_eq!(told, it.recorded);
        }
    }

    fn parts(bytes: Option<u64>, time_s: Option<u64>, keep: Option<usize>) -> Way {
        Way::Parts {
            bytes,
            time_ns: time_s.map(|it| it * S),
            keep,
        }
    }

    #[test]
    fn files_in_order_say_what_one_file_says() {
        let (one, several) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let whole = make(one.path(), Way::Whole, Holds::Commands);
        make(several.path(), parts(None, Some(7), None), Holds::Commands);
        let files = files(several.path());
        assert_eq!(files.len(), 9, "{files:?}");
        let (whole, _) = heard(&[whole], &with_commands()).unwrap();
        let (joined, played) = heard(&files, &with_commands()).unwrap();
        assert!(whole.json() == joined.json(), "they say other things");
        assert_eq!(whole.setups, joined.setups);
        assert!(
            (1000..8000).contains(&played.ending.unwrap().commands),
            "of the last file"
        );
    }

    #[test]
    fn each_file_can_be_read_alone() {
        let dir = tempfile::tempdir().unwrap();
        make(
            dir.path(),
            parts(Some(100 << 10), None, None),
            Holds::Commands,
        );
        let files = files(dir.path());
        assert!(files.len() > 3, "{files:?}");
        let mut commands = 0;
        for file in &files {
            let it = all(file);
            check_account(it.summary());
            assert!(
                it.summary().complete,
                "{:?}",
                it.summary().incomplete_because
            );
            assert!(it.start().paths.iter().all(|path| path.map.is_some()));
            assert_eq!(it.setups.first().map(|setup| setup.at_ns), Some(BEGAN_NS));
            let of_file: u64 = it.summary().paths.iter().map(|it| it.counts.recorded).sum();
            assert!(of_file > 1000 || Some(file) == files.last(), "{of_file}");
            commands += of_file;
        }
        let whole = tempfile::tempdir().unwrap();
        let whole = all(&make(whole.path(), Way::Whole, Holds::Commands));
        let of_whole: u64 = whole
            .summary()
            .paths
            .iter()
            .map(|it| it.counts.recorded)
            .sum();
        assert_eq!(commands, of_whole);
    }

    #[test]
    fn files_that_do_not_follow_each_other_are_refused() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        make(dir.path(), parts(None, Some(20), None), Holds::Commands);
        make(other.path(), parts(None, Some(20), None), Holds::Commands);
        let (files, others) = (files(dir.path()), files(other.path()));
        for wrong in [
            vec![files[0].clone(), files[2].clone()],
            vec![files[1].clone(), files[0].clone()],
            vec![files[0].clone(), others[1].clone()],
        ] {
            let error = heard(&wrong, &Playing::default()).map(|_| ()).unwrap_err();
            assert!(format!("{error:#}").contains("does not go on"), "{error:#}");
        }
    }

    #[test]
    fn old_files_make_room() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), parts(None, Some(7), Some(3)), Holds::Commands);
        let files = files(dir.path());
        let names: Vec<_> = files
            .iter()
            .map(|it| it.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["it.0007.atr", "it.0008.atr", "it.0009.atr"]);
        let (joined, _) = heard(&files, &Playing::default()).unwrap();
        check_account(joined.summary());
    }

    /// The array moves the unit after 30 s; the window is 10 s. Five seconds later another flag is raised, and
    /// the file goes on for ten more.
    #[test]
    fn what_led_to_a_flag_is_written_and_begins_so_long_before() {
        let dir = tempfile::tempdir().unwrap();
        let window = Way::Window {
            last_ns: 10 * S,
            bytes: 64 << 20,
            keep: None,
        };
        let file = make(dir.path(), window, Holds::Commands);
        assert_eq!(files(dir.path()), std::slice::from_ref(&file));
        let (heard, _) = heard(&[file], &with_commands()).unwrap();
        let began_ns = heard.start().started_at_ns - BEGAN_NS;
        assert!(
            (MOVES_NS - 11 * S..=MOVES_NS - 10 * S).contains(&(began_ns)),
            "{began_ns}"
        );
        assert_eq!(
            heard.start().wall_unix_ns - 1_795_900_000 * S,
            began_ns,
            "wall and monotonic clock go together"
        );
        check_account(heard.summary());
        assert!(heard.summary().complete);
        let ends = heard.ends_ns();
        let (first, last) = (
            ends.iter().min().unwrap() - BEGAN_NS,
            ends.iter().max().unwrap() - BEGAN_NS,
        );
        assert!(first - began_ns < S / 10, "{first}");
        assert!(
            (MOVES_NS + 14 * S..MOVES_NS + 17 * S).contains(&last),
            "{last}"
        );
        let kinds: Vec<FlagKind> = heard.summary().flags.iter().map(|flag| flag.kind).collect();
        assert!(kinds.contains(&FlagKind::OwnershipTransfer), "{kinds:?}");
    }

    /// Its directory is gone: that is no failure of all that comes, as it is of a whole recording.
    #[test]
    fn a_window_that_cannot_be_written_is_given_up_and_the_trace_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let window = Way::Window {
            last_ns: 10 * S,
            bytes: 64 << 20,
            keep: Some(1),
        };
        make(&dir.path().join("gone"), window, Holds::Commands);
        assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_window_takes_no_more_memory_than_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let window = Way::Window {
            last_ns: 3600 * S,
            bytes: 100 << 10,
            keep: None,
        };
        let file = make(dir.path(), window, Holds::Commands);
        let heard = all(&file);
        // A thousand commands a second take some 8 KiB.
        let before = MOVES_NS - (heard.start().started_at_ns - BEGAN_NS);
        assert!((5 * S..20 * S).contains(&before), "{before}");
        check_account(heard.summary());
    }

    #[test]
    fn without_commands_the_rest_is_the_same() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let whole = make(one.path(), Way::Whole, Holds::Commands);
        let lines = make(other.path(), Way::Whole, Holds::Histograms);
        assert!(lines.metadata().unwrap().len() < whole.metadata().unwrap().len() / 3);
        assert!(all(&whole).json() == all(&lines).json());
        let error = heard(&[lines], &with_commands()).map(|_| ()).unwrap_err();
        assert!(
            error.to_string().contains("holds histograms only"),
            "{error}"
        );
    }

    #[test]
    fn without_commands_in_several_files() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let whole = make(one.path(), Way::Whole, Holds::Histograms);
        make(other.path(), parts(None, Some(20), None), Holds::Histograms);
        let files = files(other.path());
        assert_eq!(files.len(), 3, "{files:?}");
        let (joined, _) = heard(&files, &Playing::default()).unwrap();
        assert!(all(&whole).json() == joined.json());
    }

    /// A file of histograms has no summary unless it is the last one.
    #[test]
    fn a_file_of_histograms_is_reported_alone() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), parts(None, Some(20), None), Holds::Histograms);
        let file = files(dir.path()).swap_remove(0);
        let evidence = Evidence::read(&[file], &[]).unwrap();
        let commands: u64 = evidence
            .summary
            .paths
            .iter()
            .map(|it| it.counts.recorded)
            .sum();
        assert!((15_000..25_000).contains(&commands), "{commands}");
        let because = evidence.summary.incomplete_because.join("; ");
        assert!(because.contains("goes on in another file"), "{because}");
        let told = evidence.summary.paths.iter().flat_map(|it| &it.latency);
        assert!(told.clone().count() >= 4 && told.into_iter().all(|it| it.p50_ns.is_some()));
    }

    #[test]
    fn a_span_of_a_trace_is_counted_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let file = make(dir.path(), Way::Whole, Holds::Commands);
        let span = |from: Option<u64>, to: Option<u64>| Playing {
            span: Span {
                from: from.map(Duration::from_secs),
                to: to.map(Duration::from_secs),
            },
            ..with_commands()
        };
        let (whole, _) = heard(std::slice::from_ref(&file), &with_commands()).unwrap();
        for (from, to) in [(Some(20), Some(40)), (Some(29), None), (None, Some(10))] {
            let (heard, _) = heard(std::slice::from_ref(&file), &span(from, to)).unwrap();
            check_account(heard.summary());
            let ends = heard.ends_ns();
            let from_ns = heard.start().started_at_ns;
            assert!(
                from_ns - BEGAN_NS - from.unwrap_or(0) * S < S / 10,
                "{from_ns}"
            );
            let to_ns = from_ns + heard.summary().duration_ns;
            if let Some(to) = to {
                assert!((BEGAN_NS + to * S).abs_diff(to_ns) < S / 10, "{to_ns}");
            }
            let wanted: Vec<u64> = whole
                .ends_ns()
                .into_iter()
                .filter(|end| *end > from_ns + S / 10 && *end < to_ns - S / 10)
                .collect();
            assert!(wanted.len() > 5000);
            assert!(wanted.iter().all(|end| ends.contains(end)));
            assert!(
                ends.iter()
                    .all(|end| *end >= from_ns - S / 10 && *end <= to_ns + S / 10)
            );
        }
        let error = heard(&[file], &span(Some(100), None))
            .map(|_| ())
            .unwrap_err();
        assert!(error.to_string().contains("before --from"), "{error}");
    }

    #[test]
    fn other_thresholds_find_other_things() {
        let dir = tempfile::tempdir().unwrap();
        let file = make(dir.path(), Way::Whole, Holds::Commands);
        let with = |thresholds| {
            let playing = Playing {
                thresholds,
                ..Playing::default()
            };
            let (heard, _) = heard(std::slice::from_ref(&file), &playing).unwrap();
            let flags = heard.summary().flags.iter();
            flags
                .map(|flag| (flag.kind, flag.raised_at_ns))
                .collect::<Vec<_>>()
        };
        let usual = with(Thresholds::default());
        let raised = |flags: &[(FlagKind, u64)]| {
            flags
                .iter()
                .find(|(kind, _)| *kind == FlagKind::NotPreferredOwner)
                .map(|it| it.1)
        };
        let later = with(Thresholds {
            not_preferred_ns: 15 * S,
            ..Thresholds::default()
        });
        assert_eq!(
            raised(&later).unwrap() / S,
            raised(&usual).unwrap() / S + 10
        );
        let never = with(Thresholds {
            not_preferred_ns: 1000 * S,
            ..Thresholds::default()
        });
        assert_eq!(raised(&never), None);
    }
}
