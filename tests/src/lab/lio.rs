//! LIO: the kernel's own array, a ramdisk with implicit and explicit ALUA. The second
//! implementation beside the emulator, by nobody here.

use anyhow::Result;

use super::loopback::{self, LabPath};
use crate::array::{Access, Controller, PathName};
use crate::sys;

const HBA: &str = "/sys/kernel/config/target/core/rd_mcp_0";
const SERIAL: &str = "36d4ae520009fffff000001";

/// Access states LIO can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Active/optimized.
    Optimized = 0,
    /// Active/non-optimized.
    NonOptimized = 1,
    /// Standby.
    Standby = 2,
    /// Unavailable.
    Unavailable = 3,
}

/// The array.
#[derive(Debug)]
pub(crate) struct Lio {
    /// A1 B1 A2 B2.
    pub(crate) paths: Vec<LabPath>,
}

fn device() -> String {
    format!("{HBA}/lun0")
}

fn group_dir(controller: Controller) -> String {
    format!("{}/alua/ctl{controller}", device())
}

fn names() -> Vec<PathName> {
    [1, 2]
        .into_iter()
        .flat_map(|host| Controller::ALL.map(|controller| PathName { controller, host }))
        .collect()
}

impl State {
    /// The state that LIO can be told, if it can.
    pub(crate) fn of(access: Access) -> Option<State> {
        match access {
            Access::Optimized => Some(State::Optimized),
            Access::NonOptimized => Some(State::NonOptimized),
            Access::Standby => Some(State::Standby),
            Access::Unavailable => Some(State::Unavailable),
            Access::Offline | Access::Transitioning => None,
        }
    }
}

impl Lio {
    /// Sets up 2 hosts × 2 controllers. `rescan` makes kernels from 6.12 ask for the states at
    /// once instead of taking every path for optimized.
    pub(crate) fn set_up(rescan: bool) -> Result<Lio> {
        make_backstore()?;
        let mut paths = Vec::new();
        for name in names() {
            let group = format!("ctl{}", name.controller);
            paths.push(loopback::connect_lio(name, &device(), &group)?);
        }
        if rescan {
            paths.iter().try_for_each(LabPath::rescan)?;
        }
        Ok(Lio { paths })
    }

    /// The array changes the states by itself (implicit).
    pub(crate) fn set_states(&self, a: State, b: State) -> Result<()> {
        self.set_state(Controller::A, a)?;
        self.set_state(Controller::B, b)
    }

    /// The array changes a controller's state by itself; returns when it has.
    pub(crate) fn set_state(&self, controller: Controller, state: State) -> Result<()> {
        let file = format!("{}/alua_access_state", group_dir(controller));
        sys::write(file, &(state as u8).to_string())
    }

    /// How long a group is in transition when its state changes.
    pub(crate) fn set_transition_time(&self, milliseconds: u64) -> Result<()> {
        for controller in Controller::ALL {
            let file = format!("{}/trans_delay_msecs", group_dir(controller));
            sys::write(file, &milliseconds.to_string())?;
        }
        Ok(())
    }

    /// Which controller the array prefers, if any.
    pub(crate) fn prefer(&self, preferred: Option<Controller>) -> Result<()> {
        for controller in Controller::ALL {
            let bit = u8::from(preferred == Some(controller)).to_string();
            sys::write(format!("{}/preferred", group_dir(controller)), &bit)?;
        }
        Ok(())
    }

    /// Removes all of it.
    pub(crate) fn tear_down(&mut self) -> Result<()> {
        remove()
    }
}

fn make_backstore() -> Result<()> {
    sys::make_dir(HBA)?;
    let device = device();
    sys::make_dir(&device)?;
    sys::write(format!("{device}/control"), "rd_pages=16384")?;
    sys::write(format!("{device}/enable"), "1")?;
    sys::write(format!("{device}/wwn/vpd_unit_serial"), SERIAL)?;
    for controller in Controller::ALL {
        let group = group_dir(controller);
        sys::make_dir(&group)?;
        sys::write(
            format!("{group}/tg_pt_gp_id"),
            &controller.group().to_string(),
        )?;
        sys::write(format!("{group}/alua_access_type"), "3")?;
        sys::write(
            format!("{group}/alua_access_state"),
            &controller.index().to_string(),
        )?;
    }
    Ok(())
}

/// Removes whatever is left of the array.
pub(crate) fn remove() -> Result<()> {
    names().into_iter().try_for_each(loopback::disconnect)?;
    Controller::ALL
        .into_iter()
        .map(group_dir)
        .try_for_each(sys::remove_dir)?;
    sys::remove_dir(device())?;
    sys::remove_dir(HBA)
}
