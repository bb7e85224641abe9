//! Any text as multipath.conf, and as what `multipathd show config` prints.

#![no_main]

use alua_trace::multipath_conf::{parse, tables::Tables};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut tables = Tables::default();
    let _ = tables.add_file(parse::parse("fuzzed", &text));
    let _ = Tables::of_multipathd(&text);
});
