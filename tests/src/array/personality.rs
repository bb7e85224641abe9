//! What kind of array it is, and which vital product data that gives it.

use super::access::Nexus;
use super::groups::Layout;
use super::lun::{Asymmetry, Lun};
use super::pages::{self, Identity};
use super::rdac::{self, Mode};

/// Kind of array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Personality {
    /// ALUA; TPGS 1 implicit, 2 explicit, 3 both.
    Alua { tpgs: u8 },
    /// RDAC, behind two controllers, for at most so many LUNs.
    Rdac { mode: Mode, max_luns: u8 },
}

impl Personality {
    /// Standard INQUIRY data.
    pub(crate) fn inquiry(self, identity: &Identity) -> Vec<u8> {
        match self {
            Personality::Alua { tpgs } => pages::standard_inquiry(identity, tpgs),
            Personality::Rdac { .. } => rdac::inquiry(identity),
        }
    }

    /// A vital product data page, if it has it.
    pub(crate) fn vpd(
        self,
        page: u8,
        identity: &Identity,
        layout: Layout,
        nexus: Nexus,
        lun: &Lun,
    ) -> Option<Vec<u8>> {
        let group = layout.group_of(nexus.path);
        match (self, page) {
            (_, 0x80) => Some(pages::serial_number(identity, nexus.lun)),
            (Personality::Alua { .. }, 0x00) => Some(pages::supported_pages(&[0x00, 0x80, 0x83])),
            (Personality::Alua { .. }, 0x83) => {
                Some(pages::device_identification(identity, nexus, Some(group)))
            }
            (Personality::Rdac { .. }, 0x00) => Some(pages::supported_pages(&rdac::PAGES)),
            (Personality::Rdac { .. }, 0x83) => {
                Some(pages::device_identification(identity, nexus, None))
            }
            (Personality::Rdac { mode, max_luns }, _) => {
                rdac_page(page, mode, max_luns, identity, nexus, lun)
            }
            _ => None,
        }
    }
}

fn rdac_page(
    page: u8,
    mode: Mode,
    max_luns: u8,
    identity: &Identity,
    nexus: Nexus,
    lun: &Lun,
) -> Option<Vec<u8>> {
    let controller = nexus.path.controller;
    match page {
        0xc2 => Some(rdac::software_version(max_luns)),
        0xc4 => Some(rdac::subsystem(identity, controller)),
        0xc8 => Some(rdac::extended_identification(identity, nexus.lun)),
        0xc9 => {
            let preferred = lun.preferred.map(|it| it == controller);
            let owned = matches!(lun.access, Asymmetry::Owner(owner) if owner == controller);
            Some(rdac::volume_access(mode, owned, preferred))
        }
        _ => None,
    }
}
