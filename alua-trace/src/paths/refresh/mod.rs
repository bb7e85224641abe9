//! `--refresh`: the array is asked itself, with commands that only read. Owns the order: who is asked,
//! what, and what becomes of the answers. A device that cannot be asked is a note, never an error.

mod apply;
#[cfg(test)]
mod fake;
mod plan;
mod said;

use std::io;
use std::time::Instant;

use super::sg_io;
use crate::inventory::model::{Inventory, Map, Path};
use crate::sysroot::Sysroot;
use crate::topology::Topology;

pub(super) use plan::{Answer, Asked, Command};

use apply::Told;
use said::Said;

/// A device that can be asked.
pub(super) trait Channel {
    /// Sends a command and waits for its answer.
    fn send(&mut self, command: &Command) -> io::Result<Answer>;
}

/// Who opens the way to a path.
type Opener<'a> = &'a dyn Fn(&Path) -> io::Result<Box<dyn Channel>>;

/// Asks the array, by the device nodes of this host.
pub(super) fn run(inventory: &mut Inventory, topology: &Topology, root: &Sysroot) {
    let open = |path: &Path| -> io::Result<Box<dyn Channel>> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "it has no block device");
        let name = path.device.as_deref().ok_or_else(missing)?;
        let devno = path.devno.as_deref().and_then(|devno| devno.parse().ok());
        let node = root.device_node(name);
        let device = sg_io::Device::open(&node, devno.ok_or_else(missing)?)?;
        Ok(Box::new(device))
    };
    ask_all(inventory, topology, &open);
}

fn ask_all(inventory: &mut Inventory, topology: &Topology, open: Opener<'_>) {
    let (mut notes, mut troubles) = (Vec::new(), Vec::new());
    for map in &mut inventory.maps {
        let paths: Vec<&Path> = map.paths().collect();
        let told = ask(&paths, open, &mut troubles);
        notes.extend(unasked(map));
        apply::to_map(map, &told, topology);
    }
    let paths: Vec<&Path> = inventory.unmapped.iter().collect();
    let told = ask(&paths, open, &mut troubles);
    let mut paths: Vec<&mut Path> = inventory.unmapped.iter_mut().collect();
    for found in apply::to_paths(&mut paths, &told, topology) {
        let claims: Vec<String> = found
            .claims
            .iter()
            .map(|(who, what)| format!("{who} says {what}"))
            .collect();
        notes.push(format!("{}: {}", found.about, claims.join(", ")));
    }
    inventory.notes.extend(folded(troubles));
    inventory.notes.extend(notes);
}

/// One note for each trouble, however many devices have it.
fn folded(troubles: Vec<(String, String)>) -> Vec<String> {
    let mut kinds: Vec<(String, String, usize)> = Vec::new();
    for (who, text) in troubles {
        match kinds.iter_mut().find(|(_, other, _)| *other == text) {
            Some((_, _, more)) => *more += 1,
            None => kinds.push((who, text, 0)),
        }
    }
    let note = |(who, text, more)| match more {
        0 => format!("{who}: {text}"),
        _ => format!("{who} and {more} more: {text}"),
    };
    kinds.into_iter().map(note).collect()
}

/// Asks those of the paths that are to be asked.
fn ask(paths: &[&Path], open: Opener<'_>, notes: &mut Vec<(String, String)>) -> Vec<Told> {
    let mut answers = Vec::new();
    for index in plan::askers(paths) {
        let Some(path) = paths.get(index) else {
            continue;
        };
        let (asked, error) = converse(path, open);
        let who = format!(
            "{} ({})",
            path.address,
            path.device.as_deref().unwrap_or("no block device")
        );
        if let Some(error) = error {
            notes.push((who.clone(), remedy(&error)));
        }
        let said = Said::new(&asked);
        notes.extend(
            said.complaints
                .iter()
                .map(|text| (who.clone(), text.clone())),
        );
        answers.push((index, said, Instant::now()));
    }
    let told = answers.into_iter().map(|(index, said, at)| Told {
        index,
        said,
        age_ms: u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    told.collect()
}

/// Sends exactly what the plan says, and ends at the first command that is not carried.
fn converse(path: &Path, open: Opener<'_>) -> (Vec<Asked>, Option<io::Error>) {
    let mut asked = Vec::new();
    let mut channel = match open(path) {
        Ok(channel) => channel,
        Err(error) => return (asked, Some(error)),
    };
    while let Some(command) = plan::next(&asked) {
        match channel.send(&command) {
            Ok(answer) => asked.push((command, answer)),
            Err(error) => {
                let text = format!("{command}: {error}");
                return (asked, Some(io::Error::new(error.kind(), text)));
            }
        }
    }
    (asked, None)
}

fn remedy(error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "; SG_IO needs root",
        io::ErrorKind::NotFound => "; the device may have gone or been renamed",
        _ => "",
    };
    format!("not asked: {error}{hint}")
}

/// Port groups through which nobody was asked, since no device of theirs is running.
fn unasked(map: &Map) -> Vec<String> {
    let running = |path: &&Path| path.device_state.as_deref() == Some("running");
    let asked: Vec<Option<u16>> = map
        .paths()
        .filter(running)
        .map(|path| path.port_group)
        .collect();
    let mut left: Vec<u16> = map
        .paths()
        .filter_map(|path| path.port_group)
        .filter(|group| !asked.contains(&Some(*group)))
        .collect();
    left.sort_unstable();
    left.dedup();
    left.iter()
        .map(|group| {
            format!(
                "{}: port group {group} was not asked: no device to it is running",
                map.name
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;
