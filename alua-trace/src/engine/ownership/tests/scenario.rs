//! Scenarios: text that a person can read, of what is observed and what is to be found. Times are
//! in milliseconds. `README.txt` beside the scenarios describes the words.

use std::collections::BTreeMap;

use super::super::{
    GroupAnswer, Io, Issuer, Moves, Observation, Outcome, Ownership, RdacMode, SenseAt, Side,
    Source,
};
use crate::{
    model::{AccessState, Line, Transfer},
    topology::{DevNo, Hctl},
};

/// Time 0 of a scenario on the monotonic clock.
pub(super) const ZERO_NS: u64 = 1_000_000_000_000;
const TICK_NS: u64 = 50_000_000;

/// What arrives at one moment.
enum Action {
    Observe(Observation),
    Io(Io),
}

/// What one line expects of one transfer.
pub(super) type Expected = BTreeMap<String, String>;

/// A scenario that was read.
#[derive(Default)]
pub(super) struct Scenario {
    units: BTreeMap<u32, usize>,
    actions: Vec<(u64, Action)>,
    end_ns: u64,
    pub transfers: Vec<Expected>,
    pub flags: Vec<String>,
}

/// The words of one line.
struct Words<'a> {
    line: &'a str,
    at_ns: u64,
    words: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn value(&self, key: &str) -> Option<&'a str> {
        self.words
            .iter()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn need(&self, key: &str) -> &'a str {
        self.value(key)
            .unwrap_or_else(|| panic!("no {key}= in {:?}", self.line))
    }

    fn ns(&self, key: &str) -> Option<u64> {
        self.value(key).map(time)
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }
}

fn time(ms: &str) -> u64 {
    ZERO_NS + duration(ms)
}

fn duration(ms: &str) -> u64 {
    let ms: f64 = ms.parse().unwrap_or_else(|_| panic!("no time: {ms}"));
    (ms * 1e6).round() as u64
}

fn state(text: &str) -> AccessState {
    match text {
        "AO" => AccessState::Optimized,
        "AN" => AccessState::NonOptimized,
        "standby" => AccessState::Standby,
        "unavailable" => AccessState::Unavailable,
        "T" => AccessState::Transitioning,
        _ => panic!("no state: {text}"),
    }
}

fn side(text: &str) -> Side {
    match text {
        "A" => Side::Controller(0),
        "B" => Side::Controller(1),
        group => Side::Group(group.parse().unwrap()),
    }
}

fn sense(text: &str) -> [u8; 3] {
    let bytes: Vec<u8> = text
        .split('/')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

/// `dmsetup[411]`, or the name of a handler.
fn issuer(text: &str) -> Issuer {
    match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((comm, pid)) => Issuer {
            pid: pid.parse().unwrap(),
            comm: comm.to_owned(),
            handler: None,
        },
        None => Issuer {
            pid: 0,
            comm: "kworker".to_owned(),
            handler: Some(if text == "scsi_dh_rdac" {
                "scsi_dh_rdac"
            } else {
                "scsi_dh_alua"
            }),
        },
    }
}

fn mode(text: &str) -> RdacMode {
    match text {
        "rdac" => RdacMode::Rdac,
        "avt" => RdacMode::Avt,
        "ioship" => RdacMode::IoShip,
        _ => panic!("no mode: {text}"),
    }
}

impl Scenario {
    pub fn read(text: &str) -> Self {
        let mut scenario = Self::default();
        scenario.lines(text, 0.0);
        scenario.actions.sort_by_key(|(at_ns, _)| *at_ns);
        scenario
    }

    fn lines(&mut self, text: &str, offset_ms: f64) {
        let mut rest = text;
        while let Some((line, after)) = rest.split_once('\n') {
            rest = after;
            let line = line.split('#').next().unwrap_or_default().trim();
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                ["repeat", times, "every", ms] => {
                    let (body, after) = rest.split_once("done\n").unwrap();
                    rest = after;
                    for n in 0..times.parse::<u32>().unwrap() {
                        let every: f64 = ms.parse().unwrap();
                        self.lines(body, offset_ms + f64::from(n) * every);
                    }
                }
                ["expect", "transfer", ..] => self.transfers.push(expected(&words[2..])),
                ["expect", "flags", kinds @ ..] => {
                    self.flags = kinds.iter().map(ToString::to_string).collect();
                }
                ["end", ms] => self.end_ns = time(ms),
                ["unit", ..] | ["path", ..] => self.label(&words),
                ["io", rest @ ..] => self.load(line, rest),
                [at, rest @ ..] => {
                    let at: f64 = at.parse().unwrap_or_else(|_| panic!("no line: {line}"));
                    let moved = shifted(rest, offset_ms);
                    let words = Words {
                        line,
                        at_ns: time(&(at + offset_ms).to_string()),
                        words: moved.iter().map(String::as_str).collect(),
                    };
                    self.event(&words);
                }
            }
        }
    }

    fn label(&mut self, words: &[&str]) {
        let observation = match words {
            ["unit", lun, name] => Observation::Unit {
                lun: lun.parse().unwrap(),
                name: (*name).to_owned(),
                wwid: Some(format!("naa.{lun}")),
            },
            ["path", path, "of", lun, "at", hctl, "on", of] => {
                let (path, lun) = (path.parse().unwrap(), lun.parse().unwrap());
                self.units.insert(path, lun);
                Observation::Path {
                    lun,
                    path,
                    hctl: hctl.parse::<Hctl>().unwrap(),
                    side: Some(side(of)),
                }
            }
            _ => panic!("no label: {words:?}"),
        };
        self.actions.push((0, Action::Observe(observation)));
    }

    /// `io path=1 from=0 to=1000 every=1 took=0.3`.
    fn load(&mut self, line: &str, rest: &[&str]) {
        let words = Words {
            line,
            at_ns: 0,
            words: rest.to_vec(),
        };
        let path = words.need("path").parse().unwrap();
        let (mut at_ns, to_ns) = (time(words.need("from")), time(words.need("to")));
        while at_ns < to_ns {
            let io = Io {
                stands_for: 1,
                lun: self.units[&path],
                path,
                submitted_ns: at_ns,
                first_dispatch_ns: at_ns,
                dispatch_ns: at_ns,
                completion_ns: at_ns + duration(words.need("took")),
                retried: false,
                failed: false,
            };
            self.actions.push((io.completion_ns, Action::Io(io)));
            at_ns += duration(words.need("every"));
        }
    }

    fn event(&mut self, words: &Words<'_>) {
        let at_ns = words.at_ns;
        let path = words.value("path").map_or(0, |path| path.parse().unwrap());
        let lun = match words.value("lun") {
            Some(lun) => lun.parse().unwrap(),
            None => self.units[&path],
        };
        let arrives_ns = at_ns + words.value("late").map_or(0, duration);
        let sent_ns = words.ns("sent").unwrap_or(at_ns);
        if words.words[0] == "io" {
            let submitted_ns = words.ns("submitted").unwrap_or(sent_ns);
            let io = Io {
                stands_for: 1,
                lun,
                path,
                submitted_ns,
                first_dispatch_ns: words.ns("first").unwrap_or(sent_ns),
                dispatch_ns: sent_ns,
                completion_ns: at_ns,
                retried: words.has("retried"),
                failed: words.has("failed"),
            };
            for _ in 0..words.value("times").map_or(1, |n| n.parse().unwrap()) {
                self.actions.push((arrives_ns, Action::Io(io)));
            }
            return;
        }
        let observation = observation(words, (lun, path), (at_ns, sent_ns));
        self.actions
            .push((arrives_ns, Action::Observe(observation)));
    }

    /// Runs it: every transfer as it was last told, and the end.
    pub fn run(self) -> (Vec<Transfer>, Outcome) {
        let mut engine = Ownership::default();
        let (mut now_ns, mut ids) = (ZERO_NS, 0);
        let mut transfers = BTreeMap::new();
        let end = (self.end_ns, None);
        let actions = self
            .actions
            .into_iter()
            .map(|(at_ns, action)| (at_ns, Some(action)));
        for (at_ns, action) in actions.chain([end]) {
            while now_ns + TICK_NS <= at_ns {
                now_ns += TICK_NS;
                engine.tick(now_ns, &mut ids);
            }
            match action {
                Some(Action::Observe(observation)) => engine.observe(observation),
                Some(Action::Io(io)) => engine.io(&io),
                None => {}
            }
        }
        let outcome = engine.finish(now_ns, &mut ids);
        for event in engine.take_lines() {
            if let Line::Transfer(event) = event {
                transfers.insert(event.transfer.id, event.transfer);
            }
        }
        (transfers.into_values().collect(), outcome)
    }
}

/// `from=TPG_1 to=TPG_2 start=100`.
fn expected(words: &[&str]) -> Expected {
    words
        .iter()
        .map(|word| word.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.replace('_', " ")))
        .collect()
}

/// Times in a repeated line move with it.
fn shifted(words: &[&str], offset_ms: f64) -> Vec<String> {
    let moved = |word: &&str| match word.split_once('=') {
        Some((key @ ("asked" | "entry" | "sent" | "submitted" | "first"), at)) => {
            format!("{key}={}", at.parse::<f64>().unwrap() + offset_ms)
        }
        _ => (*word).to_owned(),
    };
    words.iter().map(moved).collect()
}

fn observation(
    words: &Words<'_>,
    (lun, path): (usize, u32),
    (at_ns, sent_ns): (u64, u64),
) -> Observation {
    let asked_at_ns = words.ns("asked").unwrap_or(at_ns);
    match words.words[0] {
        "answer" => Observation::Groups {
            lun,
            asked_at_ns,
            answered_at_ns: at_ns,
            transition_time_s: words.value("limit").map(|s| s.parse().unwrap()),
            groups: words.words.iter().filter_map(|word| group(word)).collect(),
        },
        "filed" => {
            let it = words.words.iter().find_map(|word| group(word)).unwrap();
            Observation::Filed {
                lun,
                group: it.group,
                state: it.state,
                preferred: it.preferred,
                entry_ns: words.ns("entry").unwrap(),
                return_ns: at_ns,
            }
        }
        "sysfs" => Observation::Sysfs {
            lun,
            path,
            at_ns,
            state: state(words.words[1]),
        },
        "gone" => Observation::PathGone { lun, path },
        "c9" | "handler" => Observation::Controller {
            lun,
            path,
            asked_at_ns,
            at_ns,
            side: side(words.need("of")),
            mode: mode(words.need("mode")),
            owned: words.has("owned"),
            preferred: words.has("preferred"),
            from: if words.words[0] == "c9" {
                Source::Array
            } else {
                Source::Handler
            },
        },
        "sends" => Observation::Issued {
            lun,
            path,
            what: moves(words),
            issuer: issuer(words.need("by")),
            dispatch_ns: at_ns,
        },
        "ended" => Observation::Ended {
            lun,
            path,
            dispatch_ns: sent_ns,
            completion_ns: at_ns,
            ok: words.has("well"),
            sense: words.value("sense").map(sense),
        },
        _ => more(words, (lun, path), (at_ns, sent_ns)),
    }
}

fn more(
    words: &Words<'_>,
    (lun, path): (usize, u32),
    (at_ns, dispatch_ns): (u64, u64),
) -> Observation {
    match words.words[0] {
        "sense" => Observation::Sense {
            lun,
            sense: SenseAt {
                path,
                dispatch_ns,
                at_ns,
                sense: sense(words.words[1]),
            },
        },
        "activate" => Observation::Activate { lun, path, at_ns },
        "activated" => Observation::Activated {
            lun,
            path,
            at_ns,
            result: 0,
        },
        "fails" => Observation::PathFailed { lun, path, at_ns },
        "reinstated" => Observation::PathReinstated { lun, path, at_ns },
        "message" => {
            let by = issuer(words.need("by"));
            Observation::Message {
                lun,
                text: words.words[1].replace('-', " "),
                pid: by.pid,
                comm: by.comm,
                at_ns,
            }
        }
        "switch" => Observation::GroupSwitch {
            lun,
            map: DevNo {
                major: 253,
                minor: 0,
            },
            from: None,
            to: words.need("to").parse().unwrap(),
            at_ns,
        },
        other => panic!("no event: {other}"),
    }
}

fn moves(words: &Words<'_>) -> Moves {
    if let Some(luns) = words.value("mode-select") {
        return Moves::ModeSelect(luns.split(',').map(|lun| lun.parse().unwrap()).collect());
    }
    let groups = words.words.iter().filter_map(|word| group(word));
    Moves::Stpg(groups.map(|it| (it.group, it.state)).collect())
}

/// `1:AO`, `1:AO:preferred`, `2:AN:stpg`, `2:AN:implicit`.
fn group(word: &str) -> Option<GroupAnswer> {
    let mut parts = word.split(':');
    let group = parts.next()?.parse().ok()?;
    let state = state(parts.next()?);
    let rest: Vec<&str> = parts.collect();
    Some(GroupAnswer {
        group,
        state,
        preferred: rest.contains(&"preferred"),
        status: if rest.contains(&"stpg") {
            1
        } else {
            u8::from(rest.contains(&"implicit")) * 2
        },
    })
}
