//! What the keys do, and reading them.

use std::{future::poll_fn, io::IsTerminal, pin::Pin};

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind};
use futures_core::Stream;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

/// What the user wants of the live view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The table a line up.
    Up,
    /// A line down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To its first line.
    First,
    /// To its last one.
    Last,
    /// Sort by the column to the left.
    SortLeft,
    /// Sort by the column to the right.
    SortRight,
    /// Sort the other way round.
    Turn,
    /// As the table was at first.
    Reset,
    /// The terminal has another size.
    Resized,
}

/// The keys of the terminal, read while this lives: by a task of its own, as to look whether there is one is a system call, which
/// who waits for other things beside would make each time.
#[derive(Debug)]
pub struct Keys {
    typed: UnboundedReceiver<Key>,
    reading: JoinHandle<()>,
}

impl Keys {
    /// The keys, if standard input is the terminal. Within a runtime.
    pub fn new() -> Option<Self> {
        let (sender, typed) = unbounded_channel();
        std::io::stdin().is_terminal().then(|| Self {
            typed,
            reading: tokio::spawn(read(sender)),
        })
    }

    /// The next key that means something; for ever waiting when there are no more.
    pub async fn next(&mut self) -> Key {
        match self.typed.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn read(sender: UnboundedSender<Key>) {
    let mut events = EventStream::new();
    while let Some(Ok(event)) = poll_fn(|context| Pin::new(&mut events).poll_next(context)).await {
        if let Some(key) = meaning(&event)
            && sender.send(key).is_err()
        {
            return;
        }
    }
}

fn meaning(event: &Event) -> Option<Key> {
    match event {
        Event::Resize(..) => Some(Key::Resized),
        Event::Key(key) if key.kind != KeyEventKind::Release => of_key(key),
        _ => None,
    }
}

fn of_key(key: &KeyEvent) -> Option<Key> {
    Some(match key.code {
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::PageUp | KeyCode::Char('b') => Key::PageUp,
        KeyCode::PageDown | KeyCode::Char(' ') => Key::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Key::First,
        KeyCode::End | KeyCode::Char('G') => Key::Last,
        KeyCode::Left | KeyCode::Char('<') => Key::SortLeft,
        KeyCode::Right | KeyCode::Char('>') => Key::SortRight,
        KeyCode::Char('r') => Key::Turn,
        KeyCode::Esc => Key::Reset,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyModifiers;

    use super::*;

    #[test]
    fn keys_mean_what_the_foot_says() {
        let of = |code| meaning(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        assert_eq!(of(KeyCode::PageDown), Some(Key::PageDown));
        assert_eq!(of(KeyCode::Char('>')), Some(Key::SortRight));
        assert_eq!(of(KeyCode::Char('r')), Some(Key::Turn));
        assert_eq!(of(KeyCode::Char('x')), None);
        assert_eq!(meaning(&Event::Resize(80, 24)), Some(Key::Resized));
        assert_eq!(meaning(&Event::FocusGained), None);
    }
}
