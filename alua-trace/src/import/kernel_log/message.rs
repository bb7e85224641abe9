//! Owns what the messages of the ALUA and RDAC handlers and of dm-multipath say
//! (drivers/scsi/device_handler/scsi_dh_alua.c, scsi_dh_rdac.c; drivers/md/dm-mpath.c).

use super::Source;
use super::failure::Part;
use crate::scsi::AccessState;
use crate::scsi::sense::Sense;
use crate::topology::{DevNo, Hctl};

use super::paths::number_of_disk;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Address(Hctl),
    Number(DevNo),
    /// A handler as such.
    None,
}

/// What a message says about its subject.
#[derive(Debug, PartialEq)]
pub(super) enum Fact<'a> {
    /// `supports implicit and explicit TPGS`: the code in INQUIRY data.
    Tpgs(u8),
    /// `device naa.… port group 1 rel port 1`.
    Port {
        wwid: Option<&'a str>,
        group: u16,
        port: u16,
    },
    /// `port group 01 state A non-preferred supports TOlUSNA`.
    State {
        group: u16,
        state: AccessState,
        preferred: Option<bool>,
        supported: Vec<AccessState>,
    },
    /// `LUN 0 (IOSHIP) (owned)`, `LUN 0 (owned (AVT mode))`.
    Lun {
        lun: &'a str,
        mode: Option<&'static str>,
        owned: bool,
    },
    /// `array X, ctlr 1, queueing MODE_SELECT command`.
    ModeSelect {
        array: &'a str,
        controller: &'a str,
        what: &'a str,
    },
    /// `Failing path`, of dm.
    Failed,
    /// `Reinstating path`, of dm.
    Reinstated,
    /// The SCSI midlayer heard that a state has changed.
    StateChanged,
    /// `[sdb] …`: the name that the path has.
    Named(&'a str),
    /// `[sdb] tag#0 Sense Key : …`: a command that failed, in part.
    Failure(&'a str, Part<'a>),
    /// Anything else that a handler says.
    Text(&'a str),
}

/// A message of interest, and who says it.
pub(super) fn parse(message: &str) -> Option<(Source, Subject, Fact<'_>)> {
    if let Some(text) = message.strip_prefix("device-mapper: multipath: ") {
        return Some(device_mapper(text));
    }
    for part in ["table: ", "ioctl: "] {
        let text = message.strip_prefix("device-mapper: ");
        if let Some(text) = text.filter(|text| text.starts_with(part)) {
            return Some((Source::DeviceMapper, Subject::None, Fact::Text(text)));
        }
    }
    let (subject, text) = subject(message);
    if let Some(text) = text.strip_prefix("alua: ") {
        return Some((Source::Alua, subject, alua(text)));
    }
    if let Some(text) = text.strip_prefix("rdac: ") {
        return Some((Source::Rdac, subject, rdac(text)));
    }
    if ["emc: ", "hp_sw: "]
        .iter()
        .any(|name| text.starts_with(name))
    {
        return Some((Source::Handler, subject, Fact::Text(text)));
    }
    if subject == Subject::None {
        return is_transport(message).then_some((
            Source::Transport,
            subject,
            Fact::Text(message.trim()),
        ));
    }
    if text.starts_with("Asymmetric access state changed") {
        return Some((Source::Scsi, subject, Fact::StateChanged));
    }
    let (name, rest) = text.strip_prefix('[')?.split_once(']')?;
    let fact = match Part::new(rest) {
        Some(part) => Fact::Failure(name, part),
        None => Fact::Named(name),
    };
    name.starts_with("sd")
        .then_some((Source::Scsi, subject, fact))
}

/// What multipathd says, of the path whose number or name is in it.
pub(super) fn of_multipathd(message: &str) -> (Source, Subject, Fact<'_>) {
    let mut words = message
        .split_whitespace()
        .map(|word| word.trim_matches([':', ',', '.', '[', ']']));
    let number = |word: &str| word.parse().ok().or_else(|| number_of_disk(word));
    // A table names all paths, and is about none of them.
    let subject = words
        .find_map(number)
        .filter(|_| !message.contains("load table ["))
        .map_or(Subject::None, Subject::Number);
    (Source::Multipathd, subject, Fact::Text(message))
}

/// ` connection1:0: …`, `session1: …` (drivers/scsi/scsi_transport_iscsi.c), ` rport-1:0-3: …`
/// (drivers/scsi/scsi_transport_fc.c).
fn is_transport(message: &str) -> bool {
    let message = message.trim_start();
    let named = ["connection", "session", "rport-"].iter().any(|name| {
        let rest = message.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    named && message.contains(": ")
}

/// `sd 4:0:0:0: text`, `scsi 4:0:0:0: text`.
fn subject(message: &str) -> (Subject, &str) {
    let device = message
        .strip_prefix("sd ")
        .or_else(|| message.strip_prefix("scsi "));
    let parts = device.and_then(|text| text.split_once(": "));
    let found = parts.and_then(|(address, text)| Some((address.trim().parse().ok()?, text)));
    found.map_or((Subject::None, message), |(address, text)| {
        (Subject::Address(address), text)
    })
}

/// With the map's number before it since 5.17: `254:0: Failing path 8:16.`
fn device_mapper(text: &str) -> (Source, Subject, Fact<'_>) {
    for (words, failed) in [("Failing path ", true), ("Reinstating path ", false)] {
        let number = text.split_once(words).and_then(|(_, rest)| {
            let number = rest.trim().trim_end_matches('.');
            number.parse().ok()
        });
        if let Some(number) = number {
            let fact = if failed {
                Fact::Failed
            } else {
                Fact::Reinstated
            };
            return (Source::DeviceMapper, Subject::Number(number), fact);
        }
    }
    (Source::DeviceMapper, Subject::None, Fact::Text(text))
}

fn alua(text: &str) -> Fact<'_> {
    let tpgs = match text {
        "supports implicit TPGS" => Some(1),
        "supports explicit TPGS" => Some(2),
        "supports implicit and explicit TPGS" => Some(3),
        _ => None,
    };
    tpgs.map(Fact::Tpgs)
        .or_else(|| port(text))
        .or_else(|| state(text))
        .unwrap_or(Fact::Text(text))
}

/// Numbers are hexadecimal without a prefix. Older kernels print no name.
fn port(text: &str) -> Option<Fact<'_>> {
    let (before, rest) = text.split_once("port group ")?;
    let (group, port) = rest.split_once(" rel port ")?;
    let wwid = before.trim().strip_prefix("device").map(str::trim);
    Some(Fact::Port {
        wwid: wwid.filter(|wwid| !wwid.is_empty()),
        group: u16::from_str_radix(group, 16).ok()?,
        port: u16::from_str_radix(port.trim(), 16).ok()?,
    })
}

fn state(text: &str) -> Option<Fact<'_>> {
    let (group, rest) = text.strip_prefix("port group ")?.split_once(' ')?;
    let mut words = rest.strip_prefix("state ")?.split(' ');
    let letter = words.next()?.chars().next()?;
    let state = AccessState::DEFINED
        .into_iter()
        .find(|state| state.kernel_letter() == letter)?;
    let preferred = match words.next() {
        Some("preferred") => Some(true),
        Some("non-preferred") => Some(false),
        _ => None,
    };
    let letters = rest
        .split_once("supports ")
        .map_or("", |(_, letters)| letters);
    let supported = AccessState::DEFINED.into_iter();
    Some(Fact::State {
        group: u16::from_str_radix(group, 16).ok()?,
        state,
        preferred,
        supported: supported
            .filter(|state| letters.contains(state.kernel_letter()))
            .collect(),
    })
}

fn rdac(text: &str) -> Fact<'_> {
    lun(text)
        .or_else(|| mode_select(text))
        .unwrap_or(Fact::Text(text))
}

fn lun(text: &str) -> Option<Fact<'_>> {
    let (lun, rest) = text.strip_prefix("LUN ")?.split_once(' ')?;
    let mode = [("(IOSHIP)", "IOSHIP"), ("(AVT", "AVT"), ("(RDAC)", "RDAC")];
    let mode = mode.into_iter().find(|(word, _)| rest.contains(word));
    let owned = match (rest.contains("(unowned"), rest.contains("(owned")) {
        (true, _) => false,
        (_, true) => true,
        _ => return None,
    };
    Some(Fact::Lun {
        lun,
        mode: mode.map(|(_, name)| name),
        owned,
    })
}

/// The array's name is padded.
fn mode_select(text: &str) -> Option<Fact<'_>> {
    let (array, rest) = text.strip_prefix("array ")?.split_once(", ctlr ")?;
    let (controller, what) = rest.split_once(", ")?;
    Some(Fact::ModeSelect {
        array: array.trim(),
        controller,
        what: what.trim(),
    })
}

impl Fact<'_> {
    /// In words; nothing for what happens not.
    pub(super) fn words(&self) -> Option<String> {
        let names = |states: &[AccessState]| {
            states
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        };
        Some(match self {
            Self::Tpgs(code) => {
                let how = ["no", "implicit", "explicit", "implicit and explicit"];
                let how = how.get(usize::from(*code)).unwrap_or(&"unknown");
                format!("the array offers {how} ALUA")
            }
            Self::Port { wwid, group, port } => {
                let unit = wwid
                    .map(|wwid| format!(", logical unit {wwid}"))
                    .unwrap_or_default();
                format!("is in port group {group}, relative port {port}{unit}")
            }
            Self::State {
                group,
                state,
                preferred,
                supported,
            } => {
                let preferred = match preferred {
                    Some(true) => ", preferred",
                    Some(false) => ", not preferred",
                    None => "",
                };
                let can = if supported.is_empty() {
                    String::new()
                } else {
                    format!("; can be {}", names(supported))
                };
                format!("port group {group} is {state}{preferred}{can}")
            }
            Self::Lun { lun, mode, owned } => {
                let mode = mode
                    .map(|mode| format!(", mode {mode}"))
                    .unwrap_or_default();
                let owned = if *owned {
                    "owned by this controller"
                } else {
                    "owned by the other controller"
                };
                format!("LUN {lun} is {owned}{mode}")
            }
            Self::ModeSelect {
                array,
                controller,
                what,
            } => {
                format!(
                    "array {array}, controller {controller}: {}",
                    explained(what)
                )
            }
            Self::Failed => "path failed".to_owned(),
            Self::Reinstated => "path reinstated".to_owned(),
            Self::StateChanged => "the array says: asymmetric access state changed".to_owned(),
            Self::Named(_) | Self::Failure(..) => return None,
            Self::Text(text) => explained(text),
        })
    }
}

/// A text, with the words of the sense code in it: `sense 05/91/36`.
fn explained(text: &str) -> String {
    let codes = text.split(|c: char| !c.is_ascii_hexdigit() && c != '/');
    let mut senses = codes.filter_map(|code| {
        let mut parts = code
            .split('/')
            .map(|part| u8::from_str_radix(part, 16).ok());
        let sense = Sense::new(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(sense)
    });
    match senses.find_map(Sense::text) {
        Some(words) => format!("{text} ({words})"),
        None => text.to_owned(),
    }
}
