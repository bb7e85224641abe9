//! The lab's guest side and what the host needs to know of it.
//!
//! Runs as PID 1 of a QEMU guest; nothing here is needed to build or use `alua-trace`.

pub mod protocol;

mod array;
mod bench;
mod cases;
mod console;
mod init;
mod iscsi;
mod lab;
mod runner;
mod sys;

use std::process::ExitCode;

/// What the binary does: as PID 1 it is the guest's init, else its first argument says.
pub fn guest_main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if std::process::id() == 1 {
        return init::main();
    }
    match words.as_slice() {
        ["--list"] => cases::print_list(),
        ["task"] => runner::main(),
        ["array", rest @ ..] => array::main(rest),
        ["array-say", words @ ..] => array::say(words),
        ["far-array-say", words @ ..] => iscsi::say(words),
        ["empty-programs"] => bench::empty_programs(),
        _ => {
            eprintln!("usage: guest --list | task | array OPTIONS");
            ExitCode::from(2)
        }
    }
}
