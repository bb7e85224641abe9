//! Any bytes as VPD page C2h.

#![no_main]

use alua_trace::scsi::rdac::SoftwareVersion;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = SoftwareVersion::parse(data);
});
