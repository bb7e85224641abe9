//! The ring buffer's consumer. With `kernel::attach` the only place that knows aya.

use aya::maps::{MapData, RingBuf};

/// The collector's end of the ring buffer.
pub struct Ring {
    ring: RingBuf<MapData>,
}

impl Ring {
    /// Takes the ring.
    #[must_use]
    pub fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring }
    }

    /// Puts the bytes of the next record into `bytes`, which stays as it is when there is none.
    pub(super) fn next_into(&mut self, bytes: &mut Vec<u8>) {
        if let Some(item) = self.ring.next() {
            bytes.clear();
            bytes.extend_from_slice(&item);
        }
    }
}
