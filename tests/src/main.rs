//! The `guest` binary: PID 1 of the lab's guests, and everything that runs in them.

use std::process::ExitCode;

fn main() -> ExitCode {
    alua_trace_tests::guest_main()
}
