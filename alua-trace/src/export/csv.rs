//! Tables as CSV (RFC 4180): a file each, with a header. Times are ns since the epoch, what is unknown is
//! empty, and bins are `bound:count` in order, with spaces between.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter},
    path::Path,
};

use super::{
    create,
    rows::Rows,
    table::{TABLES, Value},
};

/// The files of a directory.
pub(super) struct Csv {
    tables: Vec<csv::Writer<BufWriter<File>>>,
    text: String,
}

impl Csv {
    /// Makes them.
    ///
    /// # Errors
    /// One is there already, or cannot be made.
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        let mut tables = Vec::new();
        for table in &TABLES {
            let file = create(&directory.join(format!("{}.csv", table.name)))?;
            let mut writer = csv::Writer::from_writer(BufWriter::new(file));
            writer.write_record(table.columns.iter().map(|column| column.name))?;
            tables.push(writer);
        }
        Ok(Self {
            tables,
            text: String::new(),
        })
    }

    /// Everything goes out.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.tables.iter_mut().try_for_each(csv::Writer::flush)
    }
}

impl Rows for Csv {
    fn row(&mut self, table: usize, row: &[Value<'_>]) -> io::Result<()> {
        let writer = &mut self.tables[table];
        for value in row {
            self.text.clear();
            // Writing to a String cannot fail.
            let _ = match value {
                Value::Null => Ok(()),
                Value::Int(number) => write!(self.text, "{number}"),
                Value::Signed(number) => write!(self.text, "{number}"),
                Value::Float(number) => write!(self.text, "{number}"),
                Value::Bool(is) => write!(self.text, "{is}"),
                Value::Text(text) => {
                    writer.write_field(text)?;
                    continue;
                }
                Value::Bins(bins) => {
                    bins.iter()
                        .enumerate()
                        .try_for_each(|(nth, (bound, count))| {
                            let space = if nth == 0 { "" } else { " " };
                            write!(self.text, "{space}{bound}:{count}")
                        })
                }
            };
            writer.write_field(&self.text)?;
        }
        writer.write_record(None::<&[u8]>)?;
        Ok(())
    }
}
