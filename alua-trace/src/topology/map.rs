//! Owns a multipath map: its path groups and paths, and how it is made of device-mapper's lines.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::DevNo;
use super::dm::DmTable;
use super::multipath;
use super::multipath::MultipathError;

/// What stands for the selector of a path group that appeared between two questions.
const UNKNOWN_SELECTOR: &str = "unknown";

/// A dm-multipath device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Its name in device-mapper, `mpatha`.
    pub name: String,
    /// Its name in the kernel, `dm-0` (drivers/md/dm.c `alloc_dev`: the minor number).
    pub dm: String,
    /// Its number.
    pub devno: DevNo,
    /// What follows `mpath-` in its uuid: multipathd's name of the logical unit, as `3600…`,
    /// where [`super::Device::wwid`] is `naa.600…`. Maps made without multipathd have none; see
    /// [`super::Topology::lun_of_map`].
    pub wwid: Option<String>,
    /// Its features, without their number: `queue_if_no_path`; empty when it has none.
    pub features: String,
    /// Whether it maps bios (`queue_mode bio`) rather than requests.
    pub bio_based: bool,
    /// Whether I/O waits when no path is left (`queue_if_no_path`).
    pub queue_if_no_path: bool,
    /// The hardware handler it demands. None demanded does not mean none attached: that is
    /// [`super::Device::handler`].
    pub handler: Option<String>,
    /// Its path groups, by number.
    pub groups: Vec<PathGroup>,
}

/// A path group of a map (dm's; not the array's target port group).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathGroup {
    /// Its number; the first is 1.
    pub number: u32,
    /// Its state.
    pub state: GroupState,
    /// Its paths, in the table's order.
    pub paths: Vec<MapPath>,
    /// Its path selector with the number of its arguments and these, `service-time 0`; `unknown`
    /// when the table changed while it was read.
    pub selector: String,
}

/// State of a path group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupState {
    /// `A`: I/O goes there.
    Active,
    /// `E`: may be used.
    Enabled,
    /// `D`: bypassed as long as another one can be used.
    Disabled,
}

impl GroupState {
    /// The word that multipath-tools use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A path of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapPath {
    /// Number of its block device.
    pub devno: DevNo,
    /// Whether dm uses it (`A`) or has failed it (`F`).
    pub active: bool,
    /// How often dm has failed it since the table was loaded.
    pub fail_count: u32,
}

impl Map {
    /// Makes a map of device-mapper's two lines.
    pub fn from_dm(dm: &DmTable) -> Result<Self, MultipathError> {
        let status = multipath::parse_status(&dm.status)?;
        let table = multipath::parse_table(&dm.table)?;
        let mut selectors = table.selectors.into_iter();
        let groups = (1..).zip(status.groups).map(|(number, group)| PathGroup {
            number,
            state: group.state,
            paths: group.paths,
            selector: selectors
                .next()
                .unwrap_or_else(|| UNKNOWN_SELECTOR.to_owned()),
        });
        let wwid = dm
            .uuid
            .as_deref()
            .and_then(|uuid| uuid.strip_prefix("mpath-"));
        Ok(Self {
            name: dm.name.clone(),
            dm: format!("dm-{}", dm.devno.minor),
            devno: dm.devno,
            wwid: wwid.map(str::to_owned),
            features: table.features,
            bio_based: table.bio_based,
            queue_if_no_path: table.queue_if_no_path,
            handler: table.handler,
            groups: groups.collect(),
        })
    }

    /// All paths of all groups.
    pub fn paths(&self) -> impl Iterator<Item = &MapPath> {
        self.groups.iter().flat_map(|group| &group.paths)
    }

    /// The group that I/O goes to; none before the first I/O.
    pub fn active_group(&self) -> Option<&PathGroup> {
        self.groups
            .iter()
            .find(|group| group.state == GroupState::Active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_made_of_both_lines() {
        let table = DmTable {
            name: "mpatha".to_owned(),
            devno: DevNo {
                major: 254,
                minor: 3,
            },
            uuid: Some("mpath-36001405a0102".to_owned()),
            status: "2 0 0 0 2 1 E 0 1 0 8:0 A 0 A 0 1 0 8:16 A 2".to_owned(),
            table: "2 queue_mode bio 1 alua 1 1 round-robin 0 1 1 8:0 1".to_owned(),
        };
        let map = Map::from_dm(&table).unwrap();
        assert_eq!(
            (map.dm.as_str(), map.wwid.as_deref()),
            ("dm-3", Some("36001405a0102"))
        );
        assert!(map.bio_based && !map.queue_if_no_path);
        assert_eq!(map.features, "queue_mode bio");
        assert_eq!(map.active_group().unwrap().number, 2);
        let selectors: Vec<_> = map
            .groups
            .iter()
            .map(|group| group.selector.as_str())
            .collect();
        assert_eq!(selectors, ["round-robin 0", "unknown"]);
        assert_eq!(map.paths().map(|path| path.fail_count).sum::<u32>(), 2);
    }
}
