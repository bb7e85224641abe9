//! `--fail-if`: whether what a trace or a comparison has found is what somebody does not want; told as text, as an
//! exit status, and as JUnit's XML.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    cli::{Gate, Gates, Label, Name, Quantity},
    format,
    model::{Class, FlagKind, Latency, PathSummary, Summary},
    safe,
    stats::{bins::Bins, not_optimized_share, sum},
};

/// A gate has failed.
pub const FAILED: u8 = 3;

/// What has become of a gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The expression, as it was typed.
    pub text: String,
    /// The value; `None` where what there is does not carry it.
    pub value: Option<f64>,
    /// Whether the expression is true, or nobody can tell.
    pub is_failed: bool,
}

impl Outcome {
    /// Of a gate whose quantity has this value. What cannot be told has not passed.
    #[must_use]
    pub fn of(gate: &Gate, value: Option<f64>) -> Self {
        Self {
            text: gate.text.clone(),
            value,
            is_failed: value.is_none_or(|value| gate.operator.is(value, gate.limit)),
        }
    }

    /// Why it has failed.
    fn reason(&self) -> String {
        match self.value {
            Some(value) => format!("it is {}", number(value)),
            None => "nobody can tell: there is too little of it".to_owned(),
        }
    }
}

/// With four digits, or as many as a count has.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        let digits = (3.0 - value.abs().log10().floor()).clamp(0.0, 12.0);
        format!("{value:.*}", digits as usize)
    }
}

/// What becomes of the gates of a trace that ends like this.
#[must_use]
pub fn outcomes(gates: &Gates, summary: &Summary) -> Vec<Outcome> {
    let outcomes = gates.gates.iter();
    outcomes
        .map(|gate| Outcome::of(gate, value_of(gate, summary)))
        .collect()
}

/// What a trace says of a gate's quantity; `None` where it does not carry it.
#[must_use]
pub fn value_of(gate: &Gate, summary: &Summary) -> Option<f64> {
    match gate.quantity {
        Quantity::Trace(name) => value(name, &gate.labels, summary),
        Quantity::Regression(_) => None,
    }
}

/// Says which have failed, writes JUnit's file, and gives the exit status: 0 where none has.
///
/// # Errors
/// The file cannot be written.
pub fn told(gates: &Gates, of: &str, outcomes: &[Outcome]) -> Result<u8> {
    let failed: Vec<&Outcome> = outcomes.iter().filter(|it| it.is_failed).collect();
    for it in &failed {
        let text = safe::sentence(&format!("failed: {}: {}", it.text, it.reason()));
        eprintln!("alua-trace: {text}");
    }
    if let Some(file) = &gates.junit {
        write(file, &junit(of, outcomes))?;
    }
    Ok(if failed.is_empty() { 0 } else { FAILED })
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| {
        let file = file.display();
        format!("cannot write --junit {file}; name a file that can be made")
    })
}

/// A test suite with a case for each gate.
fn junit(of: &str, outcomes: &[Outcome]) -> String {
    let failed = outcomes.iter().filter(|it| it.is_failed).count();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"alua-trace\" tests=\"{}\" \
         failures=\"{failed}\" errors=\"0\">\n",
        outcomes.len(),
    );
    for it in outcomes {
        let (name, class) = (escaped(&it.text), escaped(of));
        let failure = match it.is_failed {
            true => format!(
                "\n      <failure message=\"{}\"/>\n    ",
                escaped(&it.reason())
            ),
            false => String::new(),
        };
        // A string takes everything.
        let _ = writeln!(
            out,
            "    <testcase classname=\"{class}\" name=\"{name}\">{failure}</testcase>"
        );
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// As an attribute's value (XML 1.0, 2.2 and 2.4): what XML cannot have is left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || c == '\u{fffe}' || c == '\u{ffff}' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// What a trace says of it; `None` where it does not carry it.
fn value(name: Name, labels: &[(Label, String)], summary: &Summary) -> Option<f64> {
    let seconds = summary.duration_ns as f64 / 1e9;
    let per_s = |count: f64| (seconds > 0.0).then(|| count / seconds);
    let wanted = || wanted(summary, labels);
    let commands = || sum(wanted().map(|it| it.commands));
    let bins = || Bins::of_latencies(wanted());
    let ms = |ns: f64| ns / 1e6;
    match name {
        Name::Commands => Some(commands() as f64),
        Name::Iops => per_s(commands() as f64),
        Name::MibPerS => per_s(sum(wanted().map(|it| it.bytes)) as f64 / f64::from(1 << 20)),
        Name::Errors => Some(sum(wanted().map(|it| it.errors)) as f64),
        Name::Mean => bins().mean_ns().map(ms),
        Name::Max => bins().max_ns().map(|ns| ms(ns as f64)),
        Name::Percentile(thousandths) => {
            let told = bins().quantile(f64::from(thousandths) / 1000.0);
            told.map(|it| ms(it.value_ns as f64))
        }
        Name::NonOptimizedShare => not_optimized_share(wanted()),
        Name::AvoidableShare => {
            let flags = flags(summary, labels).filter(|it| it.avoidable == Some(true));
            format::part(sum(flags.map(|it| it.commands)).min(commands()), commands())
        }
        Name::Flags => Some(flags(summary, labels).count() as f64),
        Name::Transfers => Some(transfers(summary, labels) as f64),
        Name::Lost => Some(lost(summary) as f64),
    }
}

/// Reads and writes with these labels.
fn wanted<'a>(
    summary: &'a Summary,
    labels: &'a [(Label, String)],
) -> impl Iterator<Item = &'a Latency> {
    let paths = summary.paths.iter().filter(move |it| is_of(it, labels));
    let latencies = paths.flat_map(|it| &it.latency);
    latencies.filter(move |it| it.class != Class::Other && has(it, labels))
}

fn is_of(it: &PathSummary, labels: &[(Label, String)]) -> bool {
    labels.iter().all(|(label, value)| match label {
        Label::Map => it.path.map.as_ref() == Some(value),
        Label::Path => it.path.hctl == *value || it.path.device.as_ref() == Some(value),
        Label::State | Label::Class | Label::Kind | Label::Factor => true,
    })
}

fn has(it: &Latency, labels: &[(Label, String)]) -> bool {
    labels.iter().all(|(label, value)| match label {
        Label::State => it.state.short() == value,
        Label::Class => match it.class {
            Class::Read => value == "read",
            Class::Write => value == "write",
            Class::Other => false,
        },
        Label::Map | Label::Path | Label::Kind | Label::Factor => true,
    })
}

fn flags<'a>(
    summary: &'a Summary,
    labels: &'a [(Label, String)],
) -> impl Iterator<Item = &'a crate::model::Flag> {
    summary.flags.iter().filter(move |flag| {
        labels.iter().all(|(label, value)| match label {
            Label::Map => flag.subject == *value,
            Label::Kind => kind(flag.kind) == *value,
            Label::State | Label::Path | Label::Class | Label::Factor => true,
        })
    })
}

/// As in the JSON.
fn kind(kind: FlagKind) -> String {
    let text = serde_json::to_value(kind).ok();
    text.and_then(|it| it.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn transfers(summary: &Summary, labels: &[(Label, String)]) -> u64 {
    let units = summary.ownership.iter().filter(|unit| {
        let mut maps = labels.iter().filter(|(label, _)| *label == Label::Map);
        maps.all(|(_, value)| unit.subject == *value)
    });
    sum(units.map(|unit| {
        let told = unit.transfers.len() as u64;
        told.saturating_add(unit.transfers_left_out)
    }))
}

/// Commands that are in no histogram, and what was not recorded.
fn lost(summary: &Summary) -> u64 {
    let losses = &summary.losses;
    sum([
        losses.ring_full,
        losses.untracked,
        losses.superseded,
        losses.implausible,
        losses.undecodable,
        losses.lost_records,
        losses.missed_runs,
        losses.not_recorded,
    ])
}
