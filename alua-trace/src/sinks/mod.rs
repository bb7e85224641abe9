//! Where what is to be said goes: each kind of output takes it, item by item, in order. A trace gives each a
//! queue and a thread of its own ([`queue`]); a replay waits for it.

use std::io;

use tokio::sync::oneshot;

use crate::live::Key;

pub mod json;
pub mod queue;
pub mod view;

/// What becomes of items: lines of the model, or what a recording is made of.
pub trait Sink<T>: Send + 'static {
    /// Takes an item; it may be kept until a later one, or the end.
    ///
    /// # Errors
    /// It cannot be written, nor can anything after it.
    fn take(&mut self, item: &T) -> io::Result<()>;

    /// Has taken these: what they are made of may be used again.
    fn done(&mut self, _: Vec<T>) {}

    /// Nothing more waits now.
    ///
    /// # Errors
    /// As [`Self::take`].
    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Nothing more will come: what was kept goes out.
    ///
    /// # Errors
    /// As [`Self::take`].
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Writing failed, and is over: what is left should be whole.
    fn cut(&mut self) {}

    /// Something else than an item that the output can do.
    ///
    /// # Errors
    /// As [`Self::take`].
    fn obey(&mut self, _: Order) -> io::Result<()> {
        Ok(())
    }
}

impl<T: 'static> Sink<T> for Box<dyn Sink<T>> {
    fn take(&mut self, item: &T) -> io::Result<()> {
        (**self).take(item)
    }

    fn done(&mut self, items: Vec<T>) {
        (**self).done(items);
    }

    fn idle(&mut self) -> io::Result<()> {
        (**self).idle()
    }

    fn end(&mut self) -> io::Result<()> {
        (**self).end()
    }

    fn cut(&mut self) {
        (**self).cut();
    }

    fn obey(&mut self, order: Order) -> io::Result<()> {
        (**self).obey(order)
    }
}

/// Something for an output to do among its items.
pub enum Order {
    /// The terminal is the user's again; tells when it is.
    LeaveLive(oneshot::Sender<()>),
    /// A text for people, from the tool itself.
    Say(String),
    /// What the user typed.
    Key(Key),
}
