//! Rules over minutes that are made up, and each way to tell of them.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Instant,
};

use super::*;
use crate::cli;
use crate::model::{AccessState, Cell, Class, FlagEvent, Interval, TransferEvent};
use crate::report::samples;

const SECOND: u64 = 1_000_000_000;

fn rule(when: &str, over_s: u64, hold_s: u64) -> Rule {
    Rule {
        name: "a".to_owned(),
        when: cli::gate(when).unwrap(),
        over: Duration::from_secs(over_s),
        hold: Duration::from_secs(hold_s),
        severity: Severity::Warning,
        actions: vec!["tell".to_owned()],
    }
}

/// The interval that ends after `at_s`, ten seconds long, with reads in two states.
fn interval(at_s: u64, optimized: u64, not: u64) -> Line {
    let cell = |state, commands| Cell {
        class: Class::Read,
        state,
        commands,
        errors: 0,
        bytes: 4096 * commands,
        sum_ns: 100_000 * commands,
        min_ns: 100_000,
        max_ns: 100_000,
        buckets: vec![(100_351, commands)],
    };
    let mut interval = samples::interval(1);
    interval.ended_at_ns = at_s * SECOND;
    interval.interval_ns = 10 * SECOND;
    interval.rows[0].cells = [
        (AccessState::Optimized, optimized),
        (AccessState::NonOptimized, not),
    ]
    .into_iter()
    .filter(|(_, commands)| *commands > 0)
    .map(|(state, commands)| cell(state, commands))
    .collect();
    Line::Interval(interval.into())
}

fn changes(rules: &mut Rules, lines: impl IntoIterator<Item = Line>) -> Vec<(u64, Change)> {
    let lines = lines.into_iter();
    lines
        .flat_map(|line| rules.take(&line))
        .map(|alert| (alert.at_ns / SECOND, alert.change))
        .collect()
}

#[test]
fn a_rule_fires_once_it_has_held_and_is_resolved_once_it_has_not() {
    let mut rules = Rules::new(vec![rule("non_optimized_share > 10%", 10, 30)]);
    let not = |at_s: u64| match at_s {
        // A moment is none.
        50 | 100..=200 => 50,
        // Nor is one without it.
        220..=240 => 50,
        _ => 0,
    };
    let told = changes(
        &mut rules,
        (1..40).map(|i| interval(10 * i, 100, not(10 * i))),
    );
    assert_eq!(told, [(130, Change::Firing), (280, Change::Resolved)]);
}

#[test]
fn an_idle_map_says_nothing() {
    let mut rules = Rules::new(vec![rule("p99_ms < 1000", 10, 0), rule("iops < 1", 10, 0)]);
    let told = changes(&mut rules, (1..5).map(|i| interval(10 * i, 0, 0)));
    assert_eq!(
        told,
        [(10, Change::Firing)],
        "IOPS are none, p99 there is not"
    );
}

#[test]
fn a_period_forgets_what_is_older_than_it() {
    let mut rules = Rules::new(vec![rule("commands > 150", 60, 0)]);
    let lines = (1..20).map(|i| interval(10 * i, if i <= 2 { 100 } else { 1 }, 0));
    assert_eq!(
        changes(&mut rules, lines),
        [(20, Change::Firing), (70, Change::Resolved)]
    );
}

#[test]
fn flags_hold_while_they_are_active_and_their_commands_are_the_periods() {
    let flag = |change, commands, ended_s: Option<u64>| {
        let mut flag = samples::flag(1);
        (flag.commands, flag.avoidable) = (commands, Some(true));
        flag.ended_at_ns = ended_s.map(|s| s * SECOND);
        Line::Flag(FlagEvent { change, flag })
    };
    let mut rules = Rules::new(vec![
        rule(r#"flags{kind="non-optimized-io"} > 0"#, 60, 0),
        rule("non_optimized_avoidable_share > 40%", 60, 0),
    ]);
    let mut told = Vec::new();
    for at_s in (10..=300).step_by(10) {
        match at_s {
            30 => told.extend(rules.take(&flag(FlagChange::Raised, 1000, None))),
            40..120 => told.extend(rules.take(&flag(FlagChange::Updated, 1000, None))),
            120 => told.extend(rules.take(&flag(FlagChange::Ended, 1000, Some(115)))),
            _ => {}
        }
        told.extend(rules.take(&interval(at_s, 400, 0)));
    }
    let told: Vec<_> = told
        .iter()
        .map(|it| (it.rule, it.at_ns / SECOND, it.change))
        .collect();
    let expected = [
        (0, 30, Change::Firing),
        (1, 30, Change::Firing),
        // Its commands are a minute old, while it is active.
        (1, 90, Change::Resolved),
        (0, 180, Change::Resolved),
    ];
    assert_eq!(told, expected);
}

#[test]
fn transfers_and_losses_are_those_of_the_period() {
    let mut rules = Rules::new(vec![rule("transfers > 1", 60, 0), rule("lost > 0", 60, 0)]);
    let moved = || {
        let transfer = samples::transfer();
        let change = TransferChange::Done;
        Line::Transfer(TransferEvent { change, transfer })
    };
    let mut told = Vec::new();
    for at_s in (10..=200).step_by(10) {
        if at_s == 30 || at_s == 40 {
            told.extend(rules.take(&moved()));
        }
        let Line::Interval(interval) = interval(at_s, 1, 0) else {
            panic!()
        };
        let mut interval = Interval::clone(&interval);
        interval.losses.ring_full = if at_s >= 50 { 7 } else { 0 };
        told.extend(rules.take(&Line::Interval(interval.into())));
    }
    let told: Vec<_> = told
        .iter()
        .map(|it| (it.rule, it.at_ns / SECOND, it.change))
        .collect();
    assert_eq!(
        told,
        [
            (0, 40, Change::Firing),
            (1, 50, Change::Firing),
            (0, 90, Change::Resolved),
            (1, 110, Change::Resolved)
        ]
    );
}

#[test]
fn rules_that_are_read_again_stay_where_they_are() {
    let mut rules = Rules::new(vec![rule("non_optimized_share > 10%", 10, 0)]);
    assert_eq!(
        changes(&mut rules, [interval(10, 1, 1)]),
        [(10, Change::Firing)]
    );
    let mut other = rule("lost > 0", 10, 0);
    other.name = "b".to_owned();
    rules.replace(vec![other, rule("non_optimized_share > 10%", 10, 0)]);
    assert_eq!(changes(&mut rules, [interval(20, 1, 1)]), []);
    assert_eq!(
        changes(&mut rules, [interval(30, 1, 0)]),
        [(30, Change::Resolved)]
    );
}

/// What becomes of an action: fires at 10 s, is resolved at 20 s.
fn told_by(action: Action) {
    let plan = Plan {
        rules: vec![rule("non_optimized_share > 10%", 10, 0)],
        actions: BTreeMap::from([("tell".to_owned(), action)]),
        journal: false,
    };
    let mut alerts = Alerts::new(plan, "host", Snapshots::default(), Next::default()).unwrap();
    for line in [
        Line::Start(samples::start(1)),
        interval(10, 1, 1),
        interval(20, 1, 0),
    ] {
        alerts.take(&line).unwrap();
    }
    alerts.end().unwrap();
}

fn script(dir: &Path, text: &str) -> Vec<String> {
    let path = dir.join("tell");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    vec![path.display().to_string(), "two words; $(false)".to_owned()]
}

#[test]
fn a_program_gets_words_environment_and_json() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("told");
    let text = format!(
        "{{ echo \"$1|$ALUA_TRACE_STATUS|$ALUA_TRACE_ALERT|$ALUA_TRACE_HOST\"; cat; echo; }} >> {}",
        to.display()
    );
    told_by(Action::Exec(script(dir.path(), &text)));
    let told = std::fs::read_to_string(&to).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "two words; $(false)|firing|a|host");
    assert_eq!(lines[2], "two words; $(false)|resolved|a|host");
    let message: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!(message["value"], 0.5);
    assert_eq!(message["expression"], "non_optimized_share > 10%");
    let start = samples::start(1);
    let at = start.wall_unix_ns - start.started_at_ns + 10 * SECOND;
    assert_eq!(message["at_unix_ns"], at);
}

#[test]
fn a_file_gets_a_line_each() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alerts.jsonl");
    told_by(Action::File(path.clone()));
    let lines = std::fs::read_to_string(path).unwrap();
    let statuses: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["status"].to_string())
        .collect();
    assert_eq!(statuses, ["\"firing\"", "\"resolved\""]);
}

/// Reads a request, answers with `status`, and gives its text.
fn serve(listener: &TcpListener, status: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = String::new();
    let mut piece = [0; 4096];
    while !request.contains("\"schema\"") || !request.ends_with('}') {
        let read = stream.read(&mut piece).unwrap();
        request.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    request
}

#[test]
fn a_web_hook_is_tried_again_while_it_may_take_a_message() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let action = Action::Webhook {
        url: format!("http://{}/alua?x=1", listener.local_addr().unwrap()),
        headers: vec![("Authorization".to_owned(), "Bearer s".to_owned())],
    };
    let thread = std::thread::spawn(move || {
        let refused = serve(&listener, "503 Service Unavailable");
        (
            refused,
            serve(&listener, "204 No Content"),
            serve(&listener, "400 Bad Request"),
        )
    });
    let begun = Instant::now();
    told_by(action);
    let (refused, firing, resolved) = thread.join().unwrap();
    assert!(begun.elapsed() > Duration::from_secs(1));
    assert!(
        firing.starts_with("POST /alua?x=1 HTTP/1.1\r\n"),
        "{firing}"
    );
    assert!(
        firing.to_lowercase().contains("authorization: bearer s"),
        "{firing}"
    );
    let body = |request: &str| request.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body(&refused), body(&firing));
    assert!(
        body(&resolved).contains("\"status\":\"resolved\""),
        "{resolved}"
    );
}

#[test]
fn an_action_that_hangs_holds_up_nobody() {
    // It takes connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let courier = Courier::start(
        "hook",
        Action::Webhook {
            url: format!("http://{}/", listener.local_addr().unwrap()),
            headers: Vec::new(),
        },
    )
    .unwrap();
    let rule = rule("lost > 0", 10, 0);
    let alert = Alert {
        rule: 0,
        change: Change::Firing,
        since_ns: 0,
        at_ns: 0,
        value: None,
        findings: Vec::new(),
    };
    let begun = Instant::now();
    for _ in 0..1000 {
        courier.tell(Message::new(&alert, &rule, &Origin::default(), None));
    }
    courier.close(Duration::from_millis(100));
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop(TcpStream::connect(listener.local_addr().unwrap()));
}

#[test]
fn a_message_says_what_a_person_wants_to_know() {
    let mut rules = Rules::new(vec![rule("flags > 0", 10, 0)]);
    let raised = FlagEvent {
        change: FlagChange::Raised,
        flag: samples::flag(1),
    };
    rules.take(&Line::Flag(raised));
    let told = rules.take(&interval(10, 1, 0));
    let message = Message::new(&told[0], &rules.rules()[0], &Origin::default(), None);
    let text = message.sentence();
    assert!(
        text.starts_with("alert a fires: flags > 0, it is 1.0000; mpatha: "),
        "{text}"
    );
}
