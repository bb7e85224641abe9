//! Compares how alua-trace decodes pages with how sg3_utils do: generated pages are decoded by sg3_utils
//! into words; what is read of those words must be what is read of the bytes.
//!
//! `sg_pages N ROOT` takes N pages of each kind; ROOT is the directory that sg3_utils run in.

mod commands;
mod pages;
mod versions;

use std::{
    collections::BTreeMap,
    env,
    io::Write,
    process::{Command, Stdio},
};

use alua_trace::cli::ImportKind;
use alua_trace::import;
use alua_trace::scsi::sense::{SenseData, code_of};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::pages::Noise;

/// Differences that are printed.
const MAX_SHOWN: usize = 5;

/// A kind of page.
struct Kind {
    name: &'static str,
    program: &'static [&'static str],
    import: ImportKind,
    page: fn(&mut Noise) -> Vec<u8>,
}

const KINDS: [Kind; 9] = [
    Kind {
        name: "VPD page 80h",
        program: &["sg_vpd", "--page=sn"],
        import: ImportKind::SgVpd,
        page: pages::serial_number,
    },
    Kind {
        name: "VPD page 83h",
        program: &["sg_vpd", "--page=di"],
        import: ImportKind::SgVpd,
        page: pages::identification,
    },
    Kind {
        name: "VPD page C4h (RDAC)",
        program: &["sg_vpd", "--page=subs"],
        import: ImportKind::SgVpd,
        page: pages::subsystem,
    },
    Kind {
        name: "VPD page C8h (RDAC)",
        program: &["sg_vpd", "--page=edid"],
        import: ImportKind::SgVpd,
        page: pages::extended_identification,
    },
    Kind {
        name: "VPD page C9h (RDAC)",
        program: &["sg_vpd", "--page=vac1"],
        import: ImportKind::SgVpd,
        page: pages::volume_access,
    },
    Kind {
        name: "INQUIRY data",
        program: &["sg_inq"],
        import: ImportKind::SgInq,
        page: pages::inquiry,
    },
    Kind {
        name: "VPD page 80h, JSON",
        program: &["sg_vpd", "--page=sn", "--json"],
        import: ImportKind::SgVpd,
        page: pages::serial_number,
    },
    Kind {
        name: "VPD page 83h, JSON",
        program: &["sg_vpd", "--page=di", "--json"],
        import: ImportKind::SgVpd,
        page: pages::identification,
    },
    Kind {
        name: "INQUIRY data, JSON",
        program: &["sg_inq", "--json"],
        import: ImportKind::SgInq,
        page: pages::inquiry,
    },
];

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [number, root] = arguments.as_slice() else {
        bail!("usage: sg_pages N ROOT");
    };
    let number: u64 = number.parse().context("the first argument is a number")?;
    let mut n_differing = 0;
    for kind in &KINDS {
        n_differing += compare(kind, number, root)?;
    }
    n_differing += versions::compare(number, root)?;
    n_differing += sense(number, root)?;
    commands::compare(number, root)?;
    ensure!(
        n_differing == 0,
        "{n_differing} pages are decoded otherwise"
    );
    Ok(())
}

/// Compares `number` pages of a kind; gives how many differ.
fn compare(kind: &Kind, number: u64, root: &str) -> Result<usize> {
    let mut noise = Noise::new();
    let (mut differing, mut untold) = (Vec::new(), BTreeMap::<String, u64>::new());
    let mut n_refused = 0;
    for _ in 0..number {
        let page = (kind.page)(&mut noise);
        let dump = dump(&page);
        let words = run(root, kind.program, &dump)?;
        let (of_words, of_bytes) = (path(kind.import, &words), path(kind.import, &dump));
        match (of_words, of_bytes) {
            (Some(words), Some(bytes)) => {
                let difference = difference(&words, &bytes, &mut untold);
                differing.extend(difference.map(|it| format!("{it}\n{dump}")));
            }
            // Words of which nothing is shown: sg3_utils refuse the page, or tell nothing.
            (None, _) => n_refused += 1,
            (Some(_), None) => differing.push(format!("only its words are read\n{dump}\n{words}")),
        }
    }
    println!(
        "{}: {number} pages, {n_refused} without words, {} differ",
        kind.name,
        differing.len()
    );
    for (field, number) in untold {
        println!("  words do not tell {field} of {number}");
    }
    for difference in differing.iter().take(MAX_SHOWN) {
        println!("{difference}\n----");
    }
    Ok(differing.len())
}

/// What is read of a text about one path, as JSON.
fn path(kind: ImportKind, text: &str) -> Option<Value> {
    let imported = import::parse(Some(kind), text).ok()?;
    let path = imported.inventory.unmapped.into_iter().next()?;
    serde_json::to_value(path).ok()
}

/// The first field that words tell otherwise than bytes; those that they do not tell are counted.
fn difference(words: &Value, bytes: &Value, untold: &mut BTreeMap<String, u64>) -> Option<String> {
    let (Value::Object(words), Value::Object(bytes)) = (words, bytes) else {
        return (words != bytes).then(|| format!("words {words}, bytes {bytes}"));
    };
    words.iter().find_map(|(field, told)| {
        let read = bytes.get(field).unwrap_or(&Value::Null);
        if told.is_null() && !read.is_null() {
            *untold.entry(field.clone()).or_default() += 1;
            return None;
        }
        let found = difference(told, read, untold)?;
        Some(format!("{field}: {found}"))
    })
}

/// The same of sense data: sg3_utils print the text of the code.
fn sense(number: u64, root: &str) -> Result<usize> {
    let mut noise = Noise::new();
    let (mut differing, mut n_texts) = (Vec::new(), 0);
    for _ in 0..number {
        let data = pages::sense(&mut noise);
        let words = run(root, &["sg_decode_sense"], &dump(&data))?;
        let ours = SenseData::parse(&data)?.sense;
        let theirs = words
            .lines()
            .find_map(|it| it.strip_prefix("Additional sense: "));
        let Some(theirs) = theirs.filter(|it| !it.contains("ASC=") && !it.contains('[')) else {
            continue;
        };
        n_texts += 1;
        let code = (ours.asc, ours.ascq);
        // With all zeros it says nothing, and is left out.
        let same = code_of(theirs) == Some(code) && (code == (0, 0) || ours.text().is_some());
        if !same && !is_explained(theirs) {
            differing.push(format!("{ours}, sg3_utils {theirs}"));
        }
    }
    println!(
        "sense data: {number}, {n_texts} with a text, {} differ",
        differing.len()
    );
    for difference in differing.iter().take(MAX_SHOWN) {
        println!("{difference}\n----");
    }
    Ok(differing.len())
}

/// Texts that are not those of T10's list, or that it gives to two codes.
const EXPLAINED: [&str; 5] = [
    "incompatible medium installed",
    "no reference position found",
    "ram failure (should use 40 nn)",
    // T10, and the kernel: logical unit offline.
    "logical unit not ready, offline",
    // The qualifier is in the text.
    "decompression exception short algorithm id of",
];

fn is_explained(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    EXPLAINED.iter().any(|known| text.starts_with(known))
}

fn dump(bytes: &[u8]) -> String {
    let lines = bytes.chunks(16).map(|line| {
        let bytes: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        bytes.join(" ") + "\n"
    });
    lines.collect()
}

/// What a program of sg3_utils prints of a dump.
fn run(root: &str, program: &[&str], dump: &str) -> Result<String> {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("chroot")
    } else {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "chroot"]);
        unshare
    };
    command.arg(root).args(program).arg("--inhex=-");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(dump.as_bytes())
            .context("cannot write to it")?;
    }
    let output = child
        .wait_with_output()
        .context("cannot read what it prints")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
