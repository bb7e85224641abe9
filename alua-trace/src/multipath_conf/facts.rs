//! Owns what is known of a host's maps and paths, as far as findings need it. Pure data; `None` is
//! unknown, never no.

use std::collections::HashMap;

use crate::inventory::model::{Inventory, Path, Transport};
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
    /// Whether `scsi_dh_alua` is there, loaded or built in.
    pub alua_module: Option<bool>,
    /// Whether `scsi_dh_rdac` is there.
    pub rdac_module: Option<bool>,
}

/// A map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapFacts {
    /// Its name.
    pub name: String,
    /// multipathd's name of the logical unit.
    pub wwid: Option<String>,
    /// The handler that its table demands.
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
    /// The device handler that is attached; `None` when none is.
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
    /// Takes over what an inventory knows beyond sysfs: the network below each path, and the mode
    /// of RDAC arrays that have been asked.
    pub fn learn(&mut self, inventory: &Inventory) {
        let mapped = inventory.maps.iter().flat_map(|map| map.paths());
        let known: HashMap<&str, &Path> = mapped
            .chain(&inventory.unmapped)
            .map(|path| (path.address.as_str(), path))
            .collect();
        let groups = self.maps.iter_mut().flat_map(|map| &mut map.groups);
        let paths = groups
            .flat_map(|group| &mut group.paths)
            .chain(&mut self.unmapped);
        for path in paths {
            let Some(known) = known.get(path.address.as_str()) else {
                continue;
            };
            if let Some(transport) = &known.transport {
                path.network = Network::from(transport);
            }
            let mode = known.rdac.as_ref().and_then(|rdac| rdac.mode.as_deref());
            path.rdac_mode = path.rdac_mode.or(mode.and_then(mode_named));
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
        self.handler.is_none() && self.paths().all(|path| path.handler.is_none())
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
        let handler = self.handler.as_deref()?;
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
    use crate::inventory::model::{Iscsi, Map, PathGroup, Rdac};

    #[test]
    fn an_inventory_tells_network_and_mode() {
        let known = Path {
            address: "1:0:0:1".to_owned(),
            transport: Some(Transport::Iscsi(Iscsi {
                mtu: Some(9000),
                mss: Some(1448),
                ..Iscsi::default()
            })),
            rdac: Some(Rdac {
                mode: Some("IOSHIP".to_owned()),
                ..Rdac::default()
            }),
            ..Path::default()
        };
        let group = PathGroup {
            paths: vec![known],
            ..PathGroup::default()
        };
        let inventory = Inventory {
            maps: vec![Map {
                groups: vec![group],
                ..Map::default()
            }],
            ..Inventory::default()
        };
        let path = |address: &str| PathFacts {
            address: address.to_owned(),
            ..PathFacts::default()
        };
        let mut host = Host {
            unmapped: vec![path("1:0:0:1"), path("2:0:0:1")],
            ..Host::default()
        };
        host.learn(&inventory);
        let [learned, other] = &host.unmapped[..] else {
            panic!()
        };
        assert_eq!(
            (learned.network.mtu, learned.network.mss, learned.rdac_mode),
            (Some(9000), Some(1448), Some(Mode::IoShip))
        );
        assert_eq!(*other, path("2:0:0:1"));
        assert_eq!(mode_named("something"), None);
    }
}
