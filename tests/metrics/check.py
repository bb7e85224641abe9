"""Has a real Prometheus scrape the metrics of a recording, and compares what it then answers with the recording's JSON.

check.py ROOT SERVE RECORDING JSON DIRECTORY: Debian's prometheus unpacked at ROOT; the example that serves the recording's
metrics; the JSON lines of its replay; a directory to work in. LOADER and LIBRARIES are those of ROOT's release. Prints a line
for each check.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

# The width of a native bucket and half of a bin of ours, as docs/metrics.md states it.
NATIVE_ERROR = 0.027
# Width of a bin of ours.
BIN = 1 / 128
# Of fewer commands a quantile is a word.
ENOUGH = 10
RULES = Path(__file__).resolve().parents[2] / "dist" / "prometheus"
DASHBOARD = Path(__file__).resolve().parents[2] / "dist" / "grafana" / "alua-trace.json"
STATES = {
    "AO": "active/optimized",
    "AN": "active/non-optimized",
    "LBD": "lba-dependent",
}


def check(name, good, why=""):
    print(f"ok {name}" if good else f"WRONG {name}: {why}")


def of_root(root, program):
    """A program with the C library of its own release."""
    return [os.environ["LOADER"], "--library-path", os.environ["LIBRARIES"], str(root / "usr/bin" / program)]


class Prometheus:
    def __init__(self, root, directory, targets):
        config = directory / "prometheus.yml"
        jobs = [
            f"  - job_name: {job}\n    scrape_interval: 1s\n    {more}\n    static_configs: [{{targets: ['{target}']}}]\n"
            for job, target, more in targets
        ]
        config.write_text("scrape_configs:\n" + "".join(jobs))
        self.log = open(directory / "prometheus.log", "w")
        self.port = free_port()
        self.process = subprocess.Popen(
            of_root(root, "prometheus")
            + [
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--enable-feature=native-histograms",
                "--log.level=warn",
            ],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def ask(self, query):
        words = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/query?{words}", timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def wait(self, query, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise SystemExit(f"WRONG prometheus: it ended with {self.process.returncode}; see its log")
            try:
                if self.ask(query):
                    return True
            except OSError:
                pass
            time.sleep(0.3)
        return False

    def end(self):
        self.process.terminate()
        self.process.wait(30)


def free_port():
    import socket

    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def values(result, *labels):
    return {tuple(it["metric"].get(label, "") for label in labels): float(it["value"][1]) for it in result}


def summary_of(path):
    with open(path) as lines:
        for line in lines:
            line = json.loads(line)
            if line["type"] == "summary":
                return line
    raise SystemExit("WRONG replay: no summary")


def cells_of(summary):
    """Latencies of a summary by the labels of their series."""
    for path in summary["paths"]:
        name = path["path"]["device"] or path["path"]["hctl"]
        for latency in path["latency"]:
            state = STATES.get(latency["state"], latency["state"])
            yield (path["path"]["map"] or "", name, latency["class"], state), latency


LABELS = ("device", "path", "class", "state")
HISTOGRAM = "alua_trace_command_latency_seconds"


def compare_counts(prometheus, summary):
    classic = values(prometheus.ask(f'{HISTOGRAM}_count{{job="classic"}}'), *LABELS)
    native = values(prometheus.ask(f'histogram_count({HISTOGRAM}{{job="native"}})'), *LABELS)
    sums = values(prometheus.ask(f'{HISTOGRAM}_sum{{job="classic"}}'), *LABELS)
    data = values(prometheus.ask('alua_trace_command_bytes_total{job="classic"}'), *LABELS)
    errors = values(prometheus.ask('alua_trace_command_errors_total{job="classic"}'), *LABELS)
    cells = dict(cells_of(summary))
    wanted = {key: cell["commands"] for key, cell in cells.items()}
    check("classic counts", classic == wanted and wanted, f"{classic}, in JSON {wanted}")
    check("native counts", native == wanted, f"{native}, in JSON {wanted}")
    check("bytes", data == {key: cell["bytes"] for key, cell in cells.items()}, data)
    check("errors", errors == {key: cell["errors"] for key, cell in cells.items()}, errors)
    means = {key: cell["mean_ns"] * cell["commands"] / 1e9 for key, cell in cells.items()}
    close = all(abs(sums.get(key, 0) - mean) <= 1e-6 * mean for key, mean in means.items())
    check("sums", close, f"{sums}, in JSON {means}")
    buckets = prometheus.ask(f'{HISTOGRAM}_bucket{{job="classic"}}')
    wrong = []
    for it in buckets:
        le, labels = it["metric"]["le"], tuple(it["metric"][label] for label in LABELS)
        bound_ns = float("inf") if le == "+Inf" else round(float(le) * 1e9)
        below = sum(count for end_ns, count in cells[labels]["buckets"] if end_ns <= bound_ns)
        if below != float(it["value"][1]):
            wrong.append((labels, le, it["value"][1], below))
    check("classic buckets, each", buckets and not wrong, wrong[:3])


def end_of_rank(buckets, rank):
    below = 0
    for end_ns, count in buckets:
        below += count
        if below >= rank:
            return end_ns
    return buckets[-1][0]


def compare_quantiles(prometheus, summary):
    wrong, seen = [], 0
    for quantile in (0.5, 0.9, 0.99):
        query = f'histogram_quantile({quantile}, {HISTOGRAM}{{job="native"}})'
        answers = values(prometheus.ask(query), *LABELS)
        for key, cell in cells_of(summary):
            if cell["commands"] < ENOUGH:
                continue
            # Prometheus and JSON differ in what they do between two commands: it may be either.
            rank = quantile * cell["commands"]
            low, high = end_of_rank(cell["buckets"], rank - 1), end_of_rank(cell["buckets"], rank + 1)
            seen += 1
            answer = answers.get(key, 0) * 1e9
            if not low * (1 - BIN) * (1 - NATIVE_ERROR) <= answer <= high * (1 + NATIVE_ERROR):
                wrong.append((key, quantile, answer, low, high))
    check("native quantiles within the stated error", seen and not wrong, wrong[:3])


def compare_the_rest(prometheus, summary):
    dispatched = values(prometheus.ask('alua_trace_dispatched_total{job="classic"}'), "device", "path")
    wanted = {
        (it["path"]["map"] or "", it["path"]["device"] or it["path"]["hctl"]): it["counts"]["dispatched"]
        for it in summary["paths"]
    }
    check("dispatched", dispatched == wanted, f"{dispatched}, in JSON {wanted}")
    transfers = values(prometheus.ask('sum by (cause) (alua_trace_transfers_total{job="classic"})'), "cause")
    causes = {}
    for unit in summary["ownership"]:
        for transfer in unit["transfers"]:
            causes[(transfer["cause"],)] = causes.get((transfer["cause"],), 0) + 1
    check("transfers", transfers == causes, f"{transfers}, in JSON {causes}")
    kinds = {}
    for flag in summary["flags"]:
        kinds[(flag["kind"],)] = kinds.get((flag["kind"],), 0) + 1
    flags = values(prometheus.ask('sum by (kind) (alua_trace_flags_total{job="classic"})'), "kind")
    check("flags", flags == kinds, f"{flags}, in JSON {kinds}")
    states = prometheus.ask('sum by (device, path) (alua_trace_access_state{job="classic"})')
    check("one state for each path", states and all(it["value"][1] == "1" for it in states), states)
    join = prometheus.ask(
        'alua_trace_dispatched_total{job="classic"} * on (device, path) group_left (wwid, port_group) '
        'alua_trace_path_info{job="classic"}'
    )
    check("a join with the info", join and all("wwid" in it["metric"] for it in join), join[:1])
    multipath = prometheus.ask(
        'alua_trace_in_flight{job="classic"} * on (device, path) group_left (state) node_dmmultipath_path_state'
    )
    check("a join with node_exporter's", multipath and all("state" in it["metric"] for it in multipath), multipath)


def expressions(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "expr":
                yield value
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for it in node:
            yield from expressions(it)


def check_what_ships(root, prometheus, text):
    names = set(re.findall(r"^# TYPE (\S+)", text, re.M))
    suffixes = ("_bucket", "_sum", "_count")
    dashboard = list(expressions(json.loads(DASHBOARD.read_text())))
    alerts = re.findall(r"expr: *(.+)", (RULES / "alua-trace.rules.yml").read_text())
    used = set(re.findall(r"(?<![:\w])alua_trace_\w+", " ".join(dashboard + alerts)))
    unknown = [name for name in used if name not in names and not name.endswith(suffixes)]
    check("names in the dashboard and the rules", used and not unknown, unknown)
    wrong = []
    for expression in dashboard:
        expression = re.sub(r"\$__(rate_interval|range)", "1m", expression)
        expression = re.sub(r'"\$\w+"', '".*"', expression)
        try:
            prometheus.ask(expression)
        except OSError as error:
            wrong.append((expression, str(error)))
    check("expressions of the dashboard", dashboard and not wrong, wrong[:2])
    for words in (["check", "rules", "alua-trace.rules.yml"], ["test", "rules", "alua-trace.rules.test.yml"]):
        tool = subprocess.run(of_root(root, "promtool") + words, cwd=RULES, capture_output=True, text=True)
        check("promtool " + " ".join(words[:2]), tool.returncode == 0, tool.stdout + tool.stderr)


def multipath_exporter(directory, summary):
    """What node_exporter's dmmultipath collector says of the same maps: no release in Debian has it."""
    lines = ["# TYPE node_dmmultipath_path_state gauge"]
    for it in summary["paths"]:
        device, path = it["path"]["map"] or "", it["path"]["device"] or it["path"]["hctl"]
        lines.append(f'node_dmmultipath_path_state{{device="{device}",path="{path}",state="active"}} 1')
    (directory / "metrics").write_text("\n".join(lines) + "\n")
    port = free_port()
    server = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(directory)]
    return subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), f"127.0.0.1:{port}"


def main():
    root, serve, recording, lines, directory = map(Path, sys.argv[1:])
    directory.mkdir(parents=True, exist_ok=True)
    summary = summary_of(lines)
    serving = subprocess.Popen([serve, recording], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    started = [serving]
    try:
        at = serving.stdout.readline().strip()
        with urllib.request.urlopen(at, timeout=10) as answer:
            text = answer.read().decode()
        lint = subprocess.run(
            of_root(root, "promtool") + ["check", "metrics"], input=text, capture_output=True, text=True
        )
        check("promtool check metrics", lint.returncode == 0, lint.stdout + lint.stderr)
        exporter, multipath = multipath_exporter(directory, summary)
        started.append(exporter)
        host = urllib.parse.urlparse(at).netloc
        prometheus = Prometheus(
            root,
            directory,
            [
                ("classic", host, "scrape_protocols: [PrometheusText0.0.4]"),
                ("open", host, "scrape_protocols: [OpenMetricsText1.0.0]"),
                ("native", host, "scrape_protocols: [PrometheusProto]"),
                ("node", multipath, "fallback_scrape_protocol: PrometheusText0.0.4"),
            ],
        )
        started.append(prometheus.process)
        for job in ("classic", "open", "native", "node"):
            check(f"scraped: {job}", prometheus.wait(f'up{{job="{job}"}} == 1', 60), "see prometheus.log")
        compare_counts(prometheus, summary)
        compare_quantiles(prometheus, summary)
        compare_the_rest(prometheus, summary)
        check_what_ships(root, prometheus, text)
        prometheus.end()
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()


main()
