//! What the kernel tells while a scene goes on.

use alua_trace::{
    engine::{End, Input},
    topology::{AccessStateText, Topology},
};
use alua_trace_ebpf::{
    CommandRecord, Followed, GlobalCounts, ManagementRecord, PathCounts, PathSlot, RouteSlot,
    RtpgRecord, access_state, command_flag, handler, record_kind, state_source,
};

use super::{BEGAN_NS, DELAYED_NS, MAJOR, MS, S, SPIKE_NS, STAYS_NS, Scene, TICK_NS, probes};

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }

    /// From 0 to many times `scale`, most below it.
    fn tail(&mut self, scale: u64) -> u64 {
        let uniform = (self.below(1 << 30) + 1) as f64 / (1_u64 << 30) as f64;
        (-(uniform.ln()) * scale as f64) as u64
    }
}

/// A scene on its way.
pub(super) struct Telling<'a> {
    scene: &'a Scene,
    random: Random,
    counts: Vec<(u16, PathCounts)>,
    /// The first map has moved.
    moved: bool,
    /// dm has followed.
    followed: bool,
    /// The command that takes longest has been told.
    spiked: bool,
    /// The command that the transfer slows has been told.
    delayed: bool,
    /// The unit attention of the transfer has been told.
    attended: bool,
    /// Paths of each map, those of TPG 1 and those of TPG 2.
    paths: Vec<[Vec<u16>; 2]>,
}

impl<'a> Telling<'a> {
    pub(super) fn new(scene: &'a Scene) -> Self {
        Self {
            scene,
            random: Random(0x9e37_79b9_7f4a_7c15 ^ (scene.seed << 20)),
            counts: (0..scene.path_count())
                .map(|id| (id, PathCounts::default()))
                .collect(),
            moved: false,
            followed: false,
            spiked: false,
            delayed: false,
            attended: false,
            paths: (0..scene.maps)
                .map(|map| [true, false].map(|first| scene.paths_of(map, first)))
                .collect(),
        }
    }

    pub(super) fn tell(mut self, topology: &Topology, take: &mut impl FnMut(u64, Input<'_>)) {
        let scene = self.scene;
        self.introduce(topology, take);
        let moves_ns = self.moves_ns();
        let mut at_ns = BEGAN_NS;
        let end_ns = BEGAN_NS + scene.seconds * S;
        let step_ns = S
            .checked_div(scene.rate * u64::from(scene.maps))
            .unwrap_or(TICK_NS);
        let (mut tick_ns, mut interval_ns) = (BEGAN_NS + TICK_NS, BEGAN_NS + S);
        while at_ns < end_ns {
            at_ns += 1 + self.random.below(2 * step_ns);
            while tick_ns <= at_ns {
                if tick_ns >= interval_ns {
                    take(
                        interval_ns,
                        Input::Counts(&GlobalCounts::default(), &self.counts),
                    );
                    take(interval_ns, Input::Interval);
                    interval_ns += S;
                }
                take(tick_ns, Input::Tick);
                tick_ns += TICK_NS;
            }
            if scene.transfer && !self.moved && at_ns >= moves_ns {
                self.moves(at_ns, take);
            }
            if scene.transfer && !self.followed && at_ns >= moves_ns + STAYS_NS {
                self.followed = true;
            }
            if scene.rate > 0 {
                self.command(at_ns, take);
            }
        }
        take(
            end_ns,
            Input::Counts(&GlobalCounts::default(), &self.counts),
        );
        take(end_ns, Input::Tick);
        take(
            end_ns,
            Input::End(&End {
                ended_at_ns: end_ns,
                probes: probes(),
                command_status: Some(0),
                ..End::default()
            }),
        );
    }

    /// When the array moves the first unit.
    fn moves_ns(&self) -> u64 {
        BEGAN_NS + self.scene.seconds * S / 2 + 7 * MS
    }

    fn introduce(&self, topology: &Topology, take: &mut impl FnMut(u64, Input<'_>)) {
        for (id, device) in (0..).zip(topology.devices()) {
            let hctl = device.hctl;
            let first = device.port_group == Some(1);
            let id: u16 = id;
            let mut slot = PathSlot {
                sdev: 1 << 40 | u64::from(id),
                handler_state: self.port_group(id),
                host: hctl.host,
                channel: hctl.channel,
                target: hctl.target,
                lun: hctl.lun,
                handler: handler::ALUA,
                state_source: state_source::HANDLER_DATA,
                state: access_state::LIVE,
                ..PathSlot::FREE
            };
            slot.route = id;
            take(BEGAN_NS, Input::Path(id, &slot));
            let route = RouteSlot {
                pgpath: 1 << 41 | u64::from(id),
                path_group: if first { 1 } else { 2 },
                major: MAJOR,
                minor: hctl.lun as u32,
                ..RouteSlot::default()
            };
            take(BEGAN_NS, Input::Route(id, &route));
        }
    }

    /// What stands for the port group of a device, which topology sorts by H:C:T:L.
    fn port_group(&self, id: u16) -> u64 {
        1 << 42 | u64::from(id)
    }

    /// The array has answered the handler's RTPG, and that has filed it.
    fn moves(&mut self, at_ns: u64, take: &mut impl FnMut(u64, Input<'_>)) {
        self.moved = true;
        let answer = answer(self.paths[0][0][0], at_ns);
        take(at_ns + 4 * MS, Input::Record(&answer));
        for (nth, state) in [
            (1, access_state::OPTIMIZED),
            (0, access_state::NON_OPTIMIZED),
        ] {
            for path in &self.paths[0][nth] {
                let record = RtpgRecord {
                    kind: record_kind::RTPG,
                    state,
                    preferred: u8::from(nth == 0),
                    state_before: access_state::OPTIMIZED,
                    group: nth as u32 + 1,
                    port_group: self.port_group(*path),
                    entry_ns: at_ns + MS,
                    return_ns: at_ns + 3 * MS,
                };
                take(at_ns + 4 * MS, Input::Record(&rtpg(&record)));
            }
        }
        let devices = self.scene.topology().devices().to_vec();
        let swapped = devices.into_iter().map(|mut device| {
            if device.hctl.lun == 0 {
                let first = device.port_group == Some(1);
                let state = if first {
                    "active/non-optimized"
                } else {
                    "active/optimized"
                };
                device.access_state = Some(AccessStateText::new(state));
            }
            device
        });
        let maps = (0..self.scene.maps)
            .map(|map| self.scene.map(map))
            .collect();
        let topology = Topology::new(swapped.collect(), maps, Vec::new());
        take(at_ns + 5 * MS, Input::Topology(&topology));
    }

    fn command(&mut self, at_ns: u64, take: &mut impl FnMut(u64, Input<'_>)) {
        let scene = self.scene;
        let map = self.random.below(u64::from(scene.maps)) as u16;
        let moved = self.moved && map == 0;
        let on_first = !(moved && self.followed);
        let paths = &self.paths[usize::from(map)][usize::from(!on_first)];
        let path = paths[self.random.below(paths.len() as u64) as usize];
        let optimized = on_first != moved;
        let write = self.random.below(3) == 0;
        let spike = !self.spiked && at_ns > BEGAN_NS + scene.seconds * S / 4;
        self.spiked |= spike;
        // In flight when the unit moves, and slowed by that.
        let delayed = moved && !self.delayed && at_ns >= self.moves_ns() + DELAYED_NS / 2;
        self.delayed |= delayed;
        let latency_ns = match (spike, optimized) {
            (true, _) => SPIKE_NS,
            _ if delayed => DELAYED_NS,
            (_, true) => 80_000 + self.random.tail(60_000),
            (_, false) => 2_100_000 + self.random.tail(200_000),
        } + u64::from(write) * 40_000;
        let latency_ns = latency_ns * (100 + scene.slower) / 100;
        let state = if optimized {
            access_state::OPTIMIZED
        } else {
            access_state::NON_OPTIMIZED
        };
        let counts = &mut self.counts[usize::from(path)].1;
        counts.completed += 1;
        counts.dispatched_by_state[usize::from(!optimized)] += 1;
        let dispatch_ns = at_ns.saturating_sub(latency_ns).max(BEGAN_NS);
        if !optimized {
            counts.non_optimized_first_ns = match counts.non_optimized_first_ns {
                0 => dispatch_ns,
                first => first,
            };
            counts.non_optimized_last_ns = dispatch_ns;
        }
        if scene.lossy && self.random.below(100) == 0 {
            counts.ring_full += 1;
            return;
        }
        let lba = self.random.below(1 << 22) as u32 * 8;
        let mut cdb = [0; 12];
        cdb[0] = if write { 0x2a } else { 0x28 };
        cdb[2..6].copy_from_slice(&lba.to_be_bytes());
        cdb[8] = 16;
        let sense = moved && !std::mem::replace(&mut self.attended, true);
        let flags = if sense { command_flag::SENSE } else { 0 };
        let record = CommandRecord {
            kind: record_kind::COMMAND,
            sense_key: u8::from(sense) * 6,
            asc: u8::from(sense) * 0x2a,
            ascq: u8::from(sense) * 6,
            result: u32::from(sense) * 2,
            dispatch_ns,
            completion_ns: at_ns,
            followed: Followed::new(path, path, state, state_source::HANDLER_DATA, flags),
            cdb,
            bytes: 8192,
            retries: 0,
            waited_us: 0,
        };
        take(at_ns, Input::Record(&command(&record)));
    }
}

fn command(record: &CommandRecord) -> Vec<u8> {
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
    bytes
}

/// A `ManagementRecord`: REPORT TARGET PORT GROUPS, answered with TPG 1 non-optimized and preferred, TPG 2
/// optimized, both changed by the array.
fn answer(path: u16, at_ns: u64) -> Vec<u8> {
    const DATA: [u8; 28] = [
        0, 0, 0, 24, 0x81, 0x0f, 0, 1, 0, 2, 0, 1, 0, 0, 0, 1, 0x00, 0x0f, 0, 2, 0, 2, 0, 1, 0, 0,
        0, 2,
    ];
    let mut bytes = vec![record_kind::MANAGEMENT, handler::ALUA];
    bytes.extend(path.to_ne_bytes());
    bytes.extend((DATA.len() as u32).to_ne_bytes());
    bytes.extend((at_ns + MS).to_ne_bytes());
    bytes.extend((at_ns + 2 * MS).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(*b"kworker/0:1\0\0\0\0\0");
    bytes.extend([0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0]);
    bytes.extend([0; 4]);
    bytes.extend(DATA);
    bytes.resize(size_of::<ManagementRecord>(), 0);
    bytes
}

fn rtpg(record: &RtpgRecord) -> Vec<u8> {
    let mut bytes = vec![
        record.kind,
        record.state,
        record.preferred,
        record.state_before,
    ];
    bytes.extend(record.group.to_ne_bytes());
    bytes.extend(record.port_group.to_ne_bytes());
    bytes.extend(record.entry_ns.to_ne_bytes());
    bytes.extend(record.return_ns.to_ne_bytes());
    bytes
}
