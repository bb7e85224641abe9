//! The tables that a recording is exported as: which there are, what stands in them, and in which unit. CSV
//! and Parquet have the same; `docs/export.md` describes them, and a test holds it to that.

/// What stands in a column. Any of it may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number; more than 2^63 − 1 is written as that.
    Int,
    /// A number.
    Float,
    /// Text, as it came from the host.
    Text,
    /// True or false.
    Bool,
    /// A point in time: ns since the epoch, UTC.
    Time,
    /// Bins of a histogram: inclusive upper bound in ns, and count.
    Bins,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name, with its unit.
    pub name: &'static str,
    /// What stands in it.
    pub kind: Kind,
}

/// A table.
#[derive(Debug)]
pub struct Table {
    /// Its name, which is that of its file.
    pub name: &'static str,
    /// Its columns, in order.
    pub columns: &'static [Column],
    /// Columns that rows are sorted by within a group of rows, the first one first.
    pub sorted_by: &'static [&'static str],
}

/// A value of a row.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Unknown, or there is none.
    Null,
    /// [`Kind::Int`] or [`Kind::Time`].
    Int(u64),
    /// [`Kind::Int`] that may be below zero.
    Signed(i64),
    /// [`Kind::Float`].
    Float(f64),
    /// [`Kind::Text`].
    Text(&'a str),
    /// [`Kind::Bool`].
    Bool(bool),
    /// [`Kind::Bins`].
    Bins(&'a [(u64, u64)]),
}

impl<'a> Value<'a> {
    /// Text that may be unknown.
    pub fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }

    /// A number that may be unknown.
    pub fn int<N: Into<u64>>(number: Option<N>) -> Self {
        number.map_or(Self::Null, |it| Self::Int(it.into()))
    }
}

/// Version of the tables: rises when a column changes its meaning or goes away.
pub const SCHEMA: u32 = 1;
/// What bins mean, as a reader of the file finds it.
pub const BINS: &str = "latency in ns; le_ns is the inclusive upper bound; bins are 1 ns wide below 256 ns, then \
                        2^(floor(log2(le_ns)) - 7) ns; equal for every file, so that counts add up by le_ns";

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

/// Index of each table in [`TABLES`].
pub mod id {
    #![expect(missing_docs, reason = "they are named after the tables")]
    pub const RUNS: usize = 0;
    pub const PATHS: usize = 1;
    pub const INTERVALS: usize = 2;
    pub const COMMANDS: usize = 3;
    pub const TRANSFERS: usize = 4;
    pub const FLAGS: usize = 5;
}

/// All of them.
pub const TABLES: [Table; 6] = [
    Table {
        name: "runs",
        columns: &[
            column("run", Kind::Text),
            column("host", Kind::Text),
            column("boot_id", Kind::Text),
            column("version", Kind::Text),
            column("kernel", Kind::Text),
            column("started", Kind::Time),
            column("started_monotonic_ns", Kind::Int),
            column("duration_ns", Kind::Int),
            column("complete", Kind::Bool),
            column("incomplete_because", Kind::Text),
            column("paths", Kind::Int),
            column("dispatched", Kind::Int),
            column("completed", Kind::Int),
            column("recorded", Kind::Int),
            column("ring_full", Kind::Int),
            column("not_recorded", Kind::Int),
            column("command", Kind::Text),
            column("command_status", Kind::Int),
            column("labels_json", Kind::Text),
        ],
        sorted_by: &[],
    },
    Table {
        name: "paths",
        columns: &[
            column("run", Kind::Text),
            column("path", Kind::Int),
            column("hctl", Kind::Text),
            column("device", Kind::Text),
            column("wwid", Kind::Text),
            column("map", Kind::Text),
            column("dm", Kind::Text),
            column("path_group", Kind::Int),
            column("port_group", Kind::Int),
            column("relative_port", Kind::Int),
            column("vendor", Kind::Text),
            column("product", Kind::Text),
            column("handler", Kind::Text),
            column("state", Kind::Text),
            column("state_source", Kind::Text),
            column("preferred", Kind::Bool),
            column("present", Kind::Bool),
            column("dispatched", Kind::Int),
            column("completed", Kind::Int),
            column("failed", Kind::Int),
            column("timed_out", Kind::Int),
            column("superseded", Kind::Int),
            column("untracked", Kind::Int),
            column("in_flight", Kind::Int),
            column("recorded", Kind::Int),
            column("counted", Kind::Int),
            column("ring_full", Kind::Int),
            column("implausible", Kind::Int),
            column("rejected", Kind::Int),
        ],
        sorted_by: &[],
    },
    Table {
        name: "intervals",
        columns: &[
            column("run", Kind::Text),
            column("ended", Kind::Time),
            column("elapsed_ns", Kind::Int),
            column("interval_ns", Kind::Int),
            column("path", Kind::Int),
            column("hctl", Kind::Text),
            column("wwid", Kind::Text),
            column("map", Kind::Text),
            column("path_group", Kind::Int),
            column("port_group", Kind::Int),
            column("class", Kind::Text),
            column("state", Kind::Text),
            column("commands", Kind::Int),
            column("errors", Kind::Int),
            column("bytes", Kind::Int),
            column("sum_ns", Kind::Int),
            column("min_ns", Kind::Int),
            column("max_ns", Kind::Int),
            column("bins", Kind::Bins),
        ],
        sorted_by: &["path", "ended"],
    },
    Table {
        name: "commands",
        columns: &[
            column("run", Kind::Text),
            column("dispatched", Kind::Time),
            column("latency_ns", Kind::Int),
            column("path", Kind::Int),
            column("hctl", Kind::Text),
            column("wwid", Kind::Text),
            column("map", Kind::Text),
            column("path_group", Kind::Int),
            column("port_group", Kind::Int),
            column("class", Kind::Text),
            column("state", Kind::Text),
            column("state_source", Kind::Text),
            column("opcode", Kind::Int),
            column("lba", Kind::Int),
            column("bytes", Kind::Int),
            column("result", Kind::Int),
            column("sense_key", Kind::Int),
            column("asc", Kind::Int),
            column("ascq", Kind::Int),
            column("retries", Kind::Int),
            column("passthrough", Kind::Bool),
        ],
        sorted_by: &["path", "dispatched"],
    },
    Table {
        name: "transfers",
        columns: &[
            column("run", Kind::Text),
            column("transfer", Kind::Int),
            column("subject", Kind::Text),
            column("wwid", Kind::Text),
            column("from_owners", Kind::Text),
            column("to_owners", Kind::Text),
            column("started", Kind::Time),
            column("start_uncertain_ns", Kind::Int),
            column("ended", Kind::Time),
            column("known", Kind::Time),
            column("cause", Kind::Text),
            column("actor", Kind::Text),
            column("delayed", Kind::Int),
            column("retried", Kind::Int),
            column("failed", Kind::Int),
            column("held_in_dm", Kind::Int),
            column("added_ns", Kind::Int),
            column("longest_ns", Kind::Int),
            column("text", Kind::Text),
        ],
        sorted_by: &[],
    },
    Table {
        name: "flags",
        columns: &[
            column("run", Kind::Text),
            column("flag", Kind::Int),
            column("kind", Kind::Text),
            column("severity", Kind::Text),
            column("subject", Kind::Text),
            column("wwid", Kind::Text),
            column("avoidable", Kind::Bool),
            column("first", Kind::Time),
            column("last", Kind::Time),
            column("raised", Kind::Time),
            column("ended", Kind::Time),
            column("commands", Kind::Int),
            column("share", Kind::Float),
            column("p50_ns", Kind::Int),
            column("optimized_p50_ns", Kind::Int),
            column("paths", Kind::Text),
            column("text", Kind::Text),
        ],
        sorted_by: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_and_column_is_documented() {
        let docs = include_str!("../../../docs/export.md");
        for table in &TABLES {
            let title = format!("### `{}`", table.name);
            let (_, of_table) = docs.split_once(&title).unwrap_or_else(|| panic!("{title}"));
            let of_table = of_table.split("\n### ").next().unwrap();
            let documented: Vec<&str> = of_table
                .lines()
                .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
                .map(|(name, _)| name)
                .collect();
            let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(documented, names, "{}", table.name);
            for name in table.sorted_by {
                assert!(names.contains(name));
            }
        }
    }
}
