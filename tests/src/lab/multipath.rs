//! dm-multipath by `dmsetup`, without multipathd: the kernel side alone.

use std::time::Duration;

use anyhow::{Context, Result};

use super::loopback::LabPath;
use crate::array::Controller;
use crate::sys::{self, process};

/// How dm chooses a path within a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selector {
    /// `service-time`.
    ServiceTime,
    /// `round-robin`.
    RoundRobin,
    /// `queue-length`.
    QueueLength,
}

impl Selector {
    /// A group of `paths` in a table.
    pub(crate) fn group(self, paths: &[LabPath]) -> String {
        let (name, values) = match self {
            Selector::ServiceTime => ("service-time", " 1 1"),
            Selector::RoundRobin => ("round-robin", " 1"),
            Selector::QueueLength => ("queue-length", " 1"),
        };
        let arguments = values.len() / 2;
        let mut text = format!("{name} 0 {} {arguments}", paths.len());
        for path in paths {
            text.push_str(&format!(" {}{values}", path.devno));
        }
        text
    }
}

/// The device handler of a map's paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handler {
    /// `scsi_dh_alua`.
    Alua,
    /// `scsi_dh_rdac`.
    Rdac,
}

impl Handler {
    /// As the kernel calls it, in a table and in `dh_state`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Handler::Alua => "alua",
            Handler::Rdac => "rdac",
        }
    }
}

/// A map to make.
#[derive(Debug, Clone)]
pub(crate) struct MapOptions {
    /// Its name.
    pub(crate) name: String,
    /// Logical unit behind it.
    pub(crate) lun: u8,
    /// Whose path group is the first.
    pub(crate) first: Controller,
    /// Hardware handler, unless it is bio-based.
    pub(crate) handler: Handler,
    /// Path selector.
    pub(crate) selector: Selector,
    /// `queue_mode bio`; no hardware handler then.
    pub(crate) bio: bool,
}

impl Default for MapOptions {
    fn default() -> Self {
        MapOptions {
            name: "mpatha".to_owned(),
            lun: 0,
            first: Controller::A,
            handler: Handler::Alua,
            selector: Selector::ServiceTime,
            bio: false,
        }
    }
}

impl MapOptions {
    /// A map of `lun`: mpatha, mpathb, …
    pub(crate) fn of(lun: u8, handler: Handler) -> MapOptions {
        MapOptions {
            name: format!("mpath{}", char::from(b'a' + lun % 26)),
            lun,
            handler,
            ..MapOptions::default()
        }
    }

    fn table(&self, sectors: u64, groups: &[Vec<LabPath>]) -> String {
        let features = match self.handler {
            _ if self.bio => "3 queue_if_no_path queue_mode bio",
            Handler::Alua => "1 queue_if_no_path",
            // As in multipath-tools' entry for the array. Without it a MODE SELECT that 6.1 had to
            // send twice costs the path: `send_mode_select` remembers the first one's error.
            Handler::Rdac => "3 queue_if_no_path pg_init_retries 50",
        };
        let handler = if self.bio {
            "0".to_owned()
        } else {
            format!("1 {}", self.handler.name())
        };
        let groups: Vec<&Vec<LabPath>> = groups.iter().filter(|group| !group.is_empty()).collect();
        let mut table = format!(
            "0 {sectors} multipath {features} {handler} {} 1",
            groups.len()
        );
        for group in groups {
            table.push(' ');
            table.push_str(&self.selector.group(group));
        }
        table
    }
}

/// A map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Map {
    /// Its name.
    pub(crate) name: String,
    /// Kernel name, such as "dm-0".
    pub(crate) dm: String,
}

impl Map {
    /// Makes a map of `groups`.
    pub(crate) fn create(options: &MapOptions, groups: &[Vec<LabPath>]) -> Result<Map> {
        let first = groups
            .iter()
            .flatten()
            .next()
            .context("a map needs a path")?;
        let sectors: u64 = sys::read(format!("/sys/block/{}/size", first.device))?.parse()?;
        let table = options.table(sectors, groups);
        process::run("dmsetup", &["create", &options.name, "--table", &table])?;
        let map = Map::named(&options.name)?;
        sys::wait_for(Duration::from_secs(5), &map.node(), || {
            Ok(std::path::Path::new(&map.node()).exists())
        })?;
        // Two of fio's reads that the block layer merges are one command: counts could not agree.
        sys::write(format!("/sys/block/{}/queue/nomerges", map.dm), "2")?;
        Ok(map)
    }

    /// The map called `name`.
    pub(crate) fn named(name: &str) -> Result<Map> {
        let dm = sys::names("/sys/block")
            .into_iter()
            .filter(|device| device.starts_with("dm-"))
            .find(|device| {
                sys::read(format!("/sys/block/{device}/dm/name")).is_ok_and(|it| it == name)
            })
            .with_context(|| format!("no map {name}"))?;
        Ok(Map {
            name: name.to_owned(),
            dm,
        })
    }

    /// The only map there is, whoever made it.
    pub(crate) fn first() -> Result<Map> {
        let dm = sys::names("/sys/block")
            .into_iter()
            .find(|device| device.starts_with("dm-"));
        let dm = dm.context("no map")?;
        Ok(Map {
            name: sys::read(format!("/sys/block/{dm}/dm/name"))?,
            dm,
        })
    }

    /// The device node.
    pub(crate) fn node(&self) -> String {
        format!("/dev/{}", self.dm)
    }

    /// "major:minor".
    pub(crate) fn devno(&self) -> Result<String> {
        sys::read(format!("/sys/block/{}/dev", self.dm))
    }

    /// Sends a message, such as `switch_group 2` or `fail_path 8:0`.
    pub(crate) fn message(&self, text: &str) -> Result<()> {
        process::run("dmsetup", &["message", &self.name, "0", text]).map(|_| ())
    }

    /// Makes the next I/O go to path group `number`.
    pub(crate) fn switch_group(&self, number: u32) -> Result<()> {
        self.message(&format!("switch_group {number}"))
    }

    /// `dmsetup status`.
    pub(crate) fn status(&self) -> Result<String> {
        process::run("dmsetup", &["status", &self.name])
    }

    /// Removes it.
    pub(crate) fn remove(&self) -> Result<()> {
        let _ = self.message("fail_if_no_path");
        if Map::named(&self.name).is_err() {
            return Ok(());
        }
        process::run("dmsetup", &["remove", "--retry", &self.name]).map(|_| ())
    }
}

/// Removes every map there is.
pub(crate) fn remove_all() -> Result<()> {
    for dm in sys::names("/sys/block")
        .iter()
        .filter(|name| name.starts_with("dm-"))
    {
        if let Ok(name) = sys::read(format!("/sys/block/{dm}/dm/name")) {
            Map {
                name,
                dm: dm.clone(),
            }
            .remove()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str, devno: &str) -> LabPath {
        LabPath {
            name: name.parse().unwrap(),
            lun: 0,
            hctl: String::new(),
            device: String::new(),
            devno: devno.to_owned(),
        }
    }

    fn groups() -> [Vec<LabPath>; 2] {
        [
            vec![path("A1", "8:0"), path("A2", "8:32")],
            vec![path("B1", "8:16")],
        ]
    }

    #[test]
    fn tables_are_what_the_kernel_wants() {
        let options = MapOptions::default();
        assert_eq!(
            options.table(131072, &groups()),
            "0 131072 multipath 1 queue_if_no_path 1 alua 2 1 \
             service-time 0 2 2 8:0 1 1 8:32 1 1 service-time 0 1 2 8:16 1 1"
        );
        let options = MapOptions {
            handler: Handler::Rdac,
            ..options
        };
        let table = options.table(8, &groups());
        assert!(
            table.starts_with("0 8 multipath 3 queue_if_no_path pg_init_retries 50 1 rdac 2 1 ")
        );
        let options = MapOptions {
            selector: Selector::RoundRobin,
            bio: true,
            ..options
        };
        assert_eq!(
            options.table(8, &groups()),
            "0 8 multipath 3 queue_if_no_path queue_mode bio 0 2 1 \
             round-robin 0 2 1 8:0 1 8:32 1 round-robin 0 1 1 8:16 1"
        );
    }
}
