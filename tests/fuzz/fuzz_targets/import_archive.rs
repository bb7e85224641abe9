//! Any bytes as a support bundle: a tar file. What is packed is left out: unpacking xz and bzip2 takes
//! more memory by design than a target may have.

#![no_main]

use alua_trace::import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if !data.starts_with(b"\xfd7zXZ") && !data.starts_with(b"BZh") {
        let _ = import::parse_archive(data.to_vec());
    }
});
