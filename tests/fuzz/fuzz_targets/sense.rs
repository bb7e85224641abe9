//! Any bytes as sense data of both formats.

#![no_main]

use alua_trace::scsi::sense::SenseData;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(sense) = SenseData::parse(data) {
        let _ = (sense.deferred(), sense.field_pointer());
    }
});
