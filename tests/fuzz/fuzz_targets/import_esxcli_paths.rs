//! Any text as what `esxcli storage core path list` prints.

#![no_main]

use alua_trace::cli::ImportKind;
use alua_trace::import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = import::parse(
        Some(ImportKind::EsxcliPaths),
        &String::from_utf8_lossy(data),
    );
});
