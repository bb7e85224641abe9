//! Owns what a log has told of each path up to its end.

use std::collections::BTreeMap;

use super::message::{Fact, Subject};
use crate::import::room::Room;
use crate::inventory::model::{Access, AccessSource, Path, Rdac};
use crate::scsi::AccessState;
use crate::topology::{DevNo, Hctl};

/// Most paths that are kept, whatever the length of the log: hosts have fewer.
const MAX_PATHS: usize = 16 << 10;
/// Major numbers of SCSI disks, 16 disks of 16 minors each (drivers/scsi/sd.c `sd_major`).
const SD_MAJORS: [u32; 16] = [
    8, 65, 66, 67, 68, 69, 70, 71, 128, 129, 130, 131, 132, 133, 134, 135,
];
const MINORS: u32 = 16;

/// What is known of the paths, by address or number.
#[derive(Debug, Default)]
pub(super) struct Paths {
    by_address: BTreeMap<Hctl, Box<Known>>,
    by_number: BTreeMap<DevNo, Option<bool>>,
    /// A group's state is told once, by one of its paths, and is that of all: paths of the same
    /// logical unit in the same group.
    groups: BTreeMap<(String, u16), GroupState>,
}

#[derive(Debug, Clone, Copy)]
struct GroupState {
    state: AccessState,
    preferred: Option<bool>,
}

#[derive(Debug, Default)]
struct Known {
    device: Option<String>,
    wwid: Option<String>,
    tpgs: Option<u8>,
    group: Option<u16>,
    port: Option<u16>,
    state: Option<AccessState>,
    preferred: Option<bool>,
    handler: Option<&'static str>,
    mode: Option<&'static str>,
    owned: Option<bool>,
    array: Option<String>,
    /// Something beside its name.
    told: bool,
}

impl Paths {
    /// Learns a fact; `false` if there is no room for its path.
    pub(super) fn learn(&mut self, subject: Subject, fact: &Fact<'_>, room: &mut Room) -> bool {
        match subject {
            Subject::Address(address) => {
                let count = self.by_address.len();
                let mut new = || count < MAX_PATHS && room.take_path(0);
                if !self.by_address.contains_key(&address) && !new() {
                    return false;
                }
                let path = self.by_address.entry(address).or_default();
                path.learn(fact);
                if let (
                    Fact::State {
                        group,
                        state,
                        preferred,
                        ..
                    },
                    Some(wwid),
                ) = (fact, &path.wwid)
                {
                    let (state, preferred) = (*state, *preferred);
                    let of_group = GroupState { state, preferred };
                    self.groups.insert((wwid.clone(), *group), of_group);
                }
            }
            Subject::Number(number) => {
                let count = self.by_number.len();
                if !self.by_number.contains_key(&number)
                    && (count >= MAX_PATHS || !room.take_path(0))
                {
                    return false;
                }
                let failed = match fact {
                    Fact::Failed => Some(true),
                    Fact::Reinstated => Some(false),
                    _ => None,
                };
                let known = self.by_number.entry(number).or_default();
                *known = failed.or(*known);
            }
            Subject::None => {}
        }
        true
    }

    /// The address of a disk by its number, as far as the log tells it.
    pub(super) fn address_of(&self, number: DevNo) -> Option<Hctl> {
        let mut known = self.by_address.iter();
        let has = |path: &Known| path.device.as_deref().and_then(number_of_disk) == Some(number);
        known
            .find(|(_, path)| has(path))
            .map(|(address, _)| *address)
    }

    /// The paths as they were last, by address; then those of which only the number was told.
    pub(super) fn into_model(mut self) -> Vec<Path> {
        let mut paths = Vec::new();
        paths.reserve_exact(self.by_address.len() + self.by_number.len());
        for (address, mut known) in self.by_address {
            let group = known.wwid.clone().zip(known.group);
            if let Some(told) = group.and_then(|key| self.groups.get(&key)) {
                known.state = Some(told.state);
                known.preferred = told.preferred.or(known.preferred);
            }
            let number = known.device.as_deref().and_then(number_of_disk);
            let failed = number
                .and_then(|number| self.by_number.remove(&number))
                .flatten();
            // Disks of which nothing but the name was told are no business of ours.
            if !known.told && failed.is_none() {
                continue;
            }
            let mut path = known.into_model(address);
            path.devno = number.map(|number| number.to_string());
            path.dm_state = failed.map(dm_state);
            paths.push(path);
        }
        for (number, failed) in self.by_number {
            paths.push(Path {
                devno: Some(number.to_string()),
                dm_state: failed.map(dm_state),
                ..Path::default()
            });
        }
        paths
    }
}

fn dm_state(failed: bool) -> String {
    if failed { "failed" } else { "active" }.to_owned()
}

/// The number of a whole disk with a name such as `sdb`; `None` beyond the 256 first, whose numbers
/// are given as they come.
pub(super) fn number_of_disk(name: &str) -> Option<DevNo> {
    let letters = name
        .strip_prefix("sd")
        .filter(|letters| (1..=2).contains(&letters.len()))?;
    let index = letters.bytes().try_fold(0_u32, |index, byte| {
        byte.is_ascii_lowercase()
            .then(|| index * 26 + u32::from(byte - b'a') + 1)
    })? - 1;
    Some(DevNo {
        major: *SD_MAJORS.get(usize::try_from(index / 16).ok()?)?,
        minor: index % 16 * MINORS,
    })
}

impl Known {
    fn learn(&mut self, fact: &Fact<'_>) {
        self.told |= !matches!(fact, Fact::Named(_));
        match fact {
            Fact::Tpgs(tpgs) => (self.tpgs, self.handler) = (Some(*tpgs), Some("alua")),
            Fact::Port { wwid, group, port } => {
                self.wwid = wwid.map(str::to_owned).or(self.wwid.take());
                (self.group, self.port, self.handler) = (Some(*group), Some(*port), Some("alua"));
            }
            Fact::State {
                group,
                state,
                preferred,
                ..
            } => {
                (self.group, self.state, self.handler) = (Some(*group), Some(*state), Some("alua"));
                self.preferred = preferred.or(self.preferred);
            }
            Fact::Lun { mode, owned, .. } => {
                self.mode = mode.or(self.mode);
                (self.owned, self.handler) = (Some(*owned), Some("rdac"));
            }
            Fact::ModeSelect { array, .. } => {
                (self.array, self.handler) = (Some((*array).to_owned()), Some("rdac"));
            }
            Fact::Named(name) | Fact::Failure(name, _) => self.device = Some((*name).to_owned()),
            Fact::StateChanged | Fact::Text(_) | Fact::Failed | Fact::Reinstated => {}
        }
    }

    fn into_model(self, address: Hctl) -> Path {
        let is_rdac = self.handler == Some("rdac");
        Path {
            address: address.to_string(),
            device: self.device,
            wwid: self.wwid,
            handler: self.handler.map(str::to_owned),
            access: self.state.map(|state| Access {
                state,
                source: AccessSource::Printed,
                age_ms: None,
            }),
            preferred: self.preferred,
            port_group: self.group,
            relative_port: self.port,
            tpgs: self.tpgs,
            rdac: is_rdac.then(|| Rdac {
                mode: self.mode.map(str::to_owned),
                owned: self.owned,
                array: self.array,
                ..Rdac::default()
            }),
            ..Path::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_have_the_numbers_that_sd_gives_them() {
        for (name, number) in [
            ("sda", Some("8:0")),
            ("sdp", Some("8:240")),
            ("sdq", Some("65:0")),
            ("sds", Some("65:32")),
            ("sdaf", Some("65:240")),
            ("sdah", Some("66:16")),
            ("sdcx", Some("70:80")),
            ("sdiv", Some("135:240")),
            ("sdiw", None),
            ("sdaaa", None),
            ("sd", None),
            ("sdA", None),
            ("sr0", None),
        ] {
            let found = number_of_disk(name).map(|number| number.to_string());
            assert_eq!(found.as_deref(), number, "{name}");
        }
    }
}
