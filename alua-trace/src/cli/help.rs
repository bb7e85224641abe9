//! The texts of `--help` that are longer than a line.

pub(super) const ABOUT: &str =
    "Which path did every SCSI command take, in which ALUA state, and how long did it take";

pub(super) const LONG_ABOUT: &str = "\
Traces every SCSI command on the paths of dm-multipath maps: which path it took, which access
state (active/optimized, active/non-optimized, …) that path had at dispatch, and how long the
command took from dispatch to completion. Flags I/O over paths that are not optimized.

It only watches: it sends no SCSI command and changes nothing. Tracing needs root.";

pub(super) const EXIT: &str = "\
Exit status:
  0        fine
  1        of `doctor --multipath-conf`: the configuration has findings that are worse than advice
  2        bad input; or the host cannot be traced; or the trace is incomplete because a kernel
           module was unloaded
  status   of COMMAND, when `run` was given one; 128+N when signal N killed it";

pub(super) const RUN: &str = "Trace until Ctrl-C, for a time, or while a command runs";

pub(super) const RUN_LONG: &str = "\
Trace until Ctrl-C, for a time, or while a command runs.

On a terminal a live view shows every path; otherwise plain lines do. A summary follows at the
end: latencies per path and access state, flags, and the account of every command.

Keys of the live view: up, down, PgUp, PgDn, Home and End scroll; < and > choose the column to
sort by, r turns the order, Esc sorts no more. What is typed is the view's: COMMAND reads nothing
from the terminal, except with --plain.";

pub(super) const RUN_AFTER: &str = "\
Examples:
  Watch until Ctrl-C:
      alua-trace run

  Ten seconds of one map, as JSON too:
      alua-trace run --duration 10s --map mpatha --json trace.json

  While a load test runs:
      alua-trace run -- fio job.fio

  Every command over a path that is not optimized:
      alua-trace run --duration 5s --json - --commands |
          jq -c 'select(.type == \"command\" and .state != \"AO\")'

  In a test that runs by itself: fail where I/O went over the wrong ports, or p99 is above 5 ms:
      alua-trace run --fail-if 'non_optimized_avoidable_share > 1%' --fail-if 'p99_ms > 5' \\
          --junit result.xml -- fio job.fio

Exit status:
  0        fine; also when the reader of the output goes away, or Ctrl-C ends the trace
  2        bad input; or the host cannot be traced; or the trace is incomplete because a kernel
           module was unloaded
  3        what --fail-if says is true, or nobody can tell (docs/gates.md)
  status   of COMMAND, when there is one; 128+N when signal N killed it

The JSON is described in docs/json.md.";

pub(super) const RECORD: &str = "Trace, and keep everything in a file for replay";

pub(super) const RECORD_LONG: &str = "\
Trace, and keep everything in a file: every command, what the array and dm-multipath did, and the
paths as they were. `alua-trace replay` gives from it what the trace gave, and other views.

It shows what happens, and the summary at the end; not each interval. A disk that is too slow costs
recorded commands, which are counted, never the trace. If the tool is killed, the file is readable
up to the last second.";

pub(super) const RECORD_AFTER: &str = "\
Examples:
  While a load test runs:
      sudo alua-trace record -o fio.atr -- fio job.fio
      alua-trace replay fio.atr

  With something to tell it by, when it is compared:
      sudo alua-trace record -o jumbo-1.atr --label mtu=9000 --label run=1 -- fio job.fio

  Beside the live view:
      sudo alua-trace run --record evening.atr --duration 10m

  For days, in files of an hour of which a day's are kept:
      sudo alua-trace record -o day.atr --rotate 1h --keep 24

  For months, without commands:
      sudo alua-trace record -o long.atr --histograms-only --interval 10s --rotate 500M

  Only what leads to a flag, from ten minutes before it on; or to `kill -USR1`:
      sudo alua-trace record -o fault.atr --last 10m --last-memory 1G

Exit status:
  0        fine; also when Ctrl-C ends the trace
  2        bad input; or the file is there already or cannot be written to its end; or the host
           cannot be traced, or not completely
  status   of COMMAND, when there is one; 128+N when signal N killed it

The format is described in docs/recording.md.";

pub(super) const WATCH: &str =
    "Trace for months: metrics, alerts, and recordings of what led to them";

pub(super) const WATCH_LONG: &str = "\
Trace for months, as a service: commands are counted in the kernel, metrics are given to Prometheus, alerts are told to the
journal, to programs, web hooks and files, and the last minutes before something happens are recorded.

SIGHUP has the alerts and actions of the configuration read again; SIGTERM ends it.";

pub(super) const WATCH_AFTER: &str = "\
Examples:
  See whether a configuration can be used:
      alua-trace watch --config watch.toml --check

  As a service:
      systemctl enable --now alua-trace

Exit status:
  0        ended by a signal
  2        the configuration cannot be used, or the host cannot be traced

The configuration is described in docs/watch.md.";

pub(super) const REPLAY: &str = "Show what was recorded, as the trace showed it";

pub(super) const REPLAY_LONG: &str = "\
Show what was recorded, as the trace showed it: plain lines, JSON and the summary are the same, byte
for byte. It needs no root, and not the host that was traced.

A recording that ends early, or is damaged, is shown up to there, and then it says what is missing.";

pub(super) const REPLAY_AFTER: &str = "\
Examples:
  Again, what the trace said:
      alua-trace replay fio.atr

  The slowest hundred reads, by path:
      alua-trace replay fio.atr --json - --commands |
          jq -c 'select(.type == \"command\" and .opcode == 40) | [.latency_ns, .hctl]' |
          sort -t[ -k2 -n | tail -100

  The third minute, counted by itself:
      alua-trace replay fio.atr --from 2m --to 3m

  A recording that is in several files:
      alua-trace replay day.0007.atr day.0008.atr

  Two moves of a unit within ten minutes are thrash:
      alua-trace replay fio.atr --threshold thrash-transfers=2 --threshold thrash-time=10m

  Kernel, queues, transports, multipath's configuration and what fio printed:
      alua-trace replay fio.atr --setup | jq .

Exit status:
  0        fine
  2        bad input; or it is no recording, ends early or is damaged
  3        what --fail-if says is true, or nobody can tell (docs/gates.md)

The JSON is described in docs/json.md.";

pub(super) const REPORT: &str = "Say what a recording means: the verdict, then the evidence";

pub(super) const REPORT_LONG: &str = "\
Say what a recording means: the verdict in sentences, then the evidence: latencies with their
intervals, transfers and what they cost, the slowest commands, and the account of every command.

With -o it makes an HTML page of it, with charts over time: one file without a script or a font from
elsewhere, to be opened from the disk, sent or printed. With --json it is one object.";

pub(super) const REPORT_AFTER: &str = "\
Examples:
  From a load test to a page:
      sudo alua-trace record -o fio.atr -- fio job.fio
      alua-trace report fio.atr -o fio.html

  What is to be said of one map:
      alua-trace report fio.atr --map mpatha

  The part of each map's I/O that was not optimized:
      alua-trace report fio.atr --json - | jq '.maps[] | [.map, .not_optimized / .commands]'

Exit status:
  0        fine
  2        bad input; or it is no recording, ends early or is damaged: what there is is reported
  3        what --fail-if says is true, or nobody can tell (docs/gates.md)

The JSON is described in docs/report.md.";

pub(super) const COMPARE: &str = "Say by how much runs of two sides differ, or that they do not";

pub(super) const COMPARE_LONG: &str = "\
Say by how much runs of two sides differ, or that they do not: IOPS, throughput, latency, CPU per I/O, the
part that was not optimized, and every percentile.

What is compared is runs, several recordings a side: the commands of one run depend on each other, and a
million of them tell nothing of another run. With few runs it says how many are needed; where the sides differ
in more than what is compared (kernel, selector, queue depth, …) it says in what.";

pub(super) const COMPARE_AFTER: &str = "\
Examples:
  Six runs with an MTU of 1500 against six with 9000:
      alua-trace compare mtu1500-*.atr --vs mtu9000-*.atr --meant mtu --meant mss

  Only the tail of reads; less than 2 % would not matter:
      alua-trace compare a*.atr --vs b*.atr --class read --metric p99 --metric p99.9 --within 2

  As JSON:
      alua-trace compare a*.atr --vs b*.atr --json - | jq '.metrics[] | [.metric, .verdict]'

Exit status:
  0        fine
  2        bad input; or there are too few runs for a verdict
  3        what --fail-if says is true, or nobody can tell (docs/gates.md)

How it is reckoned, and the JSON, are described in docs/compare.md.";

pub(super) const GAIN: &str = "Estimate by how much faster I/O over optimized paths alone would be";

pub(super) const GAIN_LONG: &str = "\
Estimate by how much faster the I/O of each map would be if all of it went over optimized paths: of a recording, or
of what this host does in the next 30 s. Commands that went over other paths are compared with their like, of one kind
and size, over optimized paths in the same second, or before and after under the same load. Where there is no fair
comparison it says so: `alua-trace experiment` makes one.";

pub(super) const GAIN_AFTER: &str = "\
Examples:
  Of a recording:
      alua-trace gain fio.atr

  Of this host, for a minute:
      sudo alua-trace gain --duration 1m --map mpatha

Exit status:
  0        fine, also where it cannot tell
  2        bad input; or the host cannot be traced
  status   of COMMAND, when there is one; 128+N when signal N killed it

How it is reckoned, and the JSON, are described in docs/gain.md.";

pub(super) const EXPERIMENT: &str =
    "Switch factors as a plan says, measure every combination, and say what each gains";

pub(super) const EXPERIMENT_LONG: &str = "\
Switch factors (ALUA on or off, MTU 1500 or 9000, anything that a command can set) as a plan says, measure every
combination of their levels, and say what each factor changes and whether they add up.

Combinations are run in blocks whose order is drawn by lot, so that what drifts falls on all of them. Each run waits
until its load is steady, and is recorded. Interrupted at any point, even by kill -9, every factor is set back as it was;
the same command goes on where it stopped. It needs root, as tracing does.";

pub(super) const EXPERIMENT_AFTER: &str = "\
Examples:
  What it would do, and how long that takes:
      alua-trace experiment alua-mtu.toml --dry-run

  Make it; the same command goes on after a break:
      alua-trace experiment alua-mtu.toml

  How many blocks find an effect of 2 %, after a few of them:
      alua-trace experiment alua-mtu.toml --power 2

Exit status:
  0        fine
  2        bad input; or a factor could not be switched, or the load failed; or there are too few blocks for a verdict
  3        what --fail-if says is true, or nobody can tell (docs/gates.md)
  128+N    signal N has ended it; everything is as it was

The plan, how it is reckoned, and the JSON are described in docs/experiment.md.";

pub(super) const EXPORT: &str = "Make of a recording what other tools read";

pub(super) const EXPORT_LONG: &str = "\
Make of a recording what other tools read: HdrHistogram logs, tables as CSV or Parquet, latencies as
in fio's JSON, or a trace for Perfetto. Nothing is replaced that is there already.";

pub(super) const EXPORT_AFTER: &str = "\
Examples:
  Tables for DuckDB, Spark or pandas:
      alua-trace export fio.atr --to parquet
      duckdb -c \"select hctl, state, sum(commands) from 'fio.parquet/intervals.parquet' group by all\"

  Histograms alone, of one map:
      alua-trace export fio.atr --to csv --no-commands --map mpatha -o mpatha-csv

  Every command, to look at with https://ui.perfetto.dev:
      alua-trace export fio.atr --to perfetto

  Percentiles beside those of fio itself:
      alua-trace export fio.atr --to fio -o seen-by-paths.json

Exit status:
  0        fine
  2        bad input; or it is no recording, ends early or is damaged: what there is is exported

The forms are described in docs/export.md.";

pub(super) const DOCTOR: &str =
    "Say what a trace on this host can tell, and what is wrong with its multipath set-up";

pub(super) const DOCTOR_AFTER: &str = "\
The probes are attached for a moment, and nothing is changed. Of the multipath set-up it shows what
counts for every map and where it comes from, and findings with the line, the reason and the remedy:
docs/findings.md lists them. It sends no SCSI command. Without root the multipath files are read all
the same; maps and probes then stay unknown.

Examples:
  This host:
      sudo alua-trace doctor

  A configuration of any host, or all files of a directory:
      alua-trace doctor --multipath-conf multipath.conf

Exit status:
  0        a trace on this host is complete; with --multipath-conf: no finding is worse than advice
  1        with --multipath-conf only: there are findings that are worse than advice
  2        it cannot be traced, or not completely; or the configuration cannot be read";

pub(super) const DECODE: &str = "Show what a SCSI page, answer or parameter list says";

pub(super) const DECODE_LONG: &str = "\
Show what a SCSI page, answer or parameter list says: every field with its byte, its value and
what it means.

It opens no device and sends nothing. It reads dumps: hexadecimal as sg3_utils, xxd and hexdump -C
print them, with or without addresses; the words of sg_inq and sg_rtpg; or the bytes themselves.
What is cut off is shown as far as it goes, with a note.";

pub(super) const DECODE_AFTER: &str = "\
Examples:
  Who owns this volume of an RDAC array, and what is the path's priority?
      sg_vpd --page=0xc9 --hex /dev/sdb | alua-trace decode --page c9

  The port groups of a path, as JSON:
      sg_rtpg --raw /dev/sdb | alua-trace decode --page rtpg --json

  Identification, from what the kernel has read already:
      alua-trace decode --page 83 /sys/block/sdb/device/vpd_pg83

  A sense code from a log:
      echo 72 06 2a 06 00 00 00 00 | alua-trace decode --page sense

Exit status:
  0        fine; also when the data is cut off
  2        it cannot be read, or is not what --page says";

pub(super) const PATHS: &str = "Show everything about the multipath maps and paths of this host";

pub(super) const PATHS_LONG: &str = "\
Show everything about the multipath maps and paths of this host, or of the maps named: by name,
dm-N or WWID.

It reads sysfs, device-mapper and what the kernel keeps, and sends nothing to the array. With
--refresh it asks the array itself: REPORT TARGET PORT GROUPS and vital product data, over one path
per port group; and shows where array, kernel, sysfs and device-mapper contradict each other.";

pub(super) const PATHS_AFTER: &str = "\
Examples:
  Everything, from what the kernel knows:
      alua-trace paths

  One map, asking the array:
      sudo alua-trace paths mpatha --refresh

  As a picture:
      alua-trace paths --svg > paths.svg

Exit status:
  0        fine; also when something could not be found out, which is said
  2        bad input: no such map";

pub(super) const IMPORT: &str = "Show the paths of another machine from what its tools printed";

pub(super) const IMPORT_LONG: &str = "\
Show the paths of another machine from what its tools printed, in the views of `paths`.

It reads what these print: `multipath -ll` (old and new form), `multipathd show maps json` (and
`show map M json`), `esxcli storage nmp device list`, `sg_rtpg`, `sg_inq`, `sg_vpd`; and kernel logs
with lines of the alua and rdac handlers, as a timeline. Which one it is, it finds out by itself.";

pub(super) const IMPORT_AFTER: &str = "\
Examples:
  multipath -ll | alua-trace import
  multipathd show maps json | alua-trace import --svg > paths.svg
  journalctl -k | alua-trace import --kind kernel-log

Exit status:
  0        fine; also when lines were not understood, which is said
  2        it cannot be read, or is nothing of this kind";
