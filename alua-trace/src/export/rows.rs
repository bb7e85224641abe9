//! Lines of a trace as rows of tables.

use std::{collections::BTreeMap, io, sync::Arc};

use super::table::{Value, id};
use crate::{
    model::{Command, Flag, Interval, Line, Path, PathSummary, Start, Summary, Transfer},
    record::Meta,
    replay::Audience,
    report::words,
    scsi::opcode,
    stats,
};

/// Who takes rows.
pub trait Rows {
    /// A row of the table with this index in [`super::table::TABLES`], a value for each column.
    ///
    /// # Errors
    /// It cannot be written.
    fn row(&mut self, table: usize, row: &[Value<'_>]) -> io::Result<()>;
}

/// Turns lines into rows.
pub struct Tabulating<R> {
    rows: R,
    meta: Option<Meta>,
    start: Option<Start>,
    run: String,
    /// Paths as they are, by number.
    paths: BTreeMap<u16, Arc<Path>>,
}

impl<R: Rows> Tabulating<R> {
    /// Rows go to `rows`.
    pub fn new(rows: R) -> Self {
        Self {
            rows,
            meta: None,
            start: None,
            run: String::new(),
            paths: BTreeMap::new(),
        }
    }

    /// Whoever took the rows.
    pub fn into_rows(self) -> R {
        self.rows
    }

    /// A time of the monotonic clock, as ns since the epoch.
    fn wall(&self, at_ns: u64) -> Value<'static> {
        let Some(start) = &self.start else {
            return Value::Null;
        };
        let since = i128::from(at_ns) - i128::from(start.started_at_ns);
        let wall = i128::from(start.wall_unix_ns) + since;
        u64::try_from(wall).map_or(Value::Null, Value::Int)
    }

    fn start(&mut self, start: Start) {
        let boot = self.meta.as_ref().and_then(|meta| meta.boot_id.clone());
        let at_ns = start.started_at_ns;
        // A boot has one monotonic clock, and a trace begins at one time of it.
        self.run = match boot {
            Some(boot) => format!("{boot}-{at_ns}"),
            None => format!("{}-{at_ns}", start.wall_unix_ns),
        };
        for path in &start.paths {
            self.paths.insert(path.id, Arc::new(path.clone()));
        }
        self.start = Some(start);
    }

    fn interval(&mut self, interval: &Interval) -> io::Result<()> {
        let ended = self.wall(interval.ended_at_ns);
        for row in &interval.rows {
            let path = &row.path;
            if self.paths.get(&path.id) != Some(path) {
                self.paths.insert(path.id, Arc::clone(path));
            }
            for cell in &row.cells {
                let values = [
                    Value::Text(&self.run),
                    ended,
                    Value::Int(interval.elapsed_ns),
                    Value::Int(interval.interval_ns),
                    Value::Int(path.id.into()),
                    Value::Text(&path.hctl),
                    Value::text(path.wwid.as_deref()),
                    Value::text(path.map.as_deref()),
                    Value::int(path.path_group),
                    Value::int(path.port_group),
                    Value::Text(words::class(cell.class)),
                    Value::Text(words::state(cell.state)),
                    Value::Int(cell.commands),
                    Value::Int(cell.errors),
                    Value::Int(cell.bytes),
                    Value::Int(cell.sum_ns),
                    Value::Int(cell.min_ns),
                    Value::Int(cell.max_ns),
                    Value::Bins(&cell.buckets),
                ];
                self.rows.row(id::INTERVALS, &values)?;
            }
        }
        Ok(())
    }

    fn command(&mut self, command: &Command) -> io::Result<()> {
        let path = self.paths.get(&command.path);
        let text = |of: fn(&Path) -> Option<&str>| Value::text(path.and_then(|it| of(it)));
        let sense = |nth: usize| Value::int(command.sense.map(|sense| sense[nth]));
        let class = match opcode::class(command.opcode) {
            opcode::Class::Read => "read",
            opcode::Class::Write => "write",
            opcode::Class::Other => "other",
        };
        let values = [
            Value::Text(&self.run),
            self.wall(command.dispatched_at_ns),
            Value::Int(command.latency_ns),
            Value::Int(command.path.into()),
            Value::Text(&command.hctl),
            text(|path| path.wwid.as_deref()),
            text(|path| path.map.as_deref()),
            Value::int(command.path_group),
            Value::int(path.and_then(|path| path.port_group)),
            Value::Text(class),
            Value::Text(words::state(command.state)),
            Value::Text(words::source_name(command.state_source)),
            Value::Int(command.opcode.into()),
            Value::int(command.lba),
            Value::Int(command.bytes.into()),
            Value::Int(command.result.into()),
            sense(0),
            sense(1),
            sense(2),
            Value::Int(command.retries.into()),
            Value::Bool(command.passthrough),
        ];
        self.rows.row(id::COMMANDS, &values)
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        self.run_row(summary)?;
        for path in &summary.paths {
            self.path_row(path)?;
        }
        for transfer in summary.ownership.iter().flat_map(|it| &it.transfers) {
            self.transfer_row(transfer)?;
        }
        for flag in &summary.flags {
            self.flag_row(flag)?;
        }
        Ok(())
    }

    fn run_row(&mut self, summary: &Summary) -> io::Result<()> {
        let (Some(meta), Some(start)) = (&self.meta, &self.start) else {
            return Ok(());
        };
        let because = summary.incomplete_because.join("; ");
        let command = meta.command.join(" ");
        let labels = serde_json::to_string(&meta.labels)?;
        let total =
            |of: fn(&PathSummary) -> u64| Value::Int(stats::sum(summary.paths.iter().map(of)));
        let values = [
            Value::Text(&self.run),
            Value::text(meta.host.as_deref()),
            Value::text(meta.boot_id.as_deref()),
            Value::Text(&start.version),
            Value::Text(&start.kernel),
            Value::Int(start.wall_unix_ns),
            Value::Int(start.started_at_ns),
            Value::Int(summary.duration_ns),
            Value::Bool(summary.complete),
            Value::Text(&because),
            Value::Int(summary.paths.len() as u64),
            total(|path| path.counts.dispatched),
            total(|path| path.counts.completed),
            total(|path| path.counts.recorded),
            Value::Int(summary.losses.ring_full),
            Value::Int(summary.losses.not_recorded),
            Value::Text(&command),
            summary
                .command_status
                .map_or(Value::Null, |it| Value::Signed(it.into())),
            Value::Text(&labels),
        ];
        self.rows.row(id::RUNS, &values)
    }

    fn path_row(&mut self, summary: &PathSummary) -> io::Result<()> {
        let (path, counts) = (&summary.path, &summary.counts);
        let values = [
            Value::Text(&self.run),
            Value::Int(path.id.into()),
            Value::Text(&path.hctl),
            Value::text(path.device.as_deref()),
            Value::text(path.wwid.as_deref()),
            Value::text(path.map.as_deref()),
            Value::text(path.dm.as_deref()),
            Value::int(path.path_group),
            Value::int(path.port_group),
            Value::int(path.relative_port),
            Value::text(path.vendor.as_deref()),
            Value::text(path.product.as_deref()),
            Value::text(path.handler.as_deref()),
            Value::Text(words::state(path.state)),
            Value::Text(words::source_name(path.state_source)),
            path.preferred.map_or(Value::Null, Value::Bool),
            Value::Bool(summary.present),
            Value::Int(counts.dispatched),
            Value::Int(counts.completed),
            Value::Int(counts.failed),
            Value::Int(counts.timed_out),
            Value::Int(counts.superseded),
            Value::Int(counts.untracked),
            Value::Int(counts.in_flight),
            Value::Int(counts.recorded),
            Value::Int(counts.counted),
            Value::Int(counts.ring_full),
            Value::Int(counts.implausible),
            Value::Int(counts.rejected),
        ];
        self.rows.row(id::PATHS, &values)
    }

    fn transfer_row(&mut self, transfer: &Transfer) -> io::Result<()> {
        let (from, to) = (transfer.from.join(" "), transfer.to.join(" "));
        let impact = transfer.impact;
        let cost = |of: fn(&crate::model::Impact) -> u64| Value::int(impact.as_ref().map(of));
        let text = transfer.sentence();
        let values = [
            Value::Text(&self.run),
            Value::Int(transfer.id.into()),
            Value::Text(&transfer.subject),
            Value::text(transfer.wwid.as_deref()),
            Value::Text(&from),
            Value::Text(&to),
            self.wall(transfer.started_at_ns),
            Value::int(transfer.start_uncertain_ns),
            self.wall(transfer.ended_at_ns),
            self.wall(transfer.known_at_ns),
            Value::Text(transfer.cause.name()),
            Value::Text(&transfer.actor),
            cost(|it| it.delayed),
            cost(|it| it.retried),
            cost(|it| it.failed),
            cost(|it| it.held_in_dm),
            cost(|it| it.added_ns),
            cost(|it| it.longest_ns),
            Value::Text(&text),
        ];
        self.rows.row(id::TRANSFERS, &values)
    }

    fn flag_row(&mut self, flag: &Flag) -> io::Result<()> {
        let paths = flag.paths.join(" ");
        let values = [
            Value::Text(&self.run),
            Value::Int(flag.id.into()),
            Value::Text(words::kind(flag.kind)),
            Value::Text(words::severity(flag.severity)),
            Value::Text(&flag.subject),
            Value::text(flag.wwid.as_deref()),
            flag.avoidable.map_or(Value::Null, Value::Bool),
            self.wall(flag.first_at_ns),
            self.wall(flag.last_at_ns),
            self.wall(flag.raised_at_ns),
            flag.ended_at_ns
                .map_or(Value::Null, |at_ns| self.wall(at_ns)),
            Value::Int(flag.commands),
            Value::Float(flag.share),
            Value::int(flag.p50_ns),
            Value::int(flag.optimized_p50_ns),
            Value::Text(&paths),
            Value::Text(&flag.text),
        ];
        self.rows.row(id::FLAGS, &values)
    }
}

impl<R: Rows> Audience for Tabulating<R> {
    fn meta(&mut self, meta: &Meta) {
        self.meta = Some(meta.clone());
    }

    fn line(&mut self, line: Line) -> io::Result<()> {
        match line {
            Line::Start(start) => self.start(start),
            Line::Interval(interval) => self.interval(&interval)?,
            Line::Path(event) => {
                self.paths.insert(event.path.id, Arc::new(event.path));
            }
            Line::Command(command) => self.command(&command)?,
            Line::Summary(summary) => self.summary(&summary)?,
            // The summary has what became of them.
            Line::Flag(_) | Line::Transfer(_) | Line::Counting(_) | Line::LeftOut(_) => {}
        }
        Ok(())
    }
}
