//! What a trace could take in: any commands, a load of them, and inputs of every kind.

use alua_trace_ebpf::{
    CommandRecord, Followed, GlobalCounts, NO_ROUTE, PathCounts, PathSlot, RETIRED, RouteSlot,
    access_state, record_kind, state_source,
};

use crate::{
    engine::{End, Input},
    model::CountingChange,
    record::commands,
    stats::Counted,
    topology::{Device, Topology},
};

/// xorshift64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn bytes(record: &CommandRecord) -> [u8; commands::BYTES] {
    let mut bytes = Vec::new();
    bytes.extend([record.kind, record.sense_key, record.asc, record.ascq]);
    bytes.extend(record.result.to_ne_bytes());
    bytes.extend(record.dispatch_ns.to_ne_bytes());
    bytes.extend(record.completion_ns.to_ne_bytes());
    bytes.extend(record.followed.0.to_ne_bytes());
    bytes.extend(record.cdb);
    bytes.extend(record.bytes.to_ne_bytes());
    bytes.extend(record.retries.to_ne_bytes());
    bytes.extend(record.waited_us.to_ne_bytes());
    bytes.try_into().unwrap()
}

/// Any command there can be, and some that there cannot.
pub(super) fn any(random: &mut Random) -> [u8; commands::BYTES] {
    const OPCODES: [u8; 12] = [
        0x00, 0x08, 0x28, 0x2a, 0x88, 0x8a, 0xa8, 0xa3, 0x7f, 0x9e, 0xc0, 0x41,
    ];
    let mut cdb = [0; 12];
    for byte in &mut cdb {
        *byte = random.below(4) as u8 * 0x55;
    }
    cdb[0] = OPCODES[random.below(12) as usize];
    let dispatch_ns = random.below(1 << 40);
    let latency = match random.below(20) {
        0 => random.next(),
        1 => 0_u64.wrapping_sub(random.below(1000)),
        _ => random.below(1 << 22),
    };
    let rare = |random: &mut Random| {
        if random.below(8) == 0 {
            random.next() as u32
        } else {
            0
        }
    };
    bytes(&CommandRecord {
        kind: record_kind::COMMAND,
        sense_key: rare(random) as u8,
        asc: rare(random) as u8,
        ascq: rare(random) as u8,
        result: rare(random),
        dispatch_ns,
        completion_ns: dispatch_ns.wrapping_add(latency),
        followed: Followed::new(
            random.below(8) as u16,
            if random.below(4) == 0 {
                NO_ROUTE
            } else {
                random.below(8) as u16
            },
            random.below(256) as u8,
            state_source::RTPG_SEEN,
            random.below(32) as u8,
        ),
        cdb,
        bytes: random.below(3) as u32 * 4096,
        retries: rare(random),
        waited_us: rare(random),
    })
}

/// A load of reads that go to random blocks of four paths, one every 10 µs.
pub(super) fn load(random: &mut Random, count: usize) -> Vec<[u8; commands::BYTES]> {
    let mut at_ns = 1 << 40;
    let mut reads = Vec::new();
    for _ in 0..count {
        at_ns += random.below(20_000);
        let mut cdb = [0; 12];
        cdb[0] = 0x28;
        cdb[2..6].copy_from_slice(&(random.below(1 << 22) as u32 * 8).to_be_bytes());
        cdb[8] = 8;
        let path = random.below(4) as u16;
        reads.push(bytes(&CommandRecord {
            kind: record_kind::COMMAND,
            sense_key: 0,
            asc: 0,
            ascq: 0,
            result: 0,
            dispatch_ns: at_ns - 200_000 - random.below(1 << 17),
            completion_ns: at_ns,
            followed: Followed::new(
                path,
                path,
                access_state::OPTIMIZED,
                state_source::RTPG_SEEN,
                0,
            ),
            cdb,
            bytes: 4096,
            retries: 0,
            waited_us: 0,
        }));
    }
    reads
}

fn topologies() -> Vec<Topology> {
    let mut topologies = vec![Topology::default()];
    for unit in 0..3 {
        let device = |it: &u64| {
            let mut device = Device::unknown(format!("1:0:{it}:{unit}").parse().unwrap());
            device.name = Some(format!("sd\u{1b}{it}"));
            device.devno = Some(format!("8:{}", it * 16).parse().unwrap());
            device
        };
        let devices = (0..4).collect::<Vec<u64>>().iter().map(device).collect();
        topologies.push(Topology::new(devices, Vec::new(), vec!["note".to_owned()]));
    }
    topologies
}

fn slot(id: u16) -> PathSlot {
    PathSlot {
        sdev: if id == 3 { RETIRED } else { 0 },
        host: 1,
        target: id.into(),
        lun: u64::MAX - u64::from(id),
        ..PathSlot::FREE
    }
}

/// What the kernel may have counted.
fn counted(random: &mut Random) -> Vec<Counted> {
    let one = |random: &mut Random| Counted {
        path: random.below(5) as u16,
        class: random.below(3) as u8,
        state: random.below(8) as u8,
        bytes: random.next(),
        sum_ns: random.next(),
        mapped: random.below(9),
        errors: random.below(2),
        passthrough: random.below(2),
        buckets: (0..random.below(20))
            .map(|at| (at << random.below(40), random.next() as u32))
            .collect(),
    };
    (0..random.below(5)).map(|_| one(random)).collect()
}

/// What a trace could take in, without addresses: these come back as other numbers.
pub(super) fn trace(random: &mut Random, take: &mut impl FnMut(u64, Input<'_>)) {
    let topologies = topologies();
    take(5, Input::Topology(&topologies[1]));
    take(9, Input::Begin);
    let (mut at_ns, mut done) = (10, 0);
    let mut counts: Vec<(u16, PathCounts)> = (0..4).map(|id| (id, PathCounts::default())).collect();
    for _ in 0..150 {
        at_ns += random.below(90_000_000);
        match random.below(16) {
            0 => take(
                at_ns,
                Input::Topology(&topologies[random.below(4) as usize]),
            ),
            1 => take(at_ns.saturating_sub(7), Input::Topology(&topologies[1])),
            2 => {
                let id = random.below(5) as u16;
                take(at_ns, Input::Path(id, &slot(id)));
            }
            3 => take(
                at_ns,
                Input::PathRetired(
                    2,
                    &PathCounts {
                        completed: 7,
                        ..PathCounts::default()
                    },
                ),
            ),
            4 => {
                let slot = RouteSlot {
                    path_group: 2,
                    major: 254,
                    minor: 1 << 19,
                    ..RouteSlot::default()
                };
                take(at_ns, Input::Route(random.below(9) as u16, &slot));
            }
            5 | 6 => {
                for (_, of_path) in &mut counts {
                    of_path.completed += random.below(1 << 30);
                    of_path.timed_out = of_path.timed_out.wrapping_sub(random.below(2));
                    of_path.dispatched_by_state[random.below(8) as usize] += 1;
                }
                let global = GlobalCounts {
                    not_optimized: at_ns,
                    ..GlobalCounts::default()
                };
                take(at_ns, Input::Counts(&global, &counts));
            }
            7 => take(at_ns, Input::MissedRuns(random.next())),
            8 => take(at_ns, Input::ModuleUnloaded("dm_multipath")),
            9 => take(at_ns, Input::Interval),
            10 => take(at_ns, Input::Record(&[record_kind::DM, 1, 2, 3])),
            11 => take(at_ns, Input::NotRecorded(3)),
            12 => take(at_ns, Input::Counted(&counted(random))),
            13 => {
                let change = match random.below(3) {
                    0 => CountingChange::Asked,
                    1 => CountingChange::Begun { for_ns: at_ns },
                    _ => CountingChange::Over,
                };
                take(at_ns, Input::Counting(change));
            }
            _ => take(at_ns, Input::Tick),
        }
        for _ in 0..random.below(60) {
            done += 1;
            take(at_ns, Input::Record(&any(random)));
        }
    }
    take(
        at_ns,
        Input::End(&End {
            ended_at_ns: done,
            in_flight: vec![(1, 2)],
            ..End::default()
        }),
    );
}
