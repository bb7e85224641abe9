//! What a trace has taken in since the last frame: commands in rows, the rest as it came.

use std::sync::Arc;

use super::{
    commands::{self, Block},
    kept::Kept,
    state::State,
};

/// Rare inputs that take more than this end their frame.
const FULL_RARE_BYTES: usize = 1 << 20;

/// Inputs of a frame, as they are taken: commands go into rows at once, the rest waits for the thread
/// that writes.
pub struct Chunk {
    pub(super) block: Block,
    pub(super) rare: Vec<Rare>,
    rare_bytes: usize,
    /// Commands before the last of the rare inputs.
    told: u64,
}

/// An input that is no command's record.
pub(super) struct Rare {
    /// Commands between the one before and this one.
    pub(super) commands: u64,
    pub(super) at_ns: u64,
    pub(super) kept: Kept,
}

impl Chunk {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            block: Block::new(),
            rare: Vec::new(),
            rare_bytes: 0,
            told: 0,
        }
    }

    /// Takes a command's record, for which there must be room; gives whether there is some for another.
    #[inline]
    pub fn command(&mut self, record: &[u8; commands::BYTES]) -> bool {
        self.block.push(record)
    }

    /// Takes any input but a command's record.
    pub fn rare(&mut self, at_ns: u64, kept: Kept) {
        self.rare_bytes += kept.bytes();
        let commands = self.commands();
        self.rare.push(Rare {
            commands: commands - std::mem::replace(&mut self.told, commands),
            at_ns,
            kept,
        });
    }

    /// Whether it should be written before more is taken.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.block.is_full() || self.rare_bytes >= FULL_RARE_BYTES
    }

    /// Whether nothing has been taken.
    pub fn is_empty(&self) -> bool {
        self.block.len() == 0 && self.rare.is_empty()
    }

    /// Follows what is in it; gives when its interval ends, where its last input is that.
    pub fn follow(&self, state: &mut State) -> Option<u64> {
        // Where an id is given back, nothing more of the chunk is about it.
        for (path, commands) in self.block.paths() {
            state.records_of(path, commands);
        }
        for rare in &self.rare {
            match &rare.kept {
                Kept::Topology(topology) => state.topology(rare.at_ns, Arc::clone(topology)),
                kept => state.follow(rare.at_ns, kept.input()),
            }
        }
        let last = self.rare.last()?;
        matches!(last.kept, Kept::Interval).then_some(last.at_ns)
    }

    /// Commands in it.
    pub fn commands(&self) -> u64 {
        self.block.len() as u64
    }

    /// Commands that it has left out.
    pub fn lost(&self) -> u64 {
        match self.rare.first() {
            Some(Rare {
                kept: Kept::NotRecorded(lost),
                ..
            }) => *lost,
            _ => 0,
        }
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        Block::BYTES + self.rare_bytes
    }

    /// Leaves its commands out: there is no room for them. What it says of that, and has said before,
    /// comes first.
    pub fn lose_commands(&mut self) {
        let lost = self.commands();
        if lost == 0 {
            return;
        }
        self.block.clear();
        self.told = 0;
        for rare in &mut self.rare {
            rare.commands = 0;
        }
        if let Some(Rare {
            kept: Kept::NotRecorded(before),
            ..
        }) = self.rare.first_mut()
        {
            *before += lost;
            return;
        }
        let at_ns = self.rare.first().map_or(0, |rare| rare.at_ns);
        let told = Rare {
            commands: 0,
            at_ns,
            kept: Kept::NotRecorded(lost),
        };
        self.rare.insert(0, told);
    }

    /// Nothing more will come.
    pub fn settle(&mut self) {
        self.block.settle();
    }

    /// An empty one goes on where another, settled, ends.
    pub fn go_on_from(&mut self, before: &mut Self) {
        self.block.go_on_from(&mut before.block);
    }

    /// Empties it, and keeps its memory.
    pub fn clear(&mut self) {
        self.block.clear();
        self.rare.clear();
        (self.rare_bytes, self.told) = (0, 0);
    }
}
