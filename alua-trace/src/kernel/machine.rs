//! What the running kernel's BPF and the processor offer, and the probes' object as it suits them.

use std::borrow::Cow;

use alua_trace_ebpf::{MAX_PATHS, MOST_LANES, Machine, log_records, usual_ring_bytes};
use anyhow::{Context, Result, ensure};
use aya_obj::generated::{bpf_cmd, bpf_prog_type};
use object::{Object, ObjectSection, SectionKind};

use super::bpf::{nothing, open};
use crate::{ingest::histograms::Sizes, sysroot};

/// The probes' object file, built by `build.rs`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("ALUA_TRACE_PROBES"));

/// Opcode of an atomic operation on 64 bits (`BPF_STX | BPF_ATOMIC | BPF_DW`). Its immediate says which one: 0 is the add
/// that every kernel has.
const ATOMIC: u8 = 0xdb;
/// `goto +0`.
const NO_OPERATION: [u8; INSTRUCTION] = [0x05, 0, 0, 0, 0, 0, 0, 0];
const INSTRUCTION: usize = 8;

/// Histograms have room for so many devices at least: some may appear.
const FEW_DEVICES: u32 = 16;

/// Numbers of CPUs that there may be are below it.
///
/// # Errors
/// sysfs does not tell them.
pub fn cpus() -> Result<u32> {
    sysroot::possible_cpus().context("cannot tell which CPUs there may be")
}

/// What this machine offers, with logs of so many bytes (a power of two) for each CPU, or as many as is usual.
///
/// # Errors
/// The kernel is too old for the processor, or sysfs does not tell the CPUs.
pub fn machine(ring_bytes: Option<u32>) -> Result<Machine> {
    let cpus = cpus()?;
    let page = u32::try_from(rustix::param::page_size())?;
    let ring_bytes = ring_bytes.unwrap_or(usual_ring_bytes(cpus)).max(page);
    let has_fetch = has_fetch();
    let lanes = cpus.next_power_of_two().min(MOST_LANES);
    let machine = Machine {
        log_records: log_records(ring_bytes),
        has_fetch: u32::from(has_fetch),
        weakly_ordered: u32::from(!cfg!(target_arch = "x86_64")),
        lanes: if has_fetch { lanes } else { 0 },
        lanes_are_shared: u32::from(lanes < cpus),
    };
    ensure!(
        machine.weakly_ordered == 0 || machine.has_fetch != 0,
        "this kernel's BPF lacks atomic operations that fetch, which probes need on this processor: use Linux 5.18 or newer"
    );
    Ok(machine)
}

/// Room for what the probes count on a host with so many devices: on each lane two classes in two states of each, in four
/// octaves.
#[must_use]
pub fn histograms(machine: &Machine, devices: usize) -> Sizes {
    if machine.lanes == 0 {
        return Sizes {
            cells: 1,
            octaves: 1,
        };
    }
    let devices = u32::try_from(devices).unwrap_or(MAX_PATHS);
    let cells = devices.clamp(FEW_DEVICES, MAX_PATHS) * 4 * machine.lanes;
    let most = u32::from(u16::MAX);
    Sizes {
        cells: cells.min(most),
        octaves: (cells * 4).min(most),
    }
}

/// The probes' object for this machine. Kernels before 5.12 refuse an instruction that they do not know even where it
/// can never be reached (`replace_map_fd_with_map_ptr`): there it is none.
///
/// # Errors
/// The object is damaged: does not happen.
pub fn object(machine: &Machine) -> Result<Cow<'static, [u8]>> {
    if machine.has_fetch != 0 {
        return Ok(Cow::Borrowed(OBJECT));
    }
    let mut bytes = OBJECT.to_vec();
    let file = object::File::parse(OBJECT).context("failed to parse the probes")?;
    for section in file.sections().filter(|it| it.kind() == SectionKind::Text) {
        let (start, length) = section.file_range().unwrap_or_default();
        let range = usize::try_from(start)?..usize::try_from(start + length)?;
        let code = bytes.get_mut(range).context("a section past the end")?;
        for instruction in code.chunks_exact_mut(INSTRUCTION) {
            // The second half of a longer one has opcode 0.
            if instruction[0] == ATOMIC && instruction[4..] != [0; 4] {
                instruction.copy_from_slice(&NO_OPERATION);
            }
        }
    }
    Ok(Cow::Owned(bytes))
}

/// Whether programs may have atomic operations that give the value of before, and compare and swap (Linux 5.12): by
/// loading one that does.
fn has_fetch() -> bool {
    const FETCHES: [u64; 5] = [
        // *(u64 *)(r10 - 8) = 0; r1 = 0; r1 = atomic_fetch_add((u64 *)(r10 - 8), r1); r0 = 0; exit
        instruction(0x7a, 10, -8, 0),
        instruction(0xb7, 1, 0, 0),
        instruction(0xdb, 10 | 1 << 4, -8, 1),
        instruction(0xb7, 0, 0, 0),
        instruction(0x95, 0, 0, 0),
    ];
    let license = c"GPL";
    let mut attributes = nothing();
    // SAFETY: this member is what BPF_PROG_LOAD takes, and all zeroes are valid for it.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT as u32;
    load.insns = FETCHES.as_ptr() as u64;
    load.insn_cnt = FETCHES.len() as u32;
    load.license = license.as_ptr() as u64;
    open(bpf_cmd::BPF_PROG_LOAD, &mut attributes).is_ok()
}

/// One instruction: opcode, registers, offset, immediate.
const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> u64 {
    code as u64
        | (registers as u64) << 8
        | (offset as u16 as u64) << 16
        | (immediate as u32 as u64) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetching(object: &[u8]) -> usize {
        let file = object::File::parse(object).unwrap();
        let code = file.sections().filter(|it| it.kind() == SectionKind::Text);
        let instructions = code.flat_map(|it| it.data().unwrap().chunks_exact(INSTRUCTION));
        instructions
            .filter(|it| it[0] == ATOMIC && it[4..] != [0; 4])
            .count()
    }

    #[test]
    fn a_kernel_without_fetches_gets_programs_without_them() {
        let old = object(&Machine::default()).unwrap();
        let new = object(&Machine {
            has_fetch: 1,
            ..Machine::default()
        });
        let new = new.unwrap();
        assert!(fetching(&new) > 0);
        assert_eq!(fetching(&old), 0);
        assert_eq!(old.len(), new.len());
        let differing = old.iter().zip(new.iter()).filter(|(old, new)| old != new);
        assert!(differing.count() <= fetching(&new) * INSTRUCTION);
    }
}
