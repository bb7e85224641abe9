//! What the running kernel's BPF and the processor offer.

use alua_trace_ebpf::{CAST_BYTES, MAX_PATHS, MOST_LANES, Machine, log_records, usual_ring_bytes};
use anyhow::{Context, Result, ensure};
use aya::maps::MapData;
use aya_obj::generated::{bpf_cmd, bpf_map_type, bpf_prog_type};

use super::{
    bpf::{nothing, open},
    btf::Btf,
};
use crate::{ingest::histograms::Sizes, sysroot};

/// Histograms have room for so many devices at least: some may appear.
const FEW_DEVICES: u32 = 16;

/// Ids of cells and of octaves have 16 bits.
const MOST_CELLS: u32 = 1 << 16;

/// Numbers of CPUs that there may be are below it.
///
/// # Errors
/// sysfs does not tell them.
pub fn cpus() -> Result<u32> {
    sysroot::possible_cpus().context("cannot tell which CPUs there may be")
}

/// What this machine offers, with logs of so many bytes (a power of two) for each CPU, or as many as is usual. How to
/// cast, and the size of tables, is not in it ([`super::attach::maps`]).
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
        last_lane: 0,
        lanes_are_shared: u32::from(lanes < cpus),
        last_cpu: cpus.next_power_of_two() - 1,
        last_row: 0,
        last_path: 0,
        last_cell: 0,
        last_octave: 0,
        counts_in_array: 0,
        last_shortcut: 0,
        cast_type: 0,
    };
    ensure!(
        machine.weakly_ordered == 0 || machine.has_fetch != 0,
        "this kernel's BPF lacks atomic operations that fetch, which probes need on this processor: use Linux 5.18 or newer"
    );
    Ok(machine)
}

/// Room for what the probes count on a host with so many devices: on each lane two classes in two states of each, in four
/// octaves. Both are powers of two.
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
    let up_to = |number: u32| number.next_power_of_two().min(MOST_CELLS);
    Sizes {
        cells: up_to(cells),
        octaves: up_to(cells * 4),
    }
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
    is_taken(&FETCHES)
}

/// What an element of an array may have at most on old kernels (kernel/bpf/arraymap.c `array_map_alloc_check`:
/// `KMALLOC_MAX_SIZE`); Linux 6.1 takes larger ones.
pub(super) const SMALL_VALUE_BYTES: u64 = 4 << 20;

/// Whether an element of an array may be larger than that: by making one.
pub(super) fn takes_large_values() -> bool {
    let large = aya_obj::Map::new_from_params(
        bpf_map_type::BPF_MAP_TYPE_ARRAY as u32,
        4,
        SMALL_VALUE_BYTES as u32 + 8,
        1,
        0,
    );
    MapData::create(large, "large", None).is_ok()
}

/// How programs may load from any address in the kernel without a helper: `bpf_rdonly_cast` (Linux 6.2), which makes a
/// pointer to a type of the kernel's own of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cast {
    /// Number of the function.
    pub function: u32,
    /// Number of a structure that begins with [`CAST_BYTES`] of integers.
    pub structure: u32,
}

impl Cast {
    /// That of the kernel whose own types are `vmlinux`, if it takes a program that does so.
    #[must_use]
    pub fn find(vmlinux: &Btf<'_>) -> Option<Self> {
        let cast = Self {
            function: vmlinux.function("bpf_rdonly_cast")?,
            structure: vmlinux.integers(CAST_BYTES)?,
        };
        cast.is_taken().then_some(cast)
    }

    fn is_taken(&self) -> bool {
        is_taken(&[
            // r1 = 0; r2 = structure; call function; r1 = *(u64 *)(r0 + CAST_BYTES - 8); r0 = 0; exit
            instruction(0xb7, 1, 0, 0),
            instruction(0xb7, 2, 0, self.structure as i32),
            instruction(0x85, 2 << 4, 0, self.function as i32),
            instruction(0x79, 1, CAST_BYTES as i16 - 8, 0),
            instruction(0xb7, 0, 0, 0),
            instruction(0x95, 0, 0, 0),
        ])
    }
}

/// Whether the kernel takes such a program.
fn is_taken(instructions: &[u64]) -> bool {
    let license = c"GPL";
    let mut attributes = nothing();
    // SAFETY: this member is what BPF_PROG_LOAD takes, and all zeroes are valid for it.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT as u32;
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = instructions.len() as u32;
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
