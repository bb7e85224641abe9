//! The collector's end of the histograms that the probes count commands in: what is new in them since they were last read.

use std::{io, os::fd::BorrowedFd};

use alua_trace_ebpf::{BUCKETS, Cell, Given, OCTAVES, Octave, bucket_ns};

use super::mapped::Mapped;
use crate::stats::Counted;

/// The cells' maps, and what was in them when they were last read.
#[derive(Debug)]
pub struct Histograms {
    given: Mapped<Given>,
    cells: Mapped<Cell>,
    octaves: Mapped<Octave>,
    /// Of cells, by index.
    sums: Vec<Sums>,
    /// Of octaves, by index.
    counts: Vec<[u32; BUCKETS]>,
}

/// What of a cell grows with each command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    bytes: u64,
    sum_ns: u64,
    mapped: u64,
    errors: u64,
    passthrough: u64,
}

/// How many cells and octaves there are in the maps.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Cells, with the one that is nobody's.
    pub cells: u32,
    /// Octaves, with the one that is nobody's.
    pub octaves: u32,
}

impl Histograms {
    /// Maps them.
    ///
    /// # Errors
    /// The maps are others than the probes'.
    pub fn new([given, cells, octaves]: [BorrowedFd<'_>; 3], sizes: Sizes) -> io::Result<Self> {
        Ok(Self {
            given: Mapped::new(given, 1)?,
            cells: Mapped::new(cells, sizes.cells as usize)?,
            octaves: Mapped::new(octaves, sizes.octaves as usize)?,
            sums: Vec::new(),
            counts: Vec::new(),
        })
    }

    /// What is new, by cell. While commands complete, bytes and sums may have one of each CPU that the buckets do not have
    /// yet; that is made up for the next time.
    pub fn take(&mut self) -> Vec<Counted> {
        let (n_cells, n_octaves) = self.given();
        let mut of_cells: Vec<Option<Counted>> = Vec::new();
        of_cells.resize_with(n_cells, || None);
        for index in 0..n_octaves {
            self.take_octave(index, &mut of_cells);
        }
        self.sums.resize(n_cells, Sums::default());
        let cells = (0..).zip(of_cells);
        cells
            .filter_map(|(index, counted)| self.take_sums(index, counted?))
            .collect()
    }

    /// Cells and octaves that may have been given, with the first of each, which is nobody's.
    fn given(&self) -> (usize, usize) {
        let Some(given) = self.given.at(0) else {
            return (0, 0);
        };
        // SAFETY: aligned words of the mapping, which the probes raise.
        let (cells, octaves) = unsafe {
            let given = given.as_ptr();
            (
                (&raw const (*given).cells).read_volatile(),
                (&raw const (*given).octaves).read_volatile(),
            )
        };
        let up_to = |given: u64, length: usize| {
            usize::try_from(given.saturating_add(1)).map_or(length, |it| it.min(length))
        };
        (
            up_to(cells, self.cells.length()),
            up_to(octaves, self.octaves.length()),
        )
    }

    fn take_octave(&mut self, index: usize, of_cells: &mut [Option<Counted>]) {
        let Some(octave) = self.octaves.at(index) else {
            return;
        };
        // SAFETY: integers of the mapping, which the probes write whole.
        let (counts, cell, octave) = unsafe {
            let octave = octave.as_ptr();
            (
                (&raw const (*octave).counts).read_volatile(),
                (&raw const (*octave).cell).read_volatile(),
                (&raw const (*octave).octave).read_volatile(),
            )
        };
        if self.counts.len() <= index {
            self.counts.resize(index + 1, [0; BUCKETS]);
        }
        let before = &mut self.counts[index];
        // One that is being made has no cell yet.
        let (Some(counted), true) = (of_cells.get_mut(usize::from(cell)), cell != 0) else {
            return;
        };
        if counts == *before {
            return;
        }
        let counted = counted.get_or_insert_default();
        for (bucket, (now, before)) in counts.iter().zip(before.iter()).enumerate() {
            let more = now.wrapping_sub(*before);
            if more != 0 {
                let at_ns = bucket_ns(usize::from(octave) % OCTAVES, bucket);
                counted.buckets.push((at_ns, more));
            }
        }
        *before = counts;
    }

    fn take_sums(&mut self, index: usize, counted: Counted) -> Option<Counted> {
        let cell = self.cells.at(index)?.as_ptr();
        // SAFETY: integers of the mapping, which the probes write whole.
        let (now, path, class, state) = unsafe {
            let word = |word: *const u64| word.read_volatile();
            (
                Sums {
                    bytes: word(&raw const (*cell).bytes),
                    sum_ns: word(&raw const (*cell).sum_ns),
                    mapped: word(&raw const (*cell).mapped),
                    errors: word(&raw const (*cell).errors),
                    passthrough: word(&raw const (*cell).passthrough),
                },
                (&raw const (*cell).path).read_volatile(),
                (&raw const (*cell).class).read_volatile(),
                (&raw const (*cell).state).read_volatile(),
            )
        };
        let before = std::mem::replace(&mut self.sums[index], now);
        let mut buckets = counted.buckets;
        buckets.sort_unstable();
        Some(Counted {
            path,
            class,
            state,
            bytes: now.bytes.wrapping_sub(before.bytes),
            sum_ns: now.sum_ns.wrapping_sub(before.sum_ns),
            mapped: now.mapped.wrapping_sub(before.mapped),
            errors: now.errors.wrapping_sub(before.errors),
            passthrough: now.passthrough.wrapping_sub(before.passthrough),
            buckets,
        })
    }

    /// Has the probes make a record of commands that take so long or longer; `slow_from` gives that for a path id, class
    /// and state.
    pub fn tell_slow_from(&self, slow_from: impl Fn(u16, u8, u8) -> u64) {
        for index in 1..self.given().0 {
            let Some(cell) = self.cells.at(index) else {
                return;
            };
            // SAFETY: integers of the mapping; the collector alone writes this one.
            unsafe {
                let cell = cell.as_ptr();
                let from_ns = slow_from((*cell).path, (*cell).class, (*cell).state);
                (&raw mut (*cell).slow_from_ns).write_volatile(from_ns);
            }
        }
    }
}

#[cfg(test)]
mod tests;
