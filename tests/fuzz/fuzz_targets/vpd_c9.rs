//! Any bytes as VPD page C9h.

#![no_main]

use alua_trace::scsi::rdac::VolumeAccess;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(access) = VolumeAccess::parse(data) {
        assert!(access.priority().value <= 14);
    }
});
