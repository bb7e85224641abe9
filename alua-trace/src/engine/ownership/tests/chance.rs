//! Whatever is observed, nothing panics and memory stays bounded.

use super::super::*;
use crate::{model::AccessState, stats::STATES, topology::DevNo};

/// xorshift64*: the same sequence every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    fn state(&mut self) -> AccessState {
        STATES[self.below(8) as usize]
    }

    /// Around `now_ns`, and now and then anywhere.
    fn time(&mut self, now_ns: u64) -> u64 {
        match self.below(50) {
            0 => 0,
            1 => u64::MAX,
            2 => self.0,
            _ => (now_ns + self.below(200_000_000)).saturating_sub(100_000_000),
        }
    }

    fn side(&mut self) -> Side {
        let number = if self.below(20) == 0 {
            self.0 as u16
        } else {
            self.below(3) as u16
        };
        if self.yes() {
            Side::Group(number)
        } else {
            Side::Controller(number as u8)
        }
    }

    fn sense(&mut self) -> [u8; 3] {
        let known = [
            [6, 0x2a, 6],
            [2, 4, 0x0a],
            [5, 0x94, 1],
            [2, 4, 0x0b],
            [2, 4, 0x12],
            [3, 0x11, 0],
        ];
        known[self.below(6) as usize]
    }

    fn observation(&mut self, lun: usize, now_ns: u64, sent: &mut Vec<(u32, u64)>) -> Observation {
        let path = self.below(6) as u32;
        let (a, b) = (self.time(now_ns), self.time(now_ns));
        match self.below(12) {
            0 => Observation::Path {
                lun,
                path: if self.below(9) == 0 {
                    self.0 as u32
                } else {
                    path
                },
                hctl: Hctl {
                    host: path,
                    channel: 0,
                    target: 0,
                    lun: lun as u64,
                },
                side: self.yes().then(|| self.side()),
            },
            1 | 2 => Observation::Groups {
                lun,
                asked_at_ns: a,
                answered_at_ns: b,
                transition_time_s: self.yes().then_some(1),
                groups: (0..self.below(4))
                    .map(|group| GroupAnswer {
                        group: group as u16,
                        state: self.state(),
                        preferred: self.yes(),
                        status: self.below(4) as u8,
                    })
                    .collect(),
            },
            3 => Observation::Filed {
                lun,
                group: self.below(3) as u16,
                state: self.state(),
                preferred: self.yes(),
                entry_ns: a,
                return_ns: b,
            },
            4 => Observation::Controller {
                lun,
                path,
                asked_at_ns: a,
                at_ns: b,
                side: self.side(),
                mode: [RdacMode::Rdac, RdacMode::Avt, RdacMode::IoShip][self.below(3) as usize],
                owned: self.yes(),
                preferred: self.yes(),
                from: if self.yes() {
                    Source::Array
                } else {
                    Source::Handler
                },
            },
            _ => self.signal((lun, path), (a, b), sent),
        }
    }

    fn signal(
        &mut self,
        (lun, path): (usize, u32),
        (a, b): (u64, u64),
        sent: &mut Vec<(u32, u64)>,
    ) -> Observation {
        match 5 + self.below(7) {
            5 => {
                sent.push((path, a));
                Observation::Issued {
                    lun,
                    path,
                    what: match self.below(3) {
                        0 => Moves::Stpg(vec![(self.below(3) as u16, self.state())]),
                        1 => Moves::ModeSelect((0..self.below(5)).collect()),
                        _ => Moves::Trespass,
                    },
                    issuer: Issuer {
                        pid: 1,
                        comm: "\u{202e}\x1b".repeat(40),
                        handler: self.yes().then_some("scsi_dh_alua"),
                    },
                    dispatch_ns: a,
                }
            }
            6 => {
                let (path, dispatch_ns) = sent.pop().unwrap_or((path, a));
                Observation::Ended {
                    lun,
                    path,
                    dispatch_ns,
                    completion_ns: b,
                    ok: self.yes(),
                    sense: Some(self.sense()),
                }
            }
            7 | 8 => Observation::Sense {
                lun,
                sense: SenseAt {
                    path,
                    dispatch_ns: a,
                    at_ns: b,
                    sense: self.sense(),
                },
            },
            9 if self.yes() => Observation::PathFailed {
                lun,
                path,
                at_ns: a,
            },
            9 => Observation::PathReinstated {
                lun,
                path,
                at_ns: a,
            },
            10 if self.yes() => Observation::Activate {
                lun,
                path,
                at_ns: a,
            },
            10 => Observation::Sysfs {
                lun,
                path,
                at_ns: a,
                state: self.state(),
            },
            _ if self.yes() => Observation::Message {
                lun,
                text: "switch_group ".repeat(1000),
                pid: 1,
                comm: String::new(),
                at_ns: a,
            },
            _ => Observation::GroupSwitch {
                lun,
                map: DevNo {
                    major: 253,
                    minor: 0,
                },
                from: None,
                to: 1,
                at_ns: a,
            },
        }
    }

    fn io(&mut self, lun: usize, now_ns: u64) -> Io {
        Io {
            stands_for: 1,
            lun,
            path: self.below(6) as u32,
            submitted_ns: self.time(now_ns),
            first_dispatch_ns: self.time(now_ns),
            dispatch_ns: self.time(now_ns),
            completion_ns: self.time(now_ns),
            retried: self.yes(),
            failed: self.yes(),
        }
    }
}

#[test]
fn nothing_panics_and_memory_stays_bounded() {
    for seed in 1..=20_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut engine = Ownership::default();
        let (mut now_ns, mut ids, mut sent) = (1_000_000_000_000_u64, 0, Vec::new());
        for step in 0..4_000 {
            let lun = match chance.below(100) {
                0 => usize::MAX,
                lun => (lun % 3) as usize,
            };
            let observation = chance.observation(lun, now_ns, &mut sent);
            sent.truncate(4);
            engine.observe(observation);
            for _ in 0..3 {
                let io = chance.io(lun, now_ns);
                engine.io(&io);
            }
            if step % 7 == 0 {
                now_ns += chance.below(300_000_000);
                engine.tick(now_ns, &mut ids);
                engine.take_lines();
            }
        }
        let outcome = engine.finish(now_ns, &mut ids);
        assert!(outcome.units.len() <= 3);
        for unit in &outcome.units {
            assert!(unit.transfers.len() <= 256 && unit.tenures.len() <= 258);
            for transfer in &unit.transfers {
                assert!(
                    transfer.started_at_ns <= transfer.ended_at_ns,
                    "{transfer:?}"
                );
                assert!(transfer.evidence.len() <= 16);
                assert_ne!(transfer.from, transfer.to);
            }
        }
        assert!(outcome.flags.len() <= 2048);
        assert!(outcome.observations_left_out > 0, "of LUN usize::MAX");
    }
}

#[test]
fn what_waits_is_bounded() {
    let mut engine = Ownership::default();
    for at_ns in 0..100_000 {
        engine.observe(Observation::PathFailed {
            lun: 0,
            path: 0,
            at_ns,
        });
    }
    assert_eq!(engine.waiting.len(), MOST_WAITING);
    let outcome = engine.finish(0, &mut 0);
    assert_eq!(outcome.observations_left_out, 100_000 - MOST_WAITING as u64);
}
