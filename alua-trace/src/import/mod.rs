//! `alua-trace import`: reads what people have at hand from a machine without the tool, and shows it
//! in the views of `paths`.
//!
//! [`parse`] is pure: text in, [`Imported`] out. What it makes of a text grows with the text, and no
//! single allocation is out of proportion to it (`room`).

mod bundle;
mod clean;
mod columns;
mod config;
mod detect;
mod dmsetup;
mod esxcli;
mod esxcli_paths;
mod iscsiadm;
mod join;
mod kernel_log;
mod leftover;
mod lsscsi;
mod mixed;
mod multipath_ll;
mod multipathd;
mod multipathd_json;
mod priority;
mod room;
mod sg;
mod show;
mod show_maps;
mod show_paths;
mod sysfs;
mod vpd_words;

use std::borrow::Cow;
use std::io::Write;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::cli::{DecodeInput, ImportConfig, ImportKind};
use crate::decode::input;
use crate::inventory::model::Inventory;
use crate::live;

pub use detect::detect;
pub use kernel_log::{Event, Source};

/// Longest input that is read.
const MAX_MIB: u64 = 16;
const WIDTH_WITHOUT_TERMINAL: u16 = 100;
/// What a text tells.
#[derive(Debug, Default, PartialEq)]
pub struct Imported {
    /// Maps and paths, in their last known state.
    pub inventory: Inventory,
    /// What happened, in the order of the text; only kernel logs tell it.
    pub timeline: Option<Vec<Event>>,
    /// Configurations of multipath, by name.
    pub configuration: Vec<(String, String)>,
}

impl From<Inventory> for Imported {
    fn from(inventory: Inventory) -> Self {
        Self {
            inventory,
            ..Self::default()
        }
    }
}

/// Reads and shows what `config` names; gives the exit status.
///
/// # Errors
/// The input cannot be read, or is of no form that is known.
pub fn run(config: &ImportConfig) -> Result<u8> {
    let columns = live::columns().unwrap_or(WIDTH_WITHOUT_TERMINAL);
    let mut imported = match &config.input {
        DecodeInput::File(path) if path.is_dir() || bundle::is_archive(path) => bundle::read(path)?,
        input => {
            let bytes = input::read(input, MAX_MIB, "longer than anything that is imported")?;
            parse(config.kind, &String::from_utf8_lossy(&bytes))?
        }
    };
    if let (DecodeInput::File(path), [(name, _)]) = (&config.input, &mut imported.configuration[..])
        && path.is_file()
        && name == config::INPUT
    {
        *name = path.display().to_string();
    }
    let shown = show::show(&imported, config.view, columns)?;
    match std::io::stdout().write_all(shown.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
        result => Ok(result.map(|()| 0)?),
    }
}

/// What `text` tells, which is what `kind` says, or what it looks like.
///
/// # Errors
/// It is of no kind that is known, or has nothing that its kind has.
pub fn parse(kind: Option<ImportKind>, text: &str) -> Result<Imported> {
    if text.trim().is_empty() {
        bail!("the input is empty; {}", kinds());
    }
    let text = &*clean::clean(text);
    let read = match kind {
        Some(kind) => Some(parse_kind(kind, text)),
        None => recognised(text).or_else(|| recognised(&commented(text)?)),
    };
    read.unwrap_or_else(|| bail!("this is nothing that is known; {}", kinds()))
}

/// What a text tells that looks like what one tool prints, or several; `None` if it looks like nothing.
fn recognised(text: &str) -> Option<Result<Imported>> {
    mixed::parse(text).or_else(|| Some(parse_kind(detect(text)?, text)))
}

/// What stands behind the `#` of every line; but a configuration that is a comment is none.
fn commented(text: &str) -> Option<String> {
    let bare = clean::uncommented(text)?;
    let kind = bare.lines().find_map(detect::kind_of_line)?;
    (kind != ImportKind::MultipathConf).then_some(bare)
}

/// What a text of a kind tells, without what terminals and mails add to it.
fn parse_kind(kind: ImportKind, text: &str) -> Result<Imported> {
    let text = &*without_commands(kind, text);
    let imported = match kind {
        ImportKind::MultipathLl => multipath_ll::parse(text).map(Imported::from),
        ImportKind::MultipathdJson => multipathd_json::parse(text).map(Imported::from),
        ImportKind::ShowPaths => show_paths::parse(text).map(Imported::from),
        ImportKind::ShowMaps => show_maps::parse(text).map(Imported::from),
        ImportKind::Multipathd => multipathd::parse(text).map(Imported::from),
        ImportKind::Dmsetup => dmsetup::parse(text).map(Imported::from),
        ImportKind::Lsscsi => lsscsi::parse(text).map(Imported::from),
        ImportKind::Iscsiadm => iscsiadm::parse(text).map(Imported::from),
        ImportKind::Sysfs => sysfs::parse(text).map(Imported::from),
        ImportKind::EsxcliPaths => esxcli_paths::parse(text).map(Imported::from),
        ImportKind::EsxcliNmp => esxcli::parse(text).map(Imported::from),
        ImportKind::MultipathConf => config::parse(text),
        ImportKind::KernelLog => kernel_log::parse(text),
        ImportKind::SgRtpg => sg::rtpg(text).map(Imported::from),
        ImportKind::SgInq => sg::inquiry(text).map(Imported::from),
        ImportKind::SgVpd => sg::vpd(text).map(Imported::from),
    };
    imported.with_context(|| format!("read as {}", detect::name(kind)))
}

/// What a support bundle tells whose bytes, those of a tar file, are at hand.
///
/// # Errors
/// It is damaged, hostile or too large, or nothing in it is of a form that is known.
pub fn parse_archive(bytes: Vec<u8>) -> Result<Imported> {
    bundle::of_bytes(bytes)
}

/// What can be read, for messages.
fn kinds() -> String {
    let kinds = ImportKind::value_variants().iter();
    let names: Vec<String> = kinds.map(|kind| detect::name(*kind)).collect();
    format!(
        "what can be read: {}, and a support bundle; import --help says what each is",
        names.join(", ")
    )
}

/// A text without the commands that somebody typed, but where they name the device, or where every line
/// counts.
fn without_commands(kind: ImportKind, text: &str) -> Cow<'_, str> {
    let stays = matches!(
        kind,
        ImportKind::SgRtpg | ImportKind::SgInq | ImportKind::SgVpd | ImportKind::MultipathConf
    );
    if stays || !text.lines().any(clean::is_command) {
        return Cow::Borrowed(text);
    }
    let keep = |line| if clean::is_command(line) { "" } else { line };
    let lines: Vec<&str> = text.lines().map(keep).collect();
    Cow::Owned(lines.join("\n"))
}

#[cfg(test)]
mod tests;
