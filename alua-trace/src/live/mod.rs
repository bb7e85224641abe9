//! The live view: a table of paths by map, flags and transfers below it, redrawn once an interval.
//!
//! [`Screen`] is what it knows, `table` puts its lines in order, `draw` shows it and does nothing else, [`Terminal`]
//! owns the terminal and [`Keys`] reads it: they scroll and sort the table. Ctrl-C stays the signal it is.

mod cells;
mod columns;
mod draw;
mod keys;
mod screen;
mod table;
mod terminal;

pub use keys::{Key, Keys};
pub use screen::Screen;
pub use terminal::{Terminal, columns, usable};

#[cfg(test)]
mod tests;
