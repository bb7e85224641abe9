//! `cargo xtask`: everything a person types in this repository.

mod arch;
mod browser;
mod cli;
mod commands;
mod console;
mod cpio;
mod cross;
mod guest;
mod initramfs;
mod kernels;
mod lab;
mod licences;
mod modules;
mod multipath;
mod packages;
mod paths;
mod programs;
mod python;
mod qemu;
mod results;
mod say;
mod sources;
mod terminal;
mod tidy;
mod toolchain;
mod units;
mod userland;
mod version;
mod wire;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Cli, Verb};
use crate::paths::Paths;

fn main() -> ExitCode {
    match execute(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {}", cause.to_string().replace('\n', "\n    "));
            }
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: &Cli) -> Result<bool> {
    let paths = Paths::find()?;
    match &cli.verb {
        Verb::Run(args) => commands::run::run(&paths, args),
        Verb::Lab(args) => commands::lab::lab(&paths, args),
        Verb::Test(args) => commands::test::test(&paths, args),
        Verb::Soak(args) => commands::soak::soak(&paths, args),
        Verb::Bench(args) => commands::bench::bench(&paths, args),
        Verb::Doctor => commands::doctor::doctor(&paths),
        Verb::Fuzz(args) => commands::fuzz::fuzz(&paths, args),
        Verb::Dist(args) => commands::dist::dist(&paths, args),
        Verb::Ci => commands::ci::ci(&paths),
    }
}
