//! Names of commands: sg3_utils' are theirs, so that letters, blanks and brackets do not count.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use alua_trace::scsi::opcode;
use anyhow::{Context, Result};

use crate::pages::Noise;

/// Compares `number` commands and lists those that are called otherwise: names are no decoding, and
/// T10's list, which ours are from, decides.
pub fn compare(number: u64, root: &str) -> Result<()> {
    let mut noise = Noise::new();
    let mut names: BTreeMap<(u8, u8), (String, String)> = BTreeMap::new();
    for _ in 0..number {
        let (code, action) = (noise.byte(), noise.byte() & 0x1f);
        // What a variable-length command is stands in bytes that these do not have.
        if code == opcode::VARIABLE_LENGTH {
            continue;
        }
        if names.contains_key(&(code, action)) {
            continue;
        }
        let theirs = decode(root, code, action)?;
        names.insert((code, action), (opcode::describe(code, action), theirs));
    }
    let differing: Vec<_> = names
        .iter()
        .filter(|(_, (ours, theirs))| is_named(theirs) && plain(ours) != plain(theirs))
        .collect();
    println!(
        "CDB: {number}, {} commands, {} named by sg3_utils, {} otherwise",
        names.len(),
        names
            .values()
            .filter(|(_, theirs)| is_named(theirs))
            .count(),
        differing.len()
    );
    for ((code, action), (ours, theirs)) in &differing {
        println!("  {code:02x} {action:02x}: {ours}; sg3_utils: {theirs}");
    }
    Ok(())
}

fn decode(root: &str, code: u8, action: u8) -> Result<String> {
    let length = match code >> 5 {
        0 => 6,
        4 => 16,
        5 => 12,
        _ => 10,
    };
    let mut bytes = vec![0; length];
    (bytes[0], bytes[1]) = (code, action);
    let words = bytes.iter().map(|byte| format!("{byte:02x}"));
    let output = Command::new("chroot")
        .arg(root)
        .args(["sg_decode_sense", "--cdb"])
        .args(words)
        .stderr(Stdio::null())
        .output()
        .context("cannot run sg_decode_sense")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Whether sg3_utils have a name for it.
fn is_named(text: &str) -> bool {
    let generic = [
        "[0x",
        "opcode",
        "service action",
        "Reserved",
        "Vendor specific",
    ];
    !text.is_empty() && !generic.iter().any(|word| text.contains(word))
}

/// Letters and digits.
fn plain(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|it| it.to_ascii_lowercase()).collect()
}
