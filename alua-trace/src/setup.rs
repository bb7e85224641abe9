//! The set-up that a trace was made under: what somebody who compares two recordings must know is equal.
//! Everything is read from sysfs, procfs and multipath's files; nothing is changed or sent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    multipath_conf::{self, facts, source::Sources},
    paths,
    sysroot::{self, Directory, Sysroot},
    topology::{DmSource, Topology},
};

mod network;

pub use network::{Interface, Network};

/// A host's set-up at one time. `None` is unknown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// When it was read, on the monotonic clock.
    pub at_ns: u64,
    /// `uname -r`.
    pub kernel: Option<String>,
    /// The kernel's command line.
    pub command_line: Option<String>,
    /// CPUs.
    pub cpus: Cpus,
    /// Queues of disks and maps, by the block device's name.
    pub queues: BTreeMap<String, Queue>,
    /// NUMA node of each SCSI host's adapter, by the host's number; −1 where it has none.
    pub numa_nodes: BTreeMap<u32, i32>,
    /// The network.
    #[serde(default)]
    pub network: Network,
    /// Maps and paths with their transports, as `alua-trace paths --json` prints them.
    pub inventory: Value,
    /// What counts for each map of multipath's configuration, and findings, as `alua-trace doctor --json`
    /// prints them under `multipath`.
    pub multipath: Value,
}

/// The CPUs of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpus {
    /// Those online, `0-7`.
    pub online: Option<String>,
    /// Their frequency governors, by policy (`policy0`).
    pub governors: BTreeMap<String, String>,
    /// What all of them together have worked since the boot, in ns, to 10 ms.
    #[serde(default)]
    pub busy_ns: Option<u64>,
    /// Interrupts that they have had since the boot.
    #[serde(default)]
    pub interrupts: Option<u64>,
}

/// How the block layer queues a device's I/O.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// The I/O scheduler that is chosen.
    pub scheduler: Option<String>,
    /// Requests it takes at once.
    pub nr_requests: Option<u32>,
    /// Where completions run: 0 anywhere, 1 on the submitter's group of CPUs, 2 on its CPU.
    pub rq_affinity: Option<u32>,
    /// Largest I/O in KiB.
    pub max_sectors_kb: Option<u32>,
    /// Bytes read ahead, in KiB.
    pub read_ahead_kb: Option<u32>,
    /// How merging is restricted: 0 not at all.
    pub nomerges: Option<u32>,
}

impl Setup {
    /// Reads it.
    pub fn read(root: &Sysroot, dm: &dyn DmSource, topology: &Topology, at_ns: u64) -> Self {
        let inventory = paths::all(root, dm).unwrap_or_default();
        let modules = facts::Modules {
            alua: Some(root.is_loaded("scsi_dh_alua")),
            rdac: Some(root.is_loaded("scsi_dh_rdac")),
        };
        let host = facts::Host::of(&inventory, modules);
        let multipath = multipath_conf::setup::Setup::new(Sources::of_host(root), Some(&host));
        Self {
            at_ns,
            kernel: root.kernel_release().ok(),
            command_line: root.command_line().ok(),
            cpus: Cpus::read(root),
            queues: queues(root, topology),
            numa_nodes: numa_nodes(root, topology),
            network: Network::read(root),
            inventory: json(&inventory),
            multipath: json(&multipath),
        }
    }
}

/// What of a topology makes its set-up another one: not the states that come and go.
pub fn shape(topology: &Topology) -> Vec<String> {
    let devices = topology.devices().iter().map(|it| {
        let (name, wwid) = (it.name.as_deref(), it.wwid.as_deref());
        format!("{} {name:?} {wwid:?} {:?}", it.hctl, it.handler)
    });
    let maps = topology.maps().iter().map(|map| {
        let groups = map.groups.iter().map(|group| {
            let paths: Vec<String> = group.paths.iter().map(|it| it.devno.to_string()).collect();
            format!("{} {paths:?}", group.selector)
        });
        let groups: Vec<String> = groups.collect();
        format!("{} {} {:?} {groups:?}", map.name, map.features, map.handler)
    });
    devices.chain(maps).collect()
}

impl Cpus {
    fn read(root: &Sysroot) -> Self {
        let policies = root.cpufreq_dir();
        let names = sysroot::entries(&policies).unwrap_or_default();
        let governors = names.into_iter().filter_map(|name| {
            let governor = policies.join(&name).join("scaling_governor");
            Some((name, sysroot::read_text(&governor).ok()?))
        });
        let times = sysroot::read_text(&root.cpu_times()).unwrap_or_default();
        Self {
            online: sysroot::read_text(&root.online_cpus()).ok(),
            governors: governors.collect(),
            busy_ns: busy_ns(&times),
            interrupts: interrupts(&times),
        }
    }
}

/// Of the first line of `/proc/stat`, in hundredths of a second (proc_stat(5)): user, nice, system, idle, iowait,
/// irq, softirq, steal. A guest's time is in user.
fn busy_ns(stat: &str) -> Option<u64> {
    const TICK_NS: u64 = 10_000_000;
    let of_all = stat.lines().next()?.strip_prefix("cpu ")?;
    let times: Option<Vec<u64>> = of_all
        .split_whitespace()
        .map(|it| it.parse().ok())
        .collect();
    let times = times?;
    let ticks = [0, 1, 2, 5, 6, 7].map(|nth| times.get(nth).copied().unwrap_or(0));
    ticks.iter().sum::<u64>().checked_mul(TICK_NS)
}

/// The first number of the line `intr` of `/proc/stat`: those of all kinds.
fn interrupts(stat: &str) -> Option<u64> {
    let of_all = stat.lines().find_map(|line| line.strip_prefix("intr "))?;
    of_all.split(' ').next()?.parse().ok()
}

fn queues(root: &Sysroot, topology: &Topology) -> BTreeMap<String, Queue> {
    let disks = topology.devices().iter().filter_map(|it| it.name.clone());
    let maps = topology.maps().iter().map(|map| map.dm.clone());
    let read = |name: String| {
        let dir = Directory::open(&root.block_dir().join(&name).join("queue")).ok()?;
        let number = |attribute: &str| dir.text(attribute).ok()?.parse().ok();
        let queue = Queue {
            scheduler: dir.text("scheduler").ok().map(|text| chosen(&text)),
            nr_requests: number("nr_requests"),
            rq_affinity: number("rq_affinity"),
            max_sectors_kb: number("max_sectors_kb"),
            read_ahead_kb: number("read_ahead_kb"),
            nomerges: number("nomerges"),
        };
        Some((name, queue))
    };
    disks.chain(maps).filter_map(read).collect()
}

/// `[mq-deadline] kyber none`: the one in brackets, or all of it.
fn chosen(schedulers: &str) -> String {
    let inside = schedulers
        .split_once('[')
        .and_then(|(_, it)| it.split_once(']'));
    inside.map_or(schedulers, |(chosen, _)| chosen).to_owned()
}

/// Of the closest device above the host that has one.
fn numa_nodes(root: &Sysroot, topology: &Topology) -> BTreeMap<u32, i32> {
    let mut nodes = BTreeMap::new();
    for device in topology.devices() {
        if let std::collections::btree_map::Entry::Vacant(unknown) = nodes.entry(device.hctl.host)
            && let Some(node) = root.scsi_host_numa_node(device.hctl.host)
        {
            unknown.insert(node);
        }
    }
    nodes
}

fn json<T: Serialize>(value: &T) -> Value {
    // It is made of maps with names as keys: every value of this kind can be.
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Device, Map};

    #[test]
    fn what_is_there_is_read_and_the_rest_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("proc/cmdline", "BOOT_IMAGE=/vmlinuz quiet\n"),
            (
                "proc/stat",
                "cpu  10 2 30 999 888 4 5 6 7 0\ncpu0 1 2\nintr 99 3 4\nctxt 5\n",
            ),
            ("sys/devices/system/cpu/online", "0-3\n"),
            (
                "sys/devices/system/cpu/cpufreq/policy0/scaling_governor",
                "performance\n",
            ),
            (
                "sys/block/sda/queue/scheduler",
                "none [mq-deadline] kyber\n",
            ),
            ("sys/block/sda/queue/nr_requests", "64\n"),
            ("sys/devices/pci0000:00/0000:00:05.0/numa_node", "1\n"),
            (
                "sys/devices/pci0000:00/0000:00:05.0/host2/scsi_host/host2/unique_id",
                "1\n",
            ),
        ] {
            let file = dir.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let class = dir.path().join("sys/class/scsi_host");
        std::fs::create_dir_all(&class).unwrap();
        let host = "../../devices/pci0000:00/0000:00:05.0/host2/scsi_host/host2";
        std::os::unix::fs::symlink(host, class.join("host2")).unwrap();
        let mut device = Device::unknown("2:0:0:1".parse().unwrap());
        device.name = Some("sda".to_owned());
        let topology = Topology::new(vec![device], Vec::<Map>::new(), Vec::new());
        let root = Sysroot::at(dir.path());
        let setup = Setup::read(&root, &crate::topology::DmControl::new(&root), &topology, 7);
        assert_eq!(
            setup.command_line.as_deref(),
            Some("BOOT_IMAGE=/vmlinuz quiet")
        );
        assert_eq!(setup.cpus.online.as_deref(), Some("0-3"));
        assert_eq!(setup.cpus.governors["policy0"], "performance");
        assert_eq!(setup.cpus.busy_ns, Some(57 * 10_000_000));
        assert_eq!(setup.cpus.interrupts, Some(99));
        let queue = &setup.queues["sda"];
        assert_eq!(queue.scheduler.as_deref(), Some("mq-deadline"));
        assert_eq!((queue.nr_requests, queue.rq_affinity), (Some(64), None));
        assert_eq!(setup.numa_nodes[&2], 1);
        let text = serde_json::to_string(&setup).unwrap();
        assert_eq!(serde_json::from_str::<Setup>(&text).unwrap(), setup);
    }

    #[test]
    fn states_do_not_make_it_another_one() {
        let mut device = Device::unknown("2:0:0:1".parse().unwrap());
        let of =
            |device: &Device| shape(&Topology::new(vec![device.clone()], Vec::new(), Vec::new()));
        let before = of(&device);
        device.running = !device.running;
        assert_eq!(of(&device), before);
        device.handler = Some("alua".to_owned());
        assert_ne!(of(&device), before);
    }
}
