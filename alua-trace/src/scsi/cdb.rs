//! Owns what a command descriptor block says besides its operation code: service action, page,
//! block address and lengths (SPC-4 4.2, SBC-3 clause 5). Names are in [`super::opcode`].

use super::bytes::{DecodeError, be16, be32, be64, require};
use super::opcode::{self, MAINTENANCE_IN, TARGET_PORT_GROUPS, VARIABLE_LENGTH};

/// PARAMETER DATA FORMAT in byte 1 of REPORT TARGET PORT GROUPS: the extended header is asked for.
const FORMAT_MASK: u8 = 0xe0;
const FORMAT_EXTENDED: u8 = 0x20;
/// Service actions of 32-byte CDBs, in bytes 8 and 9.
const READ_32: u16 = 0x0009;
const WRITE_32: u16 = 0x000b;

/// What a CDB asks for. Fields that the command does not have, or that are cut off, are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cdb {
    /// Operation code.
    pub opcode: u8,
    /// Byte 1, 0 if it is cut off: a service action for some commands.
    pub byte_1: u8,
    /// Service action, where the operation code has some.
    pub service_action: Option<u16>,
    /// The page that INQUIRY or MODE SENSE asks for.
    pub page: Option<Page>,
    /// First logical block.
    pub lba: Option<u64>,
    /// Number of logical blocks.
    pub blocks: Option<u32>,
    /// Bytes of other data.
    pub length: Option<DataLength>,
    /// REPORT TARGET PORT GROUPS with the extended header.
    pub extended_header: bool,
}

/// A page that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Vital product data.
    Vital(u8),
    /// Mode page and subpage.
    Mode(u8, u8),
    /// Log page and subpage.
    Log(u8, u8),
}

/// Length of data that is no blocks, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataLength {
    /// Room for the answer.
    Allocation(u32),
    /// Data sent with the command.
    ParameterList(u32),
}

impl DataLength {
    /// The number of bytes, whichever it is.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Allocation(bytes) | Self::ParameterList(bytes) => bytes,
        }
    }
}

impl Cdb {
    /// Decodes a CDB, or a prefix of it.
    ///
    /// # Errors
    /// No byte at all.
    pub fn parse(cdb: &[u8]) -> Result<Self, DecodeError> {
        require("command descriptor block", cdb, 1)?;
        let byte = |at: usize| cdb.get(at).copied();
        let opcode = byte(0).unwrap_or_default();
        let byte_1 = byte(1).unwrap_or_default();
        let service_action = match opcode {
            VARIABLE_LENGTH => be16(cdb, 8),
            _ if opcode::has_service_action(opcode) => byte(1).map(|byte| u16::from(byte & 0x1f)),
            _ => None,
        };
        let (lba, blocks) = extent(cdb, opcode, service_action);
        Ok(Self {
            opcode,
            byte_1,
            service_action,
            page: page(cdb, opcode),
            lba,
            blocks,
            length: length(cdb, opcode),
            extended_header: (opcode, byte_1 & 0x1f) == (MAINTENANCE_IN, TARGET_PORT_GROUPS)
                && byte_1 & FORMAT_MASK == FORMAT_EXTENDED,
        })
    }

    /// What to call the command.
    pub fn name(&self) -> String {
        match (self.opcode, self.service_action) {
            (VARIABLE_LENGTH, Some(action)) => opcode::service_action_name(VARIABLE_LENGTH, action)
                .map_or_else(
                    || format!("VARIABLE LENGTH CDB (service action 0x{action:04x})"),
                    str::to_owned,
                ),
            _ => opcode::describe(self.opcode, self.byte_1),
        }
    }
}

/// First block of a read, write, verify or similar command (SBC-4 5), from the CDB's first 12 bytes.
pub fn first_block(cdb: &[u8; 12]) -> Option<u64> {
    extent(cdb, cdb[0], None).0
}

/// First block and number of blocks.
fn extent(cdb: &[u8], opcode: u8, service_action: Option<u16>) -> (Option<u64>, Option<u32>) {
    let long = |at| be32(cdb, at);
    let short = |at| be16(cdb, at).map(u32::from);
    let byte = |at: usize| cdb.get(at).copied();
    match (opcode, service_action) {
        // Twenty-one bits of address; no blocks means 256 of them.
        (0x08 | 0x0a, _) => (
            long(0).map(|word| u64::from(word & 0x001f_ffff)),
            byte(4).map(|blocks| if blocks == 0 { 256 } else { blocks.into() }),
        ),
        (0x28 | 0x2a | 0x2e | 0x2f | 0x34 | 0x35 | 0x41, _) => (long(2).map(u64::from), short(7)),
        (0xa8 | 0xaa | 0xae | 0xaf, _) => (long(2).map(u64::from), long(6)),
        (0x88 | 0x8a | 0x8b | 0x8e..=0x91 | 0x93, _) => (be64(cdb, 2), long(10)),
        (0x89, _) => (be64(cdb, 2), byte(13).map(u32::from)),
        (0x9c, _) => (be64(cdb, 2), short(12)),
        // GET LBA STATUS.
        (0x9e, Some(0x12)) => (be64(cdb, 2), None),
        (VARIABLE_LENGTH, Some(READ_32 | WRITE_32)) => (be64(cdb, 12), long(28)),
        _ => (None, None),
    }
}

/// The page asked for.
fn page(cdb: &[u8], opcode: u8) -> Option<Page> {
    let byte = |at: usize| cdb.get(at).copied();
    match opcode {
        // EVPD.
        0x12 if byte(1)? & 0x01 != 0 => byte(2).map(Page::Vital),
        0x1a | 0x5a => Some(Page::Mode(byte(2)? & 0x3f, byte(3)?)),
        0x4d => Some(Page::Log(byte(2)? & 0x3f, byte(3)?)),
        _ => None,
    }
}

/// Length of data that is no blocks.
fn length(cdb: &[u8], opcode: u8) -> Option<DataLength> {
    let byte = |at: usize| cdb.get(at).copied().map(u32::from);
    let short = |at| be16(cdb, at).map(u32::from);
    let long = |at| be32(cdb, at);
    match opcode {
        0x03 | 0x1a => byte(4).map(DataLength::Allocation),
        0x12 => short(3).map(DataLength::Allocation),
        0x4d | 0x5a | 0x5e => short(7).map(DataLength::Allocation),
        0x9e => long(10).map(DataLength::Allocation),
        0xa0 | MAINTENANCE_IN => long(6).map(DataLength::Allocation),
        0x15 => byte(4).map(DataLength::ParameterList),
        0x42 | 0x55 => short(7).map(DataLength::ParameterList),
        0x5f => long(5).map(DataLength::ParameterList),
        opcode::MAINTENANCE_OUT => long(6).map(DataLength::ParameterList),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::bytes::Noise;
    use super::*;

    fn parse(cdb: &[u8]) -> Cdb {
        Cdb::parse(cdb).unwrap()
    }

    #[test]
    fn the_first_twelve_bytes_have_the_first_block() {
        assert_eq!(
            first_block(&[0x08, 0xff, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0]),
            Some(0x1f_0102)
        );
        let long = [0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0];
        assert_eq!(first_block(&long), Some(0x0102_0304_0506_0708));
        assert_eq!(
            first_block(&[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            None
        );
        // What it is of is in bytes that are not there.
        assert_eq!(first_block(&[0x7f; 12]), None);
    }

    /// The address begins with 01h and ends with the second byte of each pair; 8 blocks.
    #[test]
    fn reads_and_writes_have_an_extent() {
        for (cdb, lba) in [
            (&[0x08, 0xe1, 2, 3, 8, 0][..], 0x01_0203),
            (&[0x2a, 0xff, 1, 2, 3, 4, 0xff, 0, 8, 0], 0x0102_0304),
            (&[0xa8, 0, 1, 2, 3, 4, 0, 0, 0, 8, 0, 0], 0x0102_0304),
            (
                &[0x8a, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 8, 0, 0],
                0x0102_0304_0506_0708,
            ),
            (
                &[0x89, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 8, 0, 0],
                0x0102_0304_0506_0708,
            ),
            (
                &[0x9c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 0, 8, 0, 0],
                0x0102_0304_0506_0708,
            ),
        ] {
            let command = parse(cdb);
            assert_eq!(command.lba, Some(lba), "{cdb:02x?}");
            assert_eq!(command.blocks, Some(8), "{cdb:02x?}");
            assert_eq!(command.length, None);
        }
        assert_eq!(parse(&[0x08, 0, 0, 0, 0, 0]).blocks, Some(256));
        assert_eq!(parse(&[0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0]).blocks, Some(0));
    }

    #[test]
    fn reads_of_32_bytes_are_told_by_their_service_action() {
        let mut cdb = [0; 32];
        (cdb[0], cdb[7], cdb[9]) = (0x7f, 0x18, 0x09);
        (cdb[19], cdb[31]) = (7, 8);
        let command = parse(&cdb);
        assert_eq!((command.lba, command.blocks), (Some(7), Some(8)));
        assert_eq!(command.name(), "READ(32)");
        cdb[9] = 0x0b;
        assert_eq!(parse(&cdb).name(), "WRITE(32)");
        cdb[9] = 0x0d;
        assert_eq!(parse(&cdb).lba, None);
        assert_eq!(parse(&cdb).name(), "WRITE SAME(32)");
        cdb[8] = 0xff;
        assert_eq!(
            parse(&cdb).name(),
            "VARIABLE LENGTH CDB (service action 0xff0d)"
        );
    }

    /// "RTPG is REQUEST TARGET …, STPG is task management", some say.
    #[test]
    fn target_port_groups_are_maintenance_commands() {
        let report = parse(&[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(report.name(), "REPORT TARGET PORT GROUPS");
        assert_eq!(report.length, Some(DataLength::Allocation(1024)));
        assert!(!report.extended_header);
        let extended = parse(&[0xa3, 0x2a, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0]);
        assert!(extended.extended_header);
        assert_eq!(extended.name(), "REPORT TARGET PORT GROUPS");
        let set = parse(&[0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0]);
        assert_eq!(set.name(), "SET TARGET PORT GROUPS");
        assert_eq!(set.length, Some(DataLength::ParameterList(8)));
        assert_eq!(opcode::name(set.opcode), Some("MAINTENANCE OUT"));
    }

    #[test]
    fn pages_are_those_asked_for() {
        let c9 = parse(&[0x12, 0x01, 0xc9, 0, 48, 0]);
        assert_eq!(c9.page, Some(Page::Vital(0xc9)));
        assert_eq!(c9.length, Some(DataLength::Allocation(48)));
        assert_eq!(parse(&[0x12, 0x00, 0xc9, 1, 4, 0]).page, None);
        let mode = parse(&[0x5a, 0, 0xec, 0x01, 0, 0, 0, 0x01, 0x34, 0]);
        assert_eq!(mode.page, Some(Page::Mode(0x2c, 1)));
        assert_eq!(mode.length.unwrap().bytes(), 308);
        // As scsi_dh_rdac.c sends them.
        let six = parse(&[0x15, 0x10, 0, 0, 110, 0]);
        assert_eq!(six.length, Some(DataLength::ParameterList(110)));
        let ten = parse(&[0x55, 0x10, 0, 0, 0, 0, 0, 0x01, 0x34, 0]);
        assert_eq!(ten.length, Some(DataLength::ParameterList(308)));
    }

    #[test]
    fn cut_off_fields_are_absent() {
        let cdb = [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0];
        for end in 1..cdb.len() {
            let command = parse(&cdb[..end]);
            assert_eq!(command.lba, (end >= 10).then_some(1));
            assert_eq!(command.blocks, (end >= 14).then_some(8));
        }
        assert!(Cdb::parse(&[]).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut noise = Noise::new();
        for opcode in 0..=u8::MAX {
            for length in 1..40 {
                let command = parse(&noise.bytes(&[opcode], length));
                assert_eq!(command.opcode, opcode);
                assert!(!command.name().is_empty());
            }
        }
    }
}
