//! Any bytes as mode page 2Ch.

#![no_main]

use alua_trace::scsi::rdac::RedundantController;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(page) = RedundantController::parse(data) {
        let _ = page.transfer();
    }
});
