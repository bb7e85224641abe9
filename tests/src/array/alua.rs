//! REPORT and SET TARGET PORT GROUPS: the bytes of one, the meaning of the other. Pure.

use super::access::{Access, Controller};
use super::groups::Groups;
use super::scsi::Sense;

/// States the groups support: T, O, U, S, AN, AO.
const SUPPORTED: u8 = 0x80 | 0x40 | 0x08 | 0x04 | 0x02 | 0x01;
/// Implicit transition time the extended header tells, in seconds.
const TRANSITION_SECONDS: u8 = 30;

/// Parameter data of REPORT TARGET PORT GROUPS.
pub(crate) fn report_groups(
    groups: &Groups,
    preferred: Option<Controller>,
    extended: bool,
) -> Vec<u8> {
    let mut data = vec![0; 4];
    if extended {
        data.extend([0x10, TRANSITION_SECONDS, 0, 0]);
    }
    for (group, state) in groups.reported() {
        let preferred = u8::from(preferred == Some(group.controller)) << 7;
        let id = group.id.to_be_bytes();
        data.extend([preferred | state.code(), SUPPORTED, id[0], id[1]]);
        data.extend([0, group.changed_by as u8, 0, group.ports.len() as u8]);
        for port in &group.ports {
            let port = port.relative_port().to_be_bytes();
            data.extend([0, 0, port[0], port[1]]);
        }
    }
    let length = (data.len() as u32 - 4).to_be_bytes();
    data[..4].copy_from_slice(&length);
    data
}

/// The states that SET TARGET PORT GROUPS data asks for.
pub(crate) fn set_groups(groups: &Groups, parameters: &[u8]) -> Result<Vec<Access>, Sense> {
    let descriptors = parameters
        .get(4..)
        .unwrap_or_default()
        .chunks_exact(4)
        .map(|it| {
            let state = Access::of_code(it[0] & 0x0f)?;
            let id = u16::from_be_bytes([it[2], it[3]]);
            (state != Access::Transitioning).then_some((id, state))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or(Sense::INVALID_PARAMETER)?;
    let states = groups.requested(&descriptors);
    states.ok_or(Sense::INVALID_PARAMETER)
}

#[cfg(test)]
mod tests {
    use super::super::changes::Reason;
    use super::super::groups::Layout;
    use super::*;

    fn groups(group_per_port: bool) -> Groups {
        let layout = Layout {
            hosts: 2,
            group_per_port,
        };
        Groups::new(layout, Controller::A)
    }

    #[test]
    fn both_headers_are_byte_exact() {
        let mut groups = groups(false);
        groups.change(&groups.swapped(), Reason::Implicit);
        groups.change(&groups.swapped(), Reason::Implicit);
        let descriptors = [
            [0x80, 0xcf, 0, 1, 0, 2, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3],
            [0x01, 0xcf, 0, 2, 0, 2, 0, 2, 0, 0, 0, 2, 0, 0, 0, 4],
        ]
        .concat();
        let preferred = Some(Controller::A);
        let plain = [&[0, 0, 0, 32][..], &descriptors].concat();
        assert_eq!(report_groups(&groups, preferred, false), plain);
        let extended = [&[0, 0, 0, 36, 0x10, 30, 0, 0][..], &descriptors].concat();
        assert_eq!(report_groups(&groups, preferred, true), extended);
    }

    #[test]
    fn four_groups_have_a_descriptor_and_a_port_each() {
        let mut groups = groups(true);
        let wish = set_groups(&groups, &[0, 0, 0, 0, 0x00, 0, 0, 0x21]).unwrap();
        groups.change(&wish, Reason::OtherHost);
        let expected = [
            &[0, 0, 0, 48][..],
            &[0x01, 0xcf, 0, 0x11, 0, 1, 0, 1, 0, 0, 0, 1],
            &[0x01, 0xcf, 0, 0x12, 0, 1, 0, 1, 0, 0, 0, 3],
            &[0x00, 0xcf, 0, 0x21, 0, 1, 0, 1, 0, 0, 0, 2],
            &[0x00, 0xcf, 0, 0x22, 0, 1, 0, 1, 0, 0, 0, 4],
        ]
        .concat();
        assert_eq!(report_groups(&groups, None, false), expected);
    }

    #[test]
    fn unknown_groups_and_states_are_refused() {
        let groups = groups(false);
        for wrong in [
            [0, 0, 0, 0, 0, 0, 0, 9],
            [0, 0, 0, 0, 0x0f, 0, 0, 1],
            [0, 0, 0, 0, 0x05, 0, 0, 1],
        ] {
            assert_eq!(set_groups(&groups, &wrong), Err(Sense::INVALID_PARAMETER));
        }
    }
}
