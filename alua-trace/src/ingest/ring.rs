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

    /// Hands over the bytes of each record there is, up to `limit` records, and says how many that were. The limit
    /// keeps a load that outruns the collector from starving everything else it does.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> usize {
        for drained in 0..limit {
            let Some(item) = self.ring.next() else {
                return drained;
            };
            each(&item);
        }
        limit
    }
}
