//! What a command says at its end: text for people, and where it is wanted one JSON object for programs.

use std::{
    fs,
    io::{self, Write},
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{cli::JsonTarget, json};

/// Prints the text, unless the object goes to standard output; writes the object where it is wanted.
///
/// # Errors
/// Standard output or the file cannot be written.
pub fn tell(target: Option<&JsonTarget>, object: &impl Serialize, text: &str) -> Result<()> {
    match target {
        Some(JsonTarget::Stdout) => return print(&json::to_line(object)?),
        Some(JsonTarget::File(file)) => {
            fs::write(file, json::to_line(object)?).with_context(|| {
                let file = file.display();
                format!("cannot write --json {file}; name a file that can be made")
            })?;
        }
        None => {}
    }
    print(text)
}

/// Prints a text.
///
/// # Errors
/// Standard output cannot be written; that its reader has gone is none.
pub fn print(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // It has seen what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Rows of as many cells each, as columns: the first `left` of them to the left, the others to the right.
#[must_use]
pub fn columns<Row: AsRef<[String]>>(rows: &[Row], left: usize) -> String {
    let count = rows.first().map_or(0, |row| row.as_ref().len());
    let width = |nth: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| Some(row.as_ref().get(nth)?.chars().count()));
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (nth, (cell, width)) in row.as_ref().iter().zip(&widths).enumerate() {
            line.push_str("  ");
            match nth < left {
                true => line.push_str(&format!("{cell:<width$}")),
                false => line.push_str(&format!("{cell:>width$}")),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
