//! The probes' code as it suits the running kernel: its offsets in the place of marks, no instruction that it does not
//! know.

use alua_trace_ebpf::{CAST_CALL, LAYOUT_MARK, MACHINE_MARK, Machine, ScsiLayout};
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, SectionKind};

use super::machine::Cast;

/// The probes' object file, built by `build.rs`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("ALUA_TRACE_PROBES"));

/// Opcode of an atomic operation on 64 bits (`BPF_STX | BPF_ATOMIC | BPF_DW`). Its immediate says which one: 0 is the add
/// that every kernel has.
const ATOMIC: u8 = 0xdb;
/// Opcode of `r = number`.
const MOVE_NUMBER: u8 = 0xb7;
/// Classes of opcodes, and that of loads through a register (`BPF_LDX`).
const CLASS: u8 = 0x07;
const LOAD: u8 = 0x01;
/// The register that an instruction sets.
const REGISTER: u8 = 0x0f;
/// `goto +0`.
const NO_OPERATION: [u8; INSTRUCTION] = [0x05, 0, 0, 0, 0, 0, 0, 0];
/// `r0 = r1`.
const MOVE_FIRST: [u8; INSTRUCTION] = [0xbf, 0x10, 0, 0, 0, 0, 0, 0];
const INSTRUCTION: usize = 8;

/// The probes' object for a kernel with such a layout, on such a machine. Kernels refuse an instruction that they do not
/// know even where it can never be reached: there it is none (before Linux 5.12 `replace_map_fd_with_map_ptr`).
///
/// # Errors
/// A number of the layout is past all reason; or the object is damaged, which does not happen.
pub fn object(layout: &ScsiLayout, machine: &Machine, cast: Option<Cast>) -> Result<Vec<u8>> {
    let machine = Machine {
        cast_type: cast.map_or(0, |cast| cast.structure),
        ..*machine
    };
    let numbers = Numbers {
        layout: words(layout),
        machine: words(&machine),
    };
    let call = match cast {
        Some(cast) => {
            let mut call = CAST_CALL.to_le_bytes();
            call[4..].copy_from_slice(&cast.function.to_le_bytes());
            call
        }
        None => MOVE_FIRST,
    };
    let mut bytes = OBJECT.to_vec();
    let file = object::File::parse(OBJECT).context("failed to parse the probes")?;
    for section in file.sections().filter(|it| it.kind() == SectionKind::Text) {
        let (start, length) = section.file_range().unwrap_or_default();
        let range = usize::try_from(start)?..usize::try_from(start + length)?;
        let code = bytes.get_mut(range).context("a section past the end")?;
        let code = code.as_chunks_mut::<INSTRUCTION>().0;
        put_into_loads(code, &numbers)?;
        for instruction in code {
            // The second half of a longer one has opcode 0.
            if instruction[0] == ATOMIC && instruction[4..] != [0; 4] && machine.has_fetch == 0 {
                *instruction = NO_OPERATION;
            } else if *instruction == CAST_CALL.to_le_bytes() {
                *instruction = call;
            } else if instruction[0] == MOVE_NUMBER
                && let Some(number) = numbers.of(instruction)
            {
                // An immediate operand is extended by its sign.
                ensure!(
                    i32::try_from(number).is_ok(),
                    "the kernel's types have an offset of {number}"
                );
                instruction[4..].copy_from_slice(&number.to_le_bytes());
            }
        }
    }
    Ok(bytes)
}

/// Puts offsets into the loads that follow their marks and load to the same register, and nothing in the place of the marks:
/// a number that nobody will read is one of those.
fn put_into_loads(code: &mut [[u8; INSTRUCTION]], numbers: &Numbers<'_>) -> Result<()> {
    for at in 1..code.len() {
        let [mark, load] = [code[at - 1], code[at]];
        let is_load = load[0] & CLASS == LOAD && load[1] & REGISTER == mark[1] & REGISTER;
        if mark[0] == MOVE_NUMBER
            && is_load
            && let Some(number) = numbers.of(&mark)
        {
            let behind = i64::from(i16::from_le_bytes([load[2], load[3]]));
            let offset = i16::try_from(behind + i64::from(number))
                .with_context(|| format!("the kernel's types have an offset of {number}"))?;
            code[at - 1] = NO_OPERATION;
            code[at][2..4].copy_from_slice(&offset.to_le_bytes());
        }
    }
    Ok(())
}

/// The numbers that marks stand for, in the order of their fields.
struct Numbers<'a> {
    layout: &'a [u32],
    machine: &'a [u32],
}

impl Numbers<'_> {
    fn of(&self, instruction: &[u8; INSTRUCTION]) -> Option<u32> {
        let [_, _, _, _, operand @ ..] = *instruction;
        let operand = i32::from_le_bytes(operand);
        let of = |numbers: &[u32], mark: i32| {
            let offset = usize::try_from(operand.checked_sub(mark)?).ok()?;
            numbers.get(offset / size_of::<u32>()).copied()
        };
        of(self.layout, LAYOUT_MARK).or_else(|| of(self.machine, MACHINE_MARK))
    }
}

/// A wire record that has nothing but 32-bit numbers, as those.
fn words<T: Numbered>(record: &T) -> &[u32] {
    // SAFETY: as `Numbered` promises.
    unsafe { std::slice::from_raw_parts((&raw const *record).cast(), size_of::<T>() / 4) }
}

/// # Safety
/// `repr(C)`, and each field is a `u32`.
unsafe trait Numbered {}

// SAFETY: it is.
unsafe impl Numbered for ScsiLayout {}
// SAFETY: it is.
unsafe impl Numbered for Machine {}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    fn code(object: &[u8]) -> Vec<[u8; INSTRUCTION]> {
        let file = object::File::parse(object).unwrap();
        let code = file.sections().filter(|it| it.kind() == SectionKind::Text);
        code.flat_map(|it| it.data().unwrap().as_chunks().0.to_vec())
            .collect()
    }

    fn fetching(object: &[u8]) -> usize {
        let code = code(object);
        code.iter()
            .filter(|it| it[0] == ATOMIC && it[4..] != [0; 4])
            .count()
    }

    fn layout() -> ScsiLayout {
        ScsiLayout::default()
    }

    #[test]
    fn a_kernel_without_fetches_gets_programs_without_them() {
        let new = Machine {
            has_fetch: 1,
            ..Machine::default()
        };
        let new = object(&layout(), &new, None).unwrap();
        let old = object(&layout(), &Machine::default(), None).unwrap();
        assert!(fetching(&new) > 0);
        assert_eq!(fetching(&old), 0);
        assert_eq!(old.len(), new.len());
    }

    #[test]
    fn no_mark_is_left_and_each_number_stands_where_its_mark_stood() {
        let layout = ScsiLayout {
            request_size: 272,
            window_result: 40,
            ..layout()
        };
        let machine = Machine {
            log_records: 4096,
            has_fetch: 1,
            ..Machine::default()
        };
        let cast = Cast {
            function: 0x0123_4567,
            structure: 77,
        };
        let before = code(OBJECT);
        let after = code(&object(&layout, &machine, Some(cast)).unwrap());
        let operand = |it: &[u8; INSTRUCTION]| i32::from_le_bytes(it[4..].try_into().unwrap());
        let numbers_of = |mark: i32| {
            let pairs = before.iter().zip(&after);
            let marked = pairs.filter(|(it, _)| it[0] == MOVE_NUMBER && operand(it) == mark);
            marked.map(|(_, it)| operand(it)).collect::<Vec<_>>()
        };
        for (mark, number) in [
            (
                LAYOUT_MARK + offset_of!(ScsiLayout, request_size) as i32,
                272,
            ),
            (MACHINE_MARK + offset_of!(Machine, log_records) as i32, 4096),
            (MACHINE_MARK + offset_of!(Machine, cast_type) as i32, 77),
        ] {
            let numbers = numbers_of(mark);
            assert!(!numbers.is_empty(), "{mark:#x}");
            assert!(numbers.iter().all(|it| *it == number), "{numbers:?}");
        }
        let is_mark = |it: &[u8; INSTRUCTION]| operand(it) >> 16 == LAYOUT_MARK >> 16;
        assert!(before.iter().any(is_mark));
        assert!(!after.iter().any(is_mark));
        let calls = after.iter().filter(|it| it[..2] == [0x85, 0x20]);
        assert!(calls.clone().count() > 0);
        assert!(calls.clone().all(|it| operand(it) == 0x0123_4567));
        // Where there is no such function, none is called.
        let without = code(&object(&layout, &machine, None).unwrap());
        assert!(
            !without
                .iter()
                .any(|it| it[..2] == [0x85, 0x20] || is_mark(it))
        );
    }

    #[test]
    fn loads_have_their_offset_and_nothing_stands_where_the_mark_stood() {
        let mark = (LAYOUT_MARK + offset_of!(ScsiLayout, window_cdb) as i32).to_le_bytes();
        let [m0, m1, m2, m3] = mark;
        let mark_to = |register: u8| [MOVE_NUMBER, register, 0, 0, m0, m1, m2, m3];
        // r2 = *(u32 *)(r7 + 4); r3 = *(u32 *)(r2 + 0)
        let load = [0x61, 0x72, 4, 0, 0, 0, 0, 0];
        let other = [0x61, 0x23, 0, 0, 0, 0, 0, 0];
        let mut code = [mark_to(2), load, mark_to(2), other];
        let layout = ScsiLayout {
            window_cdb: 0x114,
            ..layout()
        };
        let machine = Machine::default();
        let numbers = Numbers {
            layout: words(&layout),
            machine: words(&machine),
        };
        put_into_loads(&mut code, &numbers).unwrap();
        let loaded = [0x61, 0x72, 0x18, 0x01, 0, 0, 0, 0];
        assert_eq!(code, [NO_OPERATION, loaded, mark_to(2), other]);
        // The probes have such loads, of members that no other operand stands for.
        let in_loads = |layout: &ScsiLayout| {
            let code = code_of(layout);
            let offsets = code.iter().filter(|it| it[0] & CLASS == LOAD);
            offsets.filter(|it| it[2..4] == [0x55, 0x02]).count()
        };
        let result = ScsiLayout {
            window_result: 0x255,
            ..ScsiLayout::default()
        };
        assert_eq!(in_loads(&ScsiLayout::default()), 0);
        assert!(in_loads(&result) > 0);
        let far = ScsiLayout {
            window_result: 1 << 15,
            ..result
        };
        assert!(object(&far, &machine, None).is_err());
    }

    fn code_of(layout: &ScsiLayout) -> Vec<[u8; INSTRUCTION]> {
        code(&object(layout, &Machine::default(), None).unwrap())
    }

    #[test]
    fn an_offset_that_no_operand_can_hold_is_refused() {
        let layout = ScsiLayout {
            request_size: u32::MAX,
            ..layout()
        };
        assert!(object(&layout, &Machine::default(), None).is_err());
    }
}
