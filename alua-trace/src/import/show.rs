//! Owns how what was imported is shown: maps and paths in the views of `paths`, what happened to them,
//! and what is to be said of their configuration.

use anyhow::{Result, bail};
use serde::Serialize;

use super::{Event, Imported, kernel_log};
use crate::cli::View;
use crate::inventory::model::{Inventory, SCHEMA};
use crate::inventory::views;
use crate::json;
use crate::multipath_conf::facts::{Host, Modules};
use crate::multipath_conf::setup::Setup;
use crate::multipath_conf::source::Sources;
use crate::report;

/// A view for a terminal of so many columns, or a document.
///
/// # Errors
/// The view shows maps only, and there is none.
pub(super) fn show(imported: &Imported, view: View, columns: u16) -> Result<String> {
    let inventory = &imported.inventory;
    let setup = setup(imported);
    let timeline = imported.timeline.as_deref();
    match view {
        View::Tree => text(inventory, timeline, setup.as_ref(), columns),
        View::Json if timeline.is_some() || setup.is_some() => Ok(json::to_line(&Document {
            schema: SCHEMA,
            timeline,
            multipath: setup.as_ref(),
            inventory,
        })?),
        View::Mpath | View::Nmp if inventory.maps.is_empty() => {
            bail!("it tells of no map, and this view shows maps only: --view tree shows paths")
        }
        _ => views::render(inventory, view, columns.into()),
    }
}

fn text(
    inventory: &Inventory,
    timeline: Option<&[Event]>,
    setup: Option<&Setup>,
    columns: u16,
) -> Result<String> {
    let mut parts = Vec::new();
    let is_empty = inventory.maps.is_empty() && inventory.unmapped.is_empty();
    match timeline {
        // Paths of a log stand in its lines.
        Some(timeline) if inventory.maps.is_empty() => {
            parts.push(kernel_log::show::text(timeline, &inventory.notes));
        }
        Some(timeline) => {
            parts.push(views::render(inventory, View::Tree, columns.into())?);
            parts.push(kernel_log::show::text(timeline, &[]));
        }
        None if is_empty && !inventory.notes.is_empty() => {
            parts.push(kernel_log::show::text(&[], &inventory.notes));
        }
        None if is_empty && setup.is_some() => {}
        None => parts.push(views::render(inventory, View::Tree, columns.into())?),
    }
    parts.extend(setup.map(|setup| report::setup::setup(setup, columns)));
    Ok(parts.join("\n"))
}

/// What is to be said of the configuration, and of these maps with it.
fn setup(imported: &Imported) -> Option<Setup> {
    if imported.configuration.is_empty() {
        return None;
    }
    let texts = imported.configuration.iter();
    let sources = Sources::of_texts(texts.map(|(name, text)| (&**name, &**text)));
    let inventory = &imported.inventory;
    let has_paths = !(inventory.maps.is_empty() && inventory.unmapped.is_empty());
    let host = has_paths.then(|| Host::of(inventory, Modules::default()));
    Some(Setup::new(sources, host.as_ref()))
}

/// What `paths --json` has, and more where more was told.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<&'a [Event]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multipath: Option<&'a Setup>,
    #[serde(flatten)]
    inventory: &'a Inventory,
}
