//! Any text as what `multipathd show maps` prints.

#![no_main]

use alua_trace::cli::ImportKind;
use alua_trace::import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = import::parse(Some(ImportKind::ShowMaps), &String::from_utf8_lossy(data));
});
