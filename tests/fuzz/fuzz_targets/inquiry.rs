//! Any bytes as standard INQUIRY data.

#![no_main]

use alua_trace::scsi::inquiry::Inquiry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Inquiry::parse(data);
});
