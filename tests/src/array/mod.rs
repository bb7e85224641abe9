//! The array emulator (`guest array`): one TCMU device per path, one LUN behind all of them.
//!
//! A process of its own, so that a tracer sees nothing of it but what the kernel does. Latency,
//! errors, access states and transfers are set over a socket while it runs; every command is
//! logged with the times at which the array saw and completed it.

mod access;
mod alua;
mod backstore;
mod client;
mod control;
mod delay;
mod faults;
mod journal;
mod model;
mod pages;
mod personality;
mod scsi;
mod server;
mod store;
mod tcmu;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub(crate) use access::{Controller, PathName};
pub(crate) use client::{Client, LoggedCommand};
pub(crate) use model::Shared;

/// What `guest array` is started with.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Where it listens.
    pub(crate) socket: String,
    /// Size of the LUN.
    pub(crate) size_bytes: u64,
    /// Distinguishes arrays: serial number and WWID are made from it.
    pub(crate) serial: u32,
    /// Hosts with a path to each controller.
    pub(crate) hosts: u8,
    /// TPGS field of INQUIRY: 1 implicit, 2 explicit, 3 both.
    pub(crate) tpgs: u8,
    /// Commands the log has room for.
    pub(crate) log_commands: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            socket: "/run/array.sock".to_owned(),
            size_bytes: 64 << 20,
            serial: 1,
            hosts: 2,
            tpgs: 3,
            log_commands: 1 << 20,
        }
    }
}

impl Options {
    /// As the words of a command line.
    pub(crate) fn to_arguments(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (name, value) in [
            ("--socket", self.socket.clone()),
            ("--size-bytes", self.size_bytes.to_string()),
            ("--serial", self.serial.to_string()),
            ("--hosts", self.hosts.to_string()),
            ("--tpgs", self.tpgs.to_string()),
            ("--log-commands", self.log_commands.to_string()),
        ] {
            words.extend([name.to_owned(), value]);
        }
        words
    }

    fn parse(words: &[&str]) -> Result<Options> {
        let mut options = Options::default();
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                bail!("{pair:?} has no value")
            };
            match *name {
                "--socket" => options.socket = (*value).to_owned(),
                "--size-bytes" => options.size_bytes = value.parse()?,
                "--serial" => options.serial = value.parse()?,
                "--hosts" => options.hosts = value.parse()?,
                "--tpgs" => options.tpgs = value.parse()?,
                "--log-commands" => options.log_commands = value.parse()?,
                _ => bail!("unknown option {name}"),
            }
        }
        Ok(options)
    }

    /// Every path, in the order in which an administrator would cable them: A1 B1 A2 B2.
    pub(crate) fn paths(&self) -> Vec<PathName> {
        let both = [Controller::A, Controller::B];
        (1..=self.hosts)
            .flat_map(|host| both.map(|controller| PathName { controller, host }))
            .collect()
    }
}

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
    let paths = options.paths();
    let shared = Arc::new(Shared::new(options));
    let mut workers = Vec::new();
    for path in &paths {
        let ring = backstore::create(*path, options.size_bytes)
            .with_context(|| format!("failed to set up path {path}"))?;
        let shared = Arc::clone(&shared);
        let path = *path;
        workers.push(std::thread::spawn(move || worker::run(path, ring, &shared)));
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
    for path in &paths {
        backstore::remove(*path)?;
    }
    served
}

/// Removes what an array that was killed left behind.
pub(crate) fn remove_leftovers(options: &Options) -> Result<()> {
    options.paths().into_iter().try_for_each(backstore::remove)
}

/// Directory of the TCMU device of `path`, to be linked into a LUN.
pub(crate) fn backstore_dir(path: PathName) -> String {
    backstore::directory(path)
}
