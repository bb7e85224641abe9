//! The emulator as a process of its own, connected by tcm_loop; or in another guest, connected by iSCSI.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::loopback::{self, LabPath};
use crate::array::{self, Client, LoggedCommand, Options, StateChange};
use crate::iscsi::initiator;
use crate::sys;
use crate::sys::process::Background;

/// A running emulator.
#[derive(Debug)]
pub(crate) struct Emulator {
    options: Options,
    process: Option<Background>,
    client: Client,
    /// Each LUN over A1, then over B1 A2 B2; by iSCSI A1 A2 B1 B2.
    pub(crate) paths: Vec<LabPath>,
    is_remote: bool,
}

impl Emulator {
    /// Starts it and connects every path.
    pub(crate) fn start(options: Options) -> Result<Emulator> {
        let mut emulator = Emulator::launch(options)?;
        for name in emulator.options.paths() {
            let luns = 0..emulator.options.luns;
            let backstores: Vec<String> = luns.map(|lun| array::backstore_dir(name, lun)).collect();
            let paths = loopback::connect(name, &backstores)?;
            emulator.paths.extend(paths);
        }
        Ok(emulator)
    }

    /// Starts it, for somebody else to connect.
    pub(crate) fn launch(options: Options) -> Result<Emulator> {
        let mut command = Command::new("/proc/self/exe");
        command.arg("array").args(options.to_arguments());
        let mut process = Background::start(&mut command)?;
        let mut client = None;
        let waited = sys::wait_for(Duration::from_secs(10), "the emulator's socket", || {
            anyhow::ensure!(process.is_running()?, "the emulator ended");
            client = Client::connect(&options.socket).ok();
            Ok(client.is_some())
        });
        if let Err(error) = waited {
            let said = process
                .finish(Duration::from_millis(100))
                .map(|output| output.stderr);
            return Err(error).context(said.unwrap_or_default());
        }
        let client = client.context("no connection to the emulator")?;
        Ok(Emulator {
            options,
            process: Some(process),
            client,
            paths: Vec::new(),
            is_remote: false,
        })
    }

    /// Has the array's guest start it, and logs in to every portal.
    pub(crate) fn start_remote(options: Options) -> Result<Emulator> {
        let mut client = initiator::client()?;
        let paths = initiator::connect(&mut client, &options)?;
        Ok(Emulator {
            options,
            process: None,
            client,
            paths,
            is_remote: true,
        })
    }

    /// Sends a request over the control socket.
    pub(crate) fn ask(&mut self, request: &str) -> Result<Vec<String>> {
        self.client.ask(request)
    }

    /// What the array saw since it was told to `forget`.
    pub(crate) fn log(&mut self) -> Result<Vec<LoggedCommand>> {
        self.client.log()
    }

    /// Every change of an owner or a state since then, in order of time.
    pub(crate) fn transfers(&mut self) -> Result<Vec<StateChange>> {
        self.client.transfers()
    }

    /// Disconnects every path and ends the process.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_remote) {
            return initiator::disconnect(&mut self.client);
        }
        let Some(process) = self.process.take() else {
            return Ok(());
        };
        for request in ["delay all 0", "shipping 0", "quiesce 0", "transfer-time 0"] {
            let _ = self.client.ask(request);
        }
        let _ = self.client.ask("errors all off");
        let mut problems = Vec::new();
        for name in self.options.paths() {
            problems.extend(loopback::disconnect(name).err());
        }
        let _ = self.client.ask("quit");
        problems.extend(process.finish(Duration::from_secs(10)).err());
        problems.extend(array::remove_leftovers(&self.options).err());
        match problems.into_iter().next() {
            Some(problem) => Err(problem).context("failed to stop the emulator"),
            None => Ok(()),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}
