//! The live view: a table of paths by map, flags and transfers below it, redrawn once an interval.
//!
//! [`Screen`] is what it knows, `draw` shows it and does nothing else, [`Terminal`] owns the
//! terminal. It takes no keys: Ctrl-C stays the signal it is.

mod cells;
mod columns;
mod draw;
mod screen;
mod terminal;

pub use screen::Screen;
pub use terminal::{Terminal, columns, usable};

#[cfg(test)]
mod tests;
