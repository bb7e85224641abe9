//! Any text as what `--fail-if` and alerts take; one that is understood, asked of a trace without anything in it.

#![no_main]

use alua_trace::cli::{self, Gates};
use alua_trace::gates;
use alua_trace::model::{Losses, Summary};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(gate) = cli::gate(&String::from_utf8_lossy(data)) else {
        return;
    };
    let summary = Summary {
        duration_ns: 0,
        complete: true,
        incomplete_because: Vec::new(),
        paths: Vec::new(),
        flags: Vec::new(),
        ownership: Vec::new(),
        holds: Vec::new(),
        losses: Losses::default(),
        counting: None,
        probes: Vec::new(),
        command_status: None,
        cost: None,
    };
    let gates = Gates {
        gates: vec![gate],
        junit: None,
    };
    assert_eq!(gates::outcomes(&gates, &summary).len(), 1);
});
