//! Any bytes as REPORT TARGET PORT GROUPS data.

#![no_main]

use alua_trace::scsi::rtpg;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(answer) = rtpg::parse(data) {
        let ports: usize = answer.groups.iter().map(|group| group.ports.len()).sum();
        assert!(answer.groups.len() * 8 + ports * 4 <= data.len());
    }
});
