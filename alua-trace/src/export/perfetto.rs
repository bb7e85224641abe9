//! A Perfetto trace: a track for each path, a slice for each command on it, transfers as instants, and a flow
//! from each transfer to the first command that it slowed.
//!
//! The messages are those of `protos/perfetto/trace` that are needed, with their numbers; a test reads what
//! is written with Perfetto's own.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
};

use prost::Message;

use crate::{
    format,
    model::{Command, Line, Path, Start, Transfer},
    replay::Audience,
    report::words,
    scsi::opcode,
};

/// `TracePacket`.
#[derive(Clone, PartialEq, Message)]
struct Packet {
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    trusted_packet_sequence_id: Option<u32>,
    #[prost(message, optional, tag = "11")]
    track_event: Option<Event>,
    #[prost(uint32, optional, tag = "58")]
    timestamp_clock_id: Option<u32>,
    #[prost(message, optional, tag = "60")]
    track_descriptor: Option<Track>,
}

/// `Trace`.
#[derive(Clone, PartialEq, Message)]
struct Trace {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<Packet>,
}

/// `TrackDescriptor`.
#[derive(Clone, PartialEq, Message)]
struct Track {
    #[prost(uint64, optional, tag = "1")]
    uuid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "5")]
    parent_uuid: Option<u64>,
}

/// `TrackEvent`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(message, repeated, tag = "4")]
    debug_annotations: Vec<Annotation>,
    #[prost(int32, optional, tag = "9")]
    kind: Option<i32>,
    #[prost(uint64, optional, tag = "11")]
    track_uuid: Option<u64>,
    #[prost(string, repeated, tag = "22")]
    categories: Vec<String>,
    #[prost(string, optional, tag = "23")]
    name: Option<String>,
    #[prost(fixed64, repeated, packed = "false", tag = "47")]
    flow_ids: Vec<u64>,
    #[prost(fixed64, repeated, packed = "false", tag = "48")]
    terminating_flow_ids: Vec<u64>,
}

/// `DebugAnnotation`.
#[derive(Clone, PartialEq, Message)]
struct Annotation {
    #[prost(uint64, optional, tag = "3")]
    uint_value: Option<u64>,
    #[prost(string, optional, tag = "6")]
    string_value: Option<String>,
    #[prost(string, optional, tag = "10")]
    name: Option<String>,
}

/// `TrackEvent.Type`.
mod kind {
    pub const SLICE_BEGIN: i32 = 1;
    pub const SLICE_END: i32 = 2;
    pub const INSTANT: i32 = 3;
}

/// `BUILTIN_CLOCK_MONOTONIC`.
const MONOTONIC: u32 = 3;
const SEQUENCE: u32 = 1;
/// Of the track of transfers; those of paths and of their lanes come after it.
const TRANSFERS: u64 = 1;

/// Transfers of a recording: known before its commands are told once more.
#[derive(Debug, Default)]
pub(super) struct Transfers(BTreeMap<u32, Transfer>);

impl Audience for Transfers {
    fn line(&mut self, line: Line) -> io::Result<()> {
        match line {
            Line::Transfer(event) => {
                self.0.insert(event.transfer.id, event.transfer);
            }
            Line::Summary(summary) => {
                let all = summary.ownership.into_iter().flat_map(|it| it.transfers);
                self.0.extend(all.map(|it| (it.id, it)));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The trace on its way.
pub(super) struct Perfetto<W> {
    out: W,
    /// Transfers that have slowed no command yet.
    unmatched: Vec<Transfer>,
    paths: BTreeMap<u16, Path>,
    lanes: HashMap<u16, Lanes>,
    next_uuid: u64,
}

/// Tracks of a path: commands that overlap are on different ones.
struct Lanes {
    uuid: u64,
    /// When the last command of each ended, and its track.
    ends: Vec<(u64, u64)>,
}

impl<W: Write> Perfetto<W> {
    pub(super) fn new(out: W, transfers: Transfers) -> Self {
        Self {
            out,
            unmatched: transfers.0.into_values().collect(),
            paths: BTreeMap::new(),
            lanes: HashMap::new(),
            next_uuid: TRANSFERS + 1,
        }
    }

    /// Everything goes out.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn packet(&mut self, packet: Packet) -> io::Result<()> {
        let trace = Trace {
            packet: vec![packet],
        };
        // A message behind another is a message: fields that repeat add up.
        self.out.write_all(&trace.encode_to_vec())
    }

    fn track(&mut self, uuid: u64, name: String, parent: Option<u64>) -> io::Result<()> {
        self.packet(Packet {
            trusted_packet_sequence_id: Some(SEQUENCE),
            track_descriptor: Some(Track {
                uuid: Some(uuid),
                name: Some(name),
                parent_uuid: parent,
            }),
            ..Packet::default()
        })
    }

    fn event(&mut self, at_ns: u64, event: Event) -> io::Result<()> {
        self.packet(Packet {
            timestamp: Some(at_ns),
            timestamp_clock_id: Some(MONOTONIC),
            trusted_packet_sequence_id: Some(SEQUENCE),
            track_event: Some(event),
            ..Packet::default()
        })
    }

    fn start(&mut self, start: &Start) -> io::Result<()> {
        for path in &start.paths {
            self.paths.insert(path.id, path.clone());
        }
        self.track(TRANSFERS, "transfers".to_owned(), None)?;
        for transfer in self.unmatched.clone() {
            let event = Event {
                kind: Some(kind::INSTANT),
                track_uuid: Some(TRANSFERS),
                name: Some(format!("{} {}", transfer.subject, transfer.sentence())),
                categories: vec!["transfer".to_owned()],
                flow_ids: vec![u64::from(transfer.id)],
                ..Event::default()
            };
            self.event(transfer.started_at_ns, event)?;
        }
        Ok(())
    }

    fn command(&mut self, command: &Command) -> io::Result<()> {
        let ended_ns = command.dispatched_at_ns.saturating_add(command.latency_ns);
        let track = self.lane(command)?;
        let flows = self.slowed_by(command, ended_ns);
        let begin = Event {
            kind: Some(kind::SLICE_BEGIN),
            track_uuid: Some(track),
            name: Some(name(command)),
            categories: vec![words::state(command.state).to_owned()],
            debug_annotations: annotations(command),
            terminating_flow_ids: flows,
            ..Event::default()
        };
        self.event(command.dispatched_at_ns, begin)?;
        let end = Event {
            kind: Some(kind::SLICE_END),
            track_uuid: Some(track),
            ..Event::default()
        };
        self.event(ended_ns, end)
    }

    /// A track of its path that is free from the command's dispatch on.
    fn lane(&mut self, command: &Command) -> io::Result<u64> {
        if !self.lanes.contains_key(&command.path) {
            let uuid = self.new_uuid();
            let known = self.paths.get(&command.path);
            let name = known.map_or_else(|| command.hctl.clone(), words::path);
            self.track(uuid, name, None)?;
            let ends = Vec::new();
            self.lanes.insert(command.path, Lanes { uuid, ends });
        }
        let ended_ns = command.dispatched_at_ns.saturating_add(command.latency_ns);
        let Some(lanes) = self.lanes.get_mut(&command.path) else {
            return Ok(TRANSFERS);
        };
        let is_free = |(end_ns, _): &&mut (u64, u64)| *end_ns <= command.dispatched_at_ns;
        if let Some((end_ns, track)) = lanes.ends.iter_mut().find(is_free) {
            *end_ns = ended_ns;
            return Ok(*track);
        }
        let (parent, nth) = (lanes.uuid, lanes.ends.len() + 1);
        let track = self.new_uuid();
        if let Some(lanes) = self.lanes.get_mut(&command.path) {
            lanes.ends.push((ended_ns, track));
        }
        self.track(track, format!("in flight {nth}"), Some(parent))?;
        Ok(track)
    }

    fn new_uuid(&mut self) -> u64 {
        let uuid = self.next_uuid;
        self.next_uuid += 1;
        uuid
    }

    /// The transfers that this command is the first to be slowed by.
    fn slowed_by(&mut self, command: &Command, ended_ns: u64) -> Vec<u64> {
        let wwid = self
            .paths
            .get(&command.path)
            .and_then(|path| path.wwid.as_ref());
        let is_slowed = |transfer: &Transfer| {
            let above_ns = transfer
                .impact
                .map_or(u64::MAX, |impact| impact.delayed_above_ns);
            transfer.wwid.as_ref() == wwid
                && ended_ns > transfer.started_at_ns
                && command.latency_ns > above_ns
        };
        let slowed = self
            .unmatched
            .extract_if(.., |transfer| is_slowed(transfer));
        slowed.map(|transfer| u64::from(transfer.id)).collect()
    }
}

fn name(command: &Command) -> String {
    let state = words::state(command.state);
    match opcode::class(command.opcode) {
        opcode::Class::Read => format!("read {state}"),
        opcode::Class::Write => format!("write {state}"),
        opcode::Class::Other => format!("opcode {:02x}h {state}", command.opcode),
    }
}

fn annotations(command: &Command) -> Vec<Annotation> {
    let number = |name: &str, value: u64| Annotation {
        name: Some(name.to_owned()),
        uint_value: Some(value),
        ..Annotation::default()
    };
    let mut all = vec![number("bytes", command.bytes.into())];
    all.extend(command.lba.map(|lba| number("lba", lba)));
    all.extend(
        command
            .path_group
            .map(|group| number("path_group", group.into())),
    );
    if command.result != 0 || command.retries > 0 {
        all.push(number("result", command.result.into()));
        all.push(number("retries", command.retries.into()));
    }
    all.extend(command.sense.map(|[key, asc, ascq]| Annotation {
        name: Some("sense".to_owned()),
        string_value: Some(format!("{key:02x}/{asc:02x}/{ascq:02x}")),
        ..Annotation::default()
    }));
    all.push(Annotation {
        name: Some("latency".to_owned()),
        string_value: Some(format::latency(Some(command.latency_ns))),
        ..Annotation::default()
    });
    all
}

impl<W: Write> Audience for Perfetto<W> {
    fn line(&mut self, line: Line) -> io::Result<()> {
        match line {
            Line::Start(start) => self.start(&start),
            Line::Path(event) => {
                self.paths.insert(event.path.id, event.path);
                Ok(())
            }
            Line::Command(command) => self.command(&command),
            _ => Ok(()),
        }
    }
}
