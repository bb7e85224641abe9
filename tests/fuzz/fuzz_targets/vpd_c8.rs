//! Any bytes as VPD page C8h.

#![no_main]

use alua_trace::scsi::rdac::ExtendedIdentification;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = ExtendedIdentification::parse(data);
});
