//! Recordings of traces that never were, made by the recorder from what a kernel would have told: seeded, so
//! that each is always the same. What reports and exports are looked at with.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each user takes what it needs; a scene that cannot be made is a test that fails"
)]

use std::path::Path;

use alua_trace::{
    engine::{Engine, Input, Wanted},
    model::{FlagChange, Line, Probe, ProbeStatus, Start},
    record::{
        Holds, Meta, Printed,
        recorder::{Recorder, Way},
    },
    setup::Setup,
    topology::{AccessStateText, Device, DmTable, Map, Topology},
};
mod telling;

use telling::Telling;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// When scenes begin, on the monotonic clock.
pub const BEGAN_NS: u64 = 1000 * S;
const TICK_NS: u64 = 50 * MS;
const MAJOR: u32 = 254;
/// How long a load stays on paths that are no longer optimized.
const STAYS_NS: u64 = 3 * S;
/// A command that is in flight when the first unit moves.
const DELAYED_NS: u64 = 60 * MS;
/// The command that takes longest.
pub const SPIKE_NS: u64 = 300 * MS;

/// What a scene is of.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    pub maps: u16,
    /// Of each map; the first half is of TPG 1, in dm's path group 1.
    pub paths: u16,
    pub seconds: u64,
    /// Reads and writes a second on each map.
    pub rate: u64,
    /// The array moves the first map to TPG 2 in the middle.
    pub transfer: bool,
    /// One in a hundred completions finds the ring full.
    pub lossy: bool,
    /// Another number makes another run of the same.
    pub seed: u64,
    /// Commands take so many percent longer.
    pub slower: u64,
    /// The scheduler of its disks.
    pub scheduler: &'static str,
    /// Frames of each read and write; nobody knows them where there are none.
    pub frames: u64,
}

/// A scene in which nothing happens.
pub const QUIET: Scene = Scene {
    maps: 1,
    paths: 4,
    seconds: 10,
    rate: 0,
    transfer: false,
    lossy: false,
    seed: 0,
    slower: 0,
    scheduler: "mq-deadline",
    frames: 0,
};

/// The scenes with a name.
pub const NAMED: [(&str, Scene); 6] = [
    (
        "one-path",
        Scene {
            paths: 1,
            seconds: 30,
            rate: 400,
            ..QUIET
        },
    ),
    (
        "transfer",
        Scene {
            seconds: 60,
            rate: 1000,
            transfer: true,
            ..QUIET
        },
    ),
    (
        "many",
        Scene {
            maps: 64,
            paths: 8,
            seconds: 20,
            rate: 60,
            transfer: true,
            ..QUIET
        },
    ),
    (
        "lossy",
        Scene {
            seconds: 20,
            rate: 500,
            lossy: true,
            ..QUIET
        },
    ),
    ("idle", QUIET),
    (
        "long",
        Scene {
            paths: 8,
            seconds: 600,
            rate: 800,
            transfer: true,
            ..QUIET
        },
    ),
];

/// Makes the recording.
pub fn record(scene: &Scene, file: &Path) {
    record_as(scene, file, Way::Whole, Holds::Commands);
}

/// Makes a recording in this way, beside an engine, as a trace does.
pub fn record_as(scene: &Scene, file: &Path, way: Way, holds: Holds) {
    let mut engine = Engine::new(Wanted::default());
    let meta = Meta { holds, ..meta() };
    let mut recorder = Recorder::create(file, way, meta).unwrap();
    let topology = scene.topology();
    for input in [Input::Topology(&topology), Input::Begin] {
        recorder.take(BEGAN_NS, input);
        engine.take(BEGAN_NS, input);
    }
    recorder.start(&start(&topology));
    engine.take_lines();
    recorder.setup(setup(scene, BEGAN_NS));
    let mut told = |at_ns, input: Input<'_>| {
        while recorder.is_behind() {
            std::thread::yield_now();
        }
        recorder.take(at_ns, input);
        engine.take(at_ns, input);
        if engine.waiting_lines() > 0 {
            let lines = engine.take_lines();
            recorder.lines(&lines);
            if lines.iter().any(is_raised) {
                recorder.trigger();
            }
        }
    };
    Telling::new(scene).tell(&topology, &mut told);
    recorder.setup(setup(scene, BEGAN_NS + scene.seconds * S));
    recorder.printed(Printed {
        text: "randrw: (groupid=0, jobs=1): err= 0\n  <b>\u{1b}[31mread</b>: IOPS=1000\n"
            .to_owned(),
        left_out_bytes: 0,
    });
    recorder.close().unwrap().blocking_recv().unwrap();
    assert_eq!((recorder.failure(), recorder.not_recorded()), (None, 0));
}

fn is_raised(line: &Line) -> bool {
    matches!(line, Line::Flag(event) if event.change == FlagChange::Raised)
}

fn meta() -> Meta {
    Meta {
        labels: [("mtu", "9000"), ("run", "<1>")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        command: ["fio", "--name=randrw", "job & friends.fio"]
            .map(str::to_owned)
            .into(),
        ..Meta::new(&[])
    }
}

fn start(topology: &Topology) -> Start {
    let mut engine = Engine::new(Wanted::default());
    engine.take(BEGAN_NS, Input::Topology(topology));
    Start {
        schema: 1,
        version: "0.1.0".to_owned(),
        kernel: "6.1.0-57-amd64".to_owned(),
        wall_unix_ns: 1_795_900_000 * S,
        started_at_ns: BEGAN_NS,
        probes: probes(),
        paths: engine.shown_paths(),
    }
}

fn probes() -> Vec<Probe> {
    vec![Probe {
        name: "scsi_dispatch_cmd_start".to_owned(),
        hook: "raw_tracepoint scsi_dispatch_cmd_start".to_owned(),
        status: ProbeStatus::Ok,
        reason: String::new(),
        remedy: String::new(),
        lost_without: "everything".to_owned(),
    }]
}

fn setup(scene: &Scene, at_ns: u64) -> Setup {
    let scheduler = scene.scheduler;
    let retransmits = if at_ns > BEGAN_NS { 12 } else { 0 };
    let frames = (at_ns - BEGAN_NS) / S * scene.rate * scene.frames;
    let (interface, network) = match scene.frames {
        0 => (String::new(), String::new()),
        _ => (
            r#""interface": "eth0", "#.to_owned(),
            format!(
                r#""network": {{"interfaces": {{"eth0": {{"mtu": 9000, "frames": {frames}, "offloads": []}}}},
                "retransmits": {retransmits}, "sessions": {{}}}},"#
            ),
        ),
    };
    let inventory = format!(
        r#"{{"maps": [{{"name": "mpatha", "groups": [{{"number": 1, "paths": [{{"device": "sda",
        "transport": {{"kind": "iscsi", {interface}"mtu": 9000, "retransmits": {retransmits}}}}}]}}]}}]}}"#
    );
    let text = format!(
        r#"{{"at_ns": {at_ns}, "kernel": "6.1.0-57-amd64", "command_line": "BOOT_IMAGE=/vmlinuz <quiet>",
        "cpus": {{"online": "0-7", "governors": {{"policy0": "performance"}}}},
        "queues": {{"sda": {{"scheduler": "{scheduler}", "nr_requests": 64, "rq_affinity": 1,
        "max_sectors_kb": 1280, "read_ahead_kb": 128, "nomerges": 0}}}},
        "numa_nodes": {{"0": -1}}, {network} "inventory": {inventory}, "multipath": {{"findings": []}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

impl Scene {
    fn path_count(&self) -> u16 {
        self.maps * self.paths
    }

    /// Whether a path is one of TPG 1.
    fn is_first(&self, path: u16) -> bool {
        path % self.paths < self.paths.div_ceil(2)
    }

    /// Ids of paths of a map by whether they are of TPG 1, as topology numbers them.
    fn paths_of(&self, map: u16, first: bool) -> Vec<u16> {
        let group = if first { 1 } else { 2 };
        let is_its =
            |device: &Device| device.hctl.lun == u64::from(map) && device.port_group == Some(group);
        let topology = self.topology();
        let devices = (0..).zip(topology.devices());
        devices
            .filter(|(_, device)| is_its(device))
            .map(|(id, _)| id)
            .collect()
    }

    fn topology(&self) -> Topology {
        let devices = (0..self.path_count()).map(|id| self.device(id)).collect();
        let maps = (0..self.maps).map(|map| self.map(map)).collect();
        Topology::new(devices, maps, Vec::new())
    }

    fn device(&self, id: u16) -> Device {
        let (map, nth) = (id / self.paths, id % self.paths);
        let hctl = format!("{}:0:{}:{map}", nth % 2, nth / 2);
        let first = self.is_first(id);
        let state = if first {
            "active/optimized"
        } else {
            "active/non-optimized"
        };
        Device {
            name: Some(format!("sd{id}")),
            devno: Some(format!("{}:{}", 8 + id / 256, id % 256).parse().unwrap()),
            wwid: Some(format!("naa.6a1a7ace{map:024x}")),
            device_type: Some(0),
            handler: Some("alua".to_owned()),
            access_state: Some(AccessStateText::new(state)),
            preferred: Some(first),
            running: true,
            vendor: Some("LIO-ORG".to_owned()),
            product: Some("lab".to_owned()),
            port_group: Some(if first { 1 } else { 2 }),
            ..Device::unknown(hctl.parse().unwrap())
        }
    }

    fn map(&self, map: u16) -> Map {
        let devno = |id: u16| format!("{}:{}", 8 + id / 256, id % 256);
        let ids = (map * self.paths)..((map + 1) * self.paths);
        let groups: Vec<Vec<u16>> = [true, false]
            .map(|first| {
                ids.clone()
                    .filter(|id| self.is_first(*id) == first)
                    .collect()
            })
            .into_iter()
            .filter(|group: &Vec<u16>| !group.is_empty())
            .collect();
        let count = groups.len();
        let table: String = groups
            .iter()
            .map(|group| {
                let paths: String = group
                    .iter()
                    .map(|id| format!(" {} 1", devno(*id)))
                    .collect();
                format!(" service-time 0 {} 1{paths}", group.len())
            })
            .collect();
        let status: String = groups
            .iter()
            .enumerate()
            .map(|(nth, group)| {
                let paths: String = group
                    .iter()
                    .map(|id| format!(" {} A 0 0 1", devno(*id)))
                    .collect();
                let state = if nth == 0 { "A" } else { "E" };
                format!(" {state} 0 {} 2{paths}", group.len())
            })
            .collect();
        let letter = char::from(b'a' + (map % 26) as u8);
        let name = match map / 26 {
            0 => format!("mpath{letter}"),
            more => format!("mpath{}{letter}", char::from(b'a' + (more - 1) as u8)),
        };
        Map::from_dm(&DmTable {
            name,
            devno: format!("{MAJOR}:{map}").parse().unwrap(),
            uuid: None,
            status: format!("2 0 0 0 {count} 1{status}"),
            table: format!("0 1 alua {count} 1{table}"),
        })
        .unwrap()
    }
}
