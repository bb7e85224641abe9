//! Any text, imported and shown in every view. Nothing unsafe for a terminal gets through.

#![no_main]

use alua_trace::cli::View;
use alua_trace::import;
use alua_trace::inventory::views;
use alua_trace::safe;
use clap::ValueEnum;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Pictures are much larger than what they are made of.
    let data = &data[..data.len().min(8 << 10)];
    let Ok(imported) = import::parse(None, &String::from_utf8_lossy(data)) else {
        return;
    };
    for view in View::value_variants() {
        if let Ok(shown) = views::render(&imported.inventory, *view, 100) {
            assert!(!shown.chars().any(|c| c != '\n' && safe::is_unsafe(c)));
        }
    }
});
