//! Owns the asymmetric access states: codes, names, abbreviations. It does not know who holds
//! which state.

use std::fmt;

/// An asymmetric access state: the low nibble of byte 0 of an RTPG descriptor (SPC-4 6.37), of
/// `alua_port_group.state` and of `scsi_device.access_state` (`SCSI_ACCESS_STATE_MASK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessState(u8);

impl AccessState {
    /// Active/optimized.
    pub const OPTIMIZED: Self = Self(0x0);
    /// Active/non-optimized.
    pub const NON_OPTIMIZED: Self = Self(0x1);
    /// Standby.
    pub const STANDBY: Self = Self(0x2);
    /// Unavailable.
    pub const UNAVAILABLE: Self = Self(0x3);
    /// Logical block dependent.
    pub const LBA_DEPENDENT: Self = Self(0x4);
    /// Offline.
    pub const OFFLINE: Self = Self(0xe);
    /// Transitioning between two states.
    pub const TRANSITIONING: Self = Self(0xf);

    /// The seven states that are defined.
    pub const DEFINED: [Self; 7] = [
        Self::OPTIMIZED,
        Self::NON_OPTIMIZED,
        Self::STANDBY,
        Self::UNAVAILABLE,
        Self::LBA_DEPENDENT,
        Self::OFFLINE,
        Self::TRANSITIONING,
    ];

    /// The state in the low nibble; the bits above it (preferred, reserved) do not count.
    pub const fn from_nibble(byte: u8) -> Self {
        Self(byte & 0x0f)
    }

    /// The state that sysfs `access_state` names (drivers/scsi/scsi_sysfs.c
    /// `sdev_access_states`). `None` for a text the kernel never prints for a defined state.
    pub fn from_sysfs(text: &str) -> Option<Self> {
        Self::DEFINED
            .into_iter()
            .find(|state| state.defined_name() == Some(text))
    }

    /// The code, 0x0 to 0xf.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Whether SPC-4 does not define the code.
    pub const fn is_reserved(self) -> bool {
        self.defined_name().is_none()
    }

    /// The name as the kernel's sysfs attribute prints it; `None` for a reserved code.
    pub const fn defined_name(self) -> Option<&'static str> {
        match self.0 {
            0x0 => Some("active/optimized"),
            0x1 => Some("active/non-optimized"),
            0x2 => Some("standby"),
            0x3 => Some("unavailable"),
            0x4 => Some("lba-dependent"),
            0xe => Some("offline"),
            0xf => Some("transitioning"),
            _ => None,
        }
    }

    /// The abbreviation used in tables; a reserved code has none of its own.
    pub const fn abbreviation(self) -> &'static str {
        match self.0 {
            0x0 => "AO",
            0x1 => "AN",
            0x2 => "SB",
            0x3 => "UA",
            0x4 => "LBD",
            0xe => "OF",
            0xf => "TR",
            _ => "–",
        }
    }

    /// The letter in the kernel log (drivers/scsi/device_handler/scsi_dh_alua.c
    /// `print_alua_state`).
    pub const fn kernel_letter(self) -> char {
        match self.0 {
            0x0 => 'A',
            0x1 => 'N',
            0x2 => 'S',
            0x3 => 'U',
            0x4 => 'L',
            0xe => 'O',
            0xf => 'T',
            _ => 'X',
        }
    }
}

impl fmt::Display for AccessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.defined_name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("reserved (0x{:x})", self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_states_are_defined_and_nine_reserved() {
        let all = (0..=0xf).map(AccessState::from_nibble);
        assert_eq!(all.filter(|state| state.is_reserved()).count(), 9);
        for state in AccessState::DEFINED {
            assert_eq!(AccessState::from_sysfs(&state.to_string()), Some(state));
        }
    }

    #[test]
    fn reserved_codes_are_shown_with_their_number() {
        let state = AccessState::from_nibble(0x8b);
        assert_eq!(state.to_string(), "reserved (0xb)");
        assert_eq!((state.abbreviation(), state.kernel_letter()), ("–", 'X'));
        assert_eq!(AccessState::from_sysfs("reserved (0xb)"), None);
        assert_eq!(AccessState::from_sysfs("unknown"), None);
    }

    #[test]
    fn the_bits_above_the_nibble_do_not_count() {
        assert_eq!(AccessState::from_nibble(0x81), AccessState::NON_OPTIMIZED);
        assert_eq!(format!("{:>8}", AccessState::from_nibble(0xf2)), " standby");
    }
}
