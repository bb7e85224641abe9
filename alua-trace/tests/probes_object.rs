//! The probes' object as it was built: what the compiler made of the accesses to shared slots.
//!
//! A slot in flight is freed by storing 0 to its first word. From then on another CPU, or an
//! interrupt, may fill it for another command: no load of the rest may stand behind that store.
//! The source says so (`in_flight::kept`), but the compiler has once moved plain loads.

use alua_trace::kernel::code::OBJECT;
use object::{Object, ObjectSection};

/// Programs that free slots.
const FREEING: [&str; 3] = [
    "raw_tp/scsi_dispatch_cmd_done",
    "raw_tp/scsi_dispatch_cmd_done_typed",
    "raw_tp/scsi_dispatch_cmd_error",
];
const FRAME: u8 = 10;

/// One instruction (Documentation/bpf/standardization/instruction-set.rst, "Instruction encoding").
#[derive(Clone, Copy)]
struct Instruction(u64);

impl Instruction {
    fn code(self) -> u8 {
        self.0 as u8
    }
    fn destination(self) -> u8 {
        (self.0 >> 8 & 0xf) as u8
    }
    fn source(self) -> u8 {
        (self.0 >> 12 & 0xf) as u8
    }
    fn offset(self) -> i16 {
        (self.0 >> 16) as i16
    }
    fn immediate(self) -> i32 {
        (self.0 >> 32) as i32
    }
    /// `BPF_LDX`, memory.
    fn is_load(self) -> bool {
        self.code() & 0xe7 == 0x61
    }
    /// `BPF_STX | BPF_MEM | BPF_DW`.
    fn stores_register(self) -> bool {
        self.code() == 0x7b
    }
    /// `BPF_ST | BPF_MEM | BPF_DW` of 0.
    fn stores_zero(self) -> bool {
        self.code() == 0x7a && self.immediate() == 0
    }
    /// `BPF_ALU` or `BPF_ALU64`, or any load.
    fn writes(self, register: u8) -> bool {
        let class = self.code() & 7;
        let call = self.code() == 0x85 && register < 6;
        call || matches!(class, 0 | 1 | 4 | 7) && self.destination() == register
    }
    /// `mov rN, 0` of 32 or 64 bits.
    fn zeroes(self) -> Option<u8> {
        (matches!(self.code(), 0xb7 | 0xb4) && self.immediate() == 0).then_some(self.destination())
    }
    /// Whether it jumps, and whether it may go on behind it.
    fn jump(self) -> Option<(i16, bool)> {
        let class = self.code() & 7;
        let jumps = matches!(class, 5 | 6) && !matches!(self.code(), 0x85 | 0x95);
        jumps.then_some((self.offset(), self.code() != 0x05))
    }
}

/// Stores that free a slot: of 0 to the first word behind a pointer that is not the frame's.
fn freeing(program: &[Instruction]) -> Vec<(usize, u8)> {
    let mut zero = [false; 16];
    let mut found = Vec::new();
    for (at, it) in program.iter().enumerate() {
        let stores = it.stores_zero() || it.stores_register() && zero[usize::from(it.source())];
        if stores && it.offset() == 0 && it.destination() != FRAME {
            found.push((at, it.destination()));
        }
        for register in 0..11 {
            if it.writes(register) {
                zero[usize::from(register)] = false;
            }
        }
        if let Some(register) = it.zeroes() {
            zero[usize::from(register)] = true;
        }
        if it.jump().is_some() {
            zero = [false; 16];
        }
    }
    found
}

/// The loads through `base` that may run after `at`.
fn loads_after(program: &[Instruction], at: usize, base: u8) -> Vec<usize> {
    let (mut found, mut seen) = (Vec::new(), vec![false; program.len()]);
    let mut next = vec![at + 1];
    while let Some(at) = next.pop() {
        if at >= program.len() || std::mem::replace(&mut seen[at], true) {
            continue;
        }
        let it = program[at];
        if it.is_load() && it.source() == base && it.offset() > 0 {
            found.push(at);
        }
        if it.writes(base) || it.code() == 0x95 {
            continue;
        }
        match it.jump() {
            Some((offset, goes_on)) => {
                next.push((at as isize + 1 + offset as isize) as usize);
                next.extend(goes_on.then_some(at + 1));
            }
            // `lddw` takes two.
            None => next.push(at + if it.code() == 0x18 { 2 } else { 1 }),
        }
    }
    found.sort_unstable();
    found
}

/// Loads behind the store that frees what they read, of all such stores; and how many those are.
fn behind(program: &[Instruction]) -> (usize, Vec<usize>) {
    let stores = freeing(program);
    let loads = stores
        .iter()
        .flat_map(|(at, base)| loads_after(program, *at, *base));
    (stores.len(), loads.collect())
}

#[test]
fn a_slot_is_read_before_it_is_freed() {
    let object = object::File::parse(OBJECT).unwrap();
    for name in FREEING {
        let section = object.section_by_name(name).unwrap();
        let words = section.data().unwrap().chunks_exact(8);
        let program: Vec<Instruction> = words
            .map(|word| Instruction(u64::from_le_bytes(word.try_into().unwrap())))
            .collect();
        let (stores, loads) = behind(&program);
        assert!(stores > 0, "{name}: no store frees a slot");
        assert!(
            loads.is_empty(),
            "{name}: loads behind the store: {loads:?}"
        );
    }
}

/// What LLVM 22 made of a plain copy of the slot before a volatile store: the store first.
#[test]
fn loads_that_the_compiler_moved_are_found() {
    const MOVED: [u64; 10] = [
        0x0000_0000_0000_0179, // r1 = *(u64 *)(r0 + 0)
        0x0000_0000_0008_615d, // if r1 != r6 goto +8
        0x0000_0000_0000_01b7, // r1 = 0
        0x0000_0000_0000_107b, // *(u64 *)(r0 + 0) = r1
        0x0000_0000_0010_0179, // r1 = *(u64 *)(r0 + 16)
        0x0000_0000_ff10_1a7b, // *(u64 *)(r10 - 240) = r1
        0x0000_0000_0008_0179, // r1 = *(u64 *)(r0 + 8)
        0x0000_0000_ff18_1a7b, // *(u64 *)(r10 - 232) = r1
        0x0000_0000_0000_68bf, // r8 = r6
        0x0000_0000_0012_0005, // goto +18
    ];
    assert_eq!(behind(&MOVED.map(Instruction)), (1, vec![4, 6]));
}
