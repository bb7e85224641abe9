//! The `alua-trace` binary: arguments in, exit status out.

use std::process::ExitCode;

use alua_trace::{
    cli::{Action, Cli},
    comparison, decode, doctor, experiment, export, gain, import, page, paths, replay, safe, trace,
    watch,
};
use clap::Parser;

/// Bad input, or no (complete) trace.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let result = match Cli::parse().into_action() {
        Action::Run(config) => trace::run(&config),
        Action::Watch(config) => watch::run(&config),
        Action::Replay(config) => replay::run(&config),
        Action::Compare(config) => comparison::run(&config),
        Action::Gain(config) => gain::run(&config),
        Action::Experiment(config) => experiment::run(&config),
        Action::ExperimentGuard(dir) => experiment::guard(&dir),
        Action::Export(config) => export::run(&config),
        Action::Report(config) => page::run(&config),
        Action::Doctor(config) => doctor::run(&config),
        Action::Decode(config) => decode::run(&config),
        Action::Paths(config) => paths::run(&config),
        Action::Import(config) => import::run(&config),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            // Messages may carry names of devices and files.
            eprintln!("alua-trace: {}", safe::sentence(&format!("{error:#}")));
            ExitCode::from(FAILED)
        }
    }
}
