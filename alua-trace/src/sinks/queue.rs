//! One output's way out of the trace: a bounded queue, and a thread that renders and writes, so that
//! a slow reader or disk never holds up the ring.

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

use super::{Order, Sink};
use crate::model::{LeftOut, Line};

/// How much may wait for a slow reader: some 250,000 commands.
pub const MOST_BYTES: usize = 64 << 20;
/// What a row of an interval takes with its path's names, about.
const ROW_BYTES: usize = 512;
/// What a bucket of an interval takes.
const BUCKET_BYTES: usize = size_of::<(u64, u64)>();
/// What the names in any other line take, about.
const NAMES_BYTES: usize = 64;

/// What may wait in a queue.
pub trait Item: Send + Sized + 'static {
    /// What it takes in memory, about.
    fn bytes(&self) -> usize;

    /// What it counts as when it is lost.
    fn count(&self) -> u64 {
        1
    }

    /// Whether it finds room in any case.
    fn is_vital(&self) -> bool;

    /// What stands where so many were left out; `None` for items that are all vital.
    fn gap(left_out: u64) -> Option<Self>;
}

impl Item for Line {
    fn bytes(&self) -> usize {
        let (rows, buckets) = match self {
            Self::Interval(interval) => {
                let cells = interval.rows.iter().flat_map(|row| &row.cells);
                let buckets = cells.map(|cell| cell.buckets.len()).sum();
                (interval.rows.len(), buckets)
            }
            _ => (0, 0),
        };
        size_of::<Self>() + NAMES_BYTES + rows * ROW_BYTES + buckets * BUCKET_BYTES
    }

    fn is_vital(&self) -> bool {
        matches!(self, Self::Summary(_))
    }

    fn gap(lines: u64) -> Option<Self> {
        Some(Self::LeftOut(LeftOut { lines }))
    }
}

enum Message<T> {
    Items(Vec<T>),
    Order(Order),
}

/// Why nothing is written any more.
#[derive(Debug)]
enum Stopped {
    /// The reader closed the pipe. No error: it has seen what it wanted.
    Closed,
    /// Writing failed.
    Failed(io::Error),
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    /// Items taken from the queue and not written.
    unwritten: AtomicU64,
    stopped: Mutex<Option<Stopped>>,
}

impl Shared {
    fn stopped(&self) -> MutexGuard<'_, Option<Stopped>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An output as the trace sees it. Nothing here waits.
pub struct Output<T> {
    sender: Option<mpsc::Sender<Message<T>>>,
    shared: Arc<Shared>,
    ended: Option<oneshot::Receiver<()>>,
    /// Items left out since the last one that found room.
    gap: u64,
    left_out: u64,
}

impl<T: Item> Output<T> {
    /// Starts the thread; `open` runs on it, since to open a FIFO may take until somebody reads.
    pub fn start<S: Sink<T>>(
        name: &str,
        open: impl FnOnce() -> io::Result<S> + Send + 'static,
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

    /// Gives items to be written. Without room they are left out, and counted; vital ones always find
    /// room.
    pub fn items(&mut self, items: impl IntoIterator<Item = T>) {
        let mut waiting = self.shared.waiting.load(Ordering::Relaxed);
        let before = waiting;
        let mut batch = Vec::new();
        for item in items {
            let bytes = item.bytes();
            if waiting + bytes > MOST_BYTES && !item.is_vital() {
                self.gap += item.count();
                self.left_out += item.count();
                continue;
            }
            if self.gap > 0
                && let Some(gap) = T::gap(std::mem::take(&mut self.gap))
            {
                waiting += gap.bytes();
                batch.push(gap);
            }
            waiting += bytes;
            batch.push(item);
        }
        if !batch.is_empty() {
            self.shared
                .waiting
                .fetch_add(waiting - before, Ordering::Relaxed);
            self.message(Message::Items(batch));
        }
    }

    /// Gives an order, behind the items that wait.
    pub fn order(&self, order: Order) {
        self.message(Message::Order(order));
    }

    fn message(&self, message: Message<T>) {
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

    /// What the items that wait take in memory, about.
    pub fn waiting_bytes(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
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

    /// Items that were not written: left out for want of room, or lost to a failure.
    pub fn unwritten(&self) -> u64 {
        self.left_out + self.shared.unwritten.load(Ordering::Relaxed)
    }
}

fn write_all<T: Item, S: Sink<T>>(
    open: impl FnOnce() -> io::Result<S>,
    receiver: &mpsc::Receiver<Message<T>>,
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
        match message {
            Message::Items(items) => take(&mut out, items, shared),
            Message::Order(order) => {
                if let Some(out) = &mut out {
                    note(out.obey(order), shared);
                }
            }
        }
        give_up(&mut out, shared);
    }
    if let Some(out) = &mut out {
        note(out.end(), shared);
    }
    give_up(&mut out, shared);
}

/// The next message; before it waits for one, the output hears that nothing waits.
fn receive<T, S: Sink<T>>(
    receiver: &mpsc::Receiver<Message<T>>,
    out: &mut Option<S>,
    shared: &Shared,
) -> Option<Message<T>> {
    if let Ok(message) = receiver.try_recv() {
        return Some(message);
    }
    if let Some(out) = out {
        note(out.idle(), shared);
    }
    give_up(out, shared);
    receiver.recv().ok()
}

/// Gives items to the output, until that fails; counts those that it did not take.
fn take<T: Item, S: Sink<T>>(out: &mut Option<S>, items: Vec<T>, shared: &Shared) {
    let mut left = items.iter();
    if let Some(out) = out {
        for item in left.by_ref() {
            if !note(out.take(item), shared) {
                shared.unwritten.fetch_add(item.count(), Ordering::Relaxed);
                break;
            }
        }
    }
    let lost: u64 = left.map(Item::count).sum();
    shared.unwritten.fetch_add(lost, Ordering::Relaxed);
    let bytes = items.iter().map(Item::bytes).sum();
    shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
    if let Some(out) = out {
        out.done(items);
    }
}

/// What was being written when it failed is cut, and nothing more is written.
fn give_up<T, S: Sink<T>>(out: &mut Option<S>, shared: &Shared) {
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

    impl Sink<Line> for Let {
        fn take(&mut self, line: &Line) -> io::Result<()> {
            self.may.recv().unwrap_or(Ok(()))?;
            self.wrote.send(line.clone()).unwrap();
            Ok(())
        }
    }

    fn output() -> (Output<Line>, Sender<io::Result<()>>, Receiver<Line>) {
        let (may_sender, may) = channel();
        let (wrote, written) = channel();
        let output = Output::start("test", || Ok(Let { may, wrote })).unwrap();
        (output, may_sender, written)
    }

    fn big() -> Line {
        let rows = vec![samples::interval(1).rows[0].clone(); 1000];
        Line::Interval(Arc::new(Interval {
            rows,
            ..samples::interval(1)
        }))
    }

    fn end(mut output: Output<Line>) -> Output<Line> {
        output.close().unwrap().blocking_recv().unwrap();
        output
    }

    #[test]
    fn what_finds_no_room_is_counted_where_it_is_missing_and_the_summary_finds_room() {
        let (mut output, may, written) = output();
        let fit = MOST_BYTES / big().bytes();
        for _ in 0..fit + 10 {
            output.items([big()]);
        }
        output.items([Line::Summary(samples::hostile_summary())]);
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
        output.items([big(), big(), big()]);
        output.items([big()]);
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
        output.items([big()]);
        may.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        let output = end(output);
        assert!(output.is_closed() && output.failure().is_none());
    }

    #[test]
    fn what_cannot_be_opened_has_failed() {
        let error = || io::Error::from(io::ErrorKind::NotFound);
        let output = Output::<Line>::start("test", move || Err::<Let, _>(error())).unwrap();
        assert!(end(output).failure().is_some());
    }
}
