//! Any bytes as command descriptor blocks.

#![no_main]

use alua_trace::scsi::cdb::Cdb;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(cdb) = Cdb::parse(data) {
        let _ = cdb.name();
    }
});
