//! What COMMAND prints, on its way to where it would have gone, with its end kept for the recording.

use std::{
    io::{PipeReader, Read, Write, pipe},
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::record::Printed;

/// How much of the end is kept.
pub(super) const KEPT_BYTES: usize = 64 << 10;
/// How long what a command has left behind may keep its pipes open.
const PATIENCE: Duration = Duration::from_secs(1);

/// Copies standard output and standard error.
pub(super) struct Copied {
    kept: Arc<Mutex<Kept>>,
    ended: Receiver<()>,
    threads: usize,
}

#[derive(Default)]
struct Kept {
    end: Vec<u8>,
    left_out: u64,
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        self.end.extend_from_slice(bytes);
        // Now and then, not for each byte that is too much.
        if self.end.len() > 2 * KEPT_BYTES {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let much = self.end.len().saturating_sub(KEPT_BYTES);
        self.end.drain(..much);
        self.left_out += much as u64;
    }
}

impl Copied {
    /// Gives what COMMAND is to write to.
    ///
    /// # Errors
    /// There are no pipes or threads to be had.
    pub fn start() -> Result<(Self, [Stdio; 2])> {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (sender, ended) = channel();
        let out = copy(&kept, &sender, std::io::stdout())?;
        let error = copy(&kept, &sender, std::io::stderr())?;
        let copied = Self {
            kept,
            ended,
            threads: 2,
        };
        Ok((copied, [out, error]))
    }

    /// What COMMAND, which has ended, printed.
    pub fn printed(self) -> Printed {
        for _ in 0..self.threads {
            if self.ended.recv_timeout(PATIENCE).is_err() {
                break;
            }
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.cut();
        printed(&kept.end, kept.left_out)
    }
}

/// The end of what was printed, as text.
pub(super) fn printed(end: &[u8], left_out: u64) -> Printed {
    Printed {
        text: String::from_utf8_lossy(end).into_owned(),
        left_out_bytes: left_out,
    }
}

fn copy(
    kept: &Arc<Mutex<Kept>>,
    ended: &Sender<()>,
    to: impl Write + Send + 'static,
) -> Result<Stdio> {
    let (reader, writer) = pipe().context("failed to make a pipe for COMMAND")?;
    let (kept, ended) = (Arc::clone(kept), ended.clone());
    thread::Builder::new()
        .name("command".to_owned())
        .spawn(move || {
            copy_all(reader, to, &kept);
            // Nobody waits if the trace has ended before.
            let _ = ended.send(());
        })
        .context("failed to start a thread for what COMMAND prints")?;
    Ok(writer.into())
}

fn copy_all(mut from: PipeReader, mut to: impl Write, kept: &Mutex<Kept>) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..count];
        // A reader that has gone is none of the recording's.
        let _ = to.write_all(bytes).and_then(|()| to.flush());
        kept.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_the_rest_counted() {
        let mut kept = Kept::default();
        for number in 0..40_000_u32 {
            kept.push(format!("{number:07}\n").as_bytes());
            assert!(kept.end.len() <= 2 * KEPT_BYTES + 8);
        }
        kept.cut();
        assert_eq!(kept.end.len(), KEPT_BYTES);
        assert_eq!(kept.left_out, 320_000 - KEPT_BYTES as u64);
        assert!(kept.end.ends_with(b"0039999\n"));
    }

    #[test]
    fn what_a_command_prints_is_kept() {
        let (copied, [out, error]) = Copied::start().unwrap();
        let status = std::process::Command::new("sh")
            .args(["-c", "echo out; echo error >&2"])
            .stdout(out)
            .stderr(error)
            .status()
            .unwrap();
        assert!(status.success());
        let printed = copied.printed();
        assert!(printed.text.contains("out\n") && printed.text.contains("error\n"));
        assert_eq!(printed.left_out_bytes, 0);
    }
}
