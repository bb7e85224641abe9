//! Paths by iSCSI: two guests, four networks. What the tool says of sessions, against open-iscsi, `ss` and `ip`; every
//! command counted; who moved the LUN.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::judge::same;
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::{Mode, Options, PathName};
use crate::iscsi::{self, initiator, portal};
use crate::lab::Lab;
use crate::lab::load::{Load, Until};
use crate::lab::multipath::{Handler, MapOptions};
use crate::lab::schema::{Cause, Class};
use crate::lab::tracer::{self, TraceOptions, btf};
use crate::sys;
use crate::sys::process::run;

pub(super) const GROUP: Group = Group {
    name: "iscsi",
    limit_seconds: 600,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Host,
    array: true,
    cases: &[
        Case {
            name: "sessions",
            run: sessions,
        },
        Case {
            name: "conservation",
            run: conservation,
        },
        Case {
            name: "array-moves-alua",
            run: |lab| array_moves(lab, None),
        },
        Case {
            name: "array-moves-rdac",
            run: |lab| array_moves(lab, Some(Mode::Rdac)),
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(120);
/// The path over a network with an MTU of its own.
const ODD: &str = "B2";
const RECORDED: &str = "/tmp/iscsi.atr";

/// What is said of each path's session is what others say of it.
fn sessions(lab: &mut Lab) -> Result<Outcome> {
    lab.iscsi(Options::default())?;
    lab.map(&MapOptions::default())?;
    // One network is another one than the rest.
    let odd: PathName = ODD.parse()?;
    let interface = initiator::interface_of(odd)?;
    run("ip", &["link", "set", &interface, "mtu", "1500"])?;
    let node = lab.path(ODD)?.node();
    Load {
        until: Until::Count(200),
        ..Load::random_reads(&node, 0)
    }
    .run(LIMIT)?;
    let told = tracer::say(&["paths", "--json"], LIMIT)?;
    let iscsiadm = run("iscsiadm", &["-m", "session", "-P", "3"])?;
    let ss = run("ss", &["-tino", "dport", "=", ":3260"])?;
    lab.evidence("paths.json", told.stdout.clone());
    lab.evidence("iscsiadm.txt", iscsiadm.clone());
    lab.evidence("ss.txt", ss.clone());
    // A recording has the same: in the set-up that it ends with.
    let _ = std::fs::remove_file(RECORDED);
    let recorded = [
        &["record", "-o", RECORDED, "--duration", "1s"],
        &btf().collect::<Vec<_>>()[..],
    ];
    let recorded = tracer::say(&recorded.concat(), LIMIT)?;
    let setups = tracer::say(&["replay", RECORDED, "--setup"], LIMIT)?;
    // Before the MTU is raised again: TCP's MSS follows it at once, if a command comes.
    let later = run("ss", &["-tino", "dport", "=", ":3260"])?;
    run("ip", &["link", "set", &interface, "mtu", "9000"])?;
    lab.evidence("ss-later.txt", later.clone());
    lab.evidence("setups.json", setups.stdout.clone());
    ensure!(recorded.code() == 0, "{}", recorded.stderr);
    agree_all(lab, &serde_json::from_str(&told.stdout)?, (&iscsiadm, &ss)).context("paths")?;
    let setups: Value = serde_json::from_str(&setups.stdout)?;
    let last = setups["setups"].as_array().and_then(|it| it.last());
    let last = last.with_context(|| format!("no set-up: {setups}"))?;
    agree_all(lab, last, (&iscsiadm, &later)).context("the recording")?;
    Ok(Outcome::Passed)
}

/// Of every path.
fn agree_all(lab: &Lab, told: &Value, others: (&str, &str)) -> Result<()> {
    iscsi::paths().iter().try_for_each(|name| {
        let path = lab.path(&name.to_string())?;
        let of_path =
            transport(told, &path.hctl).with_context(|| format!("no transport of {name}"))?;
        judge(of_path, *name, &path.device, others).with_context(|| format!("{name}: {of_path}"))
    })
}

/// The transport of a path, wherever in the inventory it is.
fn transport<'a>(value: &'a Value, hctl: &str) -> Option<&'a Value> {
    match value {
        Value::Array(values) => values.iter().find_map(|it| transport(it, hctl)),
        Value::Object(fields) if fields.get("address").is_some_and(|it| it == hctl) => {
            fields.get("transport")
        }
        Value::Object(fields) => fields.values().find_map(|it| transport(it, hctl)),
        _ => None,
    }
}

fn judge(told: &Value, name: PathName, device: &str, (iscsiadm, ss): (&str, &str)) -> Result<()> {
    let text = |field: &str| told[field].as_str().unwrap_or_default().to_owned();
    let number = |field: &str| told[field].as_u64();
    let own = portal(iscsi::network(name));
    // A session's part of what open-iscsi prints: from its portal to the next one.
    let part = iscsiadm
        .split("Current Portal: ")
        .find(|it| it.starts_with(&own));
    let part = part.with_context(|| format!("iscsiadm has no session with {own}"))?;
    let after = |label: &str| {
        let line = part
            .lines()
            .find_map(|line| line.trim().strip_prefix(label));
        line.map(|it| it.trim().to_owned()).unwrap_or_default()
    };
    ensure!(
        part.contains(&format!("Attached scsi disk {device}")),
        "iscsiadm has another disk there"
    );
    agree(
        "session",
        ("iscsiadm", format!("session{}", after("SID:"))),
        ("paths", text("session")),
    )?;
    agree(
        "portal",
        ("the lab", own.clone()),
        ("paths", text("portal")),
    )?;
    let state = after("iSCSI Session State:");
    agree(
        "state",
        ("iscsiadm", state.replace(' ', "_").to_uppercase()),
        ("paths", text("state")),
    )?;
    agree(
        "interface",
        ("the lab", initiator::interface_of(name)?),
        ("paths", text("interface")),
    )?;
    agree(
        "address",
        ("iscsiadm", after("Iface IPaddress:")),
        ("paths", text("local_address")),
    )?;
    let mtu = if name.to_string() == ODD { 1500 } else { 9000 };
    agree("MTU", ("ip", Some(mtu)), ("paths", number("mtu")))?;
    connection(told, &own, mtu, ss)
}

/// Of the connection: what TCP knows of it is in the line beneath its own.
fn connection(told: &Value, own: &str, mtu: u64, ss: &str) -> Result<()> {
    let number = |field: &str| told[field].as_u64();
    let mut lines = ss.lines().skip_while(|line| !line.contains(own));
    let connection = lines
        .nth(1)
        .with_context(|| format!("ss has no connection to {own}"))?;
    let of_ss = |label: &str| {
        let word = connection
            .split_whitespace()
            .find_map(|word| word.strip_prefix(label));
        word.map(|it| it.split('/').next().unwrap_or(it).to_owned())
    };
    agree(
        "MSS",
        ("ss", of_ss("mss:").and_then(|it| it.parse().ok())),
        ("paths", number("mss")),
    )?;
    let jumbo = number("mss").is_some_and(|mss| mss > 8000);
    ensure!(
        jumbo == (mtu == 9000),
        "an MTU of {mtu} and an MSS of {:?}",
        number("mss")
    );
    let again = of_ss("retrans:0/")
        .or_else(|| Some("0".to_owned()))
        .and_then(|it| it.parse().ok());
    agree(
        "retransmits",
        ("ss", again),
        ("paths", number("retransmits")),
    )?;
    // It goes on between both.
    let rtt: f64 = of_ss("rtt:")
        .and_then(|it| it.parse().ok())
        .context("ss has no rtt")?;
    let told_ms = number("rtt_us").context("no rtt")? as f64 / 1000.0;
    ensure!(
        (told_ms - rtt).abs() <= 0.5 * rtt.max(told_ms),
        "RTT {told_ms} ms, and ss says {rtt} ms"
    );
    Ok(())
}

/// What two observers say of the same.
fn agree<T: PartialEq + std::fmt::Debug>(
    what: &str,
    one: (&str, T),
    other: (&str, T),
) -> Result<()> {
    ensure!(
        one.1 == other.1,
        "{what}: {} says {:?}, {} {:?}",
        one.0,
        one.1,
        other.0,
        other.1
    );
    Ok(())
}

/// fio, the array and the tool count the same.
fn conservation(lab: &mut Lab) -> Result<Outcome> {
    lab.iscsi(Options {
        tpgs: 1,
        ..Options::default()
    })?;
    let map = lab.map(&MapOptions::default())?;
    let trace = lab.trace(&TraceOptions::default())?;
    lab.array()?.ask("forget")?;
    let done = Load {
        until: Until::Count(4_000),
        ..Load::random_reads(&map.node(), 0)
    }
    .run(LIMIT)?;
    let report = lab.stop(trace)?;
    let reads = lab
        .array()?
        .log()?
        .iter()
        .filter(|it| it.opcode == 0x28)
        .count() as u64;
    let of_tool = report.summary.paths.iter().flat_map(|it| &it.latency);
    let of_tool = of_tool.filter(|it| it.class == Class::Read);
    let of_tool: u64 = of_tool.map(|it| it.commands - it.passthrough).sum();
    same("reads", ("fio", done.total_ios()), ("the array", reads))?;
    same("reads", ("fio", done.total_ios()), ("the tool", of_tool))?;
    Ok(Outcome::Passed)
}

/// The array gives the LUN to the other controller by itself.
fn array_moves(lab: &mut Lab, rdac: Option<Mode>) -> Result<Outcome> {
    let handler = if rdac.is_some() {
        Handler::Rdac
    } else {
        Handler::Alua
    };
    lab.iscsi(Options {
        rdac,
        tpgs: if rdac.is_some() { 0 } else { 1 },
        ..Options::default()
    })?;
    let map = lab.map(&MapOptions::of(0, handler))?;
    let trace = lab.trace(&TraceOptions::default())?;
    let load = Load::paced_reads(&map.node(), 8_000).start()?;
    sys::sleep_ms(2_000);
    lab.array()?.ask(match rdac {
        Some(_) => "own B",
        None => "swap",
    })?;
    load.finish(LIMIT)?;
    let report = lab.stop(trace)?;
    let mut transfers = report.summary.ownership.iter().flat_map(|it| &it.transfers);
    let first = transfers.next().context("no transfer was told")?;
    // A host is not told by whom an RDAC array was asked.
    let expected = match rdac {
        Some(_) => Cause::RemoteExplicit,
        None => Cause::ArrayImplicit,
    };
    ensure!(first.cause == expected, "{first:?}");
    Ok(Outcome::Passed)
}
