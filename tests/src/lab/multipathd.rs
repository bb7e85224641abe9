//! The real multipathd, which needs udev's database.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::sys;
use crate::sys::process::{self, Background, command};

/// One keyword per line, or multipathd ignores the rest of it.
const CONFIGURATION: &str = "\
defaults {
	user_friendly_names yes
	polling_interval 1
	max_polling_interval 1
	find_multipaths no
	path_grouping_policy group_by_prio
	prio alua
	path_checker tur
	failback immediate
	no_path_retry 12
	verbosity 2
}
";

/// multipathd and udevd, both ended on drop.
#[derive(Debug)]
pub(crate) struct Multipathd {
    // Ended in this order: multipathd waits for udevd.
    _multipathd: Background,
    _udevd: Background,
}

impl Multipathd {
    /// Starts both and waits for the first map.
    pub(crate) fn start() -> Result<Multipathd> {
        sys::write("/etc/multipath.conf", CONFIGURATION)?;
        let udevd = [
            "/usr/lib/systemd/systemd-udevd",
            "/lib/systemd/systemd-udevd",
        ]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .context("no systemd-udevd in this guest")?;
        let udevd = Background::start(&mut command(udevd, &[]))?;
        sys::wait_for(Duration::from_secs(5), "udevd", || {
            Ok(std::path::Path::new("/run/udev/control").exists())
        })?;
        process::run("udevadm", &["trigger", "--action=add"])?;
        process::run("udevadm", &["settle"])?;
        let multipathd = Background::start(&mut command("multipathd", &["-d", "-s"]))?;
        let running = Multipathd {
            _multipathd: multipathd,
            _udevd: udevd,
        };
        sys::wait_for(Duration::from_secs(15), "a map of multipathd's", || {
            Ok(sys::names("/sys/block")
                .iter()
                .filter(|name| name.starts_with("dm-"))
                .any(|dm| {
                    // A map without a table yet has no size.
                    sys::read(format!("/sys/block/{dm}/size")).is_ok_and(|size| size != "0")
                }))
        })?;
        Ok(running)
    }
}

impl Drop for Multipathd {
    fn drop(&mut self) {
        // While this is here, dmsetup waits for a udevd that no longer answers.
        let _ = std::fs::remove_file("/run/udev/control");
    }
}
