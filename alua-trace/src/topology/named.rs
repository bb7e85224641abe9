//! Owns what a person may call a map: its name, dm-N, or the logical unit's name.

use super::Map;
use super::Topology;

/// A map that was named is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no multipath map {wanted:?}; {known}")]
pub struct NoSuchMap {
    /// What was named.
    wanted: String,
    /// Which maps there are, or why none is known.
    known: String,
}

/// The maps that are meant, by name, dm-N or WWID; as multipathd or as the kernel writes it.
///
/// # Errors
/// The first one that is not there, with those that are.
pub fn named<'a>(topology: &'a Topology, wanted: &[String]) -> Result<Vec<&'a Map>, NoSuchMap> {
    let find = |wanted: &String| {
        let found = topology.maps().iter().find(|map| {
            map.name == *wanted
                || map.dm == *wanted
                || map.wwid.as_deref() == Some(wanted)
                || topology.lun_of_map(map) == Some(wanted)
        });
        found.ok_or_else(|| NoSuchMap {
            wanted: wanted.clone(),
            known: known(topology),
        })
    };
    wanted.iter().map(find).collect()
}

fn known(topology: &Topology) -> String {
    let names: Vec<&str> = topology
        .maps()
        .iter()
        .map(|map| map.name.as_str())
        .collect();
    if names.is_empty() {
        let notes = topology.notes().join("; ");
        return format!("this host has none (see multipath -ll) {notes}");
    }
    format!("this host has {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::DmTable;
    use super::*;

    fn topology() -> Topology {
        let table = DmTable {
            name: "mpatha".to_owned(),
            devno: "254:3".parse().unwrap(),
            uuid: Some("mpath-36001".to_owned()),
            status: "2 0 0 0 1 1 A 0 1 0 8:0 A 0".to_owned(),
            table: "0 0 1 1 round-robin 0 1 0 8:0".to_owned(),
        };
        Topology::new(Vec::new(), vec![Map::from_dm(&table).unwrap()], Vec::new())
    }

    #[test]
    fn a_map_is_known_by_each_of_its_names() {
        let topology = topology();
        for name in ["mpatha", "dm-3", "36001"] {
            let maps = named(&topology, &[name.to_owned()]).unwrap();
            assert_eq!(maps.len(), 1, "{name}");
        }
        assert_eq!(named(&topology, &[]).unwrap(), Vec::<&Map>::new());
    }

    #[test]
    fn who_names_another_is_told_which_there_are() {
        let wanted = ["mpatha".to_owned(), "mpathb".to_owned()];
        let error = named(&topology(), &wanted).unwrap_err().to_string();
        assert_eq!(error, "no multipath map \"mpathb\"; this host has mpatha");
        let none = Topology::new(Vec::new(), Vec::new(), vec!["no permission".to_owned()]);
        let error = named(&none, &wanted).unwrap_err().to_string();
        assert!(error.ends_with("no permission"), "{error}");
    }
}
