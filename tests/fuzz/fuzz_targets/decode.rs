//! Any bytes or text, in a dump or in words, as any page: the first byte picks the page and the form.

#![no_main]

use alua_trace::cli::DecodePage;
use alua_trace::decode;
use alua_trace::safe;
use clap::ValueEnum;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((pick, input)) = data.split_first() else {
        return;
    };
    let pages = DecodePage::value_variants();
    let page = pages[usize::from(pick >> 1) % pages.len()];
    if let Ok(shown) = decode::show(page, pick & 1 == 1, input) {
        assert!(!shown.chars().any(|c| c != '\n' && safe::is_unsafe(c)));
    }
});
