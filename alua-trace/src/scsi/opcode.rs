//! Owns the names of SCSI commands and their division into reads, writes and others. Does not
//! read logical block addresses or lengths out of CDBs.

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

/// Whether a command reads or writes the medium (SBC-3 clause 5).
///
/// READ(32) and WRITE(32) are [`Class::Other`]: they share operation code 7Fh with every 32-byte
/// CDB, and only the service action in bytes 8 and 9 tells them apart. UNMAP, VERIFY and
/// SYNCHRONIZE CACHE move no blocks, XDWRITEREAD moves them both ways: others, too.
#[inline]
pub const fn class(opcode: u8) -> Class {
    CLASSES[opcode as usize]
}

/// A table, because this is asked for every command.
const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut opcode = 0;
    while opcode < 256 {
        classes[opcode] = match opcode {
            0x08 | 0x28 | 0xa8 | 0x88 => Class::Read,
            0x0a | 0x2a | 0xaa | 0x8a => Class::Write,
            // WRITE AND VERIFY, WRITE SAME.
            0x2e | 0xae | 0x8e | 0x41 | 0x93 => Class::Write,
            // COMPARE AND WRITE, ORWRITE, WRITE ATOMIC.
            0x89 | 0x8b | 0x9c => Class::Write,
            _ => Class::Other,
        };
        opcode += 1;
    }
    classes
};

/// The name of an operation code as T10 lists it for direct access devices; `None` for one that
/// is not in the table here.
pub const fn name(opcode: u8) -> Option<&'static str> {
    match opcode {
        0x00..=0x3f => name_6_and_10(opcode),
        0x40..=0x7f => name_10_more(opcode),
        _ => name_16_and_12(opcode),
    }
}

const fn name_6_and_10(opcode: u8) -> Option<&'static str> {
    let name = match opcode {
        0x00 => "TEST UNIT READY",
        0x01 => "REZERO UNIT",
        0x03 => "REQUEST SENSE",
        0x04 => "FORMAT UNIT",
        0x07 => "REASSIGN BLOCKS",
        0x08 => "READ(6)",
        0x0a => "WRITE(6)",
        0x12 => "INQUIRY",
        0x15 => "MODE SELECT(6)",
        0x16 => "RESERVE(6)",
        0x17 => "RELEASE(6)",
        0x1a => "MODE SENSE(6)",
        0x1b => "START STOP UNIT",
        0x1c => "RECEIVE DIAGNOSTIC RESULTS",
        0x1d => "SEND DIAGNOSTIC",
        0x1e => "PREVENT ALLOW MEDIUM REMOVAL",
        0x25 => "READ CAPACITY(10)",
        0x28 => "READ(10)",
        0x2a => "WRITE(10)",
        0x2e => "WRITE AND VERIFY(10)",
        0x2f => "VERIFY(10)",
        0x34 => "PRE-FETCH(10)",
        0x35 => "SYNCHRONIZE CACHE(10)",
        0x37 => "READ DEFECT DATA(10)",
        0x3b => "WRITE BUFFER",
        0x3c => "READ BUFFER",
        0x3e => "READ LONG(10)",
        0x3f => "WRITE LONG(10)",
        _ => return None,
    };
    Some(name)
}

const fn name_10_more(opcode: u8) -> Option<&'static str> {
    let name = match opcode {
        0x41 => "WRITE SAME(10)",
        0x42 => "UNMAP",
        0x48 => "SANITIZE",
        0x4c => "LOG SELECT",
        0x4d => "LOG SENSE",
        0x50 => "XDWRITE(10)",
        0x51 => "XPWRITE(10)",
        0x52 => "XDREAD(10)",
        0x53 => "XDWRITEREAD(10)",
        0x55 => "MODE SELECT(10)",
        0x56 => "RESERVE(10)",
        0x57 => "RELEASE(10)",
        0x5a => "MODE SENSE(10)",
        0x5e => "PERSISTENT RESERVE IN",
        0x5f => "PERSISTENT RESERVE OUT",
        0x7e => "EXTENDED CDB",
        VARIABLE_LENGTH => "VARIABLE LENGTH CDB",
        _ => return None,
    };
    Some(name)
}

const fn name_16_and_12(opcode: u8) -> Option<&'static str> {
    let name = match opcode {
        0x83 => "THIRD-PARTY COPY OUT",
        0x84 => "THIRD-PARTY COPY IN",
        0x85 => "ATA PASS-THROUGH(16)",
        0x86 => "ACCESS CONTROL IN",
        0x87 => "ACCESS CONTROL OUT",
        0x88 => "READ(16)",
        0x89 => "COMPARE AND WRITE",
        0x8a => "WRITE(16)",
        0x8b => "ORWRITE(16)",
        0x8c => "READ ATTRIBUTE",
        0x8d => "WRITE ATTRIBUTE",
        0x8e => "WRITE AND VERIFY(16)",
        0x8f => "VERIFY(16)",
        0x90 => "PRE-FETCH(16)",
        0x91 => "SYNCHRONIZE CACHE(16)",
        0x93 => "WRITE SAME(16)",
        0x94 => "ZBC OUT",
        0x95 => "ZBC IN",
        0x9c => "WRITE ATOMIC(16)",
        0x9d => "SERVICE ACTION BIDIRECTIONAL",
        0x9e => "SERVICE ACTION IN(16)",
        0x9f => "SERVICE ACTION OUT(16)",
        0xa0 => "REPORT LUNS",
        0xa1 => "ATA PASS-THROUGH(12)",
        0xa2 => "SECURITY PROTOCOL IN",
        MAINTENANCE_IN => "MAINTENANCE IN",
        MAINTENANCE_OUT => "MAINTENANCE OUT",
        0xa8 => "READ(12)",
        0xaa => "WRITE(12)",
        0xae => "WRITE AND VERIFY(12)",
        0xaf => "VERIFY(12)",
        0xb5 => "SECURITY PROTOCOL OUT",
        0xb7 => "READ DEFECT DATA(12)",
        _ => return None,
    };
    Some(name)
}

/// Whether CDB byte 1 bits 4:0 hold a service action that divides the operation code.
pub const fn has_service_action(opcode: u8) -> bool {
    matches!(
        opcode,
        MAINTENANCE_IN | MAINTENANCE_OUT | 0x5e | 0x5f | 0x83 | 0x84 | 0x94 | 0x95 | 0x9d..=0x9f
    )
}

/// The name of a service action (CDB byte 1 bits 4:0); `None` for one that is not in the table.
pub const fn service_action_name(opcode: u8, service_action: u8) -> Option<&'static str> {
    let name = match (opcode, service_action & 0x1f) {
        (MAINTENANCE_IN, 0x05) => "REPORT IDENTIFYING INFORMATION",
        (MAINTENANCE_IN, TARGET_PORT_GROUPS) => "REPORT TARGET PORT GROUPS",
        (MAINTENANCE_IN, 0x0b) => "REPORT ALIASES",
        (MAINTENANCE_IN, 0x0c) => "REPORT SUPPORTED OPERATION CODES",
        (MAINTENANCE_IN, 0x0d) => "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
        (MAINTENANCE_IN, 0x0e) => "REPORT PRIORITY",
        (MAINTENANCE_IN, 0x0f) => "REPORT TIMESTAMP",
        (MAINTENANCE_OUT, 0x06) => "SET IDENTIFYING INFORMATION",
        (MAINTENANCE_OUT, TARGET_PORT_GROUPS) => "SET TARGET PORT GROUPS",
        (MAINTENANCE_OUT, 0x0b) => "CHANGE ALIASES",
        (MAINTENANCE_OUT, 0x0e) => "SET PRIORITY",
        (MAINTENANCE_OUT, 0x0f) => "SET TIMESTAMP",
        (0x5e, 0x00) => "PERSISTENT RESERVE IN: READ KEYS",
        (0x5e, 0x01) => "PERSISTENT RESERVE IN: READ RESERVATION",
        (0x5e, 0x02) => "PERSISTENT RESERVE IN: REPORT CAPABILITIES",
        (0x5e, 0x03) => "PERSISTENT RESERVE IN: READ FULL STATUS",
        (0x5f, 0x00) => "PERSISTENT RESERVE OUT: REGISTER",
        (0x5f, 0x01) => "PERSISTENT RESERVE OUT: RESERVE",
        (0x5f, 0x02) => "PERSISTENT RESERVE OUT: RELEASE",
        (0x5f, 0x03) => "PERSISTENT RESERVE OUT: CLEAR",
        (0x5f, 0x04) => "PERSISTENT RESERVE OUT: PREEMPT",
        (0x5f, 0x05) => "PERSISTENT RESERVE OUT: PREEMPT AND ABORT",
        (0x5f, 0x06) => "PERSISTENT RESERVE OUT: REGISTER AND IGNORE EXISTING KEY",
        (0x5f, 0x07) => "PERSISTENT RESERVE OUT: REGISTER AND MOVE",
        (0x83, 0x00) => "EXTENDED COPY(LID1)",
        (0x83, 0x11) => "WRITE USING TOKEN",
        (0x9e, 0x10) => "READ CAPACITY(16)",
        (0x9e, 0x12) => "GET LBA STATUS",
        _ => return None,
    };
    Some(name)
}

/// What to call a command: the service action where the operation code has some, else the
/// operation code, and numbers for what has no name. `cdb_byte_1` counts only for
/// [`has_service_action`].
pub fn describe(opcode: u8, cdb_byte_1: u8) -> String {
    let service_action = cdb_byte_1 & 0x1f;
    let known = service_action_name(opcode, service_action);
    match (known, name(opcode)) {
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
        assert_eq!(describe(0xa3, 0x1f), "MAINTENANCE IN (service action 0x1f)");
        assert_eq!(describe(0x28, 0x0a), "READ(10)");
        assert_eq!(describe(0xff, 0), "opcode 0xff");
    }

    #[test]
    fn any_two_bytes_can_be_described() {
        for opcode in 0..=u8::MAX {
            for byte in 0..=u8::MAX {
                assert!(!describe(opcode, byte).is_empty());
                if service_action_name(opcode, byte).is_some() {
                    assert!(has_service_action(opcode));
                }
            }
        }
    }
}
