//! Owns the names of SCSI commands and their division into reads, writes and others. Does not
//! read logical block addresses or lengths out of CDBs.

use std::collections::HashMap;
use std::sync::OnceLock;

/// What a command does with the medium, as far as its operation code tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Moves blocks from the medium to the host.
    Read,
    /// Moves blocks from the host to the medium.
    Write,
    /// Everything else, and everything of which the code alone does not tell.
    Other,
}

/// Operation code of REPORT TARGET PORT GROUPS and its siblings (SPC-4 6.9).
pub const MAINTENANCE_IN: u8 = 0xa3;
/// Operation code of SET TARGET PORT GROUPS and its siblings (SPC-4 6.10).
pub const MAINTENANCE_OUT: u8 = 0xa4;
/// Operation code of all 32-byte CDBs (SPC-4 4.2.5).
pub const VARIABLE_LENGTH: u8 = 0x7f;
/// Service action of RTPG below [`MAINTENANCE_IN`], of STPG below [`MAINTENANCE_OUT`].
pub const TARGET_PORT_GROUPS: u8 = 0x0a;

/// Whether a CDB is REPORT TARGET PORT GROUPS (SPC-4 6.37).
#[must_use]
pub fn is_rtpg(cdb: &[u8]) -> bool {
    matches!(cdb, [MAINTENANCE_IN, action, ..] if action & 0x1f == TARGET_PORT_GROUPS)
}

/// Whether a command reads or writes the medium: see [`alua_trace_ebpf::CLASSES`].
#[inline]
pub const fn class(opcode: u8) -> Class {
    match alua_trace_ebpf::CLASSES[opcode as usize] {
        0 => Class::Read,
        1 => Class::Write,
        _ => Class::Other,
    }
}

/// Every operation code, its service actions, and their names.
const NAMES: &str = include_str!("opcodes.txt");
static NAMES_BY_NUMBER: OnceLock<HashMap<(u8, Option<u16>), &'static str>> = OnceLock::new();

/// The list by operation code and service action.
fn names() -> HashMap<(u8, Option<u16>), &'static str> {
    let lines = NAMES.lines().filter(|line| !line.starts_with('#'));
    let name = |line: &'static str| {
        let (opcode, rest) = line.split_once(' ')?;
        let (service_action, name) = rest.split_once(' ')?;
        let opcode = u8::from_str_radix(opcode, 16).ok()?;
        Some(((opcode, u16::from_str_radix(service_action, 16).ok()), name))
    };
    lines.filter_map(name).collect()
}

/// The name of an operation code as T10 lists it, for direct access devices where types differ;
/// `None` for one that is not in the list.
pub fn name(opcode: u8) -> Option<&'static str> {
    let names = NAMES_BY_NUMBER.get_or_init(names);
    names.get(&(opcode, None)).copied()
}

/// Whether CDB byte 1 bits 4:0 hold a service action that divides the operation code.
pub const fn has_service_action(opcode: u8) -> bool {
    matches!(
        opcode,
        MAINTENANCE_IN
            | MAINTENANCE_OUT
            | 0x3b
            | 0x3c
            | 0x48
            | 0x5e
            | 0x5f
            | 0x83
            | 0x84
            | 0x8c
            | 0x94
            | 0x95
            | 0x9d..=0x9f | 0xa9 | 0xab
    )
}

/// The name of a service action (CDB byte 1 bits 4:0; bytes 8 and 9 of 32-byte CDBs); `None` for one
/// that is not in the list.
pub fn service_action_name(opcode: u8, service_action: u16) -> Option<&'static str> {
    let names = NAMES_BY_NUMBER.get_or_init(names);
    names.get(&(opcode, Some(service_action))).copied()
}

/// What to call a command: the service action where the operation code has some, else the
/// operation code, and numbers for what has no name. `cdb_byte_1` counts only for
/// [`has_service_action`].
pub fn describe(opcode: u8, cdb_byte_1: u8) -> String {
    let service_action = u16::from(cdb_byte_1 & 0x1f);
    let known = has_service_action(opcode).then(|| service_action_name(opcode, service_action));
    match (known.flatten(), name(opcode)) {
        (Some(known), _) => known.to_owned(),
        (None, Some(name)) if has_service_action(opcode) => {
            format!("{name} (service action 0x{service_action:02x})")
        }
        (None, Some(name)) => name.to_owned(),
        (None, None) => format!("opcode 0x{opcode:02x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_read_and_write_has_a_name_that_says_so() {
        for opcode in 0..=u8::MAX {
            let name = name(opcode).unwrap_or_default();
            match class(opcode) {
                Class::Read => assert!(name.starts_with("READ("), "{opcode:02x} {name}"),
                Class::Write => assert!(name.contains("WRITE"), "{opcode:02x} {name}"),
                Class::Other => assert!(!name.starts_with("READ("), "{opcode:02x} {name}"),
            }
        }
    }

    #[test]
    fn variable_length_commands_are_others() {
        assert_eq!(class(VARIABLE_LENGTH), Class::Other);
        assert_eq!(class(0x42), Class::Other);
    }

    #[test]
    fn maintenance_commands_are_called_by_their_service_action() {
        assert_eq!(describe(0xa3, 0x2a), "REPORT TARGET PORT GROUPS");
        assert_eq!(describe(0xa4, 0x0a), "SET TARGET PORT GROUPS");
        assert_eq!(
            describe(0x9e, 0x1f),
            "SERVICE ACTION IN(16) (service action 0x1f)"
        );
        assert_eq!(describe(0x28, 0x0a), "READ(10)");
        assert_eq!(describe(0xff, 0), "opcode 0xff");
    }

    #[test]
    fn any_two_bytes_can_be_described() {
        for opcode in 0..=u8::MAX {
            for byte in 0..=u8::MAX {
                assert!(!describe(opcode, byte).is_empty());
                let service_action = service_action_name(opcode, u16::from(byte));
                if service_action.is_some() && opcode != VARIABLE_LENGTH {
                    assert!(has_service_action(opcode), "{opcode:02x}");
                }
            }
        }
    }
}
