//! What kind of array it is: which pages it has and how ownership is reported and moved.

use super::access::{Access, Controller, Groups, PathName};
use super::pages::{self, Identity};
use super::scsi::Sense;

/// Kind of array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Personality {
    /// ALUA; TPGS 1 implicit, 2 explicit, 3 both.
    Alua { tpgs: u8 },
}

impl Personality {
    /// TPGS field of INQUIRY.
    pub(crate) fn tpgs(self) -> u8 {
        match self {
            Personality::Alua { tpgs } => tpgs,
        }
    }

    /// A vital product data page, if it has it.
    pub(crate) fn vpd(self, page: u8, identity: &Identity, path: PathName) -> Option<Vec<u8>> {
        let supported: &[u8] = match self {
            Personality::Alua { .. } => &[0x00, 0x80, 0x83],
        };
        match page {
            0x00 => Some(pages::supported_pages(supported)),
            0x80 => Some(pages::serial_number(identity)),
            0x83 => Some(pages::device_identification(identity, path)),
            _ => None,
        }
    }

    /// Why a port of `controller` refuses reads and writes now, if it does.
    pub(crate) fn refuses(self, groups: &Groups, controller: Controller) -> Option<Sense> {
        match self {
            Personality::Alua { .. } => match groups.state(controller) {
                Access::Optimized | Access::NonOptimized => None,
                Access::Standby => Some(Sense::STANDBY),
                Access::Unavailable => Some(Sense::UNAVAILABLE),
                Access::Offline => Some(Sense::OFFLINE),
                Access::Transitioning => Some(Sense::TRANSITION),
            },
        }
    }
}
