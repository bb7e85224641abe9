"""Reads what was exported of a recording with what it is for, and computes the report's numbers again.

check.py DIR NAME CLAT2CSV: DIR has NAME.report.json, NAME.csv, NAME.parquet, NAME.hlog, NAME.fio.json and
NAME.perfetto-trace; CLAT2CSV is fio's fio_jsonplus_clat2csv, or "-". Prints a line for each check.
"""

import csv
import json
import math
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path


def load(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def bins_of(text):
    pairs = (pair.split(":") for pair in text.split())
    return {int(bound): int(count) for bound, count in pairs}


def add(total, bins):
    for bound, count in bins.items():
        total[bound] += count


def rank(values, quantile):
    """The value at a quantile of all values: the least that so many are at or below."""
    return sorted(values)[max(0, math.ceil(quantile * len(values) - 1e-9) - 1)]


class Run:
    def __init__(self, directory, name):
        self.base = Path(directory) / name
        self.report = json.loads(Path(f"{self.base}.report.json").read_text(encoding="utf-8"))
        self.latencies = {}
        for path in self.report["summary"]["paths"]:
            for latency in path["latency"]:
                if latency["commands"]:
                    key = (path["path"]["id"], latency["class"], latency["state"])
                    self.latencies[key] = latency

    def table(self, name):
        return load(self.base.with_name(self.base.name + ".csv") / f"{name}.csv")

    def parquet(self, name):
        return self.base.with_name(self.base.name + ".parquet") / f"{name}.parquet"


def check_latency(key, latency, values, told_bytes):
    assert latency["commands"] == len(values), (key, latency["commands"], len(values))
    assert latency["bytes"] == told_bytes, key
    if not values:
        return
    assert (latency["min_ns"], latency["max_ns"]) == (min(values), max(values)), key
    assert abs(latency["mean_ns"] - sum(values) / len(values)) <= 1e-6 * latency["mean_ns"], key
    for told in latency["quantiles"]:
        exact = rank(values, told["quantile"])
        assert told["low_ns"] <= exact <= told["high_ns"], (key, told, exact)
        assert abs(told["value_ns"] - exact) <= 0.008 * exact + 1, (key, told, exact)


def csv_commands(run):
    """Every percentile of the report, computed from the commands themselves."""
    values, sizes = defaultdict(list), defaultdict(int)
    for row in run.table("commands"):
        key = (int(row["path"]), row["class"], row["state"])
        values[key].append(int(row["latency_ns"]))
        sizes[key] += int(row["bytes"])
    assert set(values) == set(run.latencies)
    for key, latency in run.latencies.items():
        check_latency(key, latency, values[key], sizes[key])


def csv_intervals(run):
    """Intervals add up to the report, over all of it and in each column of its timeline."""
    sums = defaultdict(lambda: defaultdict(int))
    ends = run.report["timeline"]["columns_ns"]
    columns = defaultdict(int)
    for row in run.table("intervals"):
        key = (int(row["path"]), row["class"], row["state"])
        bins = bins_of(row["bins"])
        assert sum(bins.values()) == int(row["commands"])
        add(sums[key], bins)
        at = next(n for n, (_, to) in enumerate(ends) if int(row["elapsed_ns"]) <= to)
        columns[(int(row["path"]), at)] += int(row["commands"])
    assert set(sums) == set(run.latencies)
    for key, latency in run.latencies.items():
        assert dict(map(tuple, latency["buckets"])) == dict(sums[key]), key
    for path in run.report["timeline"]["paths"]:
        for at, column in enumerate(path["columns"]):
            told = columns.get((path["path"]["id"], at), 0)
            assert column["commands"] == told, (path["path"]["hctl"], at)


def csv_events(run):
    """Transfers, flags and counts are those of the report."""
    transfers = run.table("transfers")
    assert [int(row["transfer"]) for row in transfers] == [t["id"] for t in run.report["transfers"]]
    wall = run.report["start"]["wall_unix_ns"] - run.report["start"]["started_at_ns"]
    for row, transfer in zip(transfers, run.report["transfers"]):
        assert int(row["started"]) == transfer["started_at_ns"] + wall
        assert row["cause"] == transfer["cause"]
    assert {int(row["flag"]) for row in run.table("flags")} == {f["id"] for f in run.report["flags"]}
    counts = {p["path"]["id"]: p["counts"] for p in run.report["summary"]["paths"]}
    for row in run.table("paths"):
        for name, count in counts[int(row["path"])].items():
            assert int(row[name]) == count, (row["hctl"], name)
    (row,) = run.table("runs")
    assert (row["complete"] == "true") == run.report["summary"]["complete"]


def with_times(table):
    """Times as whole numbers: Python has none of ns."""
    import pyarrow as pa

    for n, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            assert field.type == pa.timestamp("ns", "UTC"), field
            table = table.set_column(n, field.name, table.column(n).cast(pa.int64()))
    return table


def parquet_pyarrow(run):
    """Parquet has the rows of the CSV, and its bins add up to the report."""
    import pyarrow.parquet as pq

    for name in ["runs", "paths", "intervals", "commands", "transfers", "flags"]:
        told = with_times(pq.read_table(run.parquet(name))).to_pylist()
        rows = run.table(name)
        assert len(told) == len(rows), (name, len(told), len(rows))

        def plain(value):
            if value is None:
                return ""
            if isinstance(value, bool):
                return str(value).lower()
            if isinstance(value, float) and value.is_integer():
                return str(int(value))
            if isinstance(value, list):
                return " ".join(f"{bin['le_ns']}:{bin['count']}" for bin in value)
            return str(value)

        def number(text):
            try:
                return repr(float(text)) if "." in text else text
            except ValueError:
                return text

        ours = sorted(tuple(number(plain(v)) for v in row.values()) for row in told)
        theirs = sorted(tuple(number(v) for v in row.values()) for row in rows)
        assert ours == theirs, name
    metadata = pq.read_metadata(run.parquet("intervals")).metadata
    assert metadata[b"alua-trace.schema"] == b"1" and b"le_ns" in metadata[b"alua-trace.bins"]


def parquet_skips(run):
    """Groups of rows have statistics of time, in order, and pages have an index."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(run.parquet("commands"))
    names = [metadata.schema.column(n).name for n in range(metadata.num_columns)]
    before = None
    for group in range(metadata.num_row_groups):
        for name in ["dispatched", "path"]:
            column = metadata.row_group(group).column(names.index(name))
            assert column.is_stats_set and column.statistics.has_min_max, name
            assert column.compression == "ZSTD", column.compression
            assert column.has_column_index and column.has_offset_index, name
        start = metadata.row_group(group).column(names.index("dispatched")).statistics.min_raw
        assert before is None or before <= start
        before = start
    rows = pq.ParquetFile(run.parquet("commands"))
    for group in range(rows.num_row_groups):
        table = with_times(rows.read_row_group(group, columns=["path", "dispatched"])).to_pydict()
        pairs = list(zip(table["path"], table["dispatched"]))
        assert pairs == sorted(pairs)


def parquet_duckdb(run):
    """DuckDB reads the same, and computes the percentiles of all paths from bins."""
    import duckdb

    intervals = str(run.parquet("intervals"))
    rows = duckdb.sql(
        f"""
        with b as (select state, unnest(bins) as bin from '{intervals}' where class = 'read'),
             s as (select state, bin.le_ns as le_ns, sum(bin.count) as n from b group by all),
             c as (select *, sum(n) over (partition by state order by le_ns) as upto,
                          sum(n) over (partition by state) as total from s)
        select state, min(le_ns) from c where upto >= 0.99 * total group by state
        """
    ).fetchall()
    merged = defaultdict(lambda: defaultdict(int))
    for (_, kind, state), latency in run.latencies.items():
        if kind == "read":
            add(merged[state], dict(map(tuple, latency["buckets"])))
    assert {state for state, _ in rows} == set(merged)
    for state, bound in rows:
        total, upto = sum(merged[state].values()), 0
        for le_ns, count in sorted(merged[state].items()):
            upto += count
            if upto >= 0.99 * total:
                assert bound == le_ns, (state, bound, le_ns)
                break
    commands = duckdb.sql(f"select count(*) from '{run.parquet('commands')}'").fetchall()[0][0]
    assert commands == sum(latency["commands"] for latency in run.latencies.values())


def hlog(run):
    """HdrHistogram's reader gives the counts and percentiles of the report."""
    from hdrh.histogram import HdrHistogram
    from hdrh.log import HistogramLogReader

    hctl = {p["path"]["id"]: p["path"]["hctl"] for p in run.report["summary"]["paths"]}
    reader = HistogramLogReader(f"{run.base}.hlog", HdrHistogram(1, 1 << 62, 2))
    sums = {}
    while True:
        interval = reader.get_next_interval_histogram()
        if interval is None:
            break
        tag = interval.get_tag()
        if tag not in sums:
            sums[tag] = HdrHistogram(1, 1 << 62, 2)
        sums[tag].add(interval)
    tags = {f"{hctl[path]}/{kind}/{state}": it for (path, kind, state), it in run.latencies.items()}
    assert set(sums) == set(tags), (set(sums), set(tags))
    for tag, latency in tags.items():
        assert sums[tag].get_total_count() == latency["commands"], tag
        recorded = sums[tag].get_recorded_iterator()
        bins = {it.value_iterated_to: it.count_at_value_iterated_to for it in recorded}
        assert bins == dict(map(tuple, latency["buckets"])), tag


def fio(run, tool):
    """fio's own tool makes tables of it, and finds them right."""
    with tempfile.TemporaryDirectory() as directory:
        for more in [[], ["--validate"]]:
            words = [sys.executable, tool, f"{run.base}.fio.json", f"{directory}/out.csv", *more]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert done.returncode == 0 and "mismatch" not in done.stdout, done.stdout + done.stderr
        jobs = json.loads(Path(f"{run.base}.fio.json").read_text(encoding="utf-8"))["jobs"]
        assert done.stdout.count("validated") == len(jobs), done.stdout
    told = sum(job[kind]["total_ios"] for job in jobs for kind in ["read", "write"])
    io = sum(it["commands"] for key, it in run.latencies.items() if key[1] != "other")
    assert told == io, (told, io)


def perfetto(run):
    """Perfetto's own messages have a slice for each command, and the flows end at slowed ones."""
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

    trace = Trace()
    raw = Path(f"{run.base}.perfetto-trace").read_bytes()
    trace.ParseFromString(raw)
    assert trace.SerializeToString() == raw, "something in it is unknown to Perfetto"
    tracks, begins, ends, flows, ended_flows = {}, 0, defaultdict(list), set(), set()
    open_slices = defaultdict(list)
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            tracks[packet.track_descriptor.uuid] = packet.track_descriptor
            continue
        event = packet.track_event
        assert event.track_uuid in tracks
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            begins += 1
            open_slices[event.track_uuid].append(packet.timestamp)
            ended_flows.update(event.terminating_flow_ids)
        elif event.type == TrackEvent.TYPE_SLICE_END:
            begin = open_slices[event.track_uuid].pop()
            ends[event.track_uuid].append((begin, packet.timestamp))
        else:
            assert event.type == TrackEvent.TYPE_INSTANT
            flows.update(event.flow_ids)
    assert begins == sum(latency["commands"] for latency in run.latencies.values())
    assert not any(open_slices.values())
    for slices in ends.values():
        slices.sort()
        assert all(a[1] <= b[0] for a, b in zip(slices, slices[1:])), "slices of a track overlap"
    assert flows == {transfer["id"] for transfer in run.report["transfers"]}
    delayed = {t["id"] for t in run.report["transfers"] if t["impact"] and t["impact"]["delayed"]}
    assert delayed <= ended_flows <= flows, (delayed, ended_flows)


def main():
    directory, name, tool = sys.argv[1:4]
    run = Run(directory, name)
    checks = [
        csv_commands, csv_intervals, csv_events, parquet_pyarrow, parquet_skips, parquet_duckdb, hlog, perfetto,
    ]
    failed = False
    for check in checks:
        try:
            check(run)
            print(f"ok {check.__name__}")
        except Exception as error:  # pylint: disable=broad-except
            failed = True
            print(f"FAILED {check.__name__}: {type(error).__name__}: {str(error)[:300]}")
    if tool != "-":
        try:
            fio(run, tool)
            print("ok fio")
        except Exception as error:  # pylint: disable=broad-except
            failed = True
            print(f"FAILED fio: {type(error).__name__}: {str(error)[:300]}")
    sys.exit(failed)


main()
