//! Any bytes as VPD page 00h.

#![no_main]

use alua_trace::scsi::vpd;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = vpd::supported_pages(data);
});
