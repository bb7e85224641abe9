//! The array's guest: LIO's iSCSI target over the emulator, with a portal in each network; told what to do over the
//! control's network, a line for each request, answered as the emulator answers.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};

use super::{CONTROL, CONTROL_ARRAY, JUMBO, TARGET, interface, ip, network, paths, portal, run};
use crate::array::{self, Options, PathName};
use crate::lab::emulator::Emulator;
use crate::runner::Reporter;
use crate::sys;

const FABRIC: &str = "/sys/kernel/config/target/iscsi";
const MODULES: [&str; 5] = [
    "virtio_net",
    "veth",
    "bridge",
    "sch_netem",
    "iscsi_target_mod",
];

/// The array that runs.
#[derive(Default)]
struct Array {
    emulator: Option<Emulator>,
}

/// Serves the host, for as long as the guest lives.
pub(crate) fn serve(reporter: &Reporter) -> Result<i32> {
    crate::sys::process::run("modprobe", &[&["-a"], &MODULES[..]].concat())?;
    wire()?;
    let listener =
        TcpListener::bind(CONTROL).with_context(|| format!("cannot listen on {CONTROL}"))?;
    reporter.log("the array waits for its host");
    let array = Mutex::new(Array::default());
    // Several at once: a case has a connection, and so has each command of a plan.
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let stream = stream.context("cannot accept the host")?;
            let array = &array;
            scope.spawn(move || {
                if let Err(error) = talk(&stream, array) {
                    reporter.log(format!("{error:#}"));
                }
            });
        }
        anyhow::Ok(())
    })?;
    Ok(0)
}

/// Portals, bridges and the control's interface.
fn wire() -> Result<()> {
    ip("link set lo up")?;
    for nth in 0..paths().len() {
        let wire = interface(nth)?;
        ip(&format!("link add sw{nth} type bridge"))?;
        ip(&format!("link add p{nth} type veth peer name sw{nth}-p"))?;
        // A switch forwards frames, and no segments that were put together.
        ip(&format!("link set p{nth} gso_max_segs 1"))?;
        for port in [wire.as_str(), &format!("sw{nth}-p")] {
            ip(&format!("link set {port} master sw{nth}"))?;
            ip(&format!("link set {port} mtu {JUMBO} up"))?;
        }
        ip(&format!("link set sw{nth} up"))?;
        ip(&format!("address add 10.0.{nth}.1/24 dev p{nth}"))?;
        ip(&format!("link set p{nth} mtu {JUMBO} up"))?;
    }
    let control = interface(paths().len())?;
    ip(&format!("address add {CONTROL_ARRAY} dev {control}"))?;
    ip(&format!("link set {control} up"))?;
    Ok(())
}

fn talk(stream: &TcpStream, array: &Mutex<Array>) -> Result<()> {
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let obeyed = array
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .obey(&line);
        let answer = match obeyed {
            Ok(text) if text.is_empty() || text.ends_with('\n') => format!("{text}ok\n"),
            Ok(text) => format!("{text}\nok\n"),
            Err(error) => format!("error: {}\n", format!("{error:#}").replace('\n', " ")),
        };
        answers.write_all(answer.as_bytes())?;
    }
    Ok(())
}

impl Array {
    fn obey(&mut self, line: &str) -> Result<String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "start" => self.start(rest).map(|()| String::new()),
            "stop" => self.stop().map(|()| String::new()),
            "ip" | "tc" => run(word, rest),
            "read" => sys::read(rest),
            _ => {
                let emulator = self.emulator.as_mut().context("no array runs")?;
                Ok(emulator.ask(line)?.join("\n"))
            }
        }
    }

    /// The emulator with these options, and a target port group of LIO's for each of its ports.
    fn start(&mut self, options: &str) -> Result<()> {
        if self.emulator.is_some() {
            bail!("an array runs");
        }
        let options = Options::parse(&options.split_whitespace().collect::<Vec<_>>())?;
        let luns = options.luns;
        self.emulator = Some(Emulator::launch(options)?);
        for path in paths() {
            connect(path, luns).with_context(|| format!("cannot connect {path}"))?;
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let Some(mut emulator) = self.emulator.take() else {
            return Ok(());
        };
        for path in paths() {
            disconnect(path)?;
        }
        sys::remove_dir(format!("{FABRIC}/{TARGET}"))?;
        emulator.stop()
    }
}

fn group(path: PathName) -> String {
    format!("{FABRIC}/{TARGET}/tpgt_{}", network(path) + 1)
}

fn connect(path: PathName, luns: u8) -> Result<()> {
    let group = group(path);
    for dir in [FABRIC, &format!("{FABRIC}/{TARGET}"), &group] {
        sys::make_dir(dir)?;
    }
    for lun in 0..luns {
        let dir = format!("{group}/lun/lun_{lun}");
        sys::make_dir(&dir)?;
        std::os::unix::fs::symlink(array::backstore_dir(path, lun), format!("{dir}/x"))?;
    }
    // Whoever comes may write, and need not say who it is.
    for (attribute, value) in [
        ("authentication", "0"),
        ("demo_mode_write_protect", "0"),
        ("generate_node_acls", "1"),
        ("cache_dynamic_acls", "1"),
    ] {
        sys::write(format!("{group}/attrib/{attribute}"), value)?;
    }
    sys::make_dir(format!("{group}/np/{}", portal(network(path))))?;
    sys::write(format!("{group}/enable"), "1")
}

fn disconnect(path: PathName) -> Result<()> {
    let group = group(path);
    let _ = sys::write(format!("{group}/enable"), "0");
    for portal in sys::names(format!("{group}/np")) {
        sys::remove_dir(format!("{group}/np/{portal}"))?;
    }
    for lun in sys::names(format!("{group}/lun")) {
        let dir = format!("{group}/lun/{lun}");
        let _ = std::fs::remove_file(format!("{dir}/x"));
        sys::remove_dir(dir)?;
    }
    sys::remove_dir(group)
}
