//! Owns what multipath.conf is made of: files, sections, settings, and their lines.

use std::sync::Arc;

use serde::Serialize;

use super::keywords::Release;

/// A place in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The file's name.
    #[serde(serialize_with = "text")]
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

fn text<S: serde::Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

/// What should be known of a configuration's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Where; `None` when it is about no line.
    pub at: Option<Line>,
    /// What.
    pub text: String,
}

/// A section's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `defaults`
    Defaults,
    /// `blacklist`
    Blacklist,
    /// `blacklist_exceptions`
    BlacklistExceptions,
    /// `devices`
    Devices,
    /// `device` in `devices`, or in a blacklist
    Device,
    /// `multipaths`
    Multipaths,
    /// `multipath` in `multipaths`
    Multipath,
    /// `overrides`
    Overrides,
    /// `protocol` in `overrides`
    Protocol,
}

impl Kind {
    const NAMES: [(Self, &'static str); 9] = [
        (Self::Defaults, "defaults"),
        (Self::Blacklist, "blacklist"),
        (Self::BlacklistExceptions, "blacklist_exceptions"),
        (Self::Devices, "devices"),
        (Self::Device, "device"),
        (Self::Multipaths, "multipaths"),
        (Self::Multipath, "multipath"),
        (Self::Overrides, "overrides"),
        (Self::Protocol, "protocol"),
    ];

    pub(super) fn new(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.into_iter();
        names
            .find(|(_, known)| *known == name)
            .map(|(kind, _)| kind)
    }

    pub(super) fn name(self) -> &'static str {
        let mut names = Self::NAMES.into_iter();
        names
            .find(|(kind, _)| *kind == self)
            .map_or("", |(_, name)| name)
    }

    /// Whether it is one of the two blacklists.
    pub(super) fn is_blacklist(self) -> bool {
        matches!(self, Self::Blacklist | Self::BlacklistExceptions)
    }

    /// The first release that knows it.
    pub(super) fn since(self) -> Release {
        match self {
            Self::Overrides => Release(0, 6, 0),
            Self::Protocol => Release(0, 9, 0),
            _ => Release(0, 4, 9),
        }
    }

    /// Whether a section of this kind may stand in `parent`; `None` is the file.
    pub(super) fn fits(self, parent: Option<Self>) -> bool {
        match self {
            Self::Device => matches!(
                parent,
                Some(Self::Devices | Self::Blacklist | Self::BlacklistExceptions)
            ),
            Self::Multipath => parent == Some(Self::Multipaths),
            Self::Protocol => parent == Some(Self::Overrides),
            _ => parent.is_none(),
        }
    }

    /// The section that a lone one, as vendors print it, belongs into.
    pub(super) fn usual_parent(self) -> Self {
        match self {
            Self::Device => Self::Devices,
            Self::Multipath => Self::Multipaths,
            _ => Self::Overrides,
        }
    }
}

/// A section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What it is.
    pub kind: Kind,
    /// The line of its name.
    pub line: u32,
    /// What it sets, in the file's order.
    pub settings: Vec<Setting>,
    /// The sections in it.
    pub sections: Vec<Section>,
}

/// A keyword and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The keyword.
    pub keyword: String,
    /// The value, without quotes.
    pub value: String,
    /// The line.
    pub line: u32,
}

/// A line that makes multipath-tools refuse its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub at: Line,
    /// Why.
    pub why: String,
    /// Whether that holds for files of `conf.d`, too, of which others are read as far as they go.
    pub wherever: bool,
}

/// A file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name, as the user knows it.
    pub name: Arc<str>,
    /// Its sections, as multipath-tools read them.
    pub sections: Vec<Section>,
    /// Its sections as they may be meant, where some lines are not read as that.
    pub meant: Option<Vec<Section>>,
    /// Why multipath-tools refuse it.
    pub refusals: Vec<Refusal>,
    /// What was not understood.
    pub notes: Vec<Note>,
}
