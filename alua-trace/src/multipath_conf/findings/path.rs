//! Findings about the paths of this host: handlers, TPGS, and the network below them.

use crate::multipath_conf::facts::{Host, MapFacts, PathFacts};
use crate::scsi::rdac::Mode;

use super::{Finding, Id};

/// The largest MTU of Ethernet without jumbo frames, in bytes.
const ORDINARY_MTU: u32 = 1500;
/// Most bytes of a packet that are no payload: IPv6 (40), TCP (20) with all its options (40), and
/// some for tunnels.
const HEADERS: u32 = 200;

/// Findings about the paths of all maps, and about disks that are no map's path.
pub(super) fn findings(host: &Host) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(module(host, "alua", host.modules.alua));
    found.extend(module(host, "rdac", host.modules.rdac));
    for path in &host.unmapped {
        found.extend(of_path(path, path.label()));
    }
    for map in &host.maps {
        for path in map.paths() {
            found.extend(of_path(path, format!("{} {}", map.name, path.label())));
            found.extend(mss_below_mtu(map, path));
        }
        found.extend(mtu_differs(map));
        found.extend(one_way(map));
    }
    found
}

fn module(host: &Host, handler: &str, loaded: Option<bool>) -> Option<Finding> {
    if loaded != Some(false) {
        return None;
    }
    let paths = host
        .maps
        .iter()
        .flat_map(MapFacts::paths)
        .chain(&host.unmapped);
    let n_paths = paths
        .filter(|path| path.wanted_handler() == Some(handler))
        .count();
    let demanding = host
        .maps
        .iter()
        .filter(|map| map.handler.as_deref() == Some(handler));
    let n_maps = demanding.count();
    let reason = match (n_paths, n_maps) {
        (0, 0) => return None,
        (0, n) => format!("scsi_dh_{handler} is not loaded, and {n} maps demand its handler"),
        (n, _) => format!("scsi_dh_{handler} is not loaded, and {n} paths need its handler"),
    };
    Some(Finding::new(Id::HandlerModule, None, None, reason))
}

fn of_path(path: &PathFacts, subject: String) -> Vec<Finding> {
    let missing = path
        .wanted_handler()
        .filter(|_| path.handler.as_deref() == Some(""));
    let missing = missing.zip(path.asymmetry()).map(|(wanted, why)| {
        let reason = format!(
            "no handler is attached, {wanted} should be: {why}. The kernel knows no access state \
             and can move no unit"
        );
        Finding::new(Id::HandlerMissing, None, Some(subject.clone()), reason)
    });
    missing
        .into_iter()
        .chain(tpgs_zero(path, subject))
        .collect()
}

fn tpgs_zero(path: &PathFacts, subject: String) -> Option<Finding> {
    if path.tpgs != Some(0) {
        return None;
    }
    let sign = match path.rdac_mode {
        Some(Mode::IoShip) => "page C9h says IOSHIP",
        Some(_) => "page C9h tells its owner",
        None if path.lists_c9 == Some(true) => "it has VPD page C9h, of RDAC arrays",
        None => return None,
    };
    let reason = format!("INQUIRY says TPGS 0, and the unit is asymmetric all the same: {sign}");
    Some(Finding::new(Id::TpgsZero, None, Some(subject), reason))
}

fn mtu_differs(map: &MapFacts) -> Option<Finding> {
    let mtus = map.paths().filter_map(|path| path.network.mtu);
    let (least, most) = (mtus.clone().min()?, mtus.max()?);
    (least != most).then(|| {
        let reason =
            format!("its paths have MTU from {least} to {most} bytes: they cannot be alike");
        Finding::new(Id::MtuDiffers, None, Some(map.name.clone()), reason)
    })
}

/// All paths of a map through one interface of this host, or to one portal of the array: when that
/// fails, all do.
fn one_way(map: &MapFacts) -> Option<Finding> {
    let same = |of: fn(&PathFacts) -> Option<&String>| {
        let mut values = map.paths().map(of);
        let first = values.next()??;
        (map.paths().count() > 1 && values.all(|value| value == Some(first))).then_some(first)
    };
    let interface = same(|path| path.network.interface.as_ref());
    let portal = same(|path| path.network.portal.as_ref());
    let reason = match (interface, portal) {
        (None, None) => return None,
        (Some(interface), None) => format!("through this host's interface {interface}"),
        (None, Some(portal)) => format!("to the array's portal {portal}"),
        (Some(interface), Some(portal)) => {
            format!("through this host's interface {interface} and to the array's portal {portal}")
        }
    };
    let reason = format!("all its paths go {reason}: when that fails, all of them do");
    Some(Finding::new(
        Id::OneWay,
        None,
        Some(map.name.clone()),
        reason,
    ))
}

fn mss_below_mtu(map: &MapFacts, path: &PathFacts) -> Option<Finding> {
    let (mtu, mss) = (path.network.mtu?, path.network.mss?);
    if mtu <= ORDINARY_MTU || mss == 0 || mss.saturating_add(HEADERS) >= mtu {
        return None;
    }
    let reason = format!(
        "the interface's MTU is {mtu} bytes, but TCP sends no more than {mss} a packet: something \
         on the way, or the array's port, takes less"
    );
    let subject = format!("{} {}", map.name, path.label());
    Some(Finding::new(Id::MssBelowMtu, None, Some(subject), reason))
}
