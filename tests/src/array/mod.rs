//! The array emulator (`guest array`): an ALUA or an RDAC array with two controllers, one TCMU
//! device per path and LUN.
//!
//! A process of its own, so that a tracer sees nothing of it but what the kernel does. Latency,
//! errors, access states and transfers are set over a socket while it runs; every command is
//! logged with the times at which the array saw and completed it.

mod access;
mod alua;
mod answer;
mod backstore;
mod changes;
mod client;
mod control;
mod delay;
mod faults;
mod groups;
mod journal;
mod lun;
mod model;
mod options;
mod pages;
mod personality;
mod rdac;
mod scsi;
mod server;
mod store;
mod tcmu;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};

use access::Nexus;
use model::Shared;

pub(crate) use access::{Access, Controller, PathName};
pub(crate) use changes::{Moved, Reason, StateChange};
pub(crate) use client::{Client, LoggedCommand};
pub(crate) use options::Options;
pub(crate) use rdac::Mode;
pub(crate) use scsi::Sense;

/// Runs an array until it is told to quit.
pub(crate) fn main(words: &[&str]) -> ExitCode {
    match Options::parse(words).and_then(|options| serve(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guest array: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Sends one request to the array that runs, for a person at the shell.
pub(crate) fn say(words: &[&str]) -> ExitCode {
    let socket = Options::default().socket;
    match Client::connect(&socket).and_then(|mut client| client.ask(&words.join(" "))) {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> Result<()> {
    let nexuses = options.nexuses();
    let shared = Arc::new(Shared::new(options));
    let mut workers = Vec::new();
    for nexus in nexuses.iter().copied() {
        let ring = backstore::create(nexus, options.size_bytes)
            .with_context(|| format!("failed to set up LUN {} on {}", nexus.lun, nexus.path))?;
        let shared = Arc::clone(&shared);
        workers.push(std::thread::spawn(move || {
            worker::run(nexus, ring, &shared)
        }));
    }
    let served = server::serve(&options.socket, &shared);
    shared.stop.store(true, Ordering::Release);
    for worker in workers {
        if let Ok(Err(error)) = worker.join() {
            eprintln!("guest array: {error:#}");
        }
    }
    // The last close of a uio device must come before its backstore can go.
    std::thread::sleep(Duration::from_millis(10));
    nexuses.into_iter().try_for_each(backstore::remove)?;
    served
}

/// Removes what an array that was killed left behind.
pub(crate) fn remove_leftovers(options: &Options) -> Result<()> {
    options
        .nexuses()
        .into_iter()
        .try_for_each(backstore::remove)
}

/// Directory of the TCMU device of LUN `lun` on `path`, to be linked into a LUN of a port.
pub(crate) fn backstore_dir(path: PathName, lun: u8) -> String {
    backstore::directory(Nexus { path, lun })
}
