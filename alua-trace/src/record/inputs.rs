//! Inputs of the engine as the payload of a frame: a script of the rare ones, with the number of commands
//! before each, and the block of these commands.

use std::collections::BTreeMap;

use alua_trace_ebpf::{GlobalCounts, PathCounts, RtpgRecord, record_kind};

use super::{
    chunk::Chunk,
    commands::Unpacked,
    counted,
    error::Malformed,
    pack::{
        MOST_UNPACKED, Packer, Unpacker, put, put_bytes, put_signed, take, take_bytes, take_number,
        take_signed,
    },
    rare,
    state::State,
};
use crate::{
    engine::{End, Input},
    iscsi::Connection,
    topology::Topology,
};

/// First byte of an input in a script.
mod tag {
    pub const BEGIN: u8 = 1;
    pub const RECORD: u8 = 2;
    pub const PATH: u8 = 3;
    pub const PATH_RETIRED: u8 = 4;
    pub const ROUTE: u8 = 5;
    pub const COUNTS: u8 = 6;
    pub const TOPOLOGY: u8 = 7;
    pub const SAME_TOPOLOGY: u8 = 8;
    pub const MISSED_RUNS: u8 = 9;
    pub const MODULE_UNLOADED: u8 = 10;
    pub const TICK: u8 = 11;
    pub const INTERVAL: u8 = 12;
    pub const END: u8 = 13;
    pub const NOT_RECORDED: u8 = 14;
    pub const RESUMED: u8 = 15;
    pub const IN_FLIGHT: u8 = 16;
    pub const CONNECTIONS: u8 = 17;
    pub const COUNTING: u8 = 18;
    pub const COUNTED: u8 = 19;
}

/// What both sides know from the inputs before: counts and topology are told by what is new in them.
#[derive(Default)]
struct Known {
    global: GlobalCounts,
    per_path: BTreeMap<u16, PathCounts>,
    topology: Option<Topology>,
}

/// Makes payloads of chunks, in order.
pub struct Encoder {
    packer: Packer,
    script: Vec<u8>,
    known: Known,
    tokens: Tokens,
}

impl Encoder {
    /// # Errors
    /// No memory.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            packer: Packer::new()?,
            script: Vec::new(),
            known: Known::default(),
            tokens: Tokens::default(),
        })
    }

    /// One that has told nothing yet, with the same numbers in place of the kernel's addresses.
    ///
    /// # Errors
    /// No memory.
    pub fn with_same_tokens(&self) -> std::io::Result<Self> {
        Ok(Self {
            tokens: self.tokens.clone(),
            ..Self::new()?
        })
    }

    /// Appends a frame's payload to `out`.
    ///
    /// # Errors
    /// An input cannot be written as JSON: does not happen.
    pub fn pack(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> std::io::Result<()> {
        self.script.clear();
        let mut before_ns: u64 = 0;
        for rare in &chunk.rare {
            put(&mut self.script, rare.commands);
            put_signed(&mut self.script, rare.at_ns.wrapping_sub(before_ns) as i64);
            before_ns = rare.at_ns;
            self.rare(rare.kept.input())?;
        }
        self.packer.section(out, &self.script);
        chunk.block.pack(&mut self.packer, out);
        Ok(())
    }

    /// Appends the payload of a frame from which somebody can read on who has read nothing before.
    ///
    /// # Errors
    /// As [`Self::pack`].
    pub fn resumed(&mut self, state: &State, at_ns: u64, out: &mut Vec<u8>) -> std::io::Result<()> {
        self.script.clear();
        let (global, per_path) = state.counts();
        self.known = Known::default();
        let (mut before_ns, mut outcome) = (0_u64, Ok(()));
        state.give(at_ns, &mut |at_ns, input| {
            put(&mut self.script, 0);
            put_signed(&mut self.script, at_ns.wrapping_sub(before_ns) as i64);
            before_ns = at_ns;
            if let Input::Resumed(_, told) = input {
                self.script.push(tag::RESUMED);
                put_counts(&mut self.script, &mut self.known, global, &per_path);
                put_told(&mut self.script, told);
            } else if let Err(error) = self.rare(input) {
                outcome = Err(error);
            }
        });
        self.packer.section(out, &self.script);
        // No commands.
        put(out, 0);
        outcome
    }

    fn rare(&mut self, input: Input<'_>) -> std::io::Result<()> {
        let out = &mut self.script;
        match input {
            Input::Begin => out.push(tag::BEGIN),
            Input::Record(bytes) => {
                out.push(tag::RECORD);
                put_bytes(out, &self.tokens.without_address(bytes));
            }
            Input::Path(id, slot) => {
                out.push(tag::PATH);
                put(out, id.into());
                rare::put_path(out, slot, self.tokens.of(slot.handler_state));
            }
            Input::PathRetired(id, counts) => {
                out.push(tag::PATH_RETIRED);
                put(out, id.into());
                rare::put_path_counts(
                    out,
                    counts,
                    &self.known.per_path.remove(&id).unwrap_or_default(),
                );
            }
            Input::Route(id, slot) => {
                out.push(tag::ROUTE);
                put(out, id.into());
                rare::put_route(out, slot);
            }
            Input::Counting(change) => {
                out.push(tag::COUNTING);
                counted::put_change(out, change);
            }
            Input::Counted(counted) => {
                out.push(tag::COUNTED);
                counted::put_counted(out, counted);
            }
            Input::Counts(global, per_path) => {
                out.push(tag::COUNTS);
                put_counts(out, &mut self.known, global, per_path);
            }
            Input::Resumed(global, per_path) => {
                out.push(tag::RESUMED);
                put_counts(out, &mut Known::default(), global, per_path);
                put(out, 0);
            }
            Input::Topology(topology) if self.known.topology.as_ref() == Some(topology) => {
                out.push(tag::SAME_TOPOLOGY);
            }
            Input::Topology(topology) => {
                out.push(tag::TOPOLOGY);
                put_bytes(out, &serde_json::to_vec(topology)?);
                self.known.topology = Some(topology.clone());
            }
            Input::MissedRuns(runs) => {
                out.push(tag::MISSED_RUNS);
                put(out, runs);
            }
            Input::ModuleUnloaded(module) => {
                out.push(tag::MODULE_UNLOADED);
                put_bytes(out, module.as_bytes());
            }
            Input::InFlight(in_flight) => {
                out.push(tag::IN_FLIGHT);
                rare::put_in_flight(out, in_flight);
            }
            Input::Connections(connections) => {
                out.push(tag::CONNECTIONS);
                put_bytes(out, &serde_json::to_vec(connections)?);
            }
            Input::Tick => out.push(tag::TICK),
            Input::Interval => out.push(tag::INTERVAL),
            Input::End(end) => {
                out.push(tag::END);
                put_bytes(out, &serde_json::to_vec(end)?);
            }
            Input::NotRecorded(commands) => {
                out.push(tag::NOT_RECORDED);
                put(out, commands);
            }
        }
        Ok(())
    }
}

/// Inputs on their way out of a frame.
pub struct Decoder {
    unpacker: Unpacker,
    script: Vec<u8>,
    commands: Unpacked,
    known: Known,
}

impl Decoder {
    /// # Errors
    /// No memory.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            unpacker: Unpacker::new()?,
            script: Vec::new(),
            commands: Unpacked::default(),
            known: Known::default(),
        })
    }

    /// Gives every input of a frame to `take`, with its time; a command's record has none of its own and
    /// gets that of the input before it in the frame, or 0.
    ///
    /// # Errors
    /// The payload is not one: inputs before that have been given.
    pub fn inputs(
        &mut self,
        mut payload: &[u8],
        take: &mut impl FnMut(u64, Input<'_>),
    ) -> Result<(), Malformed> {
        self.unpacker
            .section(&mut payload, &mut self.script, MOST_UNPACKED)?;
        self.commands.read(&mut self.unpacker, &mut payload)?;
        if !payload.is_empty() {
            return Err(Malformed("a payload has more bytes than it should"));
        }
        let script = std::mem::take(&mut self.script);
        let mut left = script.as_slice();
        let mut at_ns: u64 = 0;
        while !left.is_empty() {
            let commands = take_number(&mut left)?;
            self.some_commands(at_ns, commands, take)?;
            at_ns = at_ns.wrapping_add(take_signed(&mut left)? as u64);
            self.rare(at_ns, &mut left, take)?;
        }
        self.some_commands(at_ns, self.commands.left() as u64, take)?;
        self.script = script;
        Ok(())
    }

    fn some_commands(
        &mut self,
        at_ns: u64,
        count: u64,
        take: &mut impl FnMut(u64, Input<'_>),
    ) -> Result<(), Malformed> {
        for _ in 0..count {
            let record = self
                .commands
                .next()
                .ok_or(Malformed("there are fewer commands than the script says"))?;
            take(at_ns, Input::Record(&record));
        }
        Ok(())
    }

    /// Counts as they were read, from which those that follow are told; gives them with the commands that
    /// have been told.
    fn take_resumed(&mut self, left: &mut &[u8]) -> Result<Vec<(u16, PathCounts)>, Malformed> {
        self.known.global = GlobalCounts::default();
        self.known.per_path.clear();
        let mut per_path = take_counts(left, &mut self.known)?;
        for _ in 0..take_number(left)? {
            let (id, completed) = (take_id(left)?, take_number(left)?);
            let its = per_path.iter_mut().find(|(known, _)| *known == id);
            let (_, counts) = its.ok_or(Malformed("a path that is not there has been told"))?;
            counts.completed = completed;
        }
        Ok(per_path)
    }

    fn rare(
        &mut self,
        at_ns: u64,
        left: &mut &[u8],
        tell: &mut impl FnMut(u64, Input<'_>),
    ) -> Result<(), Malformed> {
        match take(left, 1)?[0] {
            tag::BEGIN => tell(at_ns, Input::Begin),
            tag::RECORD => tell(at_ns, Input::Record(take_bytes(left)?)),
            tag::PATH => {
                let id = take_id(left)?;
                tell(at_ns, Input::Path(id, &rare::take_path(left)?));
            }
            tag::PATH_RETIRED => {
                let id = take_id(left)?;
                let before = self.known.per_path.remove(&id).unwrap_or_default();
                tell(
                    at_ns,
                    Input::PathRetired(id, &rare::take_path_counts(left, &before)?),
                );
            }
            tag::ROUTE => {
                let id = take_id(left)?;
                tell(at_ns, Input::Route(id, &rare::take_route(left)?));
            }
            tag::COUNTING => tell(at_ns, Input::Counting(counted::take_change(left)?)),
            tag::COUNTED => {
                tell(at_ns, Input::Counted(&counted::take_counted(left)?));
            }
            tag::COUNTS => {
                let per_path = take_counts(left, &mut self.known)?;
                tell(at_ns, Input::Counts(&self.known.global, &per_path));
            }
            tag::RESUMED => {
                let per_path = self.take_resumed(left)?;
                tell(at_ns, Input::Resumed(&self.known.global, &per_path));
            }
            tag::TOPOLOGY => {
                let topology = self.known.topology.insert(json(take_bytes(left)?)?);
                tell(at_ns, Input::Topology(topology));
            }
            tag::SAME_TOPOLOGY => {
                let topology = self.known.topology.as_ref();
                let topology = topology.ok_or(Malformed("there is no topology before it"))?;
                tell(at_ns, Input::Topology(topology));
            }
            tag::MISSED_RUNS => tell(at_ns, Input::MissedRuns(take_number(left)?)),
            tag::MODULE_UNLOADED => {
                let module = std::str::from_utf8(take_bytes(left)?)
                    .map_err(|_| Malformed("the name of a module is no text"))?;
                tell(at_ns, Input::ModuleUnloaded(module));
            }
            tag::IN_FLIGHT => {
                tell(at_ns, Input::InFlight(&rare::take_in_flight(left)?));
            }
            tag::CONNECTIONS => {
                let connections: Vec<Connection> = json(take_bytes(left)?)?;
                tell(at_ns, Input::Connections(&connections));
            }
            tag::TICK => tell(at_ns, Input::Tick),
            tag::INTERVAL => tell(at_ns, Input::Interval),
            tag::END => tell(at_ns, Input::End(&json::<End>(take_bytes(left)?)?)),
            tag::NOT_RECORDED => tell(at_ns, Input::NotRecorded(take_number(left)?)),
            _ => return Err(Malformed("a script has an unknown input")),
        }
        Ok(())
    }
}

/// How many commands of each path have been told: fewer than have completed.
fn put_told(out: &mut Vec<u8>, told: &[(u16, PathCounts)]) {
    put(out, told.len() as u64);
    for (id, counts) in told {
        put(out, u64::from(*id));
        put(out, counts.completed);
    }
}

fn put_counts(
    out: &mut Vec<u8>,
    known: &mut Known,
    global: &GlobalCounts,
    per_path: &[(u16, PathCounts)],
) {
    rare::put_global_counts(out, global, &known.global);
    known.global = *global;
    put(out, per_path.len() as u64);
    for (id, counts) in per_path {
        put(out, u64::from(*id));
        let before = known.per_path.insert(*id, *counts).unwrap_or_default();
        rare::put_path_counts(out, counts, &before);
    }
}

fn take_counts(left: &mut &[u8], known: &mut Known) -> Result<Vec<(u16, PathCounts)>, Malformed> {
    known.global = rare::take_global_counts(left, &known.global)?;
    let count = take_number(left)?;
    let mut per_path = Vec::new();
    for _ in 0..count {
        let id = take_id(left)?;
        let before = known.per_path.get(&id).copied().unwrap_or_default();
        let counts = rare::take_path_counts(left, &before)?;
        known.per_path.insert(id, counts);
        per_path.push((id, counts));
    }
    Ok(per_path)
}

fn take_id(left: &mut &[u8]) -> Result<u16, Malformed> {
    u16::try_from(take_number(left)?).map_err(|_| Malformed("an id has more than 16 bits"))
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    serde_json::from_slice(bytes)
        .map_err(|_| Malformed("what should be JSON is none, or another one"))
}

/// Small numbers in place of the kernel's addresses: a recording is handed to others, who need only know
/// which are the same.
#[derive(Default, Clone)]
struct Tokens(BTreeMap<u64, u64>);

impl Tokens {
    /// 0 stays 0.
    fn of(&mut self, address: u64) -> u64 {
        if address == 0 {
            return 0;
        }
        let next = self.0.len() as u64 + 1;
        *self.0.entry(address).or_insert(next)
    }

    /// A record with a token for the address in it, if one is.
    fn without_address(&mut self, bytes: &[u8]) -> Vec<u8> {
        const AT: usize = std::mem::offset_of!(RtpgRecord, port_group);
        let mut bytes = bytes.to_vec();
        let is_rtpg = bytes.len() == size_of::<RtpgRecord>() && bytes[0] == record_kind::RTPG;
        if let Some(address) = bytes.get_mut(AT..AT + 8).filter(|_| is_rtpg) {
            let token = address
                .first_chunk()
                .map_or(0, |address| self.of(u64::from_ne_bytes(*address)));
            address.copy_from_slice(&token.to_ne_bytes());
        }
        bytes
    }
}
