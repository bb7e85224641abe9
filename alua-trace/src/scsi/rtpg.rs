//! Owns the decoding of REPORT TARGET PORT GROUPS data (SPC-4 6.37) and of the SET TARGET PORT
//! GROUPS parameter list (SPC-4 6.45). A prefix is decoded as far as it goes: probes capture only
//! the first bytes, and an allocation length may have been too small.

use std::fmt;

use super::AccessState;
use super::bytes::{DecodeError, be16, be32, require, up_to};

/// Bytes before the descriptors, without and with the extended header.
const HEADER_BYTES: usize = 4;
const EXTENDED_HEADER_BYTES: usize = 8;
/// Bytes of a target port group descriptor before its ports.
const GROUP_BYTES: usize = 8;
const PORT_BYTES: usize = 4;
/// RETURN DATA FORMAT in byte 4: `RTPG_FMT_MASK` and `RTPG_FMT_EXT_HDR` in the kernel's
/// scsi_dh_alua.c. The bits are reserved in a descriptor, whose first byte is there otherwise.
const FORMAT_MASK: u8 = 0x70;
const FORMAT_EXTENDED: u8 = 0x10;
const PREFERRED: u8 = 0x80;

/// What an array says of its target port groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPortGroups {
    /// Bytes of the whole answer, by its header.
    pub whole_bytes: u64,
    /// With the extended header.
    pub extended: bool,
    /// How long an implicit transition may take, in seconds; 0 says nothing. Only the extended
    /// header has it.
    pub implicit_transition_s: Option<u8>,
    /// The groups, in the array's order.
    pub groups: Vec<TargetPortGroup>,
    /// The data ends before the answer does: groups or ports are missing.
    pub truncated: bool,
}

/// One target port group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPortGroup {
    /// Its identifier.
    pub id: u16,
    /// Its access state.
    pub state: AccessState,
    /// PREF: the array prefers that the logical unit is accessed through this group.
    pub preferred: bool,
    /// The states it can have.
    pub supported: SupportedStates,
    /// Who changed the state last.
    pub status: StatusCode,
    /// Vendor-specific byte.
    pub vendor: u8,
    /// Number of ports the group has, whether or not they are all in `ports`.
    pub n_ports: u8,
    /// Relative target port identifiers.
    pub ports: Vec<u16>,
}

/// The states a group can have: byte 1 of its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SupportedStates(pub u8);

impl SupportedStates {
    const BITS: [(u8, AccessState); 7] = [
        (0x01, AccessState::OPTIMIZED),
        (0x02, AccessState::NON_OPTIMIZED),
        (0x04, AccessState::STANDBY),
        (0x08, AccessState::UNAVAILABLE),
        (0x10, AccessState::LBA_DEPENDENT),
        (0x40, AccessState::OFFLINE),
        (0x80, AccessState::TRANSITIONING),
    ];

    /// The states, from the best on.
    pub fn states(self) -> impl Iterator<Item = AccessState> {
        Self::BITS
            .into_iter()
            .filter_map(move |(bit, state)| (self.0 & bit != 0).then_some(state))
    }

    /// Whether a group can have `state`; never for a reserved one.
    pub fn contains(self, state: AccessState) -> bool {
        self.states().any(|supported| supported == state)
    }
}

impl fmt::Display for SupportedStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for state in self.states() {
            write!(f, "{separator}{}", state.abbreviation())?;
            separator = " ";
        }
        if separator.is_empty() {
            f.write_str("none")?;
        }
        Ok(())
    }
}

/// Who changed a group's state last (SPC-4 table 249). It is no state: 01h on an optimized group
/// only says that a host made it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusCode {
    /// 00h: nobody, or it is not known.
    None,
    /// 01h: a SET TARGET PORT GROUPS command, of this host or another.
    SetTargetPortGroups,
    /// 02h: the array by itself.
    Implicit,
    /// Any other.
    Reserved(u8),
}

impl StatusCode {
    /// From byte 5 of a descriptor.
    pub const fn new(code: u8) -> Self {
        match code {
            0 => Self::None,
            1 => Self::SetTargetPortGroups,
            2 => Self::Implicit,
            _ => Self::Reserved(code),
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::SetTargetPortGroups => 1,
            Self::Implicit => 2,
            Self::Reserved(code) => code,
        }
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no status"),
            Self::SetTargetPortGroups => {
                f.write_str("state changed last by SET TARGET PORT GROUPS (a host)")
            }
            Self::Implicit => f.write_str("state changed last by the array itself (implicitly)"),
            Self::Reserved(code) => write!(f, "reserved (0x{code:02x})"),
        }
    }
}

/// Decodes REPORT TARGET PORT GROUPS data, or a prefix of it.
///
/// # Errors
/// Fewer than the four bytes of the header.
pub fn parse(data: &[u8]) -> Result<TargetPortGroups, DecodeError> {
    const WHAT: &str = "REPORT TARGET PORT GROUPS data";
    require(WHAT, data, HEADER_BYTES)?;
    let whole_bytes = 4 + u64::from(be32(data, 0).unwrap_or_default());
    let whole = usize::try_from(whole_bytes).unwrap_or(usize::MAX);
    let extended = whole > HEADER_BYTES
        && data
            .get(4)
            .is_some_and(|byte| byte & FORMAT_MASK == FORMAT_EXTENDED);
    let first = if extended {
        EXTENDED_HEADER_BYTES
    } else {
        HEADER_BYTES
    };
    let mut rest = up_to(data, first, whole.saturating_sub(first));
    let mut groups = Vec::new();
    let mut truncated = data.len() < whole;
    while !rest.is_empty() {
        let Some((group, used)) = group(rest) else {
            truncated = true;
            break;
        };
        truncated |= group.ports.len() < usize::from(group.n_ports);
        groups.push(group);
        rest = rest.get(used..).unwrap_or_default();
    }
    Ok(TargetPortGroups {
        whole_bytes,
        extended,
        implicit_transition_s: data.get(5).copied().filter(|_| extended),
        groups,
        truncated,
    })
}

/// The descriptor at the beginning of `data`, and its length in bytes; `None` if it is cut off
/// before its ports.
fn group(data: &[u8]) -> Option<(TargetPortGroup, usize)> {
    let &[state, supported, high, low, _, status, vendor, n_ports] = data.first_chunk()?;
    let port_bytes = PORT_BYTES * usize::from(n_ports);
    let ports = up_to(data, GROUP_BYTES, port_bytes).chunks_exact(PORT_BYTES);
    let group = TargetPortGroup {
        id: u16::from_be_bytes([high, low]),
        state: AccessState::from_nibble(state),
        preferred: state & PREFERRED != 0,
        supported: SupportedStates(supported),
        status: StatusCode::new(status),
        vendor,
        n_ports,
        ports: ports.filter_map(|port| be16(port, 2)).collect(),
    };
    Some((group, GROUP_BYTES + port_bytes))
}

/// What a SET TARGET PORT GROUPS command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetTargetPortGroups {
    /// The groups, in the order of the list. Linux sends one (`submit_stpg` in scsi_dh_alua.c).
    pub groups: Vec<SetGroup>,
    /// The data ends within a descriptor.
    pub truncated: bool,
}

/// A group, and the state it shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetGroup {
    /// Its identifier.
    pub id: u16,
    /// The state asked for.
    pub state: AccessState,
}

/// Decodes a SET TARGET PORT GROUPS parameter list, or a prefix of it.
///
/// # Errors
/// Fewer than the four reserved bytes it begins with.
pub fn parse_set(data: &[u8]) -> Result<SetTargetPortGroups, DecodeError> {
    require("SET TARGET PORT GROUPS parameter list", data, HEADER_BYTES)?;
    let descriptors = up_to(data, HEADER_BYTES, usize::MAX).chunks_exact(4);
    let truncated = !descriptors.remainder().is_empty();
    let groups = descriptors
        .filter_map(|group| {
            let &[state, _, high, low] = group.first_chunk()?;
            Some(SetGroup {
                id: u16::from_be_bytes([high, low]),
                state: AccessState::from_nibble(state),
            })
        })
        .collect();
    Ok(SetTargetPortGroups { groups, truncated })
}

#[cfg(test)]
mod tests {
    use super::super::bytes::Noise;
    use super::*;

    /// Two groups of two ports each, and an empty one in a reserved state.
    const PLAIN: &[u8] = &[
        0, 0, 0, 40, //
        0x80, 0x0f, 0x00, 0x01, 0, 0x01, 0x11, 2, 0, 0, 0, 1, 0, 0, 0x01, 3, //
        0x01, 0xdf, 0x12, 0x34, 0, 0x02, 0x00, 2, 0, 0, 0, 2, 0, 0, 0, 4, //
        0x05, 0x00, 0x00, 0x03, 0, 0x07, 0xff, 0,
    ];

    fn extended() -> Vec<u8> {
        [&[0, 0, 0, 44, 0x10, 60, 0, 0], &PLAIN[4..]].concat()
    }

    #[test]
    fn groups_are_decoded_byte_by_byte() {
        let answer = parse(PLAIN).unwrap();
        assert!(!answer.extended && !answer.truncated);
        assert_eq!(
            (answer.whole_bytes, answer.implicit_transition_s),
            (44, None)
        );
        let first = TargetPortGroup {
            id: 1,
            state: AccessState::OPTIMIZED,
            preferred: true,
            supported: SupportedStates(0x0f),
            status: StatusCode::SetTargetPortGroups,
            vendor: 0x11,
            n_ports: 2,
            ports: vec![1, 0x103],
        };
        assert_eq!(answer.groups[0], first);
        let second = &answer.groups[1];
        assert_eq!((second.id, second.preferred), (0x1234, false));
        assert_eq!(second.state, AccessState::NON_OPTIMIZED);
        assert_eq!(second.status, StatusCode::Implicit);
        assert_eq!(second.ports, [2, 4]);
        assert_eq!(answer.groups[2].state.to_string(), "reserved (0x5)");
        assert_eq!(answer.groups[2].status.to_string(), "reserved (0x07)");
    }

    /// Preferred is bit 7 of the byte that tells the extended header by bits 6:4.
    #[test]
    fn the_extended_header_is_told_from_a_descriptor() {
        let answer = parse(&extended()).unwrap();
        assert!(answer.extended && !answer.truncated);
        assert_eq!(answer.implicit_transition_s, Some(60));
        assert_eq!(answer.groups, parse(PLAIN).unwrap().groups);
        let mut reserved_bit_set = extended();
        reserved_bit_set[4] |= 0x80;
        assert!(parse(&reserved_bit_set).unwrap().extended);
        let mut other_format = extended();
        other_format[4] = 0x20;
        assert!(!parse(&other_format).unwrap().extended);
    }

    /// "Status code 01h means non-optimized", some say.
    #[test]
    fn the_status_code_is_no_state() {
        for state in 0..=0xf {
            for status in 0..=u8::MAX {
                let data = [0, 0, 0, 8, state, 0x0f, 0, 1, 0, status, 0, 0];
                let group = &parse(&data).unwrap().groups[0];
                assert_eq!(group.state, AccessState::from_nibble(state));
                assert_eq!(group.status.code(), status);
            }
        }
        assert!(StatusCode::new(1).to_string().contains("SET TARGET PORT"));
    }

    #[test]
    fn seven_states_can_be_supported() {
        assert_eq!(SupportedStates(0xff).to_string(), "AO AN SB UA LBD OF TR");
        assert_eq!(SupportedStates(0x20).to_string(), "none");
        for (bit, state) in SupportedStates::BITS {
            assert!(SupportedStates(bit).contains(state));
            assert!(!SupportedStates(!bit).contains(state));
        }
        assert!(!SupportedStates(0xff).contains(AccessState::from_nibble(5)));
    }

    #[test]
    fn every_prefix_gives_what_is_there() {
        for whole in [PLAIN.to_vec(), extended()] {
            let all = parse(&whole).unwrap().groups;
            for end in 0..whole.len() {
                if end < 4 {
                    assert!(parse(&whole[..end]).is_err());
                    continue;
                }
                let answer = parse(&whole[..end]).unwrap();
                assert!(answer.truncated, "{end}");
                for (there, group) in answer.groups.iter().zip(&all) {
                    assert_eq!(there.id, group.id);
                    assert!(group.ports.starts_with(&there.ports));
                }
            }
        }
        assert_eq!(parse(&PLAIN[..23]).unwrap().groups.len(), 1);
        assert_eq!(parse(&PLAIN[..19]).unwrap().groups[0].ports, [1]);
    }

    #[test]
    fn what_follows_the_answer_does_not_count() {
        let longer = [PLAIN, &[0xff; 20]].concat();
        assert_eq!(parse(&longer), parse(PLAIN));
        assert_eq!(parse(&[0, 0, 0, 0, 0x10, 9]).unwrap().groups, []);
        assert!(!parse(&[0, 0, 0, 0, 0x10, 9]).unwrap().extended);
    }

    #[test]
    fn a_length_that_ends_within_a_descriptor_is_truncated() {
        let mut data = PLAIN.to_vec();
        data[3] = 39;
        let answer = parse(&data).unwrap();
        assert!(answer.truncated);
        assert_eq!(answer.groups.len(), 2);
        let mut data = PLAIN[..20].to_vec();
        (data[3], data[11]) = (16, 3);
        let answer = parse(&data).unwrap();
        assert!(answer.truncated);
        assert_eq!(answer.groups[0].ports, [1, 0x103]);
    }

    #[test]
    fn set_lists_groups_and_states() {
        let list = parse_set(&[0, 0, 0, 0, 0, 0, 0, 1, 0x02, 0, 0x01, 2]).unwrap();
        let state = AccessState::OPTIMIZED;
        assert_eq!(list.groups[0], SetGroup { id: 1, state });
        let state = AccessState::STANDBY;
        assert_eq!(list.groups[1], SetGroup { id: 0x102, state });
        assert!(!list.truncated);
        let cut = parse_set(&[0, 0, 0, 0, 0, 0, 0]).unwrap();
        assert!(cut.truncated && cut.groups.is_empty());
        assert!(parse_set(&[0, 0, 0]).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic_nor_grow() {
        let mut noise = Noise::new();
        for round in 0..20_000 {
            let start: &[u8] = [&[][..], &[0, 0, 1], &[0, 0, 0, 255, 0x10]][round % 3];
            let bytes = noise.bytes(start, round % 300);
            if let Ok(answer) = parse(&bytes) {
                let ports: usize = answer.groups.iter().map(|group| group.ports.len()).sum();
                assert!(answer.groups.len() * 8 + ports * 4 <= bytes.len());
            }
            let _ = parse_set(&bytes);
        }
    }
}
