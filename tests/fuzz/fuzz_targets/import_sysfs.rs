//! Any text as what `grep` and `systool` print of sysfs.

#![no_main]

use alua_trace::cli::ImportKind;
use alua_trace::import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = import::parse(Some(ImportKind::Sysfs), &String::from_utf8_lossy(data));
});
