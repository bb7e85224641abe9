//! Owns the sentence on what is not known of an inventory's maps and paths: said once, rather than with
//! each of them.

use crate::inventory::model::{Inventory, Map, Path};

/// A field, and whether it is known.
type Field<T> = (&'static str, fn(&T) -> bool);

const OF_MAPS: [Field<Map>; 5] = [
    ("model", |map| map.vendor.is_some() || map.product.is_some()),
    ("serial number", |map| map.serial.is_some()),
    ("size", |map| map.size_bytes.is_some()),
    ("features", |map| map.features.is_some()),
    ("handler", |map| map.handler.is_some()),
];

const OF_PATHS: [Field<Path>; 9] = [
    ("access state", |path| path.access.is_some()),
    ("port group", |path| path.port_group.is_some()),
    ("port", |path| path.relative_port.is_some()),
    ("preference", |path| path.preferred.is_some()),
    ("TPGS", |path| path.tpgs.is_some()),
    ("handler", |path| path.handler.is_some()),
    ("priority", |path| path.priority.is_some()),
    ("queue depth", |path| path.queue_depth.is_some()),
    ("transport", |path| path.transport.is_some()),
];

/// `not known of the maps: model; of the paths: port (2 of 4), TPGS`; `None` when all is known.
pub(super) fn sentence(inventory: &Inventory) -> Option<String> {
    let maps: Vec<&Map> = inventory
        .maps
        .iter()
        .filter(|map| map.nmp.is_none())
        .collect();
    let mapped = maps.iter().flat_map(|map| map.paths());
    let paths: Vec<&Path> = mapped.chain(&inventory.unmapped).collect();
    let parts = [
        ("the maps", untold(&maps, &OF_MAPS)),
        ("the paths", untold(&paths, &OF_PATHS)),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter_map(|(whose, what)| Some(format!("of {whose}: {}", what?)))
        .collect();
    (!parts.is_empty()).then(|| format!("not known {}", parts.join("; ")))
}

fn untold<T>(all: &[&T], fields: &[Field<T>]) -> Option<String> {
    let names: Vec<String> = fields
        .iter()
        .filter_map(|(name, is_known)| {
            let n_unknown = all.iter().filter(|it| !is_known(it)).count();
            match n_unknown {
                0 => None,
                n if n == all.len() => Some((*name).to_owned()),
                n => Some(format!("{name} ({n} of {})", all.len())),
            }
        })
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said_once_with_its_number() {
        let known = Path {
            port_group: Some(1),
            ..Path::default()
        };
        let mut inventory = Inventory {
            unmapped: vec![known, Path::default()],
            ..Inventory::default()
        };
        let text = sentence(&inventory).unwrap();
        assert!(
            text.starts_with("not known of the paths: access state, port group (1 of 2), port,"),
            "{text}"
        );
        inventory.unmapped.clear();
        assert_eq!(sentence(&inventory), None);
    }
}
