//! JSON output: one [`Line`] of the model per line of text.
//!
//! Owns how lines get out: escaped so that they are safe on a terminal too, and written whole.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::model::{Interval, Line, Path, Row};
use crate::safe;

/// Commands are collected up to this size; every other line goes out at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Writes lines of JSON.
#[derive(Debug)]
pub struct JsonWriter<W: Write> {
    out: W,
    buffer: Vec<u8>,
    idle: IdleRows,
}

impl<W: Write> JsonWriter<W> {
    /// A writer to `out`, which need not buffer.
    pub fn new(out: W) -> Self {
        Self {
            out,
            buffer: Vec::new(),
            idle: IdleRows::default(),
        }
    }

    /// Writes one line; [`Line::Command`] waits for the next line that is none, for 64 KiB, or for
    /// [`Self::flush`].
    ///
    /// # Errors
    /// Those of the writer: [`io::ErrorKind::BrokenPipe`] when the reader closed a pipe.
    pub fn write(&mut self, line: &Line) -> io::Result<()> {
        self.push(line)?;
        if self.buffer.len() >= BUFFER_BYTES || !matches!(line, Line::Command(_)) {
            return self.flush();
        }
        Ok(())
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self
            .out
            .write_all(&self.buffer)
            .and_then(|()| self.out.flush());
        self.buffer.clear();
        written
    }

    /// Where it writes to.
    pub fn target(&self) -> &W {
        &self.out
    }

    fn push(&mut self, line: &Line) -> io::Result<()> {
        let start = self.buffer.len();
        let pushed = match line {
            Line::Interval(interval) => self.idle.push(interval, &mut self.buffer),
            line => push(line, &mut self.buffer),
        };
        if let Err(error) = pushed {
            // Half a line would spoil the next one.
            self.buffer.truncate(start);
            return Err(error);
        }
        self.buffer.push(b'\n');
        Ok(())
    }
}

/// Rows of paths without commands, as they were written last: a host may have a thousand of them in each interval.
#[derive(Debug, Default)]
struct IdleRows(HashMap<u16, (Arc<Path>, Vec<u8>)>);

impl IdleRows {
    /// Writes an interval as [`push`] does.
    fn push(&mut self, interval: &Interval, out: &mut Vec<u8>) -> io::Result<()> {
        const ROWS: &[u8] = b"\"rows\":[";
        let begin = out.len();
        let without = Line::Interval(Arc::new(Interval {
            rows: Vec::new(),
            holds: Vec::new(),
            ..*interval
        }));
        push(&without, out)?;
        let mut windows = out[begin..].windows(ROWS.len());
        let Some(at) = windows.position(|it| it == ROWS) else {
            return Err(io::Error::other("an interval has no rows"));
        };
        let rest = out.split_off(begin + at + ROWS.len());
        for (nth, row) in interval.rows.iter().enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            if is_idle(row) {
                out.extend_from_slice(self.idle(row)?);
            } else {
                push(row, out)?;
            }
        }
        out.extend_from_slice(&rest);
        Ok(())
    }

    fn idle(&mut self, row: &Row) -> io::Result<&[u8]> {
        let (path, written) = self
            .0
            .entry(row.path.id)
            .or_insert_with(|| (Arc::clone(&row.path), Vec::new()));
        if written.is_empty() || !Arc::ptr_eq(path, &row.path) {
            written.clear();
            push(row, written)?;
            *path = Arc::clone(&row.path);
        }
        Ok(written)
    }
}

/// Whether a row says nothing but which path it is of.
fn is_idle(row: &Row) -> bool {
    row.commands == 0 && row.in_flight == 0 && row.cells.is_empty() && row.network.is_none()
}

/// Appends a value.
fn push<T: Serialize>(value: &T, out: &mut Vec<u8>) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, TerminalSafe))?;
    Ok(())
}

/// Any value as one line of JSON that is safe on a terminal.
pub fn to_line<T: Serialize>(value: &T) -> io::Result<String> {
    let mut line = Vec::new();
    push(value, &mut line)?;
    line.push(b'\n');
    String::from_utf8(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Compact JSON in which DEL, C1 and characters that reorder or hide text are escaped as `\u00XX`,
/// as `serde_json` does with C0. It stays the same JSON.
struct TerminalSafe;

impl Formatter for TerminalSafe {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        if fragment.bytes().all(|byte| byte < 0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut written = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| safe::is_unsafe(*c)) {
            writer.write_all(&fragment.as_bytes()[written..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            written = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        AccessState, Command, CountingChange, CountingEvent, FlagChange, FlagEvent, LeftOut,
        PathChange, PathEvent, StateSource, TransferChange, TransferEvent,
    };
    use crate::report::samples;

    fn command() -> Command {
        Command {
            path: 1,
            hctl: "3:0:0:1".to_owned(),
            dm_devno: None,
            path_group: None,
            opcode: 0x28,
            cdb1: 0,
            cdb2: 0,
            bytes: 4096,
            lba: Some(2048),
            dispatched_at_ns: 1,
            latency_ns: 87_200,
            state: AccessState::Optimized,
            state_source: StateSource::RtpgSeen,
            result: 2,
            sense: Some([6, 0x2a, 6]),
            retries: 0,
            passthrough: false,
            around: Vec::new(),
        }
    }

    fn lines() -> Vec<Line> {
        let path = samples::hostile_path(1);
        let flag = samples::hostile_flag(1);
        vec![
            Line::Start(samples::start(2)),
            Line::Interval(samples::interval(2).into()),
            Line::Path(PathEvent {
                seen_at_ns: 7,
                change: PathChange::Relabelled,
                path,
            }),
            Line::Flag(FlagEvent {
                change: FlagChange::Raised,
                flag,
            }),
            Line::Transfer(TransferEvent {
                change: TransferChange::Done,
                transfer: samples::hostile_transfer(),
            }),
            Line::Command(command()),
            Line::Counting(CountingEvent {
                at_ns: 9,
                change: CountingChange::Begun { for_ns: 10 },
            }),
            Line::LeftOut(LeftOut { lines: 3 }),
            Line::Summary(samples::hostile_summary()),
        ]
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let mut out = Vec::new();
        let mut writer = JsonWriter::new(&mut out);
        for line in lines() {
            writer.write(&line).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        let back: Vec<Line> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(back, lines());
    }

    #[test]
    fn rows_of_idle_paths_are_those_of_now() {
        let idle = |id: u16, map: &str| {
            let mut path = samples::path(id, AccessState::Optimized);
            path.map = Some(map.to_owned());
            Row::idle(Arc::new(path))
        };
        let busy = Row {
            in_flight: 1,
            ..idle(2, "mpathb")
        };
        let of_two = [idle(1, "mpatha"), idle(2, "mpathb")];
        let intervals = [
            of_two.to_vec(),
            of_two.to_vec(),
            vec![of_two[0].clone(), busy],
            // It has another name now.
            vec![idle(1, "mpathc"), of_two[1].clone()],
            vec![],
        ];
        let mut out = Vec::new();
        let mut writer = JsonWriter::new(&mut out);
        let lines = intervals.map(|rows| {
            Line::Interval(Arc::new(Interval {
                rows,
                ..samples::interval(1)
            }))
        });
        for line in &lines {
            writer.write(line).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        let expected: String = lines.iter().map(|it| to_line(it).unwrap()).collect();
        assert_eq!(text, expected);
    }

    #[test]
    fn nothing_unsafe_reaches_a_terminal() {
        let name = "\x1b\x7f\u{9b}\u{202e}\u{e0001}é";
        let line = to_line(&name).unwrap();
        assert_eq!(line, "\"\\u001b\\u007f\\u009b\\u202e\\udb40\\udc01é\"\n");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), name);
    }

    #[test]
    fn commands_wait_for_each_other() {
        let mut out = Vec::new();
        let mut writer = JsonWriter::new(&mut out);
        writer.write(&Line::Command(command())).unwrap();
        assert!(writer.out.is_empty());
        for _ in 0..1000 {
            writer.write(&Line::Command(command())).unwrap();
        }
        assert!(writer.out.len() >= BUFFER_BYTES);
        writer.flush().unwrap();
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 1001);
    }

    /// Every example in the documentation is a line of this model, with no field more or less.
    #[test]
    fn documented_examples_are_what_is_written() {
        let docs = include_str!("../../docs/json.md");
        let examples = docs
            .split("```json\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next());
        let mut kinds = Vec::new();
        for example in examples {
            let line: Line =
                serde_json::from_str(example).unwrap_or_else(|e| panic!("{e}: {example}"));
            let documented: serde_json::Value = serde_json::from_str(example).unwrap();
            let written: serde_json::Value =
                serde_json::from_str(&to_line(&line).unwrap()).unwrap();
            assert_eq!(written, documented);
            kinds.push(documented["type"].as_str().unwrap().to_owned());
        }
        assert_eq!(
            kinds,
            [
                "start", "interval", "path", "flag", "transfer", "command", "counting", "left-out",
                "summary"
            ]
        );
    }

    /// Every field is named in the documentation.
    #[test]
    fn every_field_is_documented() {
        fn names(value: &serde_json::Value, out: &mut Vec<String>) {
            match value {
                serde_json::Value::Object(map) => map.iter().for_each(|(name, value)| {
                    out.push(name.clone());
                    names(value, out);
                }),
                serde_json::Value::Array(items) => items.iter().for_each(|item| names(item, out)),
                _ => {}
            }
        }
        let docs = include_str!("../../docs/json.md");
        let mut fields = Vec::new();
        lines()
            .iter()
            .for_each(|line| names(&serde_json::to_value(line).unwrap(), &mut fields));
        for field in fields {
            assert!(
                docs.contains(&format!("| `{field}` |")),
                "{field} has no row in docs/json.md"
            );
        }
    }

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn errors_of_the_writer_are_given() {
        let line = Line::Interval(samples::interval(1).into());
        let mut writer = JsonWriter::new(Failing(io::ErrorKind::StorageFull));
        let error = writer.write(&line).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(writer.flush().is_ok(), "what failed is not written again");
    }
}
