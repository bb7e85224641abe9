//! Owns the inventory as one JSON object.

use anyhow::Result;
use serde::Serialize;

use crate::inventory::model::{Inventory, SCHEMA};
use crate::json;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    #[serde(flatten)]
    inventory: &'a Inventory,
}

pub(super) fn render(inventory: &Inventory) -> Result<String> {
    Ok(json::to_line(&Document {
        schema: SCHEMA,
        inventory,
    })?)
}
