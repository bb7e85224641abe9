//! Configurations that can be used, and those that cannot.

use std::time::Duration;

use super::*;
use crate::cli::{RecordWay, Telling};

/// What the example says with its comments taken off, too.
fn whole_example() -> String {
    let text = include_str!("../../../dist/watch.toml");
    let is_example = |line: &&str| {
        let after = line.strip_prefix("# ").unwrap_or_default();
        after.starts_with('[')
            || after
                .split_once(" = ")
                .is_some_and(|(key, _)| !key.contains(' '))
    };
    let lines = text.lines();
    lines
        .map(|line| if is_example(&line) { &line[2..] } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_file_that_ships_is_the_default() {
    let shipped = Config::parse(include_str!("../../../dist/watch.toml")).unwrap();
    assert_eq!(shipped, Config::parse("").unwrap());
    assert_eq!(shipped.run.telling, Telling::Counted);
    let RecordWay::Last { time, memory, keep } = shipped.run.record.unwrap().way else {
        panic!("no window");
    };
    assert_eq!(
        (time, memory, keep),
        (Duration::from_secs(300), 64 << 20, Some(20))
    );
}

#[test]
fn its_examples_can_be_used() {
    let config = Config::parse(&whole_example()).unwrap();
    let names: Vec<&str> = config.plan.rules.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["not-optimized", "thrash"]);
    let rule = &config.plan.rules[0];
    assert_eq!(
        (rule.over, rule.hold),
        (Duration::from_secs(60), Duration::from_secs(120))
    );
    assert_eq!(config.plan.actions.len(), 4);
    assert_eq!(config.run.placement.nice, Some(5));
}

#[test]
fn what_cannot_be_used_is_named() {
    let why = |text: &str| format!("{:#}", Config::parse(text).unwrap_err());
    let alert = |more: &str| format!("[[alert]]\nname = \"a\"\n{more}\n");
    for (text, words) in [
        ("intervall = \"1s\"".to_owned(), "unknown field `intervall`"),
        ("interval = \"1ms\"".to_owned(), "interval = \"1ms\""),
        (
            "metrics = \"0.0.0.0:9909\"".to_owned(),
            "others can reach this address",
        ),
        (
            "recording = { last = \"5\" }".to_owned(),
            "recording.last = \"5\"",
        ),
        (
            "placement = { nice = 20 }".to_owned(),
            "placement.nice = 20",
        ),
        ("placement = { cpus = \"x\" }".to_owned(), "placement.cpus"),
        (alert("when = \"p99_ms >\""), "alert \"a\": when:"),
        (
            alert("when = \"lost > 0\"\ntell = [\"pager\"]"),
            "there is no action \"pager\", but journal",
        ),
        (
            alert("when = \"lost > 0\"\nover = \"2h\""),
            "at most an hour",
        ),
        (
            alert("when = \"lost > 0\"").repeat(2),
            "two alerts are called \"a\"",
        ),
        ("[action.x]\nexec = [\"page\"]".to_owned(), "begins with /"),
        (
            "[action.x]\nexec = []".to_owned(),
            "a program and its arguments",
        ),
        (
            "[action.x]\nwebhook = \"ftp://x\"".to_owned(),
            "https:// or http://",
        ),
        (
            "[action.x]\nfile = \"/a\"\nexec = [\"/b\"]".to_owned(),
            "one of exec, webhook and file",
        ),
        (
            "[action.journal]\nfile = \"/a\"".to_owned(),
            "needs no table",
        ),
    ] {
        assert!(why(&text).contains(words), "{text}: {}", why(&text));
    }
}

#[test]
fn only_the_newest_recordings_of_other_runs_stay() {
    let dir = tempfile::tempdir().unwrap();
    for (age, name) in [
        "watch-3.atr",
        "watch-2.atr",
        "watch-1.1.atr",
        "fio.atr",
        "watch-x.txt",
    ]
    .iter()
    .enumerate()
    {
        let file = fs::File::create(dir.path().join(name)).unwrap();
        let age = Duration::from_secs(60 * age as u64);
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    prune(dir.path(), 2).unwrap();
    let mut left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(
        left,
        ["fio.atr", "watch-2.atr", "watch-3.atr", "watch-x.txt"]
    );
}
