//! Any text as the watcher's configuration.

#![no_main]

use alua_trace::watch::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = Config::parse(&String::from_utf8_lossy(data)) {
        assert!(!format!("{error:#}").is_empty());
    }
});
