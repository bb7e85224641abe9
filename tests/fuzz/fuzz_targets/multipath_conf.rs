//! Any text as multipath.conf, and as what `multipathd show config` prints.

#![no_main]

use alua_trace::multipath_conf::{
    effective::{Configuration, Place},
    findings::findings,
    parse,
    tables::{Subject, Tables},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut configuration = Configuration::new(Tables::default());
    let _ = configuration.add_file(parse::parse("fuzzed", &text), Place::Main);
    configuration.running = Some(Tables::of_multipathd(&text));
    let _ = configuration.of(&Subject {
        wwid: Some("3600"),
        vendor: Some("DELL"),
        product: Some("MD36xxi"),
        revision: Some("0784"),
    });
    let _ = findings(&configuration, None);
});
