//! The control socket: answers each line with any number of lines and then `ok`, or with
//! `error: …`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};

use super::control::Control;
use super::model::{Shared, lock};
use crate::sys;

/// Serves clients side by side until one says `quit`.
pub(super) fn serve(socket: &str, shared: &Arc<Shared>) -> Result<()> {
    let _ = std::fs::remove_file(socket);
    let listener =
        UnixListener::bind(socket).with_context(|| format!("failed to listen on {socket}"))?;
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::Acquire) {
            break;
        }
        let stream = stream.context("failed to accept a client")?;
        let (shared, socket) = (Arc::clone(shared), socket.to_owned());
        std::thread::spawn(move || {
            if let Err(error) = talk(stream, &socket, &shared) {
                eprintln!("guest array: {error:#}");
            }
        });
    }
    std::fs::remove_file(socket).with_context(|| format!("failed to remove {socket}"))
}

fn talk(stream: UnixStream, socket: &str, shared: &Shared) -> Result<()> {
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let request = line?.parse();
        let quit = matches!(request, Ok(Control::Quit));
        let answer = match request.and_then(|request| obey(request, shared)) {
            Ok(text) => format!("{text}ok\n"),
            Err(error) => format!("error: {error:#}\n"),
        };
        answers.write_all(answer.as_bytes())?;
        if quit {
            shared.stop.store(true, Ordering::Release);
            // Wakes the listener up, which then sees that it is over.
            let _ = UnixStream::connect(socket);
            return Ok(());
        }
    }
    Ok(())
}

fn obey(request: Control, shared: &Shared) -> Result<String> {
    match request {
        Control::Lun(lun, change) => {
            let mut model = shared.model();
            model.change_luns(lun, &change, sys::monotonic_ns())?;
        }
        Control::Array(change) => shared.model().change_array(change)?,
        Control::Stat => return Ok(stat(shared)),
        Control::Log(file) => write_log(&file, shared)?,
        Control::Transfers(file) => {
            let text = transfers(shared)?;
            std::fs::write(&file, text).with_context(|| format!("failed to write {file}"))?;
        }
        Control::Forget => {
            let journals = shared.journals.values();
            journals.for_each(|journal| lock(journal).forget());
            shared.model().forget_changes(sys::monotonic_ns());
        }
        Control::Quit => {}
    }
    Ok(String::new())
}

fn stat(shared: &Shared) -> String {
    let mut text = shared.model().describe(sys::monotonic_ns());
    for (nexus, journal) in &shared.journals {
        let (noted, dropped) = lock(journal).counts();
        text.push_str(&format!(
            "path {} lun {} logged {noted} not-logged {dropped}\n",
            nexus.path, nexus.lun
        ));
    }
    text
}

fn transfers(shared: &Shared) -> Result<String> {
    let mut model = shared.model();
    let changes = model.changes(sys::monotonic_ns())?;
    Ok(changes.iter().map(|it| format!("{it}\n")).collect())
}

fn write_log(file: &str, shared: &Shared) -> Result<()> {
    let mut to = BufWriter::new(File::create(file).with_context(|| format!("cannot make {file}"))?);
    for (nexus, journal) in &shared.journals {
        lock(journal).write(*nexus, &mut to)?;
    }
    to.flush().context("failed to write the log")
}
