//! Measures `alua-trace paths` on a big host: 256 logical units over 8 paths each, an injected sysfs
//! tree and device-mapper tables.
//!
//! `cargo run --release -p alua-trace --example bench_paths`
//!
//! The tree is made in a process of its own, so that what the reader needs is all that is measured.
//! Prints the time of reading and of showing, and the process' peak of memory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use alua_trace::cli::View;
use alua_trace::inventory::views;
use alua_trace::paths;
use alua_trace::sysroot::Sysroot;
use alua_trace::topology::DmTable;

const N_UNITS: usize = 256;
const N_PATHS: usize = 8;
const ROUNDS: usize = 5;
const MAX_SECONDS: f64 = 0.5;
const MAX_MIB: f64 = 32.0;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(root) if root == "--make" => {
            let root = arguments.next().map(PathBuf::from).unwrap_or_default();
            make(&root)
        }
        _ => measure(),
    }
}

fn measure() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let status = Command::new(std::env::current_exe()?)
        .arg("--make")
        .arg(dir.path())
        .status()?;
    anyhow::ensure!(status.success(), "the tree was not made");
    let root = Sysroot::at(dir.path());
    let tables: Vec<DmTable> = (0..N_UNITS).map(table).collect();
    let mut worst: f64 = 0.0;
    for round in 1..=ROUNDS {
        let start = Instant::now();
        let inventory = paths::read(&root, &tables, &[])?;
        let read = start.elapsed();
        let text = views::render(&inventory, View::Tree, 120)?;
        let both = start.elapsed();
        let n_paths: usize = inventory.maps.iter().map(|map| map.paths().count()).sum();
        anyhow::ensure!(n_paths == N_UNITS * N_PATHS, "only {n_paths} paths");
        println!(
            "round {round}: {n_paths} paths read in {:.3} s, read and shown ({} lines) in {:.3} s",
            read.as_secs_f64(),
            text.lines().count(),
            both.as_secs_f64()
        );
        worst = worst.max(both.as_secs_f64());
    }
    let peak = peak_mib()?;
    println!(
        "worst {worst:.3} s (at most {MAX_SECONDS}), peak RSS {peak:.1} MiB (at most {MAX_MIB})"
    );
    anyhow::ensure!(worst <= MAX_SECONDS && peak <= MAX_MIB, "over the limit");
    Ok(())
}

/// `VmHWM`: the most memory that this process ever had resident.
fn peak_mib() -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: f64 = kib.unwrap_or_default().parse()?;
    Ok(kib / 1024.0)
}

/// Number of the disk that is path `path` of unit `unit`, as sd numbers them.
fn devno(unit: usize, path: usize) -> String {
    let disk = unit * N_PATHS + path;
    const MAJORS: [usize; 16] = [
        8, 65, 66, 67, 68, 69, 70, 71, 128, 129, 130, 131, 132, 133, 134, 135,
    ];
    let major = MAJORS[disk / 16 % 16];
    format!("{major}:{}", (disk % 16) * 16 + disk / 256 * 256)
}

fn table(unit: usize) -> DmTable {
    let (mut status, mut table) = (
        String::from("2 0 0 0 2 1"),
        String::from("1 queue_if_no_path 1 alua 2 1"),
    );
    for (group, state) in ["A", "E"].into_iter().enumerate() {
        let half = N_PATHS / 2;
        status.push_str(&format!(" {state} 0 {half} 2"));
        table.push_str(&format!(" service-time 0 {half} 2"));
        for path in group * half..(group + 1) * half {
            let devno = devno(unit, path);
            status.push_str(&format!(" {devno} A 0 0 1"));
            table.push_str(&format!(" {devno} 1 1"));
        }
    }
    DmTable {
        name: format!("mpath{unit}"),
        devno: topology_devno(unit),
        uuid: Some(format!("mpath-3600140500000000000000000000{unit:04x}")),
        status,
        table,
    }
}

fn topology_devno(unit: usize) -> alua_trace::topology::DevNo {
    alua_trace::topology::DevNo {
        major: 254,
        minor: u32::try_from(unit).unwrap_or_default(),
    }
}

fn make(root: &Path) -> anyhow::Result<()> {
    for unit in 0..N_UNITS {
        for path in 0..N_PATHS {
            device(root, unit, path)?;
        }
        let block = format!("sys/block/dm-{unit}");
        write(root, &format!("{block}/size"), b"209715200\n")?;
        write(root, &format!("{block}/ro"), b"0\n")?;
    }
    for host in 0..N_PATHS {
        let fc = format!("sys/class/fc_host/host{host}");
        write(root, &format!("{fc}/port_name"), b"0x10000000c9a1b2c3\n")?;
        write(root, &format!("{fc}/speed"), b"16 Gbit\n")?;
        let rport = format!("sys/class/fc_remote_ports/rport-{host}:0-0");
        write(root, &format!("{rport}/port_name"), b"0x2015000000000001\n")?;
        write(root, &format!("{rport}/port_state"), b"Online\n")?;
    }
    Ok(())
}

fn device(root: &Path, unit: usize, path: usize) -> anyhow::Result<()> {
    let hctl = format!("{path}:0:0:{unit}");
    let group = u8::try_from(path * 2 / N_PATHS + 1)?;
    let port = u8::try_from(path + 1)?;
    let target = format!("host{path}/rport-{path}:0-0/target{path}:0:0/{hctl}");
    let place = format!("sys/devices/pci0000:00/{target}/scsi_device/{hctl}");
    let mut inquiry = vec![0, 0, 6, 2, 31, 0x30, 0, 2];
    inquiry.extend(b"LIO-ORG lun0            4.0 ");
    let mut page83 = vec![0, 0x83, 0, 36, 1, 3, 0, 16, 0x60, 1, 0x40, 5];
    page83.resize(22, 0);
    page83.extend(u16::try_from(unit)?.to_be_bytes());
    page83.extend([1, 0x14, 0, 4, 0, 0, 0, port, 1, 0x15, 0, 4, 0, 0, 0, group]);
    let state: &[u8] = if group == 1 {
        b"active/optimized\n"
    } else {
        b"active/non-optimized\n"
    };
    let wwid = format!("naa.600140500000000000000000000{unit:05x}\n");
    let block = format!("block/sd{}/dev", unit * N_PATHS + path);
    let number = devno(unit, path);
    let files: [(&str, &[u8]); 10] = [
        ("inquiry", &inquiry),
        ("vpd_pg80", b"\0\x80\0\x106d4ae520009fffff"),
        ("vpd_pg83", &page83),
        ("wwid", wwid.as_bytes()),
        (&block, number.as_bytes()),
        ("dh_state", b"alua\n"),
        ("access_state", state),
        ("preferred_path", b"0\n"),
        ("queue_depth", b"32\n"),
        ("state", b"running\n"),
    ];
    for (name, bytes) in files {
        write(root, &format!("{place}/device/{name}"), bytes)?;
    }
    let class = root.join("sys/class/scsi_device");
    fs::create_dir_all(&class)?;
    let below = place.trim_start_matches("sys/");
    symlink(Path::new("../..").join(below), class.join(hctl))?;
    Ok(())
}

fn write(root: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = root.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, bytes)?;
    Ok(())
}
