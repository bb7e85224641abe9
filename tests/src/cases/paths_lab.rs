//! `alua-trace paths` against what other people's tools say of the same arrays, and against what
//! the array saw.

mod commands;
mod decoders;
mod fields;
mod multipath;
mod sg;
mod vanish;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Case, Clock, Group, Kernels};
use crate::lab::tracer;

pub(super) const GROUP: Group = Group {
    name: "paths",
    limit_seconds: 600,
    kernels: Kernels::OnRequest,
    clock: Clock::Host,
    array: false,
    cases: &[
        Case {
            name: "lio-fields",
            run: fields::lio,
        },
        Case {
            name: "emulator-fields",
            run: fields::emulator,
        },
        Case {
            name: "rdac-fields",
            run: fields::rdac,
        },
        Case {
            name: "sends-nothing",
            run: commands::none,
        },
        Case {
            name: "sends-what-it-promises",
            run: commands::promised,
        },
        Case {
            name: "multipath-ll-lio",
            run: multipath::lio,
        },
        Case {
            name: "multipath-ll-rdac",
            run: multipath::rdac,
        },
        Case {
            name: "rename",
            run: vanish::rename,
        },
        Case {
            name: "vanishing",
            run: vanish::vanishing,
        },
        Case {
            name: "without-rights",
            run: vanish::without_rights,
        },
        Case {
            name: "decoders-agree",
            run: decoders::agree,
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(20);

/// What the tool prints; a status other than 0 is an error.
fn tool(arguments: &[&str]) -> Result<String> {
    let output = tracer::say(arguments, LIMIT)?;
    ensure!(
        output.code() == 0,
        "alua-trace {} ended with {}: {}",
        arguments.join(" "),
        output.code(),
        output.stderr
    );
    Ok(output.stdout)
}

/// `alua-trace paths --json` with more arguments.
fn inventory(arguments: &[&str]) -> Result<Value> {
    let text = tool(&[&["paths", "--json"], arguments].concat())?;
    serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
}

/// The members of a JSON array; none of anything else.
fn list(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter()
}

/// Every path of every map.
fn map_paths(inventory: &Value) -> Vec<&Value> {
    let groups = list(&inventory["maps"]).flat_map(|map| list(&map["groups"]));
    groups.flat_map(|group| list(&group["paths"])).collect()
}

/// The path at `hctl` in one of the maps.
fn path_at<'a>(inventory: &'a Value, hctl: &str) -> Result<&'a Value> {
    let mut paths = map_paths(inventory).into_iter();
    let found = paths.find(|path| path["address"] == hctl);
    found.with_context(|| format!("no path {hctl} in {inventory}"))
}

/// Counts comparisons, and keeps those that failed.
#[derive(Debug, Default)]
struct Comparison {
    compared: usize,
    different: Vec<String>,
}

impl Comparison {
    /// The tool's value of a field beside somebody else's.
    fn field(&mut self, about: &str, tool: &Value, other: &Value) {
        self.compared += 1;
        if tool != other {
            let text = format!("{about}: the tool says {tool}, the other one {other}");
            self.different.push(text);
        }
    }

    /// An error that names every field that differs.
    fn result(&self) -> Result<()> {
        ensure!(self.compared > 0, "nothing was compared");
        ensure!(
            self.different.is_empty(),
            "{} of {} fields differ: {}",
            self.different.len(),
            self.compared,
            self.different[..self.different.len().min(12)].join("; ")
        );
        Ok(())
    }
}
