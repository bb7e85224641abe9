//! Cells in memory that stands for the probes' maps.

use std::os::fd::{AsFd, OwnedFd};

use alua_trace_ebpf::octave_and_bucket;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::*;

const SIZES: Sizes = Sizes {
    cells: 4,
    octaves: 8,
};

/// What the probes would do.
struct Probes {
    given: Mapped<Given>,
    cells: Mapped<Cell>,
    octaves: Mapped<Octave>,
}

impl Probes {
    fn make_cell(&self, path: u16, class: u8, state: u8) -> u16 {
        // SAFETY: within the mapping, which only this thread has.
        unsafe {
            let given = self.given.at(0).unwrap().as_ptr();
            (*given).cells += 1;
            let id = (*given).cells as usize;
            if let Some(cell) = self.cells.at(id) {
                let cell = cell.as_ptr();
                ((*cell).path, (*cell).class, (*cell).state) = (path, class, state);
            }
            id as u16
        }
    }

    /// Counts as a CPU does that finds no octave of another's.
    fn count(&self, cell: u16, latency_ns: u64, bytes: u64) {
        let (octave, bucket) = octave_and_bucket(latency_ns);
        // SAFETY: as above.
        unsafe {
            let its = self.cells.at(usize::from(cell)).unwrap().as_ptr();
            if (&(*its).octaves)[octave] == 0 {
                self.make_octave(cell, octave);
            }
            let counts = usize::from((&(*its).octaves)[octave]);
            let counts = self.octaves.at(counts).unwrap().as_ptr();
            (&mut (*counts).counts)[bucket] += 1;
            (*its).bytes += bytes;
            (*its).sum_ns += latency_ns;
        }
    }

    fn make_octave(&self, cell: u16, octave: usize) {
        // SAFETY: as above.
        unsafe {
            let given = self.given.at(0).unwrap().as_ptr();
            (*given).octaves += 1;
            let id = (*given).octaves as usize;
            let counts = self.octaves.at(id).unwrap().as_ptr();
            ((*counts).cell, (*counts).octave) = (cell, octave as u16);
            let its = self.cells.at(usize::from(cell)).unwrap().as_ptr();
            (&mut (*its).octaves)[octave] = id as u16;
        }
    }
}

fn memory(bytes: usize) -> OwnedFd {
    let fd = memfd_create("cells", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, bytes as u64).unwrap();
    fd
}

fn histograms() -> (Histograms, Probes) {
    let given = memory(size_of::<Given>());
    let cells = memory(SIZES.cells as usize * size_of::<Cell>());
    let octaves = memory(SIZES.octaves as usize * size_of::<Octave>());
    let maps = [given.as_fd(), cells.as_fd(), octaves.as_fd()];
    let probes = Probes {
        given: Mapped::new(maps[0], 1).unwrap(),
        cells: Mapped::new(maps[1], SIZES.cells as usize).unwrap(),
        octaves: Mapped::new(maps[2], SIZES.octaves as usize).unwrap(),
    };
    (Histograms::new(maps, SIZES).unwrap(), probes)
}

#[test]
fn each_command_is_taken_once() {
    let (mut histograms, probes) = histograms();
    assert_eq!(histograms.take(), []);
    let reads = probes.make_cell(7, 0, 1);
    for latency_ns in [100, 5_000, 5_001, 1 << 20] {
        probes.count(reads, latency_ns, 512);
    }
    let first = histograms.take();
    let expected = Counted {
        path: 7,
        class: 0,
        state: 1,
        bytes: 2048,
        sum_ns: 10_101 + (1 << 20),
        mapped: 4,
        buckets: vec![(100, 1), (4992, 2), (1 << 20, 1)],
        ..Counted::default()
    };
    assert_eq!(first, std::slice::from_ref(&expected));
    assert_eq!(first[0].commands(), 4);
    assert_eq!(histograms.take(), []);
    let writes = probes.make_cell(7, 1, 1);
    probes.count(writes, 200, 4096);
    probes.count(reads, 100, 512);
    let then = histograms.take();
    let told: Vec<_> = then
        .iter()
        .map(|it| (it.class, it.bytes, &it.buckets[..]))
        .collect();
    assert_eq!(
        told,
        [(0, 512, &[(100, 1)][..]), (1, 4096, &[(200, 1)][..])]
    );
}

#[test]
fn an_octave_that_was_made_twice_counts_twice() {
    let (mut histograms, probes) = histograms();
    let cell = probes.make_cell(1, 2, 7);
    probes.count(cell, 70_000, 0);
    // Another CPU has not seen the first one.
    probes.make_octave(cell, octave_and_bucket(70_000).0);
    probes.count(cell, 70_000, 0);
    assert_eq!(histograms.take()[0].commands(), 2);
}

#[test]
fn more_than_there_is_room_for_is_never_read() {
    let (mut histograms, probes) = histograms();
    let cell = probes.make_cell(1, 0, 0);
    for _ in 0..100 {
        probes.make_cell(2, 0, 0);
    }
    probes.count(cell, 1000, 1);
    assert_eq!(histograms.take().len(), 1);
    // SAFETY: as above.
    unsafe { (*probes.given.at(0).unwrap().as_ptr()).octaves = u64::MAX };
    assert_eq!(histograms.take(), []);
}

#[test]
fn a_bucket_that_wraps_around_goes_on() {
    let (mut histograms, probes) = histograms();
    let cell = probes.make_cell(1, 0, 0);
    probes.count(cell, 1000, 1);
    let (octave, bucket) = octave_and_bucket(1000);
    // SAFETY: as above.
    let counts = unsafe {
        let its = probes.cells.at(usize::from(cell)).unwrap().as_ptr();
        let counts = usize::from((&(*its).octaves)[octave]);
        &mut (&mut (*probes.octaves.at(counts).unwrap().as_ptr()).counts)[bucket]
    };
    *counts = u32::MAX;
    assert_eq!(histograms.take()[0].commands(), u64::from(u32::MAX));
    *counts = 4;
    // SAFETY: as above.
    unsafe { (*probes.cells.at(usize::from(cell)).unwrap().as_ptr()).sum_ns += 5000 };
    assert_eq!(histograms.take()[0].commands(), 5);
}

#[test]
fn slow_commands_are_asked_for_by_cell() {
    let (histograms, probes) = histograms();
    probes.make_cell(1, 0, 0);
    probes.make_cell(2, 1, 7);
    histograms.tell_slow_from(|path, class, state| {
        u64::from(path) * 100 + u64::from(class) * 10 + u64::from(state)
    });
    // SAFETY: as above.
    let told = [1, 2].map(|id| unsafe { (*probes.cells.at(id).unwrap().as_ptr()).slow_from_ns });
    assert_eq!(told, [100, 217]);
}

/// What a command that is counted at this moment has raised so far, at each step, and then the rest of it.
#[test]
fn a_command_that_is_being_counted_is_taken_whole_in_the_end() {
    for unmapped in [0, 1] {
        let (mut histograms, probes) = histograms();
        let cell = probes.make_cell(1, 0, 0);
        probes.count(cell, 1000, 512);
        histograms.take();
        // SAFETY: as above.
        let its = unsafe { &mut *probes.cells.at(usize::from(cell)).unwrap().as_ptr() };
        // A bucket is raised; its command's sums are not.
        let sums = (its.bytes, its.sum_ns);
        probes.count(cell, 1000, 512);
        let whole = (its.bytes, its.sum_ns);
        (its.bytes, its.sum_ns) = sums;
        let mut told = histograms.take();
        (its.bytes, its.sum_ns) = whole;
        its.unmapped += unmapped;
        told.extend(histograms.take());
        let sum = |of: fn(&Counted) -> u64| told.iter().map(of).sum::<u64>();
        assert_eq!(
            (
                sum(Counted::commands),
                sum(|it| it.bytes),
                sum(|it| it.sum_ns)
            ),
            (1, 512, 1000)
        );
        assert_eq!(sum(|it| it.mapped), 1 - unmapped);
    }
}

/// Its sums were read with those of the command before it, after the buckets had been.
#[test]
fn a_command_that_came_while_a_cell_was_read_is_taken_the_next_time() {
    let (mut histograms, probes) = histograms();
    let cell = probes.make_cell(1, 0, 0);
    probes.count(cell, 1000, 512);
    histograms.take();
    probes.count(cell, 2000, 512);
    let read = histograms.sums(usize::from(cell)).unwrap();
    histograms.taken[usize::from(cell)].sums = read;
    let told = histograms.take();
    assert_eq!((told[0].commands(), told[0].bytes), (1, 0));
    assert_eq!(told[0].mapped, 1);
}
