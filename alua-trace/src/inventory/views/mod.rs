//! The views of an inventory: as text, as other tools print it, as JSON, as a picture.

mod dot;
mod graph;
mod json;
mod mpath;
mod nmp;
mod svg;
mod transport;
mod tree;
mod untold;
mod wrap;

use anyhow::Result;

use super::model::Inventory;
use crate::cli::View;

/// The inventory as `view` shows it, for a terminal `columns` wide. Ends with a line end, unless it
/// is empty.
///
/// # Errors
/// None but those of the JSON serializer.
pub fn render(inventory: &Inventory, view: View, columns: usize) -> Result<String> {
    match view {
        View::Tree => Ok(tree::render(inventory, columns)),
        View::Mpath => Ok(mpath::render(inventory)),
        View::Nmp => Ok(nmp::render(inventory)),
        View::Json => json::render(inventory),
        View::Dot => Ok(dot::render(inventory)),
        View::Svg => Ok(svg::render(inventory)),
    }
}
