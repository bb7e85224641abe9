//! The built-in table: written from two releases, and checked against them.

use std::collections::HashMap;
use std::fmt::Write;

use alua_trace::multipath_conf::{
    effective::{KEYWORDS, same},
    tables::{Device, Entry, Names, Tables, last},
};
use anyhow::{Context, Result, ensure};

use crate::real::Real;

const NAMES: [&str; 3] = ["vendor", "product", "revision"];

fn of(real: &Real) -> Result<Tables> {
    let text = real
        .print(&[])?
        .context("its own configuration is refused")?;
    Ok(Tables::of_multipathd(&text))
}

/// The table as `multipath -t` of the older release prints it, and behind it those entries that only
/// the newer one has.
pub fn text(old: &Real, new: &Real) -> Result<String> {
    let (older, newer) = (of(old)?, of(new)?);
    let mut text = format!(
        "# What multipath-tools have built in: facts as `multipath -t` of {} prints them, and those\n\
         # entries of {} that the former does not have. Written by examples/multipath_conf; a test\n\
         # compares it with both. Where multipathd answers, its own tables are used instead.\n",
        old.release, new.release
    );
    text.push_str("defaults {\n");
    entries(&mut text, "\t", &older.defaults)?;
    text.push_str("}\ndevices {\n");
    for device in &older.devices {
        print(&mut text, device)?;
    }
    writeln!(text, "\t# Only {} has these.", new.release)?;
    let known = by_names(&older);
    for device in &newer.devices {
        if !device
            .names()
            .is_some_and(|names| known.contains_key(&names))
        {
            print(&mut text, device)?;
        }
    }
    text.push_str("}\n");
    Ok(text)
}

fn print(text: &mut String, device: &Device) -> Result<()> {
    text.push_str("\tdevice {\n");
    entries(text, "\t\t", &device.entries)?;
    text.push_str("\t}\n");
    Ok(())
}

fn entries(text: &mut String, indent: &str, entries: &[Entry]) -> Result<()> {
    for keyword in NAMES.iter().chain(&KEYWORDS) {
        if let Some(entry) = last(entries, keyword).filter(|entry| !entry.value.is_empty()) {
            let value = entry.value.replace('"', "\"\"");
            writeln!(text, "{indent}{keyword} \"{value}\"")?;
        }
    }
    Ok(())
}

fn by_names(tables: &Tables) -> HashMap<Names, &Device> {
    let devices = tables.devices.iter();
    devices.filter_map(|it| Some((it.names()?, it))).collect()
}

/// Whether the built-in table has every entry of a release; with the same settings if it `counts`.
pub fn check(real: &Real, counts: bool) -> Result<()> {
    let (theirs, ours) = (of(real)?, Tables::built_in());
    let known = by_names(&ours);
    let (mut missing, mut differing) = (Vec::new(), Vec::new());
    for device in &theirs.devices {
        let names = device.names().context("an entry without names")?;
        match known.get(&names) {
            None => missing.push(names),
            Some(ours) if !equal(&device.entries, &ours.entries) => differing.push(names),
            Some(_) => {}
        }
    }
    println!(
        "multipath-tools {}: {} entries of the hardware table: {} are missing, {} differ{}",
        real.release,
        theirs.devices.len(),
        missing.len(),
        differing.len(),
        if counts {
            ""
        } else {
            " (those of the older release count)"
        }
    );
    ensure!(missing.is_empty(), "missing: {missing:?}");
    ensure!(!counts || differing.is_empty(), "differing: {differing:?}");
    ensure!(
        !counts || equal(&theirs.defaults, &ours.defaults),
        "the defaults differ"
    );
    Ok(())
}

fn equal(theirs: &[Entry], ours: &[Entry]) -> bool {
    let value = |entries, keyword| {
        let entry = last(entries, keyword).filter(|entry: &&Entry| !entry.value.is_empty());
        entry.map(|entry| entry.value.clone())
    };
    KEYWORDS.iter().all(|keyword| {
        match (value(theirs, keyword), value(ours, keyword)) {
            (Some(theirs), Some(ours)) => same(&theirs, &ours),
            // Not printed, as it is no keyword there.
            (None, Some(ours)) => *keyword == "hardware_handler" && ours == "0",
            (Some(_), None) => false,
            (None, None) => true,
        }
    })
}
