//! The bytes of BTF: all of them, or those of a file by pages, of which few are in memory at a time: vmlinux' are as many
//! as all that the rest of a trace has.

use std::{cell::RefCell, fs::File, io, os::unix::fs::FileExt};

const PAGE_BYTES: usize = 8 << 10;
/// Pages in memory, each in the place that its number has modulo this.
const PAGES: usize = 32;

/// Bytes that are read again and again.
#[derive(Debug)]
pub struct Blob(Bytes);

#[derive(Debug)]
enum Bytes {
    Whole(Vec<u8>),
    Paged {
        file: File,
        length: usize,
        pages: RefCell<Box<[Page]>>,
    },
}

#[derive(Debug, Default)]
struct Page {
    /// One more than its number; 0 where there is none.
    number: usize,
    bytes: Vec<u8>,
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Bytes::Whole(bytes))
    }
}

impl Blob {
    /// Those of a file, as they are read.
    ///
    /// # Errors
    /// Its length is not to be had.
    pub fn open(file: File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let pages = RefCell::new((0..PAGES).map(|_| Page::default()).collect());
        Ok(Self(Bytes::Paged {
            file,
            length,
            pages,
        }))
    }

    pub(super) fn length(&self) -> usize {
        match &self.0 {
            Bytes::Whole(bytes) => bytes.len(),
            Bytes::Paged { length, .. } => *length,
        }
    }

    /// The `N` bytes at `at`; `None` past the end, and where the file cannot be read.
    #[inline]
    pub(super) fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.with(at, |bytes| bytes.first_chunk().copied())
            .or_else(|| {
                // They reach into the next page.
                let mut bytes = [0; N];
                for (index, byte) in bytes.iter_mut().enumerate() {
                    *byte = self.with(at.checked_add(index)?, |bytes| bytes.first().copied())?;
                }
                Some(bytes)
            })
    }

    /// The four bytes at `at`, as a number of this machine.
    #[inline]
    pub(super) fn word(&self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_ne_bytes)
    }

    /// The bytes from `at` up to a zero, before `end`, in the place of what `string` has; whether there are any such.
    pub(super) fn string(&self, mut at: usize, end: usize, string: &mut Vec<u8>) -> bool {
        string.clear();
        while at < end {
            let piece = self.with(at, |bytes| {
                let bytes = &bytes[..bytes.len().min(end - at)];
                let length = bytes.iter().position(|byte| *byte == 0);
                string.extend_from_slice(&bytes[..length.unwrap_or(bytes.len())]);
                Some((bytes.len(), length.is_some()))
            });
            match piece {
                Some((length, false)) if length > 0 => at += length,
                Some((_, ended)) => return ended,
                None => return false,
            }
        }
        false
    }

    /// Gives `take` the bytes from `at` to the end of the page, or of all.
    #[inline]
    fn with<T>(&self, at: usize, take: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        match &self.0 {
            Bytes::Whole(bytes) => take(bytes.get(at..)?),
            Bytes::Paged { file, pages, .. } => {
                let number = at / PAGE_BYTES;
                let page = &mut pages.borrow_mut()[number % PAGES];
                if page.number != number + 1 {
                    page.load(file, number)?;
                }
                take(page.bytes.get(at % PAGE_BYTES..)?)
            }
        }
    }
}

impl Page {
    #[cold]
    fn load(&mut self, file: &File, number: usize) -> Option<()> {
        self.number = 0;
        self.bytes.resize(PAGE_BYTES, 0);
        let mut read = 0;
        let begin = (number * PAGE_BYTES) as u64;
        while read < PAGE_BYTES {
            // The kernel gives less than was asked for when it likes.
            match file
                .read_at(&mut self.bytes[read..], begin + read as u64)
                .ok()?
            {
                0 => break,
                more => read += more,
            }
        }
        self.bytes.truncate(read);
        self.number = number + 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_bytes_that_it_has_as_a_whole() {
        let bytes: Vec<u8> = (0..PAGE_BYTES * (PAGES + 3) + 5)
            .map(|at| (at * 31 + at / 251) as u8)
            .collect();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blob");
        std::fs::write(&path, &bytes).unwrap();
        let paged = Blob::open(File::open(&path).unwrap()).unwrap();
        let whole = Blob::from(bytes.clone());
        assert_eq!(paged.length(), bytes.len());
        // There and back, so that pages are read anew; words reach from one to the next.
        let end = bytes.len() + 4;
        for at in (0..end).step_by(3).chain((0..end).rev().step_by(7)) {
            assert_eq!(
                paged.bytes(at).map(u8::from_ne_bytes),
                bytes.get(at).copied(),
                "{at}"
            );
            assert_eq!(paged.word(at), whole.word(at), "{at}");
            let word = bytes.get(at..at + 4).map(|it| it.try_into().unwrap());
            assert_eq!(whole.word(at), word.map(u32::from_ne_bytes), "{at}");
        }
        let (mut found, mut wanted) = (Vec::new(), Vec::new());
        for at in (0..end).step_by(101) {
            let until = bytes.len() - 3;
            let is_found = paged.string(at, until, &mut found);
            assert_eq!(is_found, whole.string(at, until, &mut wanted), "{at}");
            assert_eq!(found, wanted, "{at}");
            let rest = bytes.get(at..until).unwrap_or_default();
            let length = rest.iter().position(|byte| *byte == 0);
            assert_eq!(is_found, length.is_some(), "{at}");
            assert!(!is_found || found == rest[..length.unwrap_or(0)], "{at}");
        }
        assert_eq!(paged.word(usize::MAX - 1), None);
    }
}
