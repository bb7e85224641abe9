//! Any bytes as mode page 22h.

#![no_main]

use alua_trace::scsi::emc::Trespass;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(page) = Trespass::parse(data) {
        let _ = page.target_text();
    }
});
