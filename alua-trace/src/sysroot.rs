//! Owns every absolute path under `/sys`, `/proc`, `/dev` and `/etc` that the tool knows, and the
//! bounded reads of them. It does not know what the files mean.
//!
//! Everything read here is untrusted: a read never returns more than [`MAX_READ`] bytes (streams
//! excepted) and text is lossy UTF-8.

use std::fs;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::Dir;
use rustix::fs::Mode;
use rustix::fs::OFlags;

pub use crash_notes::crash_numbers;
pub use multipath::config_files;
pub use multipath::read_config;
pub use symbols::SymbolsError;
pub use symbols::addresses;

mod crash_notes;
pub(crate) mod multipath;
mod symbols;

/// The most bytes that one bounded read returns; sysfs attributes are at most one page, binary
/// ones (VPD pages) at most 64 KiB.
pub const MAX_READ: u64 = 64 * 1024;

/// The most bytes of `/proc/modules` that are looked at: some thousand modules.
const MAX_MODULES: u64 = 1024 * 1024;

/// How far above a host its adapter is looked for.
const MAX_DEPTH: usize = 16;

/// The most entries of one directory that are listed.
const MAX_ENTRIES: usize = 64 * 1024;

/// The file systems of the kernel, below a directory that is `/` outside of tests.
#[derive(Debug, Clone)]
pub struct Sysroot {
    root: PathBuf,
}

impl Default for Sysroot {
    fn default() -> Self {
        Self::at("/")
    }
}

impl Sysroot {
    /// The tree below `root`; `/` is the running kernel's.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// As [`Self::new`]; reads better where a test injects a tree.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self::new(root)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// The directory with one BTF blob per module and `vmlinux`.
    pub fn btf_dir(&self) -> PathBuf {
        self.path("sys/kernel/btf")
    }

    /// BTF of a module, or of the kernel itself for `vmlinux`. Absent for modules on kernels
    /// without `CONFIG_DEBUG_INFO_BTF_MODULES` (5.10).
    pub fn kernel_btf(&self, module: &str) -> PathBuf {
        self.btf_dir().join(module)
    }

    /// The kernel's memory, as a core file.
    fn kcore(&self) -> io::Result<File> {
        File::open(self.path("proc/kcore"))
    }

    /// The symbol table: more than 100 000 lines, to be streamed.
    pub fn kallsyms(&self) -> io::Result<impl BufRead + use<>> {
        let file = File::open(self.path("proc/kallsyms"))?;
        Ok(BufReader::with_capacity(64 * 1024, file))
    }

    /// Names of the loaded modules, from `/proc/modules`; built-in ones are not in it.
    pub fn modules(&self) -> io::Result<Vec<String>> {
        let file = File::open(self.path("proc/modules"))?;
        let mut names = Vec::new();
        for line in BufReader::new(file.take(MAX_MODULES)).split(b'\n') {
            let line = line?;
            let name = line.split(|&byte| byte == b' ').next().unwrap_or_default();
            if !name.is_empty() {
                names.push(String::from_utf8_lossy(name).into_owned());
            }
        }
        Ok(names)
    }

    /// Whether a module is loaded or built in. A built-in one is only seen when it has a
    /// parameter or a version, so that the kernel makes `/sys/module/<name>`: scsi_mod, dm_mod
    /// and dm_multipath do.
    pub fn is_loaded(&self, module: &str) -> bool {
        self.path("sys/module").join(module).exists()
            || self
                .modules()
                .is_ok_and(|modules| modules.iter().any(|name| name == module))
    }

    /// The release as `uname -r` prints it. For messages only.
    pub fn kernel_release(&self) -> io::Result<String> {
        read_text(&self.path("proc/sys/kernel/osrelease"))
    }

    /// The name of the host, as `uname -n` prints it.
    pub fn host_name(&self) -> io::Result<String> {
        read_text(&self.path("proc/sys/kernel/hostname"))
    }

    /// The kernel's id of this boot.
    pub fn boot_id(&self) -> io::Result<String> {
        read_text(&self.path("proc/sys/kernel/random/boot_id"))
    }

    /// The command line that the kernel was booted with.
    pub fn command_line(&self) -> io::Result<String> {
        read_text(&self.path("proc/cmdline"))
    }

    /// What the CPUs have done since the boot.
    pub fn cpu_times(&self) -> PathBuf {
        self.path("proc/stat")
    }

    /// What IP, TCP and UDP have counted since the boot.
    pub fn tcp_counts(&self) -> PathBuf {
        self.path("proc/net/snmp")
    }

    /// The list of CPUs that are online.
    pub fn online_cpus(&self) -> PathBuf {
        self.path("sys/devices/system/cpu/online")
    }

    /// The directory with one entry for each set of CPUs that share a frequency.
    pub fn cpufreq_dir(&self) -> PathBuf {
        self.path("sys/devices/system/cpu/cpufreq")
    }

    /// The NUMA node of the closest device above a SCSI host that has one; −1 is none.
    pub fn scsi_host_numa_node(&self, host: u32) -> Option<i32> {
        let place = self.class_dir("scsi_host", &format!("host{host}"));
        let place = place.canonicalize().ok()?;
        let above = place.ancestors().skip(1).take(MAX_DEPTH);
        above
            .filter_map(|dir| read_text(&dir.join("numa_node")).ok())
            .find_map(|text| text.parse().ok())
    }

    /// The directory with one entry per SCSI device, named `H:C:T:L`.
    pub fn scsi_devices_dir(&self) -> PathBuf {
        self.path("sys/class/scsi_device")
    }

    /// The attributes of one SCSI device, named `H:C:T:L`.
    pub fn scsi_device_dir(&self, hctl: &str) -> PathBuf {
        self.scsi_devices_dir().join(hctl).join("device")
    }

    /// The directory with one entry per whole block device.
    pub fn block_dir(&self) -> PathBuf {
        self.path("sys/block")
    }

    /// The attributes of one object of a class of devices: `iscsi_session`, `session1`.
    pub fn class_dir(&self, class: &str, name: &str) -> PathBuf {
        self.path("sys/class").join(class).join(name)
    }

    /// Where in the tree of devices a SCSI device stands, as the kernel's link to it says: the
    /// names of its host, its target, and what its transport has in between.
    pub fn scsi_device_place(&self, hctl: &str) -> io::Result<PathBuf> {
        fs::read_link(self.scsi_devices_dir().join(hctl))
    }

    /// The names of the network interfaces' entries.
    pub fn net_dir(&self) -> PathBuf {
        self.path("sys/class/net")
    }

    /// The device node of a block device: the kernel's `!` stands for a slash (lib/kobject.c).
    pub fn device_node(&self, name: &str) -> PathBuf {
        self.path("dev").join(name.replace('!', "/"))
    }

    /// The control device of device-mapper.
    pub fn dm_control(&self) -> PathBuf {
        self.path("dev/mapper/control")
    }

    /// Whether device-mapper is there: opening [`Self::dm_control`] when it is not would load
    /// the module (its static device node outlives it), and this tool changes nothing.
    pub fn has_device_mapper(&self) -> bool {
        self.path("sys/class/misc/device-mapper").exists()
    }

    /// Whether the kernel has the tracepoint `group:name`; `None` when tracefs cannot be read.
    /// Both of its usual places are looked at.
    pub fn has_tracepoint(&self, group: &str, name: &str) -> Option<bool> {
        let events = [
            "sys/kernel/tracing/events",
            "sys/kernel/debug/tracing/events",
        ]
        .map(|place| self.path(place))
        .into_iter()
        .find(|events| fs::read_dir(events).is_ok_and(|mut dir| dir.next().is_some()))?;
        Some(events.join(group).join(name).exists())
    }
}

/// A number that the kernel tells of one of this process' own descriptors
/// (`bpf_prog_show_fdinfo`); `None` when this kernel does not tell it.
pub fn own_fdinfo(descriptor: RawFd, key: &str) -> io::Result<Option<u64>> {
    let text = read_text(Path::new(&format!("/proc/self/fdinfo/{descriptor}")))?;
    Ok(text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name == key).then(|| value.trim().parse().ok())?
    }))
}

/// How probes of functions are asked for (`perf_event_open(2)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionProbe {
    /// `perf_event_attr.type`.
    pub kind: u32,
    /// Number of the bit of `perf_event_attr.config` that says it is one of the function's return.
    pub return_bit: u32,
}

/// As the running kernel says it (Linux 4.17).
pub fn function_probe() -> io::Result<FunctionProbe> {
    let directory = Path::new("/sys/bus/event_source/devices/kprobe");
    let number = |file: &str, prefix: &str| {
        let text = read_text(&directory.join(file))?;
        let number = text.trim().strip_prefix(prefix).map(str::parse::<u32>);
        match number {
            Some(Ok(number)) if number < 64 || prefix.is_empty() => Ok(number),
            _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    };
    Ok(FunctionProbe {
        kind: number("type", "")?,
        return_bit: number("format/retprobe", "config:")?,
    })
}

/// The most memory that this process has had resident, in bytes (`/proc/PID/status`, `VmHWM`).
pub fn own_peak_memory() -> io::Result<u64> {
    own_status_bytes("VmHWM:")
}

/// The memory that this process has resident now, in bytes (`VmRSS`).
pub fn own_memory() -> io::Result<u64> {
    own_status_bytes("VmRSS:")
}

fn own_status_bytes(key: &str) -> io::Result<u64> {
    let text = read_text(Path::new("/proc/self/status"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
    kib.map(|kib: u64| kib.saturating_mul(1024))
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The highest number that a CPU may have, and one more (`cpu/possible`): numbers may be missing in between.
pub fn possible_cpus() -> io::Result<u32> {
    let text = read_text(Path::new("/sys/devices/system/cpu/possible"))?;
    let highest = text
        .rsplit([',', '-'])
        .next()
        .and_then(|it| it.parse().ok());
    highest
        .and_then(|highest: u32| highest.checked_add(1))
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Ids of this process' threads (`/proc/self/task`).
pub fn own_threads() -> io::Result<Vec<i32>> {
    let ids = entries(Path::new("/proc/self/task"))?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// An open directory, so that its attributes are read without walking the path to it again, and
/// so that they are never those of a successor of the same name.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    /// Opens a directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// As [`read_bytes`], for a file below this directory.
    pub fn bytes(&self, below: &str) -> io::Result<Vec<u8>> {
        let file = rustix::fs::openat(&self.0, below, OFlags::CLOEXEC, Mode::empty())?;
        bounded(File::from(file))
    }

    /// As [`read_text`], for a file below this directory.
    pub fn text(&self, below: &str) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(below)?)
            .trim()
            .to_owned())
    }

    /// The number in a file below this directory; `None` when it is not there, or no such number.
    pub fn number<T: std::str::FromStr>(&self, below: &str) -> Option<T> {
        self.text(below).ok()?.parse().ok()
    }

    /// The text of a file below this directory; `None` when it is not there, is empty, or says that the kernel does
    /// not know.
    pub fn known(&self, below: &str) -> Option<String> {
        let text = self.text(below).ok()?;
        let unknown = text.is_empty() || text == "(null)" || text == "<NULL>";
        (!unknown).then_some(text)
    }

    /// The first entry of a directory below this one; `None` when it is empty.
    pub fn first_entry(&self, below: &str) -> io::Result<Option<String>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&self.0, below, flags, Mode::empty())?;
        for entry in Dir::new(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                return Ok(Some(String::from_utf8_lossy(name).into_owned()));
            }
        }
        Ok(None)
    }
}

fn bounded(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(256);
    file.take(MAX_READ).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Up to [`MAX_READ`] bytes of a file.
pub fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    bounded(File::open(path)?)
}

/// A file's text (lossy UTF-8, at most [`MAX_READ`] bytes) without white space around it.
pub fn read_text(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read_bytes(path)?)
        .trim()
        .to_owned())
}

/// Names of a directory's entries, lossy, in no order; entries past a generous bound are left
/// out.
pub fn entries(dir: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(dir)?.take(MAX_ENTRIES);
    names
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Sysroot) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let sysroot = Sysroot::at(dir.path());
        (dir, sysroot)
    }

    #[test]
    fn a_module_is_loaded_when_proc_or_sys_knows_it() {
        let (_dir, sysroot) = tree(&[
            (
                "proc/modules",
                "dm_mod 200704 0 - Live 0x0\nscsi_dh_alua 20480 1 a,b, Live 0x0\n",
            ),
            ("sys/module/scsi_mod/parameters/x", ""),
        ]);
        assert_eq!(sysroot.modules().unwrap(), ["dm_mod", "scsi_dh_alua"]);
        assert!(sysroot.is_loaded("dm_mod"));
        assert!(sysroot.is_loaded("scsi_mod"));
        assert!(!sysroot.is_loaded("scsi_dh_rdac"));
    }

    #[test]
    fn tracepoints_are_unknown_without_tracefs() {
        let (_dir, sysroot) = tree(&[("sys/kernel/tracing/README", "")]);
        assert_eq!(
            sysroot.has_tracepoint("scsi", "scsi_dispatch_cmd_start"),
            None
        );
        let (_dir, sysroot) = tree(&[(
            "sys/kernel/debug/tracing/events/scsi/scsi_dispatch_cmd_start/id",
            "1",
        )]);
        assert_eq!(
            sysroot.has_tracepoint("scsi", "scsi_dispatch_cmd_start"),
            Some(true)
        );
        assert_eq!(sysroot.has_tracepoint("scsi", "other"), Some(false));
    }

    #[test]
    fn reads_are_bounded_and_lossy() {
        let (dir, sysroot) = tree(&[("proc/sys/kernel/osrelease", "6.1.0-50-amd64\n")]);
        assert_eq!(sysroot.kernel_release().unwrap(), "6.1.0-50-amd64");
        let big = dir.path().join("big");
        fs::write(&big, vec![0xff; 100_000]).unwrap();
        assert_eq!(read_bytes(&big).unwrap().len(), 65_536);
        assert!(read_text(&big).unwrap().starts_with('\u{fffd}'));
    }
}
