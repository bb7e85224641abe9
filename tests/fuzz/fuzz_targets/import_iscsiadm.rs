//! Any text as what `iscsiadm -m session -P 3` prints.

#![no_main]

use alua_trace::cli::ImportKind;
use alua_trace::import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = import::parse(Some(ImportKind::Iscsiadm), &String::from_utf8_lossy(data));
});
