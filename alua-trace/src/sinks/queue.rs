//! One output's way out of the trace: a bounded queue, and a thread that renders and writes, so that
//! a slow reader never holds up the ring.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use crate::model::{LeftOut, Line};

/// How much may wait for a slow reader: some 250,000 commands.
pub(super) const MOST_BYTES: usize = 64 << 20;
/// What a row of an interval takes with its path's names, about.
const ROW_BYTES: usize = 512;
/// What the names in any other line take, about.
const NAMES_BYTES: usize = 64;

/// What becomes of lines.
pub(super) trait Write: Send + 'static {
    /// Takes a line; it may be kept until a later one, or the end.
    fn line(&mut self, line: &Line) -> io::Result<()>;

    /// Nothing more waits now.
    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Nothing more will come: what was kept goes out.
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Writing failed, and is over: what is left should be whole.
    fn cut(&mut self) {}

    /// Something else than a line that the output can do.
    fn take(&mut self, _: Order) -> io::Result<()> {
        Ok(())
    }
}

/// Something for an output to do among its lines.
pub(super) enum Order {
    /// The terminal is the user's again; tells when it is.
    LeaveLive(oneshot::Sender<()>),
    /// A text for people, from the tool itself.
    Say(String),
}

enum Message {
    Lines(Vec<Line>),
    Order(Order),
}

/// Why nothing is written any more.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The reader closed the pipe. No error: it has seen what it wanted.
    Closed,
    /// Writing failed.
    Failed(io::Error),
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    /// Lines taken from the queue and not written.
    unwritten: AtomicU64,
    stopped: Mutex<Option<Stopped>>,
}

impl Shared {
    fn stopped(&self) -> MutexGuard<'_, Option<Stopped>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An output as the trace sees it. Nothing here waits.
pub(super) struct Output {
    sender: Option<mpsc::Sender<Message>>,
    shared: Arc<Shared>,
    ended: Option<oneshot::Receiver<()>>,
    /// Lines left out since the last one that found room.
    gap: u64,
    left_out: u64,
}

impl Output {
    /// Starts the thread; `open` runs on it, since to open a FIFO may take until somebody reads.
    pub fn start<W: Write>(
        name: &str,
        open: impl FnOnce() -> io::Result<W> + Send + 'static,
    ) -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let (ended_sender, ended) = oneshot::channel();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                write_all(open, &receiver, &of_thread);
                // Whoever waited may have given up.
                let _ = ended_sender.send(());
            })
            .context("failed to start a thread for output")?;
        Ok(Self {
            sender: Some(sender),
            shared,
            ended: Some(ended),
            gap: 0,
            left_out: 0,
        })
    }

    /// Gives lines to be written. Without room they are left out, and counted; the summary always
    /// finds room.
    pub fn lines(&mut self, lines: impl IntoIterator<Item = Line>) {
        let mut waiting = self.shared.waiting.load(Ordering::Relaxed);
        let mut batch = Vec::new();
        for line in lines {
            let bytes = bytes_of(&line);
            if waiting + bytes > MOST_BYTES && !matches!(line, Line::Summary(_)) {
                self.gap += 1;
                self.left_out += 1;
                continue;
            }
            if self.gap > 0 {
                let lines = std::mem::take(&mut self.gap);
                batch.push(Line::LeftOut(LeftOut { lines }));
            }
            waiting += bytes;
            batch.push(line);
        }
        if !batch.is_empty() {
            let bytes = batch.iter().map(bytes_of).sum();
            self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
            self.message(Message::Lines(batch));
        }
    }

    /// Gives an order, behind the lines that wait.
    pub fn order(&self, order: Order) {
        self.message(Message::Order(order));
    }

    fn message(&self, message: Message) {
        if let Some(sender) = &self.sender {
            // The thread takes messages until the sender is dropped.
            let _ = sender.send(message);
        }
    }

    /// Nothing more will be said; gives what tells when everything is written.
    pub fn close(&mut self) -> Option<oneshot::Receiver<()>> {
        self.sender = None;
        self.ended.take()
    }

    /// Whether the reader closed the pipe.
    pub fn is_closed(&self) -> bool {
        matches!(*self.shared.stopped(), Some(Stopped::Closed))
    }

    /// Why writing failed, if it did.
    pub fn failure(&self) -> Option<String> {
        match &*self.shared.stopped() {
            Some(Stopped::Failed(error)) => Some(error.to_string()),
            _ => None,
        }
    }

    /// Lines that were not written: left out for want of room, or lost to a failure.
    pub fn unwritten(&self) -> u64 {
        self.left_out + self.shared.unwritten.load(Ordering::Relaxed)
    }
}

fn write_all<W: Write>(
    open: impl FnOnce() -> io::Result<W>,
    receiver: &mpsc::Receiver<Message>,
    shared: &Shared,
) {
    let mut out = match open() {
        Ok(out) => Some(out),
        Err(error) => {
            stop(shared, error);
            None
        }
    };
    while let Some(message) = receive(receiver, &mut out, shared) {
        let (mut bytes, mut lines) = (0, 0);
        if let Message::Lines(batch) = &message {
            bytes = batch.iter().map(bytes_of).sum();
            lines = batch.len() as u64;
        }
        let done = out.as_mut().map_or(0, |out| take(out, message, shared));
        shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
        let lost = lines.saturating_sub(done);
        shared.unwritten.fetch_add(lost, Ordering::Relaxed);
        give_up(&mut out, shared);
    }
    if let Some(out) = &mut out {
        note(out.end(), shared);
    }
    give_up(&mut out, shared);
}

/// The next message; before it waits for one, the output hears that nothing waits.
fn receive<W: Write>(
    receiver: &mpsc::Receiver<Message>,
    out: &mut Option<W>,
    shared: &Shared,
) -> Option<Message> {
    if let Ok(message) = receiver.try_recv() {
        return Some(message);
    }
    if let Some(out) = out {
        note(out.idle(), shared);
    }
    give_up(out, shared);
    receiver.recv().ok()
}

/// Gives a message to the output, until that fails; gives how many lines it took.
fn take<W: Write>(out: &mut W, message: Message, shared: &Shared) -> u64 {
    let lines = match message {
        Message::Lines(lines) => lines,
        Message::Order(order) => {
            note(out.take(order), shared);
            return 0;
        }
    };
    let mut taken = 0;
    for line in &lines {
        if !note(out.line(line), shared) {
            break;
        }
        taken += 1;
    }
    taken
}

/// What was being written when it failed is cut, and nothing more is written.
fn give_up<W: Write>(out: &mut Option<W>, shared: &Shared) {
    if shared.stopped().is_some()
        && let Some(mut out) = out.take()
    {
        out.cut();
    }
}

/// Notes why writing stopped; whether it goes on.
fn note(written: io::Result<()>, shared: &Shared) -> bool {
    let Err(error) = written else {
        return true;
    };
    stop(shared, error);
    false
}

fn stop(shared: &Shared, error: io::Error) {
    *shared.stopped() = Some(if error.kind() == io::ErrorKind::BrokenPipe {
        Stopped::Closed
    } else {
        Stopped::Failed(error)
    });
}

/// What a line takes in memory, about.
fn bytes_of(line: &Line) -> usize {
    let rows = match line {
        Line::Interval(interval) => interval.rows.len(),
        _ => 0,
    };
    size_of::<Line>() + NAMES_BYTES + rows * ROW_BYTES
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::model::Interval;
    use crate::report::samples;

    /// Writes when it is let, and tells what.
    struct Let {
        may: Receiver<io::Result<()>>,
        wrote: Sender<Line>,
    }

    impl Write for Let {
        fn line(&mut self, line: &Line) -> io::Result<()> {
            self.may.recv().unwrap_or(Ok(()))?;
            self.wrote.send(line.clone()).unwrap();
            Ok(())
        }
    }

    fn output() -> (Output, Sender<io::Result<()>>, Receiver<Line>) {
        let (may_sender, may) = channel();
        let (wrote, written) = channel();
        let output = Output::start("test", || Ok(Let { may, wrote })).unwrap();
        (output, may_sender, written)
    }

    fn big() -> Line {
        let rows = vec![samples::interval(1).rows[0].clone(); 1000];
        Line::Interval(Interval {
            rows,
            ..samples::interval(1)
        })
    }

    fn end(mut output: Output) -> Output {
        output.close().unwrap().blocking_recv().unwrap();
        output
    }

    #[test]
    fn what_finds_no_room_is_counted_where_it_is_missing_and_the_summary_finds_room() {
        let (mut output, may, written) = output();
        let fit = MOST_BYTES / bytes_of(&big());
        for _ in 0..fit + 10 {
            output.lines([big()]);
        }
        output.lines([Line::Summary(samples::hostile_summary())]);
        drop(may);
        let output = end(output);
        let lines: Vec<Line> = written.iter().collect();
        assert!(
            lines[..fit]
                .iter()
                .all(|it| matches!(it, Line::Interval(_)))
        );
        let gap = Line::LeftOut(LeftOut { lines: 10 });
        assert_eq!(lines[fit], gap);
        assert!(matches!(lines[fit + 1..], [Line::Summary(_)]));
        assert_eq!(output.unwritten(), 10);
        assert!(output.failure().is_none() && !output.is_closed());
    }

    #[test]
    fn after_a_failure_lines_are_counted_and_memory_is_given_back() {
        let (mut output, may, written) = output();
        output.lines([big(), big(), big()]);
        output.lines([big()]);
        may.send(Ok(())).unwrap();
        may.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        let output = end(output);
        assert_eq!((written.iter().count(), output.unwritten()), (1, 3));
        assert!(output.failure().unwrap().contains("space"));
        assert_eq!(output.shared.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_reader_that_is_gone_is_no_failure() {
        let (mut output, may, _written) = output();
        output.lines([big()]);
        may.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        let output = end(output);
        assert!(output.is_closed() && output.failure().is_none());
    }

    #[test]
    fn what_cannot_be_opened_has_failed() {
        let error = || io::Error::from(io::ErrorKind::NotFound);
        let output = Output::start("test", move || Err::<Let, _>(error())).unwrap();
        assert!(end(output).failure().is_some());
    }
}
