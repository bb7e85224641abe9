//! Telling of alerts: a thread and a short queue for each action, so that one that hangs holds up no other.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{journal, message::Message};
use crate::safe;

/// Messages that wait for an action; more are left out, and that is said.
const QUEUE: usize = 64;
/// How long a program may take.
const PROGRAM_WITHIN: Duration = Duration::from_secs(30);
/// How long a web hook may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries of a web hook: twice as long each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// For how long a web hook is tried.
const TRIED_FOR: Duration = Duration::from_secs(3600);
/// What its answer may be long, in bytes: it is not read.
const ANSWER_BYTES: u64 = 64 << 10;

/// How to tell of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a program, which is no shell's: words as they are, the message as JSON on its standard input and as
    /// `ALUA_TRACE_…` in its environment.
    Exec(Vec<String>),
    /// POST the message as JSON.
    Webhook {
        /// Where to.
        url: String,
        /// Headers beside `Content-Type`.
        headers: Vec<(String, String)>,
    },
    /// To systemd's journal, with fields.
    Journal,
    /// Append the message as a line of JSON.
    File(PathBuf),
}

/// Who tells of alerts by one action.
#[derive(Debug)]
pub struct Courier {
    name: String,
    sender: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Courier {
    /// Starts its thread.
    ///
    /// # Errors
    /// There can be none.
    pub fn start(name: &str, action: Action) -> Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let of = name.to_owned();
        let thread = thread::Builder::new()
            .name("alert".to_owned())
            .spawn(move || deliver_all(&of, &action, &receiver))
            .context("failed to start a thread for alerts")?;
        Ok(Self {
            name: name.to_owned(),
            sender: Some(sender),
            thread: Some(thread),
        })
    }

    /// Gives it a message; it does not wait.
    pub fn tell(&self, message: Message) {
        let Some(sender) = &self.sender else { return };
        if let Err(TrySendError::Full(message)) = sender.try_send(message) {
            let text = format!(
                "{} of alert {} is not told by {}: {QUEUE} wait for it already",
                message.status, message.alert, self.name
            );
            eprintln!("alua-trace: {}", safe::sentence(&text));
        }
    }

    /// Waits for a while until all is told; what hangs is left.
    pub fn close(mut self, within: Duration) {
        self.sender = None;
        let Some(thread) = self.thread.take() else {
            return;
        };
        let end = Instant::now() + within;
        while !thread.is_finished() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn deliver_all(name: &str, action: &Action, messages: &Receiver<Message>) {
    for message in messages {
        if let Err(error) = deliver(action, &message) {
            let text = format!("alert {} is not told by {name}: {error:#}", message.alert);
            eprintln!("alua-trace: {}", safe::sentence(&text));
        }
    }
}

fn deliver(action: &Action, message: &Message) -> Result<()> {
    match action {
        Action::Exec(words) => exec(words, message),
        Action::Webhook { url, headers } => {
            let end = Instant::now() + TRIED_FOR;
            let mut pause = FIRST_PAUSE;
            loop {
                match post(url, headers, message) {
                    Ok(()) => return Ok(()),
                    Err(Refused::ForGood(error)) => return Err(error),
                    Err(Refused::ForNow(error)) if Instant::now() + pause > end => {
                        return Err(error);
                    }
                    Err(Refused::ForNow(_)) => thread::sleep(pause),
                }
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
        Action::Journal => journal::alert(message),
        Action::File(path) => {
            let failed = || format!("cannot append to {}", path.display());
            let mut line = serde_json::to_vec(message)?;
            line.push(b'\n');
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.and_then(|mut file| file.write_all(&line))
                .with_context(failed)
        }
    }
}

/// Why a web hook did not take a message.
enum Refused {
    /// It may take it later.
    ForNow(anyhow::Error),
    /// It will not.
    ForGood(anyhow::Error),
}

fn post(url: &str, headers: &[(String, String)], message: &Message) -> Result<(), Refused> {
    let body = serde_json::to_vec(message).map_err(|error| Refused::ForGood(error.into()))?;
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_WITHIN))
        .http_status_as_error(false)
        .max_redirects(0)
        .build();
    let mut request = ureq::Agent::new_with_config(config)
        .post(url)
        .header("Content-Type", "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut answer = match request.send(&body[..]) {
        Ok(answer) => answer,
        Err(ureq::Error::BadUri(why)) => {
            return Err(Refused::ForGood(anyhow::anyhow!("{url}: {why}")));
        }
        Err(error) => return Err(Refused::ForNow(anyhow::anyhow!("{url}: {error}"))),
    };
    let status = answer.status();
    let said = answer
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES)
        .read_to_vec();
    drop(said);
    let error = || anyhow::anyhow!("{url} answers {status}");
    match status.as_u16() {
        200..=299 => Ok(()),
        // Request Timeout, Too Many Requests.
        408 | 429 | 500.. => Err(Refused::ForNow(error())),
        _ => Err(Refused::ForGood(error())),
    }
}

fn exec(words: &[String], message: &Message) -> Result<()> {
    let Some((program, arguments)) = words.split_first() else {
        bail!("there is no program to start");
    };
    let failed = || format!("cannot start {program}");
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment(message))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .with_context(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it is none the worse.
        let _ = stdin.write_all(&serde_json::to_vec(message)?);
    }
    let end = Instant::now() + PROGRAM_WITHIN;
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "{program} ended with {status}");
            return Ok(());
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            bail!(
                "{program} took longer than {} s and was ended",
                PROGRAM_WITHIN.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a program is told by its environment; no word of it is anything's code.
fn environment(message: &Message) -> [(&'static str, String); 8] {
    let number = |value: Option<f64>| value.map(|it| it.to_string()).unwrap_or_default();
    let recording = message.recording.as_ref();
    [
        ("ALUA_TRACE_STATUS", message.status.to_owned()),
        ("ALUA_TRACE_ALERT", message.alert.clone()),
        (
            "ALUA_TRACE_SEVERITY",
            super::severity(message.severity).to_owned(),
        ),
        ("ALUA_TRACE_EXPRESSION", message.expression.clone()),
        ("ALUA_TRACE_VALUE", number(message.value)),
        ("ALUA_TRACE_HOST", message.host.clone()),
        (
            "ALUA_TRACE_FINDINGS",
            message.findings.join("\n").replace('\0', ""),
        ),
        (
            "ALUA_TRACE_RECORDING",
            recording
                .map(|it| it.display().to_string())
                .unwrap_or_default(),
        ),
    ]
}

/// A line for who tells nobody else.
pub fn say(message: &Message) -> io::Result<()> {
    writeln!(io::stdout(), "{}", safe::sentence(&message.sentence()))
}
