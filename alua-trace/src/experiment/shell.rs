//! Running the commands of a plan: each in a process group of its own, with a time limit, and ended when the user
//! wants to.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, Command},
    time::{Instant, sleep, timeout_at},
};

use super::plan::Words;
use crate::safe;

/// Between asking a group of processes to end and ending it.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a command says when it fails is told up to here.
const TOLD_BYTES: u64 = 2000;
/// What a command may print, where that is kept: how something is set.
const MOST_BYTES: u64 = 1 << 20;
/// What a command waits for.
const GO: &str = "go";

/// Whoever ends what runs when this process is no more: it reads numbers of process groups from a pipe.
pub(super) struct Watch(Option<ChildStdin>);

impl Watch {
    /// By the process at the other end.
    pub(super) fn by(pipe: ChildStdin) -> Self {
        Self(Some(pipe))
    }

    /// Nobody does: this process is the last.
    pub(super) fn nobody() -> Self {
        Self(None)
    }

    async fn over(&mut self, group: Option<Pid>) -> Result<()> {
        let Some(pipe) = &mut self.0 else {
            return Ok(());
        };
        let group = group.map_or(0, Pid::as_raw_pid);
        let said = pipe.write_all(format!("{group}\n").as_bytes()).await;
        said.context("what restores the factors is gone: somebody has ended it")
    }
}

/// A command that runs.
pub(super) struct Running {
    child: Child,
    group: Option<Pid>,
    shown: String,
}

impl Running {
    /// Starts a command, whose output goes to the end of `log`. It begins when it is watched over, and
    /// never does if this process ends before.
    pub(super) async fn start(
        words: &[impl AsRef<OsStr>],
        log: &File,
        watch: &mut Watch,
    ) -> Result<Self> {
        let mut running = Self::waiting(words, log)?;
        watch.over(running.group).await?;
        if let Some(stdin) = &mut running.child.stdin {
            // One that was ended meanwhile reads nothing.
            let _ = stdin.write_all(format!("{GO}\n").as_bytes()).await;
        }
        Ok(running)
    }

    fn waiting(words: &[impl AsRef<OsStr>], log: &File) -> Result<Self> {
        let shown: Vec<_> = words
            .iter()
            .map(|it| it.as_ref().to_string_lossy())
            .collect();
        let shown = safe::text(&shown.join(" "), 120);
        let mut command = Command::new("sh");
        command
            .args(["-c", "read -r go && exec \"$@\"", "sh"])
            .args(words);
        command.stdin(Stdio::piped()).process_group(0);
        command.stdout(log.try_clone()?).stderr(log.try_clone()?);
        let child = command
            .spawn()
            .with_context(|| format!("cannot run `{shown}`: no shell"))?;
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self {
            child,
            group,
            shown,
        })
    }

    /// Gives it all of its input, and waits for its end.
    async fn fed(&mut self, input: &str) -> Result<ExitStatus> {
        let stdin = self.child.stdin.take();
        let feeding = async {
            if let Some(mut stdin) = stdin {
                // One that reads nothing may have ended by now.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let (_, waited) = tokio::join!(feeding, self.child.wait());
        waited.with_context(|| format!("cannot wait for `{}`", self.shown))
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus> {
        let waited = self.child.wait().await;
        waited.with_context(|| format!("cannot wait for `{}`", self.shown))
    }

    /// Whether it has ended, and how.
    pub(super) fn try_ended(&mut self) -> Result<Option<ExitStatus>> {
        let waited = self.child.try_wait();
        waited.with_context(|| format!("cannot wait for `{}`", self.shown))
    }

    /// Ends it: by SIGINT, as a user would; what is left of its group then by SIGKILL.
    pub(super) async fn end(&mut self) -> Result<ExitStatus> {
        if let Some(group) = self.group {
            // One that has just ended is what is wanted.
            let _ = kill_process_group(group, Signal::INT);
        }
        let status = timeout_at(Instant::now() + PATIENCE, self.child.wait()).await;
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        match status {
            Ok(status) => Ok(status?),
            Err(_) => self.ended().await,
        }
    }
}

/// Ends every process of a group, which may be there no more.
pub(super) async fn end_group(group: Pid) {
    let is_there = || rustix::process::test_kill_process_group(group).is_ok();
    if !is_there() {
        return;
    }
    let _ = kill_process_group(group, Signal::INT);
    let until = Instant::now() + PATIENCE;
    while is_there() && Instant::now() < until {
        sleep(Duration::from_millis(20)).await;
    }
    let _ = kill_process_group(group, Signal::KILL);
    // What hangs in the kernel ends when that lets it.
    let until = Instant::now() + PATIENCE;
    while is_there() && Instant::now() < until {
        sleep(Duration::from_millis(5)).await;
    }
}

/// Runs a command to its end, with this as its input; gives what it printed.
///
/// # Errors
/// It cannot be run, takes longer, or ends with another status than 0: with what it said.
pub(super) async fn run(
    words: &Words,
    input: &str,
    at_most: Duration,
    watch: &mut Watch,
) -> Result<String> {
    run_words(words.words(), input, at_most, watch).await
}

/// The same of words that stand in no plan.
///
/// # Errors
/// The same.
pub(super) async fn run_words(
    words: &[impl AsRef<OsStr>],
    input: &str,
    at_most: Duration,
    watch: &mut Watch,
) -> Result<String> {
    let said = tempfile()?;
    let mut running = Running::start(words, &said, watch).await?;
    let shown = running.shown.clone();
    let ended = timeout_at(Instant::now() + at_most, running.fed(input)).await;
    let status = match ended {
        Ok(status) => status?,
        Err(_) => {
            running.end().await?;
            bail!("`{shown}` took longer than {} s", at_most.as_secs());
        }
    };
    let text = text_of(&said)?;
    if !status.success() {
        let text = safe::text(text.trim(), TOLD_BYTES as usize);
        let said = if text.is_empty() {
            String::new()
        } else {
            format!(": {text}")
        };
        bail!("`{shown}` {}{said}", how(status));
    }
    ensure!(
        text.len() as u64 <= MOST_BYTES,
        "`{shown}` prints more than {} KiB",
        MOST_BYTES >> 10
    );
    Ok(text)
}

/// `ended with status 2`, `was ended by signal 9`.
pub(super) fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The end of a log, as far as it was written behind `from`, for a message.
pub(super) fn tail(log: &Path, from: u64) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let last = text.len().saturating_sub(TOLD_BYTES as usize);
    let from = last
        .max(usize::try_from(from).unwrap_or(usize::MAX))
        .min(text.len());
    let text = String::from_utf8_lossy(&text[from..]).into_owned();
    let lines: Vec<&str> = text.lines().filter(|it| !it.trim().is_empty()).collect();
    let last = lines
        .get(lines.len().saturating_sub(3)..)
        .unwrap_or_default();
    safe::text(&last.join(" / "), TOLD_BYTES as usize)
}

fn tempfile() -> Result<File> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let file = rustix::fs::memfd_create("alua-trace-experiment", flags);
    Ok(File::from(
        file.context("no room for what a command prints")?,
    ))
}

fn text_of(said: &File) -> Result<String> {
    use std::io::Seek;
    let mut text = Vec::new();
    let mut said = said.try_clone()?;
    said.rewind()?;
    // One more than may be: what is cut is not taken for all of it.
    said.take(MOST_BYTES + 1).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Words {
        serde_json::from_value(line.into()).unwrap()
    }

    async fn said(line: &str, input: &str) -> Result<String> {
        let limit = Duration::from_millis(700);
        run(&words(line), input, limit, &mut Watch::nobody()).await
    }

    #[tokio::test]
    async fn commands_say_what_they_print_and_how_they_fail() {
        assert_eq!(said("cat", "1500\n").await.unwrap(), "1500\n");
        assert_eq!(said("true", &"x".repeat(1 << 20)).await.unwrap(), "");
        // What does not read its input is not waited for for ever, and what is printed is not cut.
        let much = "x".repeat(1 << 20);
        let error = said("sleep 60", &much).await.unwrap_err().to_string();
        assert!(error.contains("took longer"), "{error}");
        assert_eq!(said("cat", &much).await.unwrap(), much);
        let error = said("cat; echo", &much).await.unwrap_err().to_string();
        assert!(error.contains("prints more than 1024 KiB"), "{error}");
        let error = said("echo 'no such \u{1b}[31m interface' >&2; exit 3", "")
            .await
            .unwrap_err();
        let error = error.to_string();
        assert!(error.contains("ended with status 3: no such"), "{error}");
        assert!(!error.contains('\u{1b}'), "{error:?}");
        let error = said("kill -9 $$", "").await.unwrap_err().to_string();
        assert!(error.contains("was ended by signal 9"), "{error}");
        let begun = Instant::now();
        let error = said("sleep 60 & sleep 60", "")
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("took longer"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(20));
        let error = said("exec /no/such", "").await.unwrap_err().to_string();
        assert!(
            error.contains("/no/such") && error.contains("status 127"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_command_that_is_not_watched_over_never_begins() {
        let log = tempfile().unwrap();
        let mut waiting = Running::waiting(&["echo", "begun"], &log).unwrap();
        drop(waiting.child.stdin.take());
        assert!(!waiting.ended().await.unwrap().success());
        assert_eq!(text_of(&log).unwrap(), "");
    }

    #[tokio::test]
    async fn a_group_ends_with_all_that_it_has_started() {
        let log = tempfile().unwrap();
        let line = ["sh", "-c", "trap '' INT; echo begun; sleep 600 & sleep 600"];
        let mut watch = Watch::nobody();
        let mut running = Running::start(&line, &log, &mut watch).await.unwrap();
        let group = running.group.unwrap();
        while text_of(&log).unwrap().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
        // Its parent waits for it, as a guard's does not.
        let reaping = tokio::spawn(async move { running.ended().await });
        end_group(group).await;
        assert!(rustix::process::test_kill_process_group(group).is_err());
        assert!(!reaping.await.unwrap().unwrap().success());
    }
}
