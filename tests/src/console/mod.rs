//! The interactive console `hvc0`: the demonstration and the shell. Owns how a program gets a
//! terminal of its own.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::termios::Winsize;

use crate::array::Options;
use crate::lab::Lab;
use crate::lab::disk;
use crate::lab::multipath::{Map, MapOptions};
use crate::lab::tracer::{self, TOOL};
use crate::protocol::{Message, Terminal};
use crate::runner::Reporter;
use crate::sys;

/// What the demonstration records, and the page on it.
const RECORDING: &str = "/tmp/demonstration.atr";
const PAGE: &str = "/tmp/report.html";
const CONSOLE: &str = "/dev/hvc0";

const MESSAGE: &str = "\
A dm-multipath map over an array with two controllers, four paths:

  mpatha    path group 1: controller A, active/optimized
            path group 2: controller B, active/non-optimized and 2 ms slower

  alua-trace run -- fio --name=load --filename=/dev/mapper/mpatha --rw=randread --bs=4k \\
      --direct=1 --ioengine=libaio --iodepth=8 --time_based --runtime=10 --output=/dev/null
  dmsetup message mpatha 0 switch_group 2      I/O goes to controller B
  dmsetup message mpatha 0 fail_path 8:0       a path fails; reinstate_path brings it back
  array swap                                   the controllers trade their states
  array delay A 5ms..10ms                      controller A is slow and irregular
  sg_rtpg -d /dev/sda                          what the array says
  alua-trace doctor                            what a trace on this kernel can tell

  exit (or Ctrl-D) ends the machine.
";

const ISCSI_MESSAGE: &str = "\
A dm-multipath map over an array in another guest, by four iSCSI sessions, a network for each:

  mpatha    path group 1: controller A, active/optimized: portals 10.0.0.1 and 10.0.1.1, by eth0 and eth1
            path group 2: controller B, active/non-optimized and 2 ms slower: 10.0.2.1 and 10.0.3.1, by eth2 and eth3

  alua-trace paths                             sessions, portals, interfaces, MTU, MSS, RTT, retransmits
  alua-trace run -- fio --name=load --filename=/dev/mapper/mpatha --rw=randread --bs=64k \\
      --direct=1 --ioengine=libaio --iodepth=4 --time_based --runtime=10 --output=/dev/null
  iscsiadm -m session -P 3; ss -tin            what others say
  ip link set eth0 mtu 1500                    the host's end of the first network
  array ip link set p0 mtu 1500                the array's end
  array ip link set sw0-p mtu 1500             the switch between them: large frames vanish
  array tc qdisc add dev p2 root netem delay 5ms
  array swap                                   the controllers trade their states
  array delay A 5ms..10ms                      controller A is slow and irregular

  exit (or Ctrl-D) ends both machines.
";

/// An array, a map, and a shell until the user leaves it.
pub(crate) fn shell(reporter: &Reporter, terminal: &Terminal, iscsi: bool) -> Result<i32> {
    let mut lab = Lab::new(reporter, "shell");
    let (message, say) = match iscsi {
        true => (ISCSI_MESSAGE, "far-array-say"),
        false => (MESSAGE, "array-say"),
    };
    if iscsi {
        lab.iscsi(Options::default())?.ask("delay B 2ms")?;
        lab.map(&MapOptions::default())?;
        let _ = sys::process::run("dmsetup", &["mknodes"]);
    } else {
        set_up(&mut lab)?;
    }
    sys::write("/etc/motd", message)?;
    let profile = format!("cat /etc/motd\narray() {{ /init {say} \"$*\"; }}\nPS1='lab# '\n");
    sys::write("/etc/profile", &profile)?;
    let mut command = Command::new("busybox");
    command.args(["sh", "-l"]);
    let status = on_console(&mut command, terminal)?
        .wait()
        .context("the shell is lost")?;
    lab.tear_down()?;
    Ok(status.code().unwrap_or(1))
}

fn set_up(lab: &mut Lab) -> Result<Map> {
    lab.implicit_emulator()?.ask("delay B 2ms")?;
    let map = lab.map(&MapOptions::default())?;
    let _ = sys::process::run("dmsetup", &["mknodes"]);
    Ok(map)
}

/// An experiment over iSCSI, whose other controller is 2 ms slower: its page, what it printed and its results go to
/// the host. Both controllers take their time: a command that is not held at all would be spared the array's own
/// timer and its wakeup, and the difference would be more than 2 ms.
pub(crate) fn experiment(reporter: &Reporter, terminal: &Terminal, plan: &str) -> Result<i32> {
    let mut lab = Lab::new(reporter, "experiment");
    let array = lab.iscsi(Options {
        tpgs: 1,
        ..Options::default()
    })?;
    array.ask("delay A 1ms")?;
    array.ask("delay B 3ms")?;
    lab.map(&MapOptions::default())?;
    let _ = sys::process::run("dmsetup", &["mknodes"]);
    sys::write("/tmp/plan.toml", plan)?;
    let mut command = Command::new(TOOL);
    command.args([
        "experiment",
        "/tmp/plan.toml",
        "--json",
        "/tmp/results.json",
    ]);
    command.args(tracer::btf());
    let mut tool = on_console(&mut command, terminal)?;
    let status = wait(&mut tool, Duration::from_secs(7000))?;
    for (name, file) in [
        ("experiment.html", "/tmp/plan.experiment/report.html"),
        ("experiment.json", "/tmp/results.json"),
        ("experiment.jsonl", "/tmp/plan.experiment/journal.jsonl"),
    ] {
        if let Ok(text) = sys::read(file) {
            reporter.send(&Message::File {
                name: name.to_owned(),
                text,
            });
        }
    }
    lab.tear_down()?;
    Ok(status)
}

/// The tool at work: load through a map, which half-way is sent to the non-optimized group; later
/// the array makes that group the optimized one. Then the summary.
pub(crate) fn demo(reporter: &Reporter, terminal: &Terminal, seconds: u32) -> Result<i32> {
    let mut lab = Lab::new(reporter, "demo");
    let map = set_up(&mut lab)?;
    let load = format!(
        "exec fio --name=load --filename={} --rw=randread --bs=4k --direct=1 --ioengine=libaio \
         --iodepth=8 --time_based --runtime={seconds} --thread --output=/dev/null",
        map.node()
    );
    let mut command = Command::new(TOOL);
    command
        .args(["run", "--record", RECORDING])
        .args(tracer::btf());
    if !terminal.is_terminal {
        command.arg("--no-live");
    }
    command.args(["--", "busybox", "sh", "-c", &load]);
    let mut tool = on_console(&mut command, terminal)?;
    // A tool that ends at once has said why on the console.
    let loaded = disk::wait_for_io_while(&map.dm, 50, || Ok(tool.try_wait()?.is_none()));
    if loaded.is_ok() {
        sys::sleep_ms(u64::from(seconds) * 500);
        map.switch_group(2)?;
        sys::sleep_ms(u64::from(seconds) * 250);
        for request in ["delay A 2ms", "delay B 0ms", "swap"] {
            lab.array()?.ask(request)?;
        }
    }
    let status = wait(&mut tool, Duration::from_secs(u64::from(seconds) + 60))?;
    lab.tear_down()?;
    report(reporter)?;
    Ok(status)
}

/// The page on what was recorded goes to the host.
fn report(reporter: &Reporter) -> Result<()> {
    let mut command = Command::new(TOOL);
    command.args(["report", RECORDING, "-o", PAGE]);
    sys::process::Background::start(&mut command)?.finish(Duration::from_secs(60))?;
    reporter.send(&Message::File {
        name: "report.html".to_owned(),
        text: sys::read(PAGE)?,
    });
    Ok(())
}

fn wait(child: &mut Child, limit: Duration) -> Result<i32> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code().unwrap_or(1));
        }
        sys::sleep_ms(50);
    }
    child.kill().context("failed to end the tool")?;
    child.wait()?;
    anyhow::bail!("the tool did not end within {} s", limit.as_secs())
}

/// Starts a program as the leader of a session on the console, of the user's window size.
fn on_console(command: &mut Command, terminal: &Terminal) -> Result<Child> {
    let console = open(CONSOLE)?;
    let size = Winsize {
        ws_row: terminal.rows,
        ws_col: terminal.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let _ = rustix::termios::tcsetwinsize(&console, size);
    with_terminal(command, console)?
        .env("TERM", &terminal.term)
        .env("HOME", "/root")
        .spawn()
        .with_context(|| format!("failed to start {command:?} on {CONSOLE}"))
}

fn open(path: &str) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(path)
        .with_context(|| format!("failed to open {path}"))
}

/// Makes `terminal` the standard streams and the controlling terminal of `command`.
pub(crate) fn with_terminal(command: &mut Command, terminal: File) -> Result<&mut Command> {
    command
        .stdin(terminal.try_clone()?)
        .stdout(terminal.try_clone()?)
        .stderr(terminal);
    // SAFETY: only system calls run between fork and exec.
    unsafe {
        command.pre_exec(|| {
            // Who started us in the background may have had it ignored: Ctrl-C would do nothing.
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        });
    }
    Ok(command)
}
