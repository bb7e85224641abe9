//! Where lines go: JSON, the live view or plain lines, and the summary at the end. Each output has a
//! thread of its own ([`crate::sinks`]): rendering and writing never hold up the ring.

use std::{fs::File, os::unix::fs::FileTypeExt, path::Path, time::Duration};

use anyhow::{Context, Result};
use tokio::{sync::oneshot, time::sleep};

use super::signals::EndSignals;
use crate::{
    cli::{JsonTarget, Listen, RunConfig, Show},
    format,
    live::{self, Keys, Screen, Terminal},
    metrics::{Shared, server::Server},
    model::{Line, Start, Summary},
    safe,
    sinks::{
        Order, Sink,
        json::{Json, Target},
        queue::Output,
        view::{self, View},
    },
};

/// How long somebody may take to read the end before it is said what is waited for.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// All outputs of a trace.
pub(super) struct Outputs {
    json: Option<JsonOutput>,
    /// Standard output, unless JSON has it.
    view: Option<Output<Line>>,
    is_live: bool,
    /// Read while the live view has the terminal.
    keys: Option<Keys>,
    /// By their names, and what is theirs as long as they are.
    others: Vec<(&'static str, Output<Line>)>,
    _server: Option<Server>,
    started_at_ns: u64,
}

struct JsonOutput {
    output: Output<Line>,
    /// As the user named it.
    name: String,
    is_stdout: bool,
    /// That it was cut has been said.
    said: bool,
}

impl Outputs {
    /// Opens what the user wants.
    ///
    /// # Errors
    /// A file that cannot be made, a terminal that cannot be used.
    pub fn open(
        config: &RunConfig,
        start: &Start,
        maps: &[String],
        others: Vec<(&'static str, Box<dyn Sink<Line>>)>,
    ) -> Result<Self> {
        let open = |(name, sink)| Ok((name, Output::start(name, || Ok(sink))?));
        let mut others: Vec<_> = others.into_iter().map(open).collect::<Result<_>>()?;
        let json = config.json.as_ref().map(JsonOutput::open).transpose()?;
        let mut server = None;
        if let Some(listen) = &config.metrics {
            let shared = Shared::default();
            server = Some(serve(listen, &shared)?);
            others.push(("metrics", Output::start("metrics", || Ok(shared))?));
        }
        let started_at_ns = start.started_at_ns;
        let (mut is_live, mut keys) = (false, None);
        let has_stdout = json.as_ref().is_some_and(|json| json.is_stdout);
        let view = if has_stdout || config.show == Show::Nothing {
            None
        } else if config.show == Show::Live && live::usable() {
            is_live = true;
            keys = Keys::new();
            let screen = Screen::new(start, maps).with_keys(keys.is_some());
            let terminal = Terminal::enter().context("cannot use the terminal")?;
            let view = View::live(screen, terminal, started_at_ns);
            Some(Output::start("live view", || Ok(view))?)
        } else {
            let view = match config.show {
                Show::Events => View::events(),
                Show::Live | Show::Plain | Show::Nothing => View::plain(),
            };
            Some(Output::start("plain lines", || Ok(view))?)
        };
        let mut outputs = Self {
            json,
            view,
            is_live,
            keys,
            others,
            _server: server,
            started_at_ns,
        };
        outputs.say(vec![Line::Start(start.clone())]);
        Ok(outputs)
    }

    /// The live view has the terminal.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Gives the view what the user types, for ever.
    pub async fn obey_keys(&mut self) {
        let (Some(keys), Some(view)) = (&mut self.keys, &self.view) else {
            return std::future::pending().await;
        };
        loop {
            view.order(Order::Key(keys.next().await));
        }
    }

    /// Whether there is nobody to tell: a reader has gone, or standard output cannot be written.
    pub fn is_over(&self) -> bool {
        let json = self.json.as_ref();
        let view = self.view.as_ref();
        json.is_some_and(|it| {
            it.output.is_closed() || it.is_stdout && it.output.failure().is_some()
        }) || view.is_some_and(|it| it.is_closed() || it.failure().is_some())
    }

    /// Says lines everywhere.
    pub fn say(&mut self, lines: Vec<Line>) {
        if let Some(view) = &mut self.view {
            let of_people = lines
                .iter()
                .filter(|line| !matches!(line, Line::Command(_)));
            view.items(of_people.cloned());
        }
        for (_, other) in &mut self.others {
            let few = lines
                .iter()
                .filter(|line| !matches!(line, Line::Command(_)));
            other.items(few.cloned());
        }
        if let Some(json) = &mut self.json {
            json.output.items(lines);
        }
    }

    /// Says once that the JSON file was cut, as soon as it was.
    pub fn say_failures(&mut self, now_ns: u64) {
        if let Some(json) = &mut self.json
            && let Some(error) = json.output.failure()
            && !std::mem::replace(&mut json.said, true)
        {
            let text = json.cut(&error);
            self.say_failure(now_ns, &text);
        }
    }

    /// Says that something is written no more, among the plain lines.
    pub fn say_failure(&self, now_ns: u64, what: &str) {
        self.say_text(now_ns, &format!("{what}; the trace goes on"));
    }

    /// Says something of the tool's own among the plain lines.
    pub fn say_text(&self, now_ns: u64, what: &str) {
        if let Some(view) = &self.view {
            let since = format::elapsed(now_ns.saturating_sub(self.started_at_ns));
            view.order(Order::Say(format!("{since:>10} {what}\n")));
        }
    }

    /// Ends the live view: the terminal is the user's again. A further signal ends the wait for a
    /// terminal that is stopped.
    pub async fn leave_live(&mut self, signals: &mut EndSignals) {
        self.keys = None;
        if std::mem::take(&mut self.is_live)
            && let Some(view) = &self.view
        {
            let (sender, left) = oneshot::channel();
            view.order(Order::LeaveLive(sender));
            wait(left, signals, "somebody to read the terminal").await;
        }
    }

    /// Says how it all ended; gives what of it could not be said, and why.
    pub async fn finish(mut self, end: Summary, signals: &mut EndSignals) -> Vec<String> {
        let mut lost = Vec::new();
        if let Some(view) = &mut self.view {
            view.items([Line::Summary(end.clone())]);
            lost.extend(close(view, "standard output", signals).await);
        }
        if let Some(json) = &mut self.json {
            json.output.items([Line::Summary(end.clone())]);
            let name = json.name.clone();
            let unread = close(&mut json.output, &name, signals).await;
            match json.output.failure() {
                Some(error) => lost.push(json.cut(&error)),
                None => lost.extend(unread),
            }
        }
        for (name, other) in &mut self.others {
            other.items([Line::Summary(end.clone())]);
            lost.extend(close(other, name, signals).await);
        }
        if self.stdout_failed() {
            // What is left to say it on.
            eprint!("{}", view::text(&end, self.started_at_ns));
        }
        lost
    }

    fn stdout_failed(&self) -> bool {
        let json = self.json.as_ref().filter(|json| json.is_stdout);
        let output = self.view.as_ref().or(json.map(|json| &json.output));
        output.is_some_and(|output| output.failure().is_some())
    }
}

fn serve(listen: &Listen, metrics: &Shared) -> Result<Server> {
    let server = Server::start(listen, metrics.clone())?;
    eprintln!("alua-trace: metrics at {}", server.at);
    Ok(server)
}

impl JsonOutput {
    fn open(target: &JsonTarget) -> Result<Self> {
        let (name, output) = match target {
            JsonTarget::Stdout => {
                let open = || Ok(Json::new(Target::stdout()));
                ("--json -".to_owned(), Output::start("json", open)?)
            }
            JsonTarget::File(path) => (
                format!("--json {}", safe::name(&path.to_string_lossy())),
                open_file(path)?,
            ),
        };
        Ok(Self {
            output,
            name,
            is_stdout: matches!(target, JsonTarget::Stdout),
            said: false,
        })
    }

    fn cut(&self, error: &str) -> String {
        let lines = self.output.unwritten();
        let lines = if lines == 0 {
            String::new()
        } else {
            format!(", {lines} lines are missing")
        };
        format!(
            "{} ends early{lines}: {error}; make room, or name another file",
            self.name
        )
    }
}

fn open_file(path: &Path) -> Result<Output<Line>> {
    let failed = || {
        let path = path.display();
        format!("cannot write --json {path}; name a file that can be made")
    };
    if path.metadata().is_ok_and(|it| it.file_type().is_fifo()) {
        let path = path.to_owned();
        // Opening waits for a reader.
        return Output::start("json", move || {
            Ok(Json::new(Target::file(File::create(path)?)?))
        });
    }
    let file = File::create(path).with_context(failed)?;
    Output::start("json", || Ok(Json::new(Target::file(file)?)))
}

/// Waits until everything is written; gives what was not.
async fn close(output: &mut Output<Line>, name: &str, signals: &mut EndSignals) -> Option<String> {
    if let Some(ended) = output.close() {
        let written = wait(ended, signals, &format!("somebody to read {name}")).await;
        if !written {
            return Some(format!("{name} was not read to its end"));
        }
    }
    if let Some(error) = output.failure() {
        return Some(format!("{name} cannot be written: {error}"));
    }
    let lines = output.unwritten();
    (lines > 0 && !output.is_closed()).then(|| {
        format!("{name} was read too slowly: {lines} lines were left out, where it says so")
    })
}

/// Waits for an output's thread, which `what` names; false when a signal ended that.
pub(super) async fn wait(
    mut done: oneshot::Receiver<()>,
    signals: &mut EndSignals,
    what: &str,
) -> bool {
    tokio::select! {
        _ = &mut done => return true,
        () = sleep(READ_WITHIN) => {}
    }
    eprintln!("alua-trace: waiting for {what}; Ctrl-C ends that");
    tokio::select! {
        _ = done => true,
        _ = signals.next() => false,
    }
}
