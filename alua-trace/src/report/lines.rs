//! Plain lines, for a standard output that is no terminal: one per path with I/O and interval, and
//! one per event. Each stands alone and starts with the seconds since the start of the trace.

use std::fmt::Write;

use super::{flags, words};
use crate::format;
use crate::model::{
    CountingChange, CountingEvent, FlagChange, FlagEvent, Interval, LeftOut, Line, Losses, Path,
    PathChange, PathEvent, ProbeStatus, Row, Start, TransferChange, TransferEvent,
};
use crate::safe;

/// The header is repeated after this many intervals.
const HEADER_EVERY: u32 = 20;

/// Turns what happens into lines.
#[derive(Debug)]
pub struct Lines {
    started_at_ns: u64,
    /// What an interval saw is shown.
    with_intervals: bool,
    intervals: u32,
    losses: Losses,
    cell: String,
}

impl Lines {
    /// For a trace that started at this point of the monotonic clock.
    pub fn new(started_at_ns: u64) -> Self {
        Self {
            started_at_ns,
            with_intervals: true,
            intervals: 0,
            losses: Losses::default(),
            cell: String::new(),
        }
    }

    /// Leaves out what intervals saw.
    #[must_use]
    pub fn without_intervals(self) -> Self {
        Self {
            with_intervals: false,
            ..self
        }
    }

    /// The text for one line of the model, which may be several lines or none: single commands and
    /// the summary ([`super::summary`]) are shown elsewhere.
    pub fn line(&mut self, line: &Line) -> String {
        match line {
            Line::Start(start) => self.start(start),
            Line::Interval(interval) if self.with_intervals => self.interval(interval),
            Line::Path(event) => self.path(event),
            Line::Flag(event) => self.flag(event),
            Line::Transfer(event) => self.transfer(event),
            Line::Counting(event) => self.counting(event),
            Line::LeftOut(gap) => left_out(gap),
            Line::Interval(_) | Line::Command(_) | Line::Summary(_) => String::new(),
        }
    }

    /// What becomes of commands from now on.
    fn counting(&self, event: &CountingEvent) -> String {
        let stamp = self.stamp(event.at_ns);
        match event.change {
            CountingChange::Asked => {
                format!("{stamp}ordinary commands are counted in the kernel (--aggregate)\n")
            }
            CountingChange::Begun { for_ns } => {
                let time = format::duration(for_ns);
                format!(
                    "{stamp}records of commands found no room (--ring-bytes): for {time} ordinary commands are counted in the kernel; \
                     counts and histograms are complete\n"
                )
            }
            CountingChange::Over => format!("{stamp}each command has a record again\n"),
        }
    }

    /// What is traced, and which probes are missing.
    pub fn start(&mut self, start: &Start) -> String {
        self.started_at_ns = start.started_at_ns;
        let paths = format::plural(start.paths.len() as u64, "path");
        let (version, kernel) = (safe::name(&start.version), safe::name(&start.kernel));
        let mut out = self.stamp(start.started_at_ns);
        let _ = writeln!(out, "alua-trace {version} on Linux {kernel}, {paths}");
        let missing = [ProbeStatus::Unsupported, ProbeStatus::Broken];
        for probe in start
            .probes
            .iter()
            .filter(|probe| missing.contains(&probe.status))
        {
            let status = words::status(probe.status);
            let text = format!(
                "probe {} {status}: {}; without it: {}",
                probe.name, probe.reason, probe.lost_without
            );
            out.push_str(&self.stamp(start.started_at_ns));
            safe::push(&mut out, &text, safe::TEXT_CHARS);
            out.push('\n');
        }
        out
    }

    /// One line per path with I/O, after a header now and then.
    pub fn interval(&mut self, interval: &Interval) -> String {
        let mut out = String::new();
        if self.intervals.is_multiple_of(HEADER_EVERY) {
            out.push_str(HEADER);
        }
        self.intervals = self.intervals.wrapping_add(1);
        let stamp = format!("{:>10}", format::elapsed(interval.elapsed_ns));
        let busy = |row: &&Row| row.commands > 0 || row.in_flight > 0;
        for row in interval.rows.iter().filter(busy) {
            out.push_str(&stamp);
            self.push_row(&mut out, row);
        }
        if !interval.rows.iter().any(|row| busy(&row)) {
            let _ = writeln!(out, "{stamp} no I/O");
        }
        if interval.losses != self.losses && words::lost_anything(&interval.losses) {
            let _ = write!(out, "{stamp} since the start ");
            words::push_losses(&mut out, &interval.losses);
            out.push('\n');
        }
        self.losses = interval.losses;
        out
    }

    /// A path appeared, vanished or changed.
    pub fn path(&mut self, event: &PathEvent) -> String {
        let path = &event.path;
        let mut out = self.stamp(event.seen_at_ns);
        let _ = write!(
            out,
            "path {} {}: ",
            words::path(path),
            words::change(event.change)
        );
        match event.change {
            PathChange::State => {
                let source = words::source(path.state_source);
                let _ = write!(out, "{} ({source})", words::state_of(path));
            }
            _ => push_place(&mut out, path),
        }
        out.push('\n');
        out
    }

    /// A flag was raised or ended; counts that go on are in the summary.
    pub fn flag(&mut self, event: &FlagEvent) -> String {
        let flag = &event.flag;
        let (at, verb) = match event.change {
            FlagChange::Raised => (flag.raised_at_ns, "raised"),
            FlagChange::Ended => (flag.ended_at_ns.unwrap_or(flag.last_at_ns), "ended"),
            FlagChange::Updated => return String::new(),
        };
        let mut out = self.stamp(at);
        let _ = write!(out, "flag {verb} {}", flags::title(flag));
        for part in [flags::numbers(flag), safe::sentence(&flag.text)] {
            if !part.is_empty() {
                let _ = write!(out, "; {part}");
            }
        }
        out.push('\n');
        out
    }

    /// A logical unit moved, and what that cost.
    pub fn transfer(&mut self, event: &TransferEvent) -> String {
        let transfer = &event.transfer;
        let (at, verb) = match event.change {
            TransferChange::Seen => (transfer.known_at_ns, "seen"),
            TransferChange::Done => (transfer.ended_at_ns, "done"),
        };
        let mut out = self.stamp(at);
        let _ = writeln!(
            out,
            "transfer {verb} #{} {}: {}",
            transfer.id,
            safe::name(&transfer.subject),
            safe::sentence(&transfer.sentence())
        );
        out
    }

    fn stamp(&self, at_ns: u64) -> String {
        format!(
            "{:>10} ",
            format::elapsed(at_ns.saturating_sub(self.started_at_ns))
        )
    }

    fn push_row(&mut self, out: &mut String, row: &Row) {
        let path = &row.path;
        let _ = write!(
            out,
            " {:<12} {:<11} {:<6} {:>3} {:>5} {:<8}",
            words::known(path.map.as_deref()),
            safe::name(&path.hctl),
            words::known(path.device.as_deref()),
            words::number(path.path_group),
            words::number(path.port_group),
            words::state_of(path),
        );
        self.cell(out, 8, |cell| format::push_rate(cell, row.iops));
        self.cell(out, 8, |cell| format::push_mib(cell, row.bytes_per_s));
        self.cell(out, 9, |cell| format::push_count(cell, row.in_flight));
        for ns in [row.p50_ns, row.p99_ns, row.p999_ns, row.max_ns] {
            self.cell(out, 8, |cell| format::push_latency(cell, ns));
        }
        self.cell(out, 8, |cell| format::push_share(cell, Some(row.share)));
        if let Some(network) = &row.network {
            out.push_str("  ");
            words::push_network(out, network);
        }
        out.push('\n');
    }

    fn cell(&mut self, out: &mut String, width: usize, push: impl FnOnce(&mut String)) {
        self.cell.clear();
        push(&mut self.cell);
        let _ = write!(out, "{:>width$}", self.cell);
    }
}

/// A gap between the lines, where their reader was slow.
fn left_out(gap: &LeftOut) -> String {
    let lines = format::plural(gap.lines, "line");
    format!("           {lines} left out: nobody read them in time\n")
}

const HEADER: &str = concat!(
    " elapsed s map          path        device  PG   TPG state   ",
    "    IOPS   MiB/s in flight     p50     p99   p99.9     max   share\n"
);

fn push_place(out: &mut String, path: &Path) {
    let _ = write!(
        out,
        "map {}, PG {}, TPG {}, WWID {}, {}",
        words::known(path.map.as_deref()),
        words::number(path.path_group),
        words::number(path.port_group),
        words::known(path.wwid.as_deref()),
        words::state_of(path),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AccessState;
    use crate::report::samples::{self, STARTED_AT_NS};

    #[test]
    fn an_interval_has_a_header_and_a_line_per_path() {
        let mut lines = Lines::new(STARTED_AT_NS);
        let expected = concat!(
            " elapsed s map          path        device  PG   TPG state       IOPS   MiB/s in \
             flight     p50     p99   p99.9     max   share\n",
            "    12.000 mpatha       3:0:0:1     sdb      1     1 AO*       12,345    96.4       \
             12 87.2 µs  140 µs  330 µs 1.94 ms  50.0 %\n",
            "    12.000 mpatha       4:0:0:1     sdc      2     2 AN         6,173    48.2       \
             12 87.2 µs  140 µs  330 µs 1.94 ms  50.0 %\n",
        );
        assert_eq!(lines.interval(&samples::interval(2)), expected);
        assert!(!lines.interval(&samples::interval(2)).contains("elapsed"));
    }

    #[test]
    fn an_idle_interval_says_so_and_losses_are_told_once() {
        let mut lines = Lines::new(0);
        let mut interval = samples::interval(0);
        assert!(lines.interval(&interval).ends_with("    12.000 no I/O\n"));
        interval.losses.ring_full = 3;
        let shown = lines.interval(&interval);
        assert!(
            shown.ends_with("12.000 since the start 3 lost: 3 ring buffer full\n"),
            "{shown}"
        );
        assert!(!lines.interval(&interval).contains("lost"));
    }

    #[test]
    fn events_stand_alone() {
        let mut lines = Lines::new(STARTED_AT_NS);
        let path = samples::path(1, AccessState::NonOptimized);
        let seen_at_ns = STARTED_AT_NS + 1_500_000_000;
        let event = PathEvent {
            seen_at_ns,
            change: PathChange::State,
            path,
        };
        let shown = lines.line(&Line::Path(event.clone()));
        assert_eq!(
            shown,
            "     1.500 path 3:0:0:1 sdb state changed: AN (RTPG seen)\n"
        );
        let shown = lines.path(&PathEvent {
            change: PathChange::Appeared,
            ..event
        });
        let place = "map mpatha, PG 1, TPG 1, WWID naa.600a098038303053, AN";
        assert_eq!(
            shown,
            format!("     1.500 path 3:0:0:1 sdb appeared: {place}\n")
        );
        let mut event = FlagEvent {
            change: FlagChange::Raised,
            flag: samples::flag(1),
        };
        assert_eq!(
            lines.flag(&event),
            "    12.050 flag raised #1 warning: avoidable non-optimized-io on mpatha; 1,234 \
             commands (12.1 % of the LUN's) via 4:0:0:1; p50 1.94 ms, optimized 87.2 µs (22.2x, \
             same period); 3:0:0:1 is active/optimized and was usable.\n"
        );
        event.change = FlagChange::Updated;
        assert_eq!(lines.flag(&event), "");
    }

    #[test]
    fn a_transfer_stands_alone() {
        let event = TransferEvent {
            change: TransferChange::Done,
            transfer: samples::transfer(),
        };
        let shown = Lines::new(STARTED_AT_NS).line(&Line::Transfer(event));
        assert_eq!(
            shown,
            "    15.000 transfer done #1 mpatha: moved from TPG 1 to TPG 2 in 3.00 s by \
             sg_stpg[123] (local-explicit); 16 I/Os delayed by 48.0 s in all, 3.00 s at most, 4 of \
             them held in dm, 16 retried\n"
        );
    }

    #[test]
    fn the_start_names_missing_probes() {
        let shown = Lines::new(0).start(&samples::start(2));
        assert_eq!(
            shown,
            "     0.000 alua-trace 0.1.0 on Linux 6.12.48, 2 paths\n     \
             0.000 probe alua-rtpg broken: no symbol alua_rtpg_work; without it: access states \
             learned during the trace\n"
        );
    }

    #[test]
    fn names_cannot_break_a_line() {
        let mut lines = Lines::new(0);
        let mut interval = samples::interval(1);
        interval.rows[0].path = samples::hostile_path(1).into();
        let mut shown = lines.interval(&interval);
        let flag = samples::hostile_flag(1);
        shown += &lines.flag(&FlagEvent {
            change: FlagChange::Ended,
            flag,
        });
        shown += &lines.transfer(&TransferEvent {
            change: TransferChange::Seen,
            transfer: samples::hostile_transfer(),
        });
        assert_eq!(shown.lines().count(), 4);
        assert!(
            !shown.chars().any(|c| c != '\n' && safe::is_unsafe(c)),
            "{shown:?}"
        );
    }
}
