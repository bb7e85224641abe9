//! Owns what is known of a host's maps and paths, as far as findings need it. Pure data; `None` is
//! unknown, never no.

use crate::inventory::model::{Inventory, Map, Path, Transport};
use crate::scsi::AccessState;
use crate::scsi::rdac::Mode;

use super::tables::Subject;

/// A host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Its maps.
    pub maps: Vec<MapFacts>,
    /// Disks that are no map's path.
    pub unmapped: Vec<PathFacts>,
    /// Which handlers' modules are there.
    pub modules: Modules,
}

/// Which handlers' modules are there, loaded or built in; `None` is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Modules {
    /// `scsi_dh_alua`.
    pub alua: Option<bool>,
    /// `scsi_dh_rdac`.
    pub rdac: Option<bool>,
}

/// A map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapFacts {
    /// Its name.
    pub name: String,
    /// multipathd's name of the logical unit.
    pub wwid: Option<String>,
    /// The handler that its table demands; empty when it demands none.
    pub handler: Option<String>,
    /// dm's path groups.
    pub groups: Vec<GroupFacts>,
}

/// A path group of device-mapper.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFacts {
    /// Its number, from 1.
    pub number: u32,
    /// Whether I/O goes there.
    pub active: bool,
    /// Its paths.
    pub paths: Vec<PathFacts>,
}

/// A path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathFacts {
    /// H:C:T:L.
    pub address: String,
    /// Its name at the moment, `sda`.
    pub device: Option<String>,
    /// INQUIRY bytes 8 to 15.
    pub vendor: Option<String>,
    /// INQUIRY bytes 16 to 31.
    pub product: Option<String>,
    /// INQUIRY bytes 32 to 35.
    pub revision: Option<String>,
    /// Whether dm uses it and the SCSI device runs.
    pub usable: bool,
    /// The device handler that is attached; empty when none is.
    pub handler: Option<String>,
    /// INQUIRY byte 5 bits 5:4.
    pub tpgs: Option<u8>,
    /// Whether VPD page 00h lists page C9h.
    pub lists_c9: Option<bool>,
    /// The mode that page C9h tells; only the array itself can be asked for it.
    pub rdac_mode: Option<Mode>,
    /// Its access state, from a source that can be believed.
    pub access: Option<AccessState>,
    /// The array's target port group.
    pub port_group: Option<u16>,
    /// The network below it.
    pub network: Network,
}

/// The network below an iSCSI path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The network interface of this host.
    pub interface: Option<String>,
    /// The array's portal, `10.0.0.2:3260`.
    pub portal: Option<String>,
    /// MTU of the interface in bytes.
    pub mtu: Option<u32>,
    /// Maximum segment size of the TCP connection in bytes.
    pub mss: Option<u32>,
}

impl From<&Transport> for Network {
    fn from(transport: &Transport) -> Self {
        match transport {
            Transport::Iscsi(iscsi) => Self {
                interface: iscsi.interface.clone(),
                portal: iscsi.portal.clone(),
                mtu: iscsi.mtu,
                mss: iscsi.mss,
            },
            Transport::Fc { .. } | Transport::Sas { .. } | Transport::Other { .. } => {
                Self::default()
            }
        }
    }
}

impl Host {
    /// What an inventory tells; whether the handlers' modules are there is told beside it.
    pub fn of(inventory: &Inventory, modules: Modules) -> Self {
        Self {
            maps: inventory.maps.iter().map(MapFacts::from).collect(),
            unmapped: inventory.unmapped.iter().map(PathFacts::from).collect(),
            modules,
        }
    }
}

impl From<&Map> for MapFacts {
    fn from(map: &Map) -> Self {
        // A map's path that is no device any more tells nothing.
        let is_there = |path: &&Path| !path.address.is_empty() || path.device.is_some();
        // What was told of the map only: its unit's names; and dm attaches the handler that its table
        // demands (drivers/md/dm-mpath.c `setup_scsi_dh`).
        let member = |path: &Path| {
            let mut facts = PathFacts::from(path);
            facts.vendor = facts.vendor.or_else(|| map.vendor.clone());
            facts.product = facts.product.or_else(|| map.product.clone());
            facts.revision = facts.revision.or_else(|| map.revision.clone());
            let demanded = map.handler.clone().filter(|it| !it.is_empty());
            facts.handler = facts.handler.or(demanded);
            facts
        };
        let groups = map.groups.iter().map(|group| GroupFacts {
            number: group.number,
            active: group.state.as_deref() == Some("active"),
            paths: group.paths.iter().filter(is_there).map(member).collect(),
        });
        Self {
            name: map.name.clone(),
            wwid: map.wwid.clone(),
            handler: map.handler.clone(),
            groups: groups.collect(),
        }
    }
}

impl From<&Path> for PathFacts {
    fn from(path: &Path) -> Self {
        let rdac = path.rdac.as_ref();
        let mode = rdac.and_then(|rdac| rdac.mode.as_deref());
        let is = |state: &Option<String>, good: &[&str]| {
            state.as_deref().is_none_or(|state| good.contains(&state))
        };
        Self {
            address: path.address.clone(),
            device: path.device.clone(),
            vendor: path.vendor.clone(),
            product: path.product.clone(),
            revision: path.revision.clone(),
            usable: is(&path.dm_state, &["active"])
                && is(&path.device_state, &["running"])
                && is(&path.checker_state, &["ready", "ghost", "up"]),
            handler: path.handler.clone(),
            tpgs: path.tpgs,
            lists_c9: path.lists_c9,
            rdac_mode: mode.and_then(mode_named),
            access: path.access.as_ref().map(|access| access.state),
            port_group: path.port_group,
            network: path
                .transport
                .as_ref()
                .map(Network::from)
                .unwrap_or_default(),
        }
    }
}

/// The mode that an inventory calls `name`.
fn mode_named(name: &str) -> Option<Mode> {
    [Mode::Rdac, Mode::Avt, Mode::IoShip]
        .into_iter()
        .find(|mode| mode.to_string() == name)
}

impl MapFacts {
    /// All its paths.
    pub fn paths(&self) -> impl Iterator<Item = &PathFacts> + Clone {
        self.groups.iter().flat_map(|group| &group.paths)
    }

    /// What the configuration is asked for: the names of the first path that has them.
    pub fn subject(&self) -> Subject<'_> {
        let path = self.paths().find(|path| path.vendor.is_some());
        Subject {
            wwid: self.wwid.as_deref(),
            vendor: path.and_then(|path| path.vendor.as_deref()),
            product: path.and_then(|path| path.product.as_deref()),
            revision: path.and_then(|path| path.revision.as_deref()),
        }
    }

    /// Why its paths are not all the same; `None` when they are, or nobody says.
    ///
    /// One port group for all paths means that they always have one state.
    pub fn asymmetry(&self) -> Option<String> {
        let mut groups = self.paths().map(|path| path.port_group);
        let first = groups.next()?;
        if first.is_some() && groups.all(|group| group == first) && self.paths().count() > 1 {
            return None;
        }
        self.paths().find_map(PathFacts::asymmetry)
    }

    /// Whether neither its table nor any of its paths has a device handler.
    pub fn has_no_handler(&self) -> bool {
        let none = |handler: &Option<String>| handler.as_deref() == Some("");
        none(&self.handler) && self.paths().all(|path| none(&path.handler))
    }

    /// Whether this host moves the unit to another controller by a command of its own: explicit
    /// ALUA, MODE SELECT of RDAC arrays, trespass of EMC's.
    pub fn has_explicit_transfers(&self) -> bool {
        self.paths().any(|path| {
            path.tpgs.is_some_and(|tpgs| tpgs & EXPLICIT != 0)
                || path.is_rdac()
                || path.handler.as_deref() == Some("emc")
        })
    }
}

/// SPC-4 table 147: TPGS 10b and 11b take SET TARGET PORT GROUPS.
const EXPLICIT: u8 = 2;

impl PathFacts {
    /// Why some paths to its unit are better than others.
    pub fn asymmetry(&self) -> Option<String> {
        if let Some(tpgs @ 1..) = self.tpgs {
            return Some(format!("its INQUIRY says TPGS {tpgs}"));
        }
        if let Some(mode) = self.rdac_mode {
            return Some(format!("page C9h says {mode}"));
        }
        if self.lists_c9 == Some(true) {
            return Some("it has VPD page C9h, of RDAC arrays".to_owned());
        }
        let handler = self.handler.as_deref().filter(|it| !it.is_empty())?;
        Some(format!("the handler {handler} is attached to it"))
    }

    /// Whether its array is of the RDAC family.
    pub fn is_rdac(&self) -> bool {
        self.lists_c9 == Some(true)
            || self.rdac_mode.is_some()
            || self.handler.as_deref() == Some("rdac")
    }

    /// The handler that the kernel should have attached (drivers/scsi/scsi_dh.c: TPGS before the
    /// vendor table).
    pub fn wanted_handler(&self) -> Option<&'static str> {
        match self.tpgs {
            Some(1..) => Some("alua"),
            _ if self.lists_c9 == Some(true) || self.rdac_mode.is_some() => Some("rdac"),
            _ => None,
        }
    }

    /// Its address and name: `1:0:0:1 sdb`.
    pub fn label(&self) -> String {
        match &self.device {
            Some(device) => format!("{} {device}", self.address),
            None => self.address.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::model::{Iscsi, PathGroup, Rdac};

    fn path(address: &str) -> Path {
        Path {
            address: address.to_owned(),
            ..Path::default()
        }
    }

    #[test]
    fn an_inventory_tells_network_and_mode() {
        let known = Path {
            transport: Some(Transport::Iscsi(Iscsi {
                mtu: Some(9000),
                mss: Some(1448),
                ..Iscsi::default()
            })),
            rdac: Some(Rdac {
                mode: Some("IOSHIP".to_owned()),
                ..Rdac::default()
            }),
            ..path("1:0:0:1")
        };
        let group = PathGroup {
            number: 2,
            state: Some("active".to_owned()),
            // The second is no device any more.
            paths: vec![known, path("")],
            ..PathGroup::default()
        };
        let inventory = Inventory {
            maps: vec![Map {
                groups: vec![group],
                ..Map::default()
            }],
            unmapped: vec![path("2:0:0:1")],
            ..Inventory::default()
        };
        let host = Host::of(&inventory, Modules::default());
        let [group] = &host.maps[0].groups[..] else {
            panic!("{host:?}")
        };
        assert_eq!((group.number, group.active), (2, true));
        let [path] = &group.paths[..] else {
            panic!("{group:?}")
        };
        assert_eq!(
            (path.network.mtu, path.network.mss, path.rdac_mode),
            (Some(9000), Some(1448), Some(Mode::IoShip))
        );
        assert_eq!(host.unmapped[0].address, "2:0:0:1");
        assert_eq!(mode_named("something"), None);
    }

    #[test]
    fn a_path_is_usable_unless_something_says_no() {
        fn said(word: &str) -> Option<String> {
            Some(word.to_owned())
        }
        let usable = |change: fn(&mut Path)| {
            let mut path = path("1:0:0:1");
            change(&mut path);
            PathFacts::from(&path).usable
        };
        assert!(usable(|_| ()));
        assert!(usable(|it| it.dm_state = said("active")));
        assert!(!usable(|it| it.dm_state = said("failed")));
        assert!(!usable(|it| it.device_state = said("offline")));
        assert!(!usable(|it| it.checker_state = said("faulty")));
        assert!(usable(|it| it.checker_state = said("ghost")));
    }

    #[test]
    fn no_handler_is_not_an_unknown_one() {
        let map = |of_map: Option<&str>, of_path: Option<&str>| MapFacts {
            handler: of_map.map(str::to_owned),
            groups: vec![GroupFacts {
                paths: vec![PathFacts {
                    handler: of_path.map(str::to_owned),
                    ..PathFacts::default()
                }],
                ..GroupFacts::default()
            }],
            ..MapFacts::default()
        };
        assert!(map(Some(""), Some("")).has_no_handler());
        assert!(!map(None, Some("")).has_no_handler());
        assert!(!map(Some(""), None).has_no_handler());
        assert!(!map(Some(""), Some("alua")).has_no_handler());
    }
}
