//! What is known of the sides of the array that serve one logical unit. An RDAC controller that
//! owns it counts as active/optimized, as `check_ownership` has it.

use std::collections::BTreeMap;

use super::observation::{RdacMode, Side};
use crate::model::AccessState;

/// Sides kept per logical unit. SPC allows 65,536 port groups; arrays have a handful.
const MOST_SIDES: usize = 64;

/// Who owns a logical unit: its active/optimized sides, in order.
pub(super) type Owner = Vec<Side>;

/// Something told about one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub side: Side,
    pub state: AccessState,
    pub preferred: Option<bool>,
    /// RTPG status code.
    pub status: Option<u8>,
}

/// One side.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SideState {
    /// What the array is taken to hold, and since which answer.
    pub state: Option<AccessState>,
    pub told_ns: u64,
    pub status: Option<u8>,
    pub preferred: Option<bool>,
    pub transitioning_since_ns: Option<u64>,
    /// What the handler holds.
    pub filed: Option<AccessState>,
    /// Last command refused because of the access state or the owner.
    pub refused_ns: Option<u64>,
}

/// All sides of one logical unit.
#[derive(Debug, Default)]
pub(super) struct Sides(BTreeMap<Side, SideState>);

impl Sides {
    /// The side, made when there is room for it.
    pub fn entry(&mut self, side: Side) -> Option<&mut SideState> {
        if self.0.len() >= MOST_SIDES && !self.0.contains_key(&side) {
            return None;
        }
        Some(self.0.entry(side).or_default())
    }

    pub fn get(&self, side: Side) -> Option<&SideState> {
        self.0.get(&side)
    }

    /// The handler's work ran: `alua_rtpg` stores the state of every group in the response, except
    /// groups with their own RTPG work pending, whose work reports it. The handler keeps no state for
    /// a group without a path: `has_path`.
    pub fn filed_between(
        &mut self,
        (entry_ns, return_ns): (u64, u64),
        has_path: impl Fn(Side) -> bool,
    ) {
        let sides = self.0.iter_mut();
        for (_, known) in sides.filter(|(side, _)| has_path(**side)) {
            if (entry_ns..=return_ns).contains(&known.told_ns) {
                known.filed = known.state;
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Side, &SideState)> {
        self.0.iter().map(|(side, state)| (*side, state))
    }

    /// Whether its state has been told.
    pub fn knows(&self, side: Side) -> bool {
        self.get(side).is_some_and(|known| known.state.is_some())
    }

    /// The sides that are active/optimized.
    pub fn owner(&self) -> Owner {
        self.in_state(AccessState::Optimized)
    }

    /// Whether one is transitioning.
    pub fn in_motion(&self) -> bool {
        !self.in_state(AccessState::Transitioning).is_empty()
    }

    fn in_state(&self, state: AccessState) -> Vec<Side> {
        let sides = self.iter().filter(|(_, known)| known.state == Some(state));
        sides.map(|(side, _)| side).collect()
    }

    /// The sides that are preferred.
    pub fn preferred(&self) -> Vec<Side> {
        let sides = self
            .iter()
            .filter(|(_, known)| known.preferred == Some(true));
        sides.map(|(side, _)| side).collect()
    }

    /// Takes what was told at `told_ns`, unless something newer is known. A transition is dated
    /// from `asked_ns`.
    pub fn take(&mut self, told: &Told, asked_ns: u64, told_ns: u64) {
        let Some(known) = self.entry(told.side) else {
            return;
        };
        if told_ns < known.told_ns {
            return;
        }
        known.told_ns = told_ns;
        known.state = Some(told.state);
        known.status = told.status.or(known.status);
        known.preferred = told.preferred.or(known.preferred);
        known.transitioning_since_ns = if told.state == AccessState::Transitioning {
            known.transitioning_since_ns.or(Some(asked_ns))
        } else {
            None
        };
    }
}

/// The state `check_ownership` gives to a path of a controller.
pub(super) fn rdac_state(mode: Option<RdacMode>, owned: bool) -> AccessState {
    match (owned, mode) {
        (true, _) => AccessState::Optimized,
        (false, Some(RdacMode::Rdac) | None) => AccessState::Standby,
        (false, Some(RdacMode::Avt | RdacMode::IoShip)) => AccessState::NonOptimized,
    }
}

/// `TPG 1 and TPG 2`, or `no side`.
pub(super) fn names(owner: &[Side]) -> String {
    if owner.is_empty() {
        return "no side".to_owned();
    }
    strings(owner).join(" and ")
}

/// Each by its name.
pub(super) fn strings(owner: &[Side]) -> Vec<String> {
    owner.iter().map(Side::to_string).collect()
}
