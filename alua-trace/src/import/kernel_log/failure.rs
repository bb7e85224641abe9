//! Owns the lines in which the SCSI midlayer tells of a command that failed (drivers/scsi/scsi_logging.c
//! `scsi_print_result`, `scsi_print_sense`, `scsi_print_command`): four or so, which are one event.

use crate::scsi::cdb::Cdb;
use crate::scsi::sense::{self, Sense};
use crate::topology::Hctl;

/// One line of such an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// `FAILED Result: hostbyte=DID_OK driverbyte=DRIVER_SENSE`.
    Result(&'a str),
    /// `Sense Key : Not Ready [current]`.
    Key(u8),
    /// `Add. Sense: …`.
    Code(&'a str),
    /// `CDB: Read(10) 28 00 …`.
    Command(&'a str),
}

impl<'a> Part<'a> {
    /// The part that stands behind `[sdb]`.
    pub(super) fn new(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let text = match text.strip_prefix("tag#") {
            Some(rest) => rest.split_once(' ')?.1.trim(),
            None => text,
        };
        if let Some((_, result)) = text.split_once("Result: ") {
            return Some(Self::Result(result));
        }
        if let Some(key) = text.strip_prefix("Sense Key :") {
            let name = key.split('[').next()?;
            return sense::key_of(name).map(Self::Key);
        }
        if let Some(code) = text.strip_prefix("Add. Sense:") {
            return Some(Self::Code(code.trim()));
        }
        if text.contains("ASC=0x") {
            return Some(Self::Code(text));
        }
        text.strip_prefix("CDB:").map(Self::Command)
    }
}

/// What is known of one command so far.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) address: Hctl,
    /// Its place in the timeline.
    pub(super) at: usize,
    result: Option<String>,
    key: Option<u8>,
    code: Option<(u8, u8)>,
    words: Option<String>,
    command: Option<String>,
}

impl Failure {
    pub(super) fn new(address: Hctl, at: usize) -> Self {
        Self {
            address,
            at,
            result: None,
            key: None,
            code: None,
            words: None,
            command: None,
        }
    }

    /// Whether a part belongs to it: to the same path, and not told yet.
    pub(super) fn takes(&self, address: Hctl, part: Part<'_>) -> bool {
        let is_open = match part {
            Part::Result(_) => false,
            Part::Key(_) => self.key.is_none(),
            Part::Code(_) => self.words.is_none(),
            Part::Command(_) => self.command.is_none(),
        };
        self.address == address && is_open
    }

    pub(super) fn learn(&mut self, part: Part<'_>) {
        match part {
            Part::Result(result) => {
                let bytes = result.split_whitespace();
                let mut bytes = bytes.filter_map(|word| word.strip_prefix("hostbyte="));
                let host = bytes.next().filter(|host| *host != "DID_OK");
                self.result = host.map(str::to_owned);
            }
            Part::Key(key) => self.key = Some(key),
            Part::Code(text) => {
                self.code = sense::code_of(text).or_else(|| numbers(text));
                self.words = Some(text.to_owned());
            }
            Part::Command(text) => self.command = Some(described(text)),
        }
    }

    /// `READ(10) at LBA 0x800, 8 blocks, failed: 02/04/0C target port in unavailable state`.
    pub(super) fn words(&self) -> String {
        let command = self.command.as_deref().unwrap_or("a command");
        let sense = match (self.key, self.code, &self.words) {
            (Some(key), Some((asc, ascq)), _) => Some(Sense::new(key, asc, ascq).to_string()),
            (Some(key), None, Some(words)) => Some(format!("{}: {words}", sense::key_name(key))),
            (Some(key), None, None) => Some(sense::key_name(key).to_owned()),
            (None, _, words) => words.clone(),
        };
        let why: Vec<String> = self.result.iter().cloned().chain(sense).collect();
        if why.is_empty() {
            format!("{command} failed")
        } else {
            format!("{command} failed: {}", why.join(", "))
        }
    }
}

/// `ASC=0x94 <<vendor>> ASCQ=0x1`.
fn numbers(text: &str) -> Option<(u8, u8)> {
    let after = |name: &str| {
        let (_, rest) = text.split_once(name)?;
        let end = rest.find(|c: char| !c.is_ascii_hexdigit());
        u8::from_str_radix(rest.get(..end.unwrap_or(rest.len()))?, 16).ok()
    };
    Some((after("ASC=0x")?, after("ASCQ=0x")?))
}

/// `Read(10) 28 00 00 00 08 00 00 00 08 00`.
fn described(text: &str) -> String {
    let mut words: Vec<&str> = text.split_whitespace().rev().collect();
    let end = words.iter().position(|word| word.len() != 2);
    words.truncate(end.unwrap_or(words.len()));
    let bytes = words
        .iter()
        .rev()
        .map(|word| u8::from_str_radix(word, 16).ok());
    let bytes: Option<Vec<u8>> = bytes.collect();
    let Some(cdb) = bytes.and_then(|bytes| Cdb::parse(&bytes).ok()) else {
        return text.trim().to_owned();
    };
    let lba = cdb.lba.map(|lba| format!(" at LBA 0x{lba:x},"));
    let blocks = cdb.blocks.map(|blocks| match blocks {
        1 => " 1 block,".to_owned(),
        _ => format!(" {blocks} blocks,"),
    });
    let parts = [lba, blocks].into_iter().flatten().collect::<String>();
    format!("{}{parts}", cdb.name())
}
