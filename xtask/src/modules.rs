//! Which kernel modules a guest gets, and in which order it loads them.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use crate::kernels::Kernel;

/// What every guest loads, in this order; what they depend on is added before them.
pub(crate) const LOADED: [&str; 19] = [
    "virtio_pci",
    "virtio_console",
    "configfs",
    "scsi_mod",
    "sd_mod",
    "sg",
    "scsi_dh_alua",
    "scsi_dh_rdac",
    "scsi_dh_emc",
    "dm_mod",
    "dm_multipath",
    "dm_round_robin",
    "dm_queue_length",
    "dm_service_time",
    "target_core_mod",
    "target_core_file",
    "target_core_iblock",
    "target_core_user",
    "tcm_loop",
];

/// What a guest has for `modprobe` but does not load by itself: loading creates devices.
pub(crate) const OPTIONAL: [&str; 13] = [
    "scsi_debug",
    "null_blk",
    "loop",
    "scsi_dh_hp_sw",
    // Networks, and both ends of iSCSI.
    "virtio_net",
    "veth",
    "bridge",
    "sch_netem",
    "tcp_diag",
    "inet_diag",
    "crc32c_generic",
    "iscsi_tcp",
    "iscsi_target_mod",
];

/// `modules.dep`: a module's file and those it depends on, by module name.
#[derive(Debug, Default)]
pub(crate) struct Dependencies {
    files: BTreeMap<String, (String, Vec<String>)>,
}

impl Dependencies {
    /// Those of an unpacked kernel.
    pub(crate) fn read(kernel: &Kernel) -> Result<Self> {
        let path = kernel.modules().join("modules.dep");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let files = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(file, needs)| {
                let needs = needs.split_whitespace().map(str::to_owned).collect();
                (name_of(file), (file.to_owned(), needs))
            })
            .collect();
        Self { files }
    }

    /// The files of `modules` and of all they need, each after what it needs. A module that this
    /// kernel has built in, or does not have, is left out.
    pub(crate) fn in_load_order(&self, modules: &[&str]) -> Vec<String> {
        let mut ordered = Vec::new();
        for module in modules {
            let Some((file, needs)) = self.files.get(*module) else {
                continue;
            };
            // depmod lists what is needed with the deepest last.
            for wanted in needs.iter().rev().chain([file]) {
                if !ordered.contains(wanted) {
                    ordered.push(wanted.clone());
                }
            }
        }
        ordered
    }
}

/// The name a kernel knows a module file by.
pub(crate) fn name_of(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split(".ko").next().unwrap_or(base).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/drivers/md/dm-mod.ko.xz:
kernel/drivers/md/dm-multipath.ko.xz: kernel/drivers/md/dm-mod.ko.xz kernel/drivers/scsi/scsi_mod.ko.xz kernel/scsi_common.ko.xz
kernel/drivers/scsi/scsi_mod.ko.xz: kernel/scsi_common.ko.xz
kernel/scsi_common.ko.xz:
";

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let dependencies = Dependencies::parse(DEP);
        let order = dependencies.in_load_order(&["dm_mod", "dm_multipath", "built_in"]);
        let names = order.iter().map(|file| name_of(file)).collect::<Vec<_>>();
        assert_eq!(names, ["dm_mod", "scsi_common", "scsi_mod", "dm_multipath"]);
    }

    #[test]
    fn names_have_no_dash_and_no_suffix() {
        assert_eq!(
            name_of("kernel/a/dm-queue-length.ko.zst"),
            "dm_queue_length"
        );
        assert_eq!(name_of("sg.ko"), "sg");
    }
}
