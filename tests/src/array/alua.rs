//! REPORT and SET TARGET PORT GROUPS: the bytes of one, the meaning of the other. Pure.

use super::access::{Access, Controller, Groups};
use super::scsi::Sense;

/// States the groups support: T, O, U, S, AN, AO.
const SUPPORTED: u8 = 0x80 | 0x40 | 0x08 | 0x04 | 0x02 | 0x01;
/// Implicit transition time the extended header tells, in seconds.
const TRANSITION_SECONDS: u8 = 30;

/// Parameter data of REPORT TARGET PORT GROUPS for `hosts` ports a group.
pub(crate) fn report_groups(groups: &Groups, hosts: u8, extended: bool) -> Vec<u8> {
    let mut data = vec![0; 4];
    if extended {
        data.extend([0x10, TRANSITION_SECONDS, 0, 0]);
    }
    for controller in Controller::ALL {
        let preferred = u8::from(groups.preferred == Some(controller)) << 7;
        let group = controller.group().to_be_bytes();
        data.extend([
            preferred | groups.state(controller).code(),
            SUPPORTED,
            group[0],
            group[1],
        ]);
        data.extend([0, groups.changed_by() as u8, 0, hosts]);
        for host in 1..=hosts {
            let port = super::access::PathName { controller, host }
                .relative_port()
                .to_be_bytes();
            data.extend([0, 0, port[0], port[1]]);
        }
    }
    let length = (data.len() as u32 - 4).to_be_bytes();
    data[..4].copy_from_slice(&length);
    data
}

/// The states that SET TARGET PORT GROUPS data asks for. Both groups move: making one optimized
/// makes the other non-optimized, unless the list says something else about it.
pub(crate) fn set_groups(groups: &Groups, parameters: &[u8]) -> Result<[Access; 2], Sense> {
    let mut states = groups.states();
    let mut named = [false; 2];
    for descriptor in parameters.get(4..).unwrap_or_default().chunks_exact(4) {
        let group = u16::from_be_bytes([descriptor[2], descriptor[3]]);
        let controller = Controller::of_group(group).ok_or(Sense::INVALID_PARAMETER)?;
        let state = Access::of_code(descriptor[0] & 0x0f)
            .filter(|state| *state != Access::Transitioning)
            .ok_or(Sense::INVALID_PARAMETER)?;
        states[controller.index()] = state;
        named[controller.index()] = true;
    }
    for controller in Controller::ALL {
        let (this, other) = (controller.index(), 1 - controller.index());
        let moved = named[this] && states[this] == Access::Optimized;
        if moved && !named[other] && states[other] == Access::Optimized {
            states[other] = Access::NonOptimized;
        }
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::super::access::ChangedBy;
    use super::*;

    #[test]
    fn both_headers_are_byte_exact() {
        let mut groups = Groups::default();
        groups.preferred = Some(Controller::A);
        groups.set(
            [Access::Optimized, Access::NonOptimized],
            ChangedBy::Implicit,
        );
        let descriptors = [
            [0x80, 0xcf, 0, 1, 0, 2, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3],
            [0x01, 0xcf, 0, 2, 0, 2, 0, 2, 0, 0, 0, 2, 0, 0, 0, 4],
        ]
        .concat();
        let plain = [&[0, 0, 0, 32][..], &descriptors].concat();
        assert_eq!(report_groups(&groups, 2, false), plain);
        let extended = [&[0, 0, 0, 36, 0x10, 30, 0, 0][..], &descriptors].concat();
        assert_eq!(report_groups(&groups, 2, true), extended);
    }

    #[test]
    fn one_group_made_optimized_moves_both() {
        let groups = Groups::default();
        let linux = [0, 0, 0, 0, 0x00, 0, 0, 2];
        assert_eq!(
            set_groups(&groups, &linux).unwrap(),
            [Access::NonOptimized, Access::Optimized]
        );
        let both = [0, 0, 0, 0, 0x00, 0, 0, 2, 0x00, 0, 0, 1];
        assert_eq!(set_groups(&groups, &both).unwrap(), [Access::Optimized; 2]);
    }

    #[test]
    fn unknown_groups_and_states_are_refused() {
        let groups = Groups::default();
        for wrong in [[0, 0, 0, 0, 0, 0, 0, 9], [0, 0, 0, 0, 0x0f, 0, 0, 1]] {
            assert_eq!(set_groups(&groups, &wrong), Err(Sense::INVALID_PARAMETER));
        }
    }
}
