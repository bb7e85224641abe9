//! The collector's end of the histograms that the probes count commands in: what is new in them since they were last read.

use std::{io, os::fd::BorrowedFd, sync::Arc};

use alua_trace_ebpf::{BUCKETS, Cell, Given, LONGEST_COUNTED_NS, OCTAVES, Octave, bucket_ns};

use super::mapped::{Growing, Mapped};
use crate::stats::Counted;

/// The cells' maps, and what was in them when they were last read.
#[derive(Debug)]
pub struct Histograms {
    given: Mapped<Given>,
    cells: Growing<Cell>,
    octaves: Growing<Octave>,
    /// Of cells, by index.
    taken: Vec<Taken>,
    /// Of octaves, by index.
    counts: Vec<[u32; BUCKETS]>,
}

/// What of a cell grows with each command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    bytes: u64,
    sum_ns: u64,
    unmapped: u64,
    errors: u64,
    passthrough: u64,
}

/// What has been taken of a cell.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    sums: Sums,
    commands: u64,
    mapped: u64,
    /// Its sum of latencies right before its buckets were read.
    looked_ns: u64,
}

/// How many cells and octaves there are in the maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
            cells: growing(cells, sizes.cells)?,
            octaves: growing(octaves, sizes.octaves)?,
            taken: Vec::new(),
            counts: Vec::new(),
        })
    }

    /// What is new, by cell. While commands complete, bytes and sums may have one of each CPU that the buckets do not have
    /// yet; that is made up for the next time.
    pub fn take(&mut self) -> Vec<Counted> {
        let (n_cells, n_octaves) = self.given();
        self.taken.resize(n_cells, Taken::default());
        let mut of_cells: Vec<Option<Counted>> = (0..n_cells)
            .map(|index| self.has_grown(index).then(Counted::default))
            .collect();
        if of_cells.iter().all(Option::is_none) {
            return Vec::new();
        }
        for index in 0..n_octaves {
            self.take_octave(index, &mut of_cells);
        }
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
        let octave = octave.as_ptr();
        // SAFETY: integers of the mapping, which the probes write whole.
        let cell = usize::from(unsafe { (&raw const (*octave).cell).read_volatile() });
        // One that is being made has no cell yet.
        let (Some(Some(counted)), true) = (of_cells.get_mut(cell), cell != 0) else {
            return;
        };
        // SAFETY: as above.
        let (counts, octave) = unsafe {
            (
                (&raw const (*octave).counts).read_volatile(),
                (&raw const (*octave).octave).read_volatile(),
            )
        };
        if self.counts.len() <= index {
            self.counts.resize(index + 1, [0; BUCKETS]);
        }
        let before = &mut self.counts[index];
        if counts == *before {
            return;
        }
        for (bucket, (now, before)) in counts.iter().zip(before.iter()).enumerate() {
            let more = now.wrapping_sub(*before);
            if more != 0 {
                let at_ns = bucket_ns(usize::from(octave) % OCTAVES, bucket);
                counted.buckets.push((at_ns, more));
            }
        }
        *before = counts;
    }

    /// Whether a command may have been counted in a cell since its buckets were last read. A command raises its bucket
    /// first, and then the sum of latencies, which are never 0; other processors than x86 may show that the other way
    /// around.
    fn has_grown(&mut self, index: usize) -> bool {
        let Some(sums) = self.sums(index) else {
            return false;
        };
        let looked_ns = std::mem::replace(&mut self.taken[index].looked_ns, sums.sum_ns);
        looked_ns != sums.sum_ns || cfg!(not(target_arch = "x86_64"))
    }

    /// What a cell has grown to.
    fn sums(&self, index: usize) -> Option<Sums> {
        let cell = self.cells.at(index)?.as_ptr();
        let word = |word: *const u64| {
            // SAFETY: a word of the mapping, which the probes write whole.
            unsafe { word.read_volatile() }
        };
        // SAFETY: fields of the cell.
        unsafe {
            Some(Sums {
                bytes: word(&raw const (*cell).bytes),
                sum_ns: word(&raw const (*cell).sum_ns),
                unmapped: word(&raw const (*cell).unmapped),
                errors: word(&raw const (*cell).errors),
                passthrough: word(&raw const (*cell).passthrough),
            })
        }
    }

    fn take_sums(&mut self, index: usize, mut counted: Counted) -> Option<Counted> {
        let now = self.sums(index)?;
        let cell = self.cells.at(index)?.as_ptr();
        // SAFETY: integers of the mapping, which stay as they are.
        unsafe {
            counted.path = (&raw const (*cell).path).read_volatile();
            counted.class = (&raw const (*cell).class).read_volatile();
            counted.state = (&raw const (*cell).state).read_volatile();
        }
        let taken = &mut self.taken[index];
        let before = std::mem::replace(&mut taken.sums, now);
        taken.commands += counted.commands();
        // One that is in the sums alone does not make another one unmapped.
        let mapped = taken.commands.saturating_sub(now.unmapped);
        counted.mapped = mapped.saturating_sub(taken.mapped);
        taken.mapped += counted.mapped;
        counted.bytes = now.bytes.wrapping_sub(before.bytes);
        counted.sum_ns = now.sum_ns.wrapping_sub(before.sum_ns);
        counted.errors = now.errors.wrapping_sub(before.errors);
        counted.passthrough = now.passthrough.wrapping_sub(before.passthrough);
        counted.buckets.sort_unstable();
        (now != before || !counted.buckets.is_empty()).then_some(counted)
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
                (&raw mut (*cell).slow_from_ns).write_volatile(from_ns.min(LONGEST_COUNTED_NS));
            }
        }
    }
}

fn growing<T>(map: BorrowedFd<'_>, length: u32) -> io::Result<Growing<T>> {
    let map = Arc::new(map.try_clone_to_owned()?);
    Ok(Growing::new(map, 0, length as usize))
}

#[cfg(test)]
mod tests;
