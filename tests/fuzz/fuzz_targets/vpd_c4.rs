//! Any bytes as VPD page C4h.

#![no_main]

use alua_trace::scsi::rdac::SubsystemIdentifier;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(subsystem) = SubsystemIdentifier::parse(data) {
        let _ = subsystem.controller();
    }
});
