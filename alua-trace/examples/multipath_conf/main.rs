//! Compares how alua-trace reads multipath.conf with how multipath-tools do: their own `multipath -t`
//! in a directory with all it needs, which no device and no daemon is.
//!
//! `multipath_conf N ROOT …` checks the built-in table against each ROOT's, then N generated
//! configurations. `multipath_conf table OLD NEW` writes the built-in table.

mod generate;
mod real;
mod table;

use std::env;

use alua_trace::multipath_conf::{
    effective::{Configuration, KEYWORDS, Place, same},
    keywords::Release,
    parse::parse_as,
    tables::{Subject, Tables},
};
use anyhow::{Context, Result, bail, ensure};

use crate::{
    generate::{Generator, subjects},
    real::Real,
};

/// Differences that are printed.
const MAX_SHOWN: usize = 10;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [verb, old, new] if verb == "table" => {
            print!("{}", table::text(&Real::new(old)?, &Real::new(new)?)?);
            Ok(())
        }
        [number, roots @ ..] if !roots.is_empty() => {
            let number = number.parse().context("the first argument is a number")?;
            let roots: Result<Vec<Real>> = roots.iter().map(|root| Real::new(root)).collect();
            let roots = roots?;
            for real in &roots {
                table::check(
                    real,
                    real.release == roots.iter().map(|it| it.release).min().context("no root")?,
                )?;
            }
            for real in &roots {
                compare(real, number)?;
            }
            Ok(())
        }
        _ => bail!("usage: multipath_conf N ROOT … | multipath_conf table OLD NEW"),
    }
}

/// Compares `number` configurations.
fn compare(real: &Real, number: u64) -> Result<()> {
    let base = Tables::of_multipathd(&real.print(&[])?.context("no configuration is refused")?);
    let keywords: Vec<&str> = KEYWORDS
        .into_iter()
        .filter(|keyword| real.counts(keyword))
        .collect();
    let subjects = subjects(&base);
    let (mut refused, mut differences) = (0, Vec::new());
    for seed in 0..number {
        let files = Generator::new(seed).files();
        let mut ours = Configuration::new(base.clone());
        for (place, text) in &files {
            ours.add_file(parse_as("conf", text, real.release), *place);
        }
        let difference = match real.print(&files)? {
            None if ours.refusals.is_empty() => Some("multipath refuses it".to_owned()),
            None => {
                refused += 1;
                None
            }
            Some(_) if !ours.refusals.is_empty() => {
                Some(format!("only alua-trace refuses it: {:?}", ours.refusals))
            }
            Some(text) => {
                let theirs = Configuration::new(Tables::of_multipathd(&text));
                difference(&ours, &theirs, &subjects, &keywords)
            }
        };
        differences.extend(difference.map(|it| (seed, it)));
    }
    println!(
        "multipath-tools {}: {number} configurations ({refused} refused), {} pairs of vendor and \
         product each: {} differ",
        real.release,
        subjects.len(),
        differences.len()
    );
    for (seed, difference) in differences.iter().take(MAX_SHOWN) {
        println!("seed {seed}: {difference}");
        for (_, text) in Generator::new(*seed).files() {
            println!("{text}\n----");
        }
    }
    ensure!(differences.is_empty(), "alua-trace reads them otherwise");
    Ok(())
}

/// The first setting of a subject that is not the same.
fn difference(
    ours: &Configuration,
    theirs: &Configuration,
    subjects: &[(String, String, Option<String>)],
    keywords: &[&str],
) -> Option<String> {
    subjects.iter().find_map(|(vendor, product, wwid)| {
        let subject = Subject {
            vendor: Some(vendor),
            product: Some(product),
            revision: Some("1234"),
            wwid: wwid.as_deref(),
        };
        let (ours, theirs) = (ours.of(&subject), theirs.of(&subject));
        keywords.iter().find_map(|keyword| {
            let value = |of: &alua_trace::multipath_conf::effective::Effective| {
                of.get(keyword).map(|it| it.value.clone())
            };
            let (ours, theirs) = (value(&ours), value(&theirs));
            let equal = match (&ours, &theirs) {
                (Some(ours), Some(theirs)) => means_same(keyword, ours, theirs),
                // What is empty is not printed everywhere.
                (Some(one), None) | (None, Some(one)) => one.is_empty(),
                (None, None) => true,
            };
            (!equal).then(|| {
                format!("{vendor}/{product} {wwid:?} {keyword}: {ours:?}, multipath {theirs:?}")
            })
        })
    })
}

/// `multipath -t` prints `fail` for `0`.
fn means_same(keyword: &str, ours: &str, theirs: &str) -> bool {
    match (keyword, ours) {
        ("no_path_retry", "0") => theirs == "fail",
        _ => same(ours, theirs),
    }
}

/// A release in the words of `multipath -h`: `multipath-tools v0.9.4 (12/19, 2022)`.
fn release(text: &str) -> Option<Release> {
    let version = text.split_once("multipath-tools v")?.1;
    let mut numbers = version
        .split(|c: char| c != '.' && !c.is_ascii_digit())
        .next()?
        .split('.')
        .map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(Release(next()?, next()?, next().unwrap_or(0)))
}

/// Where a file stands, and its text.
type File = (Place, String);
