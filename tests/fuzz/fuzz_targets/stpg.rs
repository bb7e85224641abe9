//! Any bytes as the SET TARGET PORT GROUPS parameter list.

#![no_main]

use alua_trace::scsi::rtpg;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = rtpg::parse_set(data);
});
