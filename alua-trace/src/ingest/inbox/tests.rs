//! Logs in memory that stands for the probes' maps.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, OwnedFd},
};

use alua_trace_ebpf::{CommandRecord, DmRecord, Followed, LogEnds, LoggedCommand, record_kind};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::*;
use crate::ingest::{bytes_of, mapped::Mapped};

const RECORDS: u32 = 8;

/// What the probes would do.
struct Cpus {
    ends: Mapped<LogEnds>,
    places: Mapped<LoggedCommand>,
}

impl Cpus {
    /// Writes a record as a CPU does; whether there was room.
    fn complete(&self, cpu: usize, at_ns: u64) -> bool {
        let ends = self.ends.at(cpu).unwrap().as_ptr();
        // SAFETY: within the mapping, which only this thread has.
        unsafe {
            if (*ends).written - (*ends).read >= u64::from(RECORDS) {
                return false;
            }
            let place = cpu * RECORDS as usize + (*ends).written as usize % RECORDS as usize;
            let place = self.places.at(place).unwrap().as_ptr();
            (*place).record = record(cpu, at_ns);
            (*ends).written += 1;
        }
        true
    }
}

impl Rare for VecDeque<Vec<u8>> {
    fn next(&mut self) -> Option<Vec<u8>> {
        self.pop_front()
    }

    fn room(&self) -> u32 {
        1 << 20
    }
}

fn memory(bytes: usize) -> OwnedFd {
    let fd = memfd_create("log", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, bytes as u64).unwrap();
    fd
}

fn inbox(cpus: usize) -> (Inbox<VecDeque<Vec<u8>>>, Cpus) {
    let ends = memory(cpus * size_of::<LogEnds>());
    let records = cpus * RECORDS as usize;
    let places = memory(records * size_of::<LoggedCommand>());
    let logs = Logs::new(ends.as_fd(), places.as_fd(), cpus, RECORDS).unwrap();
    let probes = Cpus {
        ends: Mapped::new(ends.as_fd(), cpus).unwrap(),
        places: Mapped::new(places.as_fd(), records).unwrap(),
    };
    (Inbox::new(VecDeque::new(), logs), probes)
}

fn record(cpu: usize, at_ns: u64) -> CommandRecord {
    CommandRecord {
        kind: record_kind::COMMAND,
        sense_key: 0,
        asc: 0,
        ascq: 0,
        result: 0,
        dispatch_ns: 0,
        completion_ns: at_ns,
        followed: Followed::new(cpu as u16, 0, 0, 0, 0),
        cdb: [0; 12],
        bytes: 0,
        retries: 0,
        waited_us: 0,
    }
}

fn rare(at_ns: u64) -> Vec<u8> {
    bytes_of(&DmRecord {
        kind: record_kind::DM,
        event: 1,
        path_group: 0,
        result: 0,
        at_ns,
        map_major: 0,
        map_minor: 0,
        device: 0,
        pid: 0,
        comm: [0; 16],
        words: [[0; 16]; 2],
    })
}

/// Kind and time of what a drain hands over.
fn drain(
    inbox: &mut Inbox<VecDeque<Vec<u8>>>,
    limit: usize,
    until_ns: u64,
) -> (Vec<(u8, u64)>, Drained) {
    let mut told = Vec::new();
    let drained = inbox.drain(limit, until_ns, |bytes| told.push((bytes[0], at_ns(bytes))));
    assert_eq!(drained.records, told.len());
    (told, drained)
}

const COMMAND: u8 = record_kind::COMMAND;
const DM: u8 = record_kind::DM;

#[test]
fn records_of_all_cpus_come_in_the_order_of_their_time() {
    let (mut inbox, cpus) = inbox(3);
    for (cpu, at_ns) in [(0, 10), (0, 40), (2, 20), (2, 50), (1, 30)] {
        assert!(cpus.complete(cpu, at_ns));
    }
    inbox.rare.extend([rare(15), rare(50)]);
    let (told, _) = drain(&mut inbox, 100, u64::MAX);
    let commands = |times: &[u64]| times.iter().map(|at| (COMMAND, *at)).collect::<Vec<_>>();
    let mut expected = commands(&[10, 20, 30, 40, 50]);
    expected.insert(1, (DM, 15));
    // A command's own record comes before what its end tells beside it.
    expected.push((DM, 50));
    assert_eq!(told, expected);
    assert!(drain(&mut inbox, 100, u64::MAX).0.is_empty());
}

#[test]
fn what_is_younger_than_asked_for_waits() {
    let (mut inbox, cpus) = inbox(2);
    assert!(cpus.complete(0, 10) && cpus.complete(0, 30) && cpus.complete(1, 20));
    inbox.rare.extend([rare(12), rare(25)]);
    let times = |told: Vec<(u8, u64)>| told.into_iter().map(|it| it.1).collect::<Vec<_>>();
    assert!(drain(&mut inbox, 100, 9).0.is_empty());
    assert_eq!(times(drain(&mut inbox, 100, 20).0), [10, 12, 20]);
    assert!(drain(&mut inbox, 100, 24).0.is_empty());
    assert!(cpus.complete(1, 26));
    assert_eq!(times(drain(&mut inbox, 100, 40).0), [25, 26, 30]);
}

#[test]
fn a_limit_leaves_the_rest_where_it_is() {
    let (mut inbox, cpus) = inbox(2);
    (0..6).for_each(|at_ns| assert!(cpus.complete(at_ns as usize % 2, at_ns)));
    inbox.rare.push_back(rare(2));
    let mut all = Vec::new();
    for _ in 0..4 {
        let (told, _) = drain(&mut inbox, 2, u64::MAX);
        all.extend(told.into_iter().map(|it| it.1));
    }
    assert_eq!(all, [0, 1, 2, 2, 3, 4, 5]);
}

#[test]
fn a_log_is_used_again_and_tells_how_full_it_was() {
    let (mut inbox, cpus) = inbox(2);
    let mut at_ns = 0;
    for round in 0..20 {
        let fill = 1 + round % RECORDS;
        for _ in 0..fill {
            at_ns += 1;
            assert!(cpus.complete(1, at_ns));
        }
        assert_eq!(cpus.complete(1, at_ns), fill < RECORDS);
        let more = u32::from(fill < RECORDS);
        let (told, drained) = drain(&mut inbox, 100, u64::MAX);
        assert_eq!(told.len() as u32, fill + more);
        assert_eq!(u32::from(drained.fullest), (fill + more) * 255 / RECORDS);
    }
}

#[test]
fn bytes_that_are_no_record_come_first() {
    let (mut inbox, cpus) = inbox(1);
    assert!(cpus.complete(0, 10));
    inbox.rare.extend([vec![0x7f], vec![record_kind::RTPG]]);
    let (told, _) = drain(&mut inbox, 100, u64::MAX);
    assert_eq!(told, [(0x7f, 0), (record_kind::RTPG, 0), (COMMAND, 10)]);
}
