//! The consumer of the ring buffer, which has what is rare.

use aya::maps::{MapData, RingBuf};

use super::inbox::Rare;

/// The collector's end of the ring buffer.
pub struct Ring {
    ring: RingBuf<MapData>,
    bytes: u32,
}

impl Ring {
    /// Takes the ring, which has so many bytes.
    #[must_use]
    pub fn new(ring: RingBuf<MapData>, bytes: u32) -> Self {
        Self { ring, bytes }
    }
}

impl Rare for Ring {
    fn next(&mut self) -> Option<Vec<u8>> {
        self.ring.next().map(|item| item.to_vec())
    }

    fn room(&self) -> u32 {
        self.bytes
    }
}
