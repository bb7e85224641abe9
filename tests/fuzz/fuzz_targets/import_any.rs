//! Any text, of the kind that it looks like.

#![no_main]

use alua_trace::import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = import::parse(None, &String::from_utf8_lossy(data));
});
