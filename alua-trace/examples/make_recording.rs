//! Makes a recording of a trace that never was, to look at what is made of one:
//! `cargo run --example make_recording -- SCENE FILE`.

#[path = "../tests/scenes/mod.rs"]
mod scenes;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let names = scenes::NAMED.map(|(name, _)| name).join(", ");
    let scene = words.next().unwrap_or_default();
    let scene = scenes::NAMED.iter().find(|(name, _)| *name == scene);
    let (_, scene) = scene.with_context(|| format!("name one of {names}"))?;
    let file = words.next().context("name the file to make")?;
    scenes::record(scene, file.as_ref());
    Ok(())
}
