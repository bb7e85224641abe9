//! Owns the report on a page: its fields, and how they are shown as text. Everything that a device
//! wrote is made safe here.

use std::fmt;

use serde::Serialize;

use crate::safe;

/// Space between columns.
const GAP: usize = 2;
/// Widest that a column is made for the sake of one long value.
const COLUMN_CHARS: usize = 40;
/// Most fields that are shown: several times as many as any array's page has.
const MAX_FIELDS: usize = 2048;

/// What a page says.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The page, as it is named on the command line.
    pub(super) page: String,
    /// Length of the data.
    pub(super) bytes: usize,
    /// In the order of the page.
    pub(super) fields: Vec<Field>,
    /// What the reader should know besides.
    pub(super) notes: Vec<String>,
    /// Fields beyond those that are shown.
    #[serde(skip)]
    left_out: usize,
}

/// One field. The JSON has it as it is; the text has it made safe.
#[derive(Debug, Serialize)]
pub(super) struct Field {
    /// Where it begins, in bytes from 0; `None` for what is computed from several fields.
    pub(super) offset: Option<usize>,
    pub(super) name: String,
    /// Its value as a number, text or hexadecimal; empty for what is computed.
    pub(super) raw: String,
    /// The value in words; empty if the value says it all.
    pub(super) meaning: String,
}

impl Report {
    pub(super) fn new(page: impl ToString, bytes: usize) -> Self {
        Self {
            page: page.to_string(),
            bytes,
            fields: Vec::new(),
            notes: Vec::new(),
            left_out: 0,
        }
    }

    fn push(&mut self, field: Field) {
        if self.fields.len() < MAX_FIELDS {
            self.fields.push(field);
        } else {
            self.left_out += 1;
        }
    }

    /// A note on fields that are not shown.
    pub(super) fn close(&mut self) {
        if self.left_out > 0 {
            let note = format!("{} more fields are not shown", self.left_out);
            self.notes.push(note);
        }
    }

    /// A field of any value.
    pub(super) fn field(
        &mut self,
        offset: usize,
        name: impl Into<String>,
        raw: impl ToString,
        meaning: impl ToString,
    ) {
        self.push(Field {
            offset: Some(offset),
            name: name.into(),
            raw: raw.to_string(),
            meaning: meaning.to_string(),
        });
    }

    /// A byte, shown in hexadecimal.
    pub(super) fn byte(
        &mut self,
        offset: usize,
        name: impl Into<String>,
        byte: u8,
        meaning: impl ToString,
    ) {
        self.field(offset, name, format_args!("0x{byte:02x}"), meaning);
    }

    /// One bit.
    pub(super) fn bit(
        &mut self,
        offset: usize,
        name: impl Into<String>,
        set: bool,
        meaning: impl ToString,
    ) {
        self.field(offset, name, u8::from(set), meaning);
    }

    /// Something that follows from several fields.
    pub(super) fn computed(&mut self, name: &str, meaning: impl ToString) {
        self.push(Field {
            offset: None,
            name: name.to_owned(),
            raw: String::new(),
            meaning: meaning.to_string(),
        });
    }

    /// A note that data is missing.
    pub(super) fn truncated(&mut self, truncated: bool) {
        if truncated {
            let note = "truncated: the data ends before the page does; what is there is shown";
            self.notes.push(note.to_owned());
        }
    }
}

/// Bytes in hexadecimal, without spaces.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 4]> = self.fields.iter().map(row).collect();
        let width = |column: usize| {
            let widths = rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or_default().min(COLUMN_CHARS)
        };
        let widths = [width(0).max(4), width(1), width(2)];
        writeln!(f, "page {}, {} bytes", self.page, self.bytes)?;
        for [offset, name, raw, meaning] in &rows {
            let mut line = format!("{offset:>width$}", width = widths[0]);
            for (cell, width) in [(name, widths[1]), (raw, widths[2])] {
                line.push_str(&" ".repeat(GAP));
                line.push_str(&format!("{cell:<width$}"));
            }
            line.push_str(&" ".repeat(GAP));
            line.push_str(meaning);
            writeln!(f, "{}", line.trim_end())?;
        }
        for note in &self.notes {
            writeln!(f, "note: {}", safe::sentence(note))?;
        }
        Ok(())
    }
}

fn row(field: &Field) -> [String; 4] {
    let offset = field.offset.map(|offset| offset.to_string());
    [
        offset.unwrap_or_default(),
        safe::sentence(&field.name),
        safe::sentence(&field.raw),
        safe::sentence(&field.meaning),
    ]
}
