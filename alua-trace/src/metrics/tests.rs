//! What is told of traces, in each form, and to clients of each kind.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

use super::server::Server;
use super::*;
use crate::cli::Listen;
use crate::model::{Cell, CountingEvent, FlagEvent, PathEvent, TransferEvent};
use crate::report::samples;
use crate::safe;

const MIB: usize = 1 << 20;

/// Two reads of 100 µs and one of 3 ms.
fn reads() -> Cell {
    let mut histogram = crate::stats::LatencyHistogram::default();
    for ns in [100_000, 100_000, 3_000_000] {
        histogram.record(ns);
    }
    Cell {
        class: Class::Read,
        state: AccessState::Optimized,
        commands: 3,
        errors: 1,
        bytes: 12_288,
        sum_ns: 3_200_000,
        min_ns: 100_000,
        max_ns: 3_000_000,
        buckets: histogram.non_empty_buckets(),
    }
}

fn interval(paths: u16) -> Interval {
    let mut interval = samples::interval(paths);
    for row in &mut interval.rows {
        row.cells = vec![reads()];
        row.so_far.counts.dispatched = 7;
        row.so_far.counts.rejected = 2;
    }
    interval
}

fn shared(lines: &[Line]) -> Shared {
    let mut shared = Shared::default();
    lines.iter().for_each(|line| shared.take(line).unwrap());
    shared
}

fn usual() -> Vec<Line> {
    vec![
        Line::Start(samples::start(0)),
        Line::Interval(interval(2).into()),
        Line::Interval(interval(2).into()),
    ]
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    fn has(&self, line: &str) {
        let text = self.text();
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
}

fn served(shared: &Shared) -> (Server, SocketAddr) {
    let listen = Listen::Loopback(SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = Server::start(&listen, shared.clone()).unwrap();
    let at = server.at.strip_prefix("http://").unwrap();
    let address = at.strip_suffix("/metrics").unwrap().parse().unwrap();
    (server, address)
}

fn ask(at: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(at).unwrap();
    let request = format!("{request}Host: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    Answer {
        head: String::from_utf8(answer[..end].to_vec())
            .unwrap()
            .to_lowercase(),
        body: answer[end + 4..].to_vec(),
    }
}

fn scrape(shared: &Shared) -> Answer {
    let (_server, at) = served(shared);
    let answer = ask(at, "GET /metrics HTTP/1.1\r\n");
    assert!(answer.head.starts_with("http/1.1 200"), "{}", answer.head);
    answer
}

#[test]
fn what_intervals_saw_adds_up() {
    let answer = scrape(&shared(&usual()));
    assert!(
        answer
            .head
            .contains("content-type: text/plain; version=0.0.4")
    );
    let path = r#"device="mpatha",path="sdb""#;
    answer.has(&format!("alua_trace_dispatched_total{{{path}}} 7"));
    answer.has(&format!(
        r#"alua_trace_not_completed_total{{{path},end="rejected"}} 2"#
    ));
    answer.has(&format!(
        r#"alua_trace_access_state{{{path},state="active/optimized"}} 1.0"#
    ));
    answer.has(&format!(
        r#"alua_trace_access_state{{{path},state="standby"}} 0.0"#
    ));
    let cell = format!(r#"{path},class="read",state="active/optimized""#);
    answer.has(&format!("alua_trace_command_errors_total{{{cell}}} 2"));
    answer.has(&format!("alua_trace_command_bytes_total{{{cell}}} 24576"));
    answer.has(&format!(
        "alua_trace_command_latency_seconds_count{{{cell}}} 6"
    ));
    answer.has(&format!(
        "alua_trace_command_latency_seconds_sum{{{cell}}} 0.0064"
    ));
    let bucket = |le: &str, count| {
        format!(r#"alua_trace_command_latency_seconds_bucket{{{cell},le="{le}"}} {count}"#)
    };
    answer.has(&bucket("0.000100351", 4));
    answer.has(&bucket("0.002007039", 4));
    answer.has(&bucket("0.005013503", 6));
    answer.has(&bucket("+Inf", 6));
    let info = r#"hctl="3:0:0:1",wwid="naa.600a098038303053",dm="dm-0",path_group="1",port_group="1",relative_port="1",vendor="NETAPP",product="LUN C-Mode",handler="alua"}"#;
    answer.has(&format!("alua_trace_path_info{{{path},{info} 1"));
    answer.has(r#"alua_trace_build_info{version="0.1.0",kernel="6.12.48"} 1"#);
}

#[test]
fn retries_rtpgs_holds_and_dms_word_are_told() {
    let mut all = interval(1);
    all.rows[0].so_far = SoFar {
        retried: 4,
        dm_active: Some(false),
        rtpg: Some(Arc::new(crate::model::Rtpg {
            failed: 1,
            sum_ns: 3_000_000,
            buckets: vec![(1_003_519, 1), (2_007_039, 1)],
        })),
        ..SoFar::default()
    };
    all.holds = samples::summary().holds;
    let held = all.holds[0].commands;
    let answer = scrape(&shared(&[Line::Interval(all.into())]));
    let path = r#"device="mpatha",path="sdb""#;
    answer.has(&format!("alua_trace_retried_total{{{path}}} 4"));
    answer.has(&format!("alua_trace_path_active{{{path}}} 0.0"));
    answer.has(&format!("alua_trace_rtpg_errors_total{{{path}}} 1"));
    answer.has(&format!(
        "alua_trace_rtpg_latency_seconds_count{{{path}}} 2"
    ));
    answer.has(&format!(
        "alua_trace_rtpg_latency_seconds_sum{{{path}}} 0.003"
    ));
    answer.has(&format!(
        r#"alua_trace_held_seconds_count{{device="mpatha"}} {held}"#
    ));
}

#[test]
fn flags_are_active_until_they_end_and_transfers_count_once() {
    let flag = |change| {
        Line::Flag(FlagEvent {
            change,
            flag: samples::flag(1),
        })
    };
    let transfer = |change| {
        Line::Transfer(TransferEvent {
            change,
            transfer: samples::transfer(),
        })
    };
    let mut lines = usual();
    lines.extend([
        flag(FlagChange::Raised),
        flag(FlagChange::Updated),
        transfer(TransferChange::Seen),
        transfer(TransferChange::Done),
    ]);
    let labels = r#"device="mpatha",kind="non-optimized-io""#;
    let active = scrape(&shared(&lines));
    active.has(&format!("alua_trace_flags_active{{{labels}}} 1.0"));
    active.has(&format!("alua_trace_flags_total{{{labels}}} 1"));
    active.has(r#"alua_trace_transfers_total{device="mpatha",cause="local-explicit"} 1"#);
    lines.push(flag(FlagChange::Ended));
    let over = scrape(&shared(&lines));
    over.has(&format!("alua_trace_flags_active{{{labels}}} 0.0"));
    over.has(&format!("alua_trace_flags_total{{{labels}}} 1"));
}

#[test]
fn a_path_that_is_gone_keeps_its_counters_for_a_while_and_has_no_state() {
    let event = |change, seen_at_ns| {
        let path = (*interval(1).rows[0].path).clone();
        Line::Path(PathEvent {
            seen_at_ns,
            change,
            path,
        })
    };
    let mut lines = usual();
    let gone_at_ns = interval(2).ended_at_ns;
    lines.push(event(PathChange::Vanished, gone_at_ns));
    let dispatched = r#"alua_trace_dispatched_total{device="mpatha",path="sdb"} 7"#;
    let state = r#"alua_trace_access_state{device="mpatha",path="sdb""#;
    let gone = scrape(&shared(&lines));
    gone.has(dispatched);
    assert!(!gone.text().contains(state));
    let later = |ns| {
        Line::Interval(
            Interval {
                ended_at_ns: gone_at_ns + ns,
                rows: Vec::new(),
                ..interval(0)
            }
            .into(),
        )
    };
    lines.push(later(GONE_NS + 1));
    assert!(!scrape(&shared(&lines)).text().contains(r#"path="sdb""#));
    lines.pop();
    lines.extend([
        event(PathChange::Appeared, gone_at_ns + 5),
        later(GONE_NS + 1),
    ]);
    assert!(scrape(&shared(&lines)).text().contains(state));
}

#[test]
fn of_two_paths_with_the_same_names_the_one_that_is_there_is_told() {
    let mut both = interval(2);
    let first = both.rows[0].path.device.clone();
    Arc::make_mut(&mut both.rows[1].path).device = first;
    both.rows[1].so_far.counts.dispatched = 99;
    let gone = PathEvent {
        seen_at_ns: both.ended_at_ns,
        change: PathChange::Vanished,
        path: (*both.rows[1].path).clone(),
    };
    let lines = [Line::Interval(both.into()), Line::Path(gone)];
    let answer = scrape(&shared(&lines));
    let name = "alua_trace_dispatched_total{";
    assert_eq!(answer.text().matches(name).count(), 1);
    answer.has(r#"alua_trace_dispatched_total{device="mpatha",path="sdb"} 7"#);
}

#[test]
fn losses_and_counting_are_told() {
    let mut lines = usual();
    let mut lossy = interval(2);
    lossy.losses.ring_full = 12;
    let counting = CountingEvent {
        at_ns: 1,
        change: CountingChange::Asked,
    };
    lines.extend([Line::Interval(lossy.into()), Line::Counting(counting)]);
    let answer = scrape(&shared(&lines));
    answer.has(r#"alua_trace_lost_total{cause="ring_full"} 12"#);
    answer.has("alua_trace_counting 1.0");
}

#[test]
fn no_device_string_breaks_a_line_or_reaches_a_terminal_raw() {
    let mut hostile = interval(3);
    for row in &mut hostile.rows {
        row.path = samples::hostile_path(row.path.id).into();
        Arc::make_mut(&mut row.path).map = Some("a\"b\\c\nd\u{1b}[2J".to_owned());
    }
    let flag = FlagEvent {
        change: FlagChange::Raised,
        flag: samples::hostile_flag(1),
    };
    let transfer = TransferEvent {
        change: TransferChange::Done,
        transfer: samples::hostile_transfer(),
    };
    let answer = scrape(&shared(&[
        Line::Interval(hostile.into()),
        Line::Flag(flag),
        Line::Transfer(transfer),
    ]));
    for line in answer.text().lines() {
        assert!(!line.chars().any(safe::is_unsafe), "{line:?}");
        assert!(
            line.starts_with("# ") || line.starts_with("alua_trace_"),
            "{line:?}"
        );
    }
    assert!(
        answer.text().contains(r#"device="a\"b\\c\\x0ad\\x1b[2J""#),
        "{}",
        answer.text()
    );
}

#[test]
fn each_client_gets_the_form_it_wants_most() {
    let (_server, at) = served(&shared(&usual()));
    let with = |accept: &str| {
        ask(
            at,
            &format!("GET /metrics HTTP/1.1\r\nAccept: {accept}\r\n"),
        )
    };
    let open = with("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3");
    assert!(
        open.head.contains("application/openmetrics-text"),
        "{}",
        open.head
    );
    assert!(open.text().ends_with("# EOF\n"));
    assert!(
        open.text().contains("le=\"+Inf\",device=\"mpatha\""),
        "{}",
        open.text()
    );
    let prometheus = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;q=0.5";
    let protobuf = with(prometheus);
    assert!(protobuf.head.contains("application/vnd.google.protobuf"));
    let families = families(&protobuf.body);
    let latency = families
        .iter()
        .find(|it| it.name == "alua_trace_command_latency_seconds")
        .unwrap();
    let histogram = latency.metric[0].histogram.as_ref().unwrap();
    assert_eq!((histogram.schema, histogram.sample_count), (5, 6));
    assert_eq!(histogram.positive_delta, [4, -2]);
    assert_eq!(histogram.bucket.last().unwrap().cumulative_count, 6);
    assert!(with("text/html").head.contains("text/plain"));
    let packed = ask(at, "GET /metrics HTTP/1.1\r\nAccept-Encoding: gzip\r\n");
    assert!(
        packed.head.contains("content-encoding: gzip"),
        "{}",
        packed.head
    );
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_string(&mut unpacked)
        .unwrap();
    assert!(unpacked.contains("alua_trace_dispatched_total"));
    let refused = ask(
        at,
        "GET /metrics HTTP/1.1\r\nAccept-Encoding: gzip;q=0, deflate\r\n",
    );
    assert!(
        !refused.head.contains("content-encoding"),
        "{}",
        refused.head
    );
}

fn families(
    mut body: &[u8],
) -> Vec<prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily> {
    use prost::Message;
    let mut families = Vec::new();
    while !body.is_empty() {
        families.push(Message::decode_length_delimited(&mut body).unwrap());
    }
    families
}

#[test]
fn other_requests_are_told_where_to_ask() {
    let (_server, at) = served(&Shared::default());
    let first = |request| ask(at, request).head.lines().next().unwrap().to_owned();
    assert!(first("GET / HTTP/1.1\r\n").contains("200"));
    assert!(first("GET /nowhere HTTP/1.1\r\n").contains("404"));
    assert!(first("POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n").contains("405"));
    assert!(ask(at, "HEAD /metrics HTTP/1.1\r\n").body.is_empty());
    assert!(first(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(64 << 10))).contains("4"));
}

#[test]
fn clients_that_say_nothing_leave_room_for_one_that_asks() {
    let (_server, at) = served(&shared(&usual()));
    let silent: Vec<TcpStream> = (0..1000).map(|_| TcpStream::connect(at).unwrap()).collect();
    // They are refused, or give up their place within ten seconds.
    std::thread::sleep(Duration::from_secs(11));
    assert!(ask(at, "GET /metrics HTTP/1.1\r\n").head.contains("200"));
    drop(silent);
}

#[test]
fn a_socket_is_taken_over_from_the_dead_and_goes_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.sock");
    let listen = Listen::Unix(path.clone());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = Server::start(&listen, shared(&usual())).unwrap();
    let in_use = Server::start(&listen, Shared::default()).unwrap_err();
    assert!(format!("{in_use:#}").contains("in use"), "{in_use:#}");
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("alua_trace_dispatched_total"));
    drop(server);
    assert!(!path.exists());
}

#[test]
fn a_thousand_paths_stay_within_what_a_scrape_may_be() {
    let mut all = interval(1024);
    for row in &mut all.rows {
        let mut write = reads();
        write.class = Class::Write;
        row.cells.push(write);
        let path = Arc::make_mut(&mut row.path);
        path.map = Some(format!("mpath{}", path.id / 16));
        path.device = Some(format!("sd{}", path.id));
    }
    let shared = shared(&[Line::Interval(all.into())]);
    let (_server, at) = served(&shared);
    let text = ask(at, "GET /metrics HTTP/1.1\r\n");
    let series = text
        .text()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .count();
    assert!((60_000..70_000).contains(&series), "{series}");
    let packed = ask(at, "GET /metrics HTTP/1.1\r\nAccept-Encoding: gzip\r\n");
    assert!(packed.body.len() < 2 * MIB, "{}", packed.body.len());
    let protobuf = ask(
        at,
        "GET /metrics HTTP/1.1\r\nAccept: application/vnd.google.protobuf\r\n",
    );
    let native: usize = families(&protobuf.body)
        .iter()
        .flat_map(|family| &family.metric)
        .filter(|metric| metric.histogram.is_some())
        .count();
    assert_eq!(native, 2048);
    assert!(protobuf.body.len() < 4 * MIB, "{}", protobuf.body.len());
}
