//! The host's guest: its interfaces, open-iscsi's sessions, and what the array is told.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{CONTROL, CONTROL_HOST, HOST, JUMBO, TARGET, interface, ip, network, paths, portal};
use crate::array::{Client, Options, PathName};
use crate::lab::disk;
use crate::lab::loopback::LabPath;
use crate::sys;
use crate::sys::process::{Background, command, run};

const MODULES: [&str; 5] = [
    "virtio_net",
    "sch_netem",
    "iscsi_tcp",
    "tcp_diag",
    "inet_diag",
];
/// The array's guest boots at the same time.
const ARRAY_WITHIN: Duration = Duration::from_secs(120);
/// Where iscsid listens for iscsiadm, an abstract name (`ISCSIADM_NAMESPACE`).
const DAEMON_SOCKET: &str = "@ISCSIADM_ABSTRACT_NAMESPACE";
/// Short, so that what waits for them is.
const SETTINGS: [(&str, &str); 4] = [
    ("node.session.timeo.replacement_timeout", "5"),
    ("node.conn[0].timeo.noop_out_interval", "2"),
    ("node.conn[0].timeo.noop_out_timeout", "2"),
    ("node.conn[0].timeo.login_timeout", "5"),
];

/// A connection to the array's guest; what it takes to be there is done once.
pub(crate) fn client() -> Result<Client> {
    static WIRED: Mutex<bool> = Mutex::new(false);
    let mut wired = WIRED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*wired {
        wire()?;
        *wired = true;
    }
    let mut client = None;
    sys::wait_for(ARRAY_WITHIN, "the array's guest", || {
        client = Client::over_network(CONTROL).ok();
        Ok(client.is_some())
    })?;
    client.context("no connection to the array's guest")
}

fn wire() -> Result<()> {
    run("modprobe", &[&["-a"], &MODULES[..]].concat())?;
    ip("link set lo up")?;
    for nth in 0..paths().len() {
        let interface = interface(nth)?;
        ip(&format!("address add 10.0.{nth}.2/24 dev {interface}"))?;
        ip(&format!("link set {interface} mtu {JUMBO} up"))?;
    }
    let control = interface(paths().len())?;
    ip(&format!("address add {CONTROL_HOST} dev {control}"))?;
    ip(&format!("link set {control} up"))?;
    sys::write(
        "/etc/iscsi/initiatorname.iscsi",
        &format!("InitiatorName={HOST}\n"),
    )?;
    sys::make_dir("/run/lock")?;
    sys::make_dir("/run/lock/iscsi")?;
    let daemon = Background::start(&mut command("iscsid", &["-f"]))?;
    // It is there as long as the guest.
    std::mem::forget(daemon);
    // `iscsiadm -m session` reads sysfs and would not tell whether the daemon listens.
    sys::wait_for(Duration::from_secs(30), "iscsid's socket", || {
        Ok(sys::read("/proc/net/unix")?.contains(DAEMON_SOCKET))
    })
}

/// Sends one request to the array's guest, for a person at the shell and for the commands of a plan.
pub(crate) fn say(words: &[&str]) -> std::process::ExitCode {
    match Client::over_network(CONTROL).and_then(|mut client| client.ask(&words.join(" "))) {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// The interface that a path goes over.
pub(crate) fn interface_of(path: PathName) -> Result<String> {
    interface(network(path))
}

/// Starts the array, and logs in to every portal. Where that fails nothing is left of it.
pub(crate) fn connect(client: &mut Client, options: &Options) -> Result<Vec<LabPath>> {
    client.ask(&format!("start {}", options.to_arguments().join(" ")))?;
    let found = disks(options);
    if found.is_err() {
        let _ = disconnect(client);
    }
    found
}

fn disks(options: &Options) -> Result<Vec<LabPath>> {
    for nth in 0..paths().len() {
        add(nth)?;
    }
    log_in()?;
    let mut found = Vec::new();
    for name in paths() {
        for lun in 0..options.luns {
            found.push(wait_for_disk(name, lun)?);
        }
    }
    Ok(found)
}

fn add(nth: usize) -> Result<()> {
    let portal = format!("{},{}", portal(nth), nth + 1);
    let node = ["-m", "node", "-T", TARGET, "-p", &portal];
    run("iscsiadm", &[&node[..], &["-o", "new"]].concat())?;
    for (name, value) in SETTINGS {
        let update = ["-o", "update", "-n", name, "-v", value];
        run("iscsiadm", &[&node[..], &update[..]].concat())?;
    }
    Ok(())
}

/// Logs in to every portal that there is no session with.
pub(crate) fn log_in() -> Result<()> {
    run("iscsiadm", &["-m", "node", "-T", TARGET, "--login"]).map(drop)
}

/// Logs out of all of them.
pub(crate) fn log_out() -> Result<()> {
    run("iscsiadm", &["-m", "node", "-T", TARGET, "--logout"]).map(drop)
}

/// Logs out, forgets the portals, and stops the array.
pub(crate) fn disconnect(client: &mut Client) -> Result<()> {
    let _ = log_out();
    let _ = run("iscsiadm", &["-m", "node", "-T", TARGET, "-o", "delete"]);
    client.ask("stop").map(drop)
}

/// The session over a path's network, by its connection's portal: `session3`.
pub(crate) fn session(path: PathName) -> Option<String> {
    let class = "/sys/class/iscsi_connection";
    let portal = portal(network(path));
    let (address, _) = portal.rsplit_once(':')?;
    let connection = sys::names(class).into_iter().find(|name| {
        let own = sys::read(format!("{class}/{name}/persistent_address"));
        own.is_ok_and(|it| it == address)
    })?;
    let number = connection.trim_start_matches("connection");
    Some(format!("session{}", number.split(':').next()?))
}

fn wait_for_disk(name: PathName, lun: u8) -> Result<LabPath> {
    let mut found = None;
    sys::wait_for(
        Duration::from_secs(30),
        &format!("a disk over {name}"),
        || {
            found = at(name, lun);
            Ok(found.is_some())
        },
    )?;
    found.with_context(|| format!("the disk over {name} vanished"))
}

fn at(name: PathName, lun: u8) -> Option<LabPath> {
    let session = session(name)?;
    let dir = format!("/sys/class/iscsi_session/{session}/device");
    let target = sys::names(&dir)
        .into_iter()
        .find(|it| it.starts_with("target"))?;
    let hctl = format!("{}:{lun}", target.trim_start_matches("target"));
    let (device, devno) = disk::at(&hctl)?;
    let size = sys::read(format!("/sys/block/{device}/size")).ok()?;
    let is_there =
        Path::new(&format!("/dev/{device}")).exists() && size.parse().unwrap_or(0u64) > 0;
    is_there.then_some(LabPath {
        name,
        lun,
        hctl,
        device,
        devno,
    })
}
