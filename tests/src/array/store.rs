//! A LUN's data: one piece of memory behind every path.

use std::sync::{PoisonError, RwLock};

use super::scsi::BLOCK_BYTES;

/// The blocks.
pub(crate) struct Store(RwLock<Vec<u8>>);

impl Store {
    /// `size_bytes` of zeros.
    pub(crate) fn new(size_bytes: u64) -> Store {
        Store(RwLock::new(vec![
            0;
            usize::try_from(size_bytes).unwrap_or(0)
        ]))
    }

    /// Hands the blocks to `take`; `None` when they are not all there.
    pub(crate) fn read<T>(
        &self,
        lba: u64,
        blocks: u32,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(take(bytes.get(range(lba, blocks)?)?))
    }

    /// Lets `fill` change the blocks; `None` when they are not all there.
    pub(crate) fn write<T>(
        &self,
        lba: u64,
        blocks: u32,
        fill: impl FnOnce(&mut [u8]) -> T,
    ) -> Option<T> {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Some(fill(bytes.get_mut(range(lba, blocks)?)?))
    }
}

fn range(lba: u64, blocks: u32) -> Option<std::ops::Range<usize>> {
    let start = lba.checked_mul(BLOCK_BYTES)?;
    let end = start.checked_add(u64::from(blocks) * BLOCK_BYTES)?;
    Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_end_is_the_end() {
        let store = Store::new(4 * BLOCK_BYTES);
        store.write(2, 1, |bytes| bytes.fill(7)).unwrap();
        assert_eq!(
            store.read(1, 2, |bytes| (bytes[0], bytes[512])),
            Some((0, 7))
        );
        assert_eq!(store.read(3, 2, |_| ()), None);
        assert_eq!(store.read(u64::MAX, 1, |_| ()), None);
    }
}
