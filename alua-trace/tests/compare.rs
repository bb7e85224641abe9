//! Comparisons of traces that never were, with differences that are known.

mod scenes;

#[cfg(test)]
mod tests {
    use std::{
        ops::Range,
        path::{Path, PathBuf},
    };

    use alua_trace::{
        cli::{CompareConfig, IoClass, Metric},
        comparison::{Comparison, Verdict, compare},
    };

    use super::scenes::{QUIET, Scene, record};

    const LOAD: Scene = Scene {
        seconds: 4,
        rate: 800,
        ..QUIET
    };

    fn runs(dir: &Path, seeds: Range<u64>, scene: Scene) -> Vec<PathBuf> {
        let make = |nth: u64| {
            let Scene { slower, .. } = scene;
            let file = dir.join(format!("{}-{slower}-{nth}.atr", scene.scheduler));
            let seed = 1 + nth + 100 * slower + 10_000 * scene.scheduler.len() as u64;
            record(&Scene { seed, ..scene }, &file);
            file
        };
        seeds.map(make).collect()
    }

    fn config(one: &[PathBuf], other: &[PathBuf]) -> CompareConfig {
        CompareConfig {
            one: one.to_vec(),
            other: other.to_vec(),
            metrics: Vec::new(),
            class: None,
            within: 0.05,
            meant: Vec::new(),
            json: None,
            gates: Default::default(),
            maps: Vec::new(),
        }
    }

    fn verdict(comparison: &Comparison, metric: Metric) -> Verdict {
        let found = comparison.metrics.iter().find(|it| it.metric == metric);
        found.unwrap().verdict
    }

    #[test]
    fn a_difference_is_found_and_so_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let one = runs(dir.path(), 0..6, LOAD);
        let slower = Scene { slower: 10, ..LOAD };
        let other = runs(dir.path(), 0..6, slower);
        let comparison = compare(&config(&one, &other)).unwrap();
        assert_eq!(comparison.runs_needed, None);
        assert!(comparison.differs.is_empty(), "{:?}", comparison.differs);
        for (nth, metric) in [Metric::MeanNs, Metric::P50Ns].into_iter().enumerate() {
            assert_eq!(verdict(&comparison, metric), Verdict::Higher, "{nth}");
        }
        assert_eq!(verdict(&comparison, Metric::Iops), Verdict::Same);
        let p50 = comparison
            .metrics
            .iter()
            .find(|it| it.metric == Metric::P50Ns);
        let change = p50.unwrap().change;
        assert!(change.low <= 0.1 && 0.1 <= change.high, "{change:?}");
        assert!(change.high - change.low < 0.04, "{change:?}");
        // Nobody has said what the CPUs did; and nothing was not optimized.
        assert_eq!(comparison.not_carried, [Metric::CpuNsPerIo]);
        let part = comparison
            .metrics
            .iter()
            .find(|it| it.metric == Metric::NotOptimizedShare);
        assert!(part.is_none());
        // Every percentile is 10 % more, and the band says so of all at once.
        let held =
            |it: &alua_trace::comparison::Shift| it.change.low <= 0.1 && 0.1 <= it.change.high;
        assert!(
            comparison.shift.len() >= 10 && comparison.shift.iter().all(held),
            "{:?}",
            comparison.shift
        );

        let more = runs(dir.path(), 6..12, LOAD);
        let same = compare(&config(&one, &more)).unwrap();
        for it in &same.metrics {
            assert!(
                !matches!(it.verdict, Verdict::Higher | Verdict::Lower),
                "{it:?}"
            );
        }
        assert_eq!(verdict(&same, Metric::P50Ns), Verdict::Same);
    }

    #[test]
    fn what_differs_beside_is_named_unless_it_is_meant() {
        let dir = tempfile::tempdir().unwrap();
        let one = runs(dir.path(), 0..4, LOAD);
        let other = Scene {
            scheduler: "none",
            ..LOAD
        };
        let other = runs(dir.path(), 0..4, other);
        let mut config = config(&one, &other);
        config.metrics = vec![Metric::P50Ns];
        config.class = Some(IoClass::Write);
        let comparison = compare(&config).unwrap();
        let [differs] = comparison.differs.as_slice() else {
            panic!("{:?}", comparison.differs);
        };
        assert_eq!(
            (differs.what.as_str(), differs.is_meant),
            ("scheduler", false)
        );
        assert!(differs.one.contains("mq-deadline") && differs.other.contains("none"));
        config.meant = vec!["SCHED".to_owned()];
        let comparison = compare(&config).unwrap();
        assert!(comparison.differs[0].is_meant);
        // A third of the commands are writes.
        let commands = comparison.one[0].commands;
        assert!((900..1250).contains(&commands), "{commands}");
    }

    #[test]
    fn too_few_runs_have_no_verdict() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (
            runs(dir.path(), 0..3, LOAD),
            runs(dir.path(), 0..3, Scene { slower: 50, ..LOAD }),
        );
        let comparison = compare(&config(&one, &other)).unwrap();
        // Six metrics are carried by all.
        assert_eq!(comparison.runs_needed, Some(5));
        let verdicts = comparison.metrics.iter().map(|it| it.verdict);
        assert!(verdicts.into_iter().all(|it| it == Verdict::TooFew));
        let error = compare(&config(&one[..1], &other)).unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot compare 1 run with 3 runs: one run tells nothing of what another would be; record 6 runs of each side"
        );
    }
}
