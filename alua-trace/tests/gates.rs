//! What must not be true of traces that never were.

mod scenes;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use alua_trace::{
        cli::{Action, Cli, Gates},
        evidence::Evidence,
        gates::{self, FAILED},
        replay,
    };
    use clap::Parser;

    use super::scenes;

    fn make(scene: &str, dir: &Path) -> Evidence {
        let file = dir.join("it.atr");
        let named = scenes::NAMED.iter().find(|(name, _)| *name == scene);
        scenes::record(&named.unwrap().1, &file);
        Evidence::read(&[file], &[]).unwrap()
    }

    fn gates(expressions: &[&str]) -> Gates {
        let mut words = vec!["alua-trace", "report", "it.atr"];
        for expression in expressions {
            words.extend(["--fail-if", expression]);
        }
        match Cli::try_parse_from(words).unwrap().into_action() {
            Action::Report(config) => config.gates,
            other => panic!("{other:?}"),
        }
    }

    /// The value that an expression is judged by.
    fn value(evidence: &Evidence, quantity: &str) -> Option<f64> {
        let gates = gates(&[&format!("{quantity} > 0")]);
        gates::outcomes(&gates, &evidence.summary)[0].value
    }

    #[test]
    fn values_are_those_of_the_summary() {
        let dir = tempfile::tempdir().unwrap();
        let evidence = make("transfer", dir.path());
        let of = |quantity: &str| value(&evidence, quantity);
        let (reads, writes) = (
            of("commands{class=\"read\"}"),
            of("commands{class=\"write\"}"),
        );
        let all = of("commands").unwrap();
        assert_eq!(reads.unwrap() + writes.unwrap(), all);
        let states =
            [of("commands{state=\"AO\"}"), of("commands{state=\"AN\"}")].map(Option::unwrap);
        assert_eq!((states[0] + states[1], states[1] > 1000.0), (all, true));
        assert_eq!(of("non_optimized_share"), Some(states[1] / all));
        // 2.1 ms and what a write takes more.
        assert!((2.1..2.4).contains(&of("p50_ms{state=\"AN\"}").unwrap()));
        assert_eq!(of("p50_ms{state=\"AN\",map=\"no such\"}"), None);
        assert_eq!(
            of("max_ms").map(|it| it.round() as u64),
            Some(scenes::SPIKE_NS / 1_000_000)
        );
        assert_eq!(
            (of("transfers"), of("transfers{map=\"x\"}")),
            (Some(1.0), Some(0.0))
        );
        assert_eq!(
            (of("flags{kind=\"ownership-transfer\"}"), of("lost")),
            (Some(1.0), Some(0.0))
        );
        let share = of("non_optimized_avoidable_share").unwrap();
        assert!(share > 0.0 && share <= states[1] / all, "{share}");
        let by_path = |path: &str| of(&format!("commands{{path=\"{path}\"}}")).unwrap();
        let paths = evidence.summary.paths.iter();
        let sum: f64 = paths.map(|it| by_path(&it.path.hctl)).sum();
        assert_eq!(sum, all);
        let other = tempfile::tempdir().unwrap();
        let lossy = make("lossy", other.path());
        assert!(value(&lossy, "lost").unwrap() > 10.0);
    }

    #[test]
    fn what_is_true_or_not_to_be_told_fails() {
        let dir = tempfile::tempdir().unwrap();
        let evidence = make("one-path", dir.path());
        let junit = dir.path().join("junit.xml");
        let mut gates = gates(&[
            "transfers > 0",
            "p50_ms < 1e3",
            "p99_ms{path=\"no & such\"} > 1",
        ]);
        gates.junit = Some(junit.clone());
        let outcomes = gates::outcomes(&gates, &evidence.summary);
        let failed: Vec<bool> = outcomes.iter().map(|it| it.is_failed).collect();
        assert_eq!(failed, [false, true, true]);
        assert_eq!(gates::told(&gates, "it", &outcomes).unwrap(), FAILED);
        assert_eq!(gates::told(&gates, "it", &outcomes[..1]).unwrap(), 0);
        gates::told(&gates, "it", &outcomes).unwrap();
        let text = std::fs::read_to_string(&junit).unwrap();
        assert!(text.contains("tests=\"3\" failures=\"2\""), "{text}");
        assert!(
            text.contains("name=\"p99_ms{path=&quot;no &amp; such&quot;} &gt; 1\""),
            "{text}"
        );
        assert_eq!(text.matches("<failure message=").count(), 2);
        gates.junit = Some(dir.path().join("no/such"));
        let error = gates::told(&gates, "it", &outcomes)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--junit"), "{error}");
    }

    #[test]
    fn a_replay_fails_as_the_trace_would() {
        let dir = tempfile::tempdir().unwrap();
        make("one-path", dir.path());
        let file = dir.path().join("it.atr");
        let status = |expression: &str| {
            let words = ["alua-trace", "replay", "--fail-if", expression];
            let cli =
                Cli::try_parse_from(words.iter().map(|it| it.as_ref()).chain([file.as_os_str()]));
            match cli.unwrap().into_action() {
                Action::Replay(config) => replay::run(&config).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((status("lost > 0"), status("iops > 1")), (0, FAILED));
    }
}
