//! Owns the decoding of what RDAC arrays (LSI, Engenio, NetApp E-Series, Dell MD3) say and are
//! told in pages of their own. Layouts are those of the kernel's
//! drivers/scsi/device_handler/scsi_dh_rdac.c and of sg3_utils' sg_vpd_vendor.c.

mod identity;
mod redundant_controller;
mod volume_access;

pub use identity::{ExtendedIdentification, HardwareVersion, SoftwareVersion, SubsystemIdentifier};
pub use redundant_controller::{ControllerMode, Form, LunSlot, RedundantController, Transfer};
pub use volume_access::{ControllerState, Mode, PathPriority, Priority, VolumeAccess};
