//! QEMU: finding or unpacking it, choosing what runs its guests, and its command line.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use alua_trace_tests::protocol::RESULTS_PORT;
use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::kernels::Kernel;
use crate::paths::{Paths, create_dir, remove_dir, write_whole};
use crate::say;
use crate::userland;
use crate::wire::Wire;

/// The lab was proven with this one.
const OLDEST: (u32, u32) = (7, 2);
const KERNEL_COMMAND_LINE: &str =
    "quiet tsc=reliable panic=-1 mitigations=off audit=0 apparmor=0 unknown_nmi_panic";
/// How long a guest may take to say what it did when it was interrupted.
const PANICS_WITHIN: Duration = Duration::from_secs(5);
/// How long a guest under KVM may take to say its first word.
const KVM_SPEAKS_WITHIN: Duration = Duration::from_secs(10);

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU's translator: works everywhere.
    Tcg,
    /// The translator, counting: guest time is instructions executed, two nanoseconds each, and a
    /// guest that only waits has no time to spend. One processor.
    Counted,
}

/// One guest's shape.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    /// What runs it.
    pub(crate) qemu: &'a Qemu,
    /// The kernel.
    pub(crate) kernel: &'a Kernel,
    /// Its first file system.
    pub(crate) initrd: &'a Path,
    /// What executes it.
    pub(crate) accelerator: Accelerator,
    /// Whether the user's terminal is its `hvc0`.
    pub(crate) interactive: bool,
    /// Where its console's text goes.
    pub(crate) console: &'a Path,
    /// Where its messages go.
    pub(crate) results: &'a Path,
    /// Networks that it shares with another guest.
    pub(crate) wires: &'a [Wire],
}

/// A QEMU that works here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Qemu {
    /// Processor of its guests.
    arch: Arch,
    /// The first line of `--version`.
    pub(crate) version: String,
    /// Program and first arguments.
    words: Vec<OsString>,
    /// Where an unpacked one has its modules.
    modules: Option<PathBuf>,
}

impl Qemu {
    /// The machine's own if it is new enough, else one unpacked below the lab's cache. The machine's
    /// packages stay as they are.
    pub(crate) fn get(paths: &Paths, arch: Arch, refresh: bool) -> Result<Self> {
        match Self::find(paths, arch) {
            Ok(qemu) if !(refresh && qemu.modules.is_some()) => Ok(qemu),
            _ => {
                let root = userland::qemu(arch, &paths.lab, refresh)?;
                Self::unpacked(arch, &root).context("the QEMU that was unpacked does not run here")
            }
        }
    }

    /// The machine's own if it is new enough, else the one unpacked before.
    pub(crate) fn find(paths: &Paths, arch: Arch) -> Result<Self> {
        let own = Self::of(arch, vec![program(arch).into()], None);
        if own.is_ok() {
            return own;
        }
        match userland::known_qemu(arch, &paths.lab) {
            Some(root) => Self::unpacked(arch, &root),
            None => own,
        }
    }

    /// Runs with its own loader and libraries.
    fn unpacked(arch: Arch, root: &Path) -> Result<Self> {
        let libraries = Arch::HOST.libraries(root);
        let mut words: Vec<OsString> = vec![Arch::HOST.loader(root).into()];
        words.extend(["--library-path".into(), libraries.clone().into()]);
        words.extend(["--argv0".into(), program(arch).into()]);
        words.push(root.join("usr/bin").join(program(arch)).into());
        for data in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
            words.extend(["-L".into(), root.join(data).into()]);
        }
        Self::of(arch, words, Some(libraries.join("qemu")))
    }

    fn of(arch: Arch, words: Vec<OsString>, modules: Option<PathBuf>) -> Result<Self> {
        let mut qemu = Self {
            arch,
            version: String::new(),
            words,
            modules,
        };
        let mut command = Command::new(&qemu.words[0]);
        qemu.prepare(command.args(&qemu.words[1..]).arg("--version"));
        let text = say::output(&mut command).context("the lab needs QEMU")?;
        qemu.version = text.lines().next().unwrap_or_default().to_owned();
        match parse_version(&qemu.version) {
            Some(version) if version >= OLDEST => Ok(qemu),
            _ => bail!(
                "the lab needs QEMU {}.{} or newer, and this is {:?}",
                OLDEST.0,
                OLDEST.1,
                qemu.version
            ),
        }
    }

    fn prepare(&self, command: &mut Command) {
        if let Some(modules) = &self.modules {
            command.env("QEMU_MODULE_DIR", modules);
        }
    }
}

fn program(arch: Arch) -> String {
    format!("qemu-system-{}", arch.rust())
}

fn parse_version(line: &str) -> Option<(u32, u32)> {
    let mut parts = line.split("version ").nth(1)?.split('.');
    let number = |part: &str| {
        part.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    Some((number(parts.next()?)?, number(parts.next()?)?))
}

/// KVM if it starts guests here, else the translator. Tried once per boot and kernel of the host.
pub(crate) fn accelerator(paths: &Paths, qemu: &Qemu, kernel: &Kernel) -> Result<Accelerator> {
    let kvm = Path::new("/dev/kvm");
    if !qemu.arch.is_host() || File::options().read(true).write(true).open(kvm).is_err() {
        return Ok(Accelerator::Tcg);
    }
    let memory = paths.lab.join("accel");
    let key = host_key();
    if let Some(known) = remembered(&memory, &key) {
        return Ok(known);
    }
    say::step("trying whether KVM starts guests here (10 s at most)");
    let works = kvm_speaks(paths, qemu, kernel)?;
    let (word, found) = if works {
        ("kvm", Accelerator::Kvm)
    } else {
        ("tcg", Accelerator::Tcg)
    };
    say::note(if works {
        "it does"
    } else {
        "it does not: guests run under QEMU's translator (slower, and just as exact)"
    });
    write_whole(&memory, format!("{key}\n{word}\n").as_bytes())?;
    Ok(found)
}

fn host_key() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let uname = rustix::system::uname();
    format!("{} {}", uname.release().to_string_lossy(), boot.trim())
}

fn remembered(memory: &Path, key: &str) -> Option<Accelerator> {
    let text = fs::read_to_string(memory).ok()?;
    let (known, word) = text.split_once('\n')?;
    (known == key).then_some(if word.trim() == "kvm" {
        Accelerator::Kvm
    } else {
        Accelerator::Tcg
    })
}

/// Boots the kernel without a file system and listens for its first line.
fn kvm_speaks(paths: &Paths, qemu: &Qemu, kernel: &Kernel) -> Result<bool> {
    let dir = paths.lab.join("artefacts/kvm-trial");
    create_dir(&dir)?;
    let console = dir.join("console.log");
    write_whole(&console, b"")?;
    let mut command = common(qemu, Accelerator::Kvm, kernel, &console);
    command.args([
        "-append",
        &format!("{} earlyprintk=serial panic=-1", qemu.arch.console()),
    ]);
    // It is ended in any case, and says so.
    let mut child = spawn(command.stderr(Stdio::null()))?;
    let begun = Instant::now();
    let mut spoke = false;
    while !spoke && begun.elapsed() < KVM_SPEAKS_WITHIN {
        thread::sleep(Duration::from_millis(100));
        spoke = fs::read_to_string(&console).is_ok_and(|text| text.contains("Linux version"));
        if child.try_wait().context("cannot wait for QEMU")?.is_some() {
            break;
        }
    }
    stop(&mut child);
    Ok(spoke || fs::read_to_string(&console).is_ok_and(|text| text.contains("Linux version")))
}

/// Starts the guest, with what QEMU itself complains of in `errors`. QEMU ends with this process,
/// however that ends.
pub(crate) fn start(machine: &Machine, errors: File) -> Result<Child> {
    // The monitor's prompt is of no use to anybody.
    let mut command = command(machine);
    if !machine.interactive {
        command.stdout(Stdio::null());
    }
    spawn(command.stderr(errors))
}

fn spawn(command: &mut Command) -> Result<Child> {
    command
        .spawn()
        .with_context(|| format!("cannot start `{}`", say::shown(command)))
}

/// Ends the guest if it still runs: asked first, as QEMU then gives the terminal back itself.
pub(crate) fn stop(child: &mut Child) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let (Ok(None), Some(pid)) = (child.try_wait(), pid) {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(2) && matches!(child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
    }
    child.kill().ok();
    child.wait().ok();
}

fn command(machine: &Machine) -> Command {
    let mut command = common(
        machine.qemu,
        machine.accelerator,
        machine.kernel,
        machine.console,
    );
    command
        .arg("-initrd")
        .arg(machine.initrd)
        .args([
            "-append",
            &format!("{} {KERNEL_COMMAND_LINE}", machine.qemu.arch.console()),
        ])
        .args(["-device", "virtio-serial-pci"])
        .args([
            "-chardev",
            &format!("file,id=results,path={}", escaped(machine.results)),
        ])
        .args([
            "-device",
            &format!("virtserialport,chardev=results,name={RESULTS_PORT}"),
        ]);
    for (nth, wire) in machine.wires.iter().enumerate() {
        let (local, remote) = (escaped(&wire.local), escaped(&wire.remote));
        let netdev = format!(
            "dgram,id=net{nth},local.type=unix,local.path={local},remote.type=unix,remote.path={remote}"
        );
        // No guest boots over it.
        let device = format!("virtio-net-pci,netdev=net{nth},mac={},romfile=", wire.mac);
        command.args(["-netdev", &netdev, "-device", &device]);
    }
    if !machine.wires.is_empty() && machine.accelerator == Accelerator::Tcg {
        // Two guests share the processors.
        command.args(["-smp", "1"]);
    }
    if machine.interactive {
        command
            .args(["-chardev", "stdio,id=tty,signal=off"])
            .args(["-device", "virtconsole,chardev=tty"])
            .stdin(Stdio::inherit());
    } else {
        // For [`interrupt`].
        command.args(["-monitor", "stdio"]).stdin(Stdio::piped());
    }
    command
}

/// Has a guest that nobody types to tell on its console what it is doing: its kernel panics of an interrupt that it does not
/// know ([`KERNEL_COMMAND_LINE`]), and shows what that interrupted.
pub(crate) fn interrupt(child: &mut Child) {
    if let Some(monitor) = &mut child.stdin {
        // A guest that has just ended has told enough.
        monitor.write_all(b"nmi\n").ok();
        thread::sleep(PANICS_WITHIN);
    }
}

fn common(qemu: &Qemu, accelerator: Accelerator, kernel: &Kernel, console: &Path) -> Command {
    // setpriv (util-linux, essential) makes the kernel end QEMU when xtask is killed.
    let mut command = Command::new("setpriv");
    let (accel, kind, smp) = match accelerator {
        Accelerator::Kvm => ("kvm", qemu.arch.native_machine(), "2"),
        Accelerator::Tcg => ("tcg,thread=multi", qemu.arch.machine(), "2"),
        Accelerator::Counted => ("tcg,thread=single", qemu.arch.machine(), "1"),
    };
    qemu.prepare(&mut command);
    command
        .args(["--pdeathsig", "KILL"])
        .args(&qemu.words)
        .args(["-accel", accel, "-smp", smp])
        .args(kind)
        .args([
            "-m",
            "4096",
            "-display",
            "none",
            "-monitor",
            "none",
            "-no-reboot",
            "-nodefaults",
        ])
        .arg("-kernel")
        .arg(&kernel.vmlinuz)
        .args(["-serial", &format!("file:{}", console.display())])
        .stdin(Stdio::null());
    if accelerator == Accelerator::Counted {
        command.args(["-icount", "shift=1,sleep=off"]);
    }
    command
}

/// A path in a QEMU option list, where a comma is doubled.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// A directory for one guest's files, emptied, and this process's until the lock is dropped.
#[derive(Debug)]
pub(crate) struct GuestDir {
    /// Where it lies.
    pub(crate) path: PathBuf,
    _lock: File,
}

impl GuestDir {
    /// The directory `name`, or `name.2` and so on while another run has it.
    pub(crate) fn take(paths: &Paths, name: &str) -> Result<Self> {
        let all = paths.lab.join("artefacts");
        create_dir(&all)?;
        let name = name.replace('/', "_");
        for number in 1..100 {
            let name = if number == 1 {
                name.clone()
            } else {
                format!("{name}.{number}")
            };
            let lock = all.join(format!(".{name}.lock"));
            let lock =
                File::create(&lock).with_context(|| format!("cannot create {}", lock.display()))?;
            if lock.try_lock().is_ok() {
                let path = all.join(name);
                remove_dir(&path)?;
                create_dir(&path)?;
                return Ok(Self { path, _lock: lock });
            }
        }
        bail!(
            "a hundred runs of {name} are under way in {}",
            all.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_qemu() {
        let line = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)";
        assert_eq!(parse_version(line), Some((7, 2)));
        assert_eq!(parse_version("QEMU emulator version 10.0.2"), Some((10, 0)));
        assert_eq!(parse_version("something else"), None);
    }

    /// A program that is not QEMU, or too old, is not used; one that is unpacked gets its own
    /// loader, libraries, firmware and modules.
    #[test]
    fn only_a_qemu_that_works_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let fake = |text: &str| {
            create_dir(&root.join("usr/lib64")).unwrap();
            let loader = root.join("usr/lib64/ld-linux-x86-64.so.2");
            fs::write(&loader, format!("#!/bin/sh\necho \"{text}\"\n")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&loader, mode).unwrap();
            Qemu::unpacked(Arch::HOST, root)
        };
        assert!(Qemu::unpacked(Arch::HOST, root).is_err(), "there is none");
        assert!(fake("QEMU emulator version 6.2.0").is_err());
        let qemu = fake("QEMU emulator version 10.0.2 $QEMU_MODULE_DIR $*").unwrap();
        let lib = root.join("usr/lib/x86_64-linux-gnu");
        for part in [
            format!("{}/qemu --library-path {}", lib.display(), lib.display()),
            format!("-L {}/usr/share/seabios", root.display()),
        ] {
            assert!(qemu.version.contains(&part), "{}: {part}", qemu.version);
        }
    }

    #[test]
    fn what_is_remembered_of_another_boot_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let memory = dir.path().join("accel");
        fs::write(&memory, "6.1 boot-a\nkvm\n").unwrap();
        assert_eq!(remembered(&memory, "6.1 boot-a"), Some(Accelerator::Kvm));
        assert_eq!(remembered(&memory, "6.1 boot-b"), None);
    }

    #[test]
    fn counting_uses_one_processor() {
        let kernel = Kernel {
            release: "6.1".into(),
            vmlinuz: "/k".into(),
            tree: "/t".into(),
        };
        let qemu = Qemu {
            arch: Arch::HOST,
            version: String::new(),
            words: vec![program(Arch::HOST).into()],
            modules: None,
        };
        let machine = Machine {
            qemu: &qemu,
            kernel: &kernel,
            initrd: Path::new("/i"),
            accelerator: Accelerator::Counted,
            interactive: false,
            console: Path::new("/c"),
            results: Path::new("/a,b"),
            wires: &Wire::pairs(Path::new("/w"), 2).0,
        };
        let line = command(&machine)
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ");
        assert!(
            line.contains("-smp 1") && line.contains("-icount shift=1"),
            "{line}"
        );
        assert!(line.contains("path=/a,,b"), "{line}");
        assert!(!line.contains("virtconsole"), "{line}");
        let wire = "local.path=/w/0-1,remote.type=unix,remote.path=/w/1-1 -device virtio-net-pci,netdev=net1,mac=52:54:00:00:00:01";
        assert!(line.contains(wire), "{line}");
    }
}
