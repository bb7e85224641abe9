//! Owns what configuration files come to: which settings there are, where each comes from, and
//! which of several counts for a device. Pure.
//!
//! The order is that of libmultipath/propsel.c (`mp_set_mpe`, `mp_set_ovr`, `mp_set_hwe`,
//! `mp_set_conf`): the map's `multipath` sections, `overrides`, every `device` entry that matches,
//! `defaults`; of several of a kind the last. Later files count as later entries, built-in ones as
//! the first (multipath.conf(5), "devices section"). An entry with the names of an earlier one takes
//! over what it does not set itself (config.c `factorize_hwtable`).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::merging::{extend, inherited, reconcile};
use super::parse::parse;
use super::pattern::Pattern;
use super::section::{File, Kind, Line, Note, Section};

/// What multipath-tools have built in: see `examples/multipath_conf`, which writes it.
const BUILT_IN: &str = include_str!("builtin.conf");

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file of the user's.
    File(Line),
    /// `multipathd show config`, which does not tell where it has it from.
    Multipathd,
    /// multipath-tools themselves.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(at) => write!(f, "{}:{}", at.file, at.line),
            Self::Multipathd => f.write_str("multipathd"),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

/// A setting and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The keyword.
    pub keyword: String,
    /// The value.
    pub value: String,
    /// Where it stands.
    pub origin: Origin,
}

/// A `device` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The patterns, in the order vendor, product, revision; `None` when it has none.
    pub patterns: [Option<Pattern>; 3],
    /// All its settings, the patterns included.
    pub entries: Vec<Entry>,
}

impl Device {
    /// Whether its settings are for a device. Without vendor or product it is for none
    /// (libmultipath/config.c `factorize_hwtable`).
    fn is_for(&self, subject: &Subject<'_>) -> bool {
        let [vendor, product, revision] = &self.patterns;
        let found = |pattern: &Option<Pattern>, text: Option<&str>| {
            pattern
                .as_ref()
                .is_some_and(|pattern| pattern.is_found_in(text.unwrap_or_default()))
        };
        found(vendor, subject.vendor)
            && found(product, subject.product)
            && (revision.is_none() || found(revision, subject.revision))
    }
}

/// Vendor, product and revision as they are written.
pub type Names = [Option<String>; 3];

impl Device {
    fn new(entries: Vec<Entry>) -> Self {
        let pattern = |keyword| last(&entries, keyword).map(|entry| Pattern::new(&entry.value));
        Self {
            patterns: ["vendor", "product", "revision"].map(pattern),
            entries,
        }
    }

    /// What it is called; `None` without vendor or product.
    pub fn names(&self) -> Option<Names> {
        let [vendor, product, revision] = &self.patterns;
        let text = |pattern: &Option<Pattern>| Some(pattern.as_ref()?.text.clone());
        Some([Some(text(vendor)?), Some(text(product)?), text(revision)])
    }

    /// With what an earlier entry of the same names sets and it does not (config.c `merge_hwe`).
    fn taking_over(mut self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        let mut entries = inherited(earlier.entries);
        entries.append(&mut self.entries);
        reconcile(&mut entries);
        Self { entries, ..self }
    }
}

/// The device whose settings are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Subject<'a> {
    /// multipathd's name of the logical unit.
    pub wwid: Option<&'a str>,
    /// INQUIRY bytes 8 to 15.
    pub vendor: Option<&'a str>,
    /// INQUIRY bytes 16 to 31.
    pub product: Option<&'a str>,
    /// INQUIRY bytes 32 to 35.
    pub revision: Option<&'a str>,
}

/// All settings of one set of files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// `defaults`, the first to give way first.
    pub defaults: Vec<Entry>,
    /// `overrides`.
    pub overrides: Vec<Entry>,
    /// The `device` entries of `devices`.
    pub devices: Vec<Device>,
    /// The `multipath` sections of `multipaths`.
    pub multipaths: Vec<Vec<Entry>>,
}

impl Tables {
    /// What multipath-tools have built in.
    pub fn built_in() -> Self {
        let mut tables = Self::default();
        tables.add(parse("", BUILT_IN).sections, |_| Origin::BuiltIn);
        // No keyword of `defaults` (propsel.c `select_hwhandler`, `DEFAULT_HWHANDLER`).
        tables.defaults.push(Entry {
            keyword: "hardware_handler".to_owned(),
            value: "0".to_owned(),
            origin: Origin::BuiltIn,
        });
        tables
    }

    /// Adds the sections of a file of the user's.
    pub fn add_file(&mut self, name: &Arc<str>, sections: Vec<Section>) {
        self.add(sections, |line| {
            let file = name.clone();
            Origin::File(Line { file, line })
        });
    }

    /// What `multipathd show config` printed.
    pub fn of_multipathd(text: &str) -> Self {
        let mut tables = Self::default();
        let file = parse("multipathd", text);
        // Releases leave out the brace behind a blacklisted device without product
        // (libmultipath/print.c `snprint_blacklist_devgroup`).
        let sections = file.meant.unwrap_or(file.sections);
        tables.add(sections, |_| Origin::Multipathd);
        tables
    }

    fn add(&mut self, sections: Vec<Section>, origin: impl Fn(u32) -> Origin) {
        let n_known = self.devices.len();
        for section in sections {
            self.add_section(section, &origin);
        }
        self.take_over(n_known);
    }

    /// Of several sections for one unit the later takes over what it does not set itself (config.c
    /// `merge_mptable`).
    fn add_map(&mut self, mut section: Vec<Entry>) {
        let wwid = last(&section, "wwid").map(|entry| entry.value.clone());
        let same = |it: &Vec<Entry>| wwid.as_ref().is_some_and(|wwid| is_of(it, wwid));
        if let Some(at) = self.multipaths.iter().position(same) {
            let mut entries = inherited(self.multipaths.remove(at));
            entries.append(&mut section);
            section = entries;
        }
        self.multipaths.push(section);
    }

    /// Entries that were added behind the first `n_known` take over what earlier ones of the same
    /// names set; those go.
    fn take_over(&mut self, n_known: usize) {
        let added = self.devices.split_off(n_known);
        let places = added.iter().enumerate();
        let last: HashMap<Names, usize> = places
            .filter_map(|(at, it)| Some((it.names()?, at)))
            .collect();
        let mut earlier: HashMap<Names, Device> = HashMap::new();
        let known = std::mem::take(&mut self.devices).into_iter();
        for (at, device) in known.map(|it| (None, it)).chain((0..).map(Some).zip(added)) {
            match device
                .names()
                .and_then(|names| Some((*last.get(&names)?, names)))
            {
                Some((place, names)) => {
                    let device = device.taking_over(earlier.remove(&names));
                    if at == Some(place) {
                        self.devices.push(device);
                    } else {
                        earlier.insert(names, device);
                    }
                }
                None => self.devices.push(device),
            }
        }
    }

    fn add_section(&mut self, section: Section, origin: &impl Fn(u32) -> Origin) {
        match section.kind {
            Kind::Defaults => extend(&mut self.defaults, entries(section, origin)),
            Kind::Overrides => extend(&mut self.overrides, entries(section, origin)),
            Kind::Devices | Kind::Multipaths => {
                for inner in section.sections {
                    self.add_section(inner, origin);
                }
            }
            Kind::Device => {
                self.devices
                    .push(Device::new(entries(section, origin).collect()));
            }
            Kind::Multipath => self.add_map(entries(section, origin).collect()),
            Kind::Blacklist | Kind::BlacklistExceptions | Kind::Protocol => {}
        }
    }

    /// Whether a `multipath` section is for the unit `wwid`.
    pub fn names(&self, wwid: &str) -> bool {
        self.multipaths.iter().any(|entries| is_of(entries, wwid))
    }

    /// The settings for a device, those that count before others first.
    pub fn layers(&self, subject: &Subject<'_>) -> Vec<&[Entry]> {
        let of_map = |entries: &&Vec<Entry>| subject.wwid.is_some_and(|wwid| is_of(entries, wwid));
        let maps = self
            .multipaths
            .iter()
            .rev()
            .filter(of_map)
            .map(Vec::as_slice);
        let devices = self.devices.iter().rev();
        let devices = devices.filter(|device| device.is_for(subject));
        let devices = devices.map(|device| device.entries.as_slice());
        maps.chain([self.overrides.as_slice()])
            .chain(devices)
            .chain([self.defaults.as_slice()])
            .collect()
    }
}

/// The last entry of a keyword, which is the one that counts.
pub fn last<'a>(entries: &'a [Entry], keyword: &str) -> Option<&'a Entry> {
    entries.iter().rev().find(|entry| entry.keyword == keyword)
}

/// Whether a `multipath` section is for the unit `wwid`.
fn is_of(section: &[Entry], wwid: &str) -> bool {
    last(section, "wwid").is_some_and(|entry| entry.value == wwid)
}

fn entries(section: Section, origin: &impl Fn(u32) -> Origin) -> impl Iterator<Item = Entry> {
    section.settings.into_iter().map(|setting| Entry {
        keyword: setting.keyword,
        value: setting.value,
        origin: origin(setting.line),
    })
}

/// Notes on sections that are for no device or map.
pub(super) fn useless(file: &File) -> Vec<Note> {
    let outer = |section: &&Section| matches!(section.kind, Kind::Devices | Kind::Multipaths);
    let all = file.sections.iter().filter(outer);
    let all = all.flat_map(|section| &section.sections);
    let lacks = |section: &Section| {
        let has = |keyword| section.settings.iter().any(|s| s.keyword == keyword);
        match section.kind {
            Kind::Device if !has("vendor") => {
                Some("this device entry has no vendor: it is for none")
            }
            Kind::Device if !has("product") => {
                Some("this device entry has no product: it is for none")
            }
            Kind::Multipath if !has("wwid") => {
                Some("this multipath section has no wwid: it is for none")
            }
            _ => None,
        }
    };
    let note = |section: &Section| {
        Some(Note {
            at: Some(Line {
                file: file.name.clone(),
                line: section.line,
            }),
            text: lacks(section)?.to_owned(),
        })
    };
    all.filter_map(note).take(MAX_USELESS).collect()
}

/// Notes on useless sections of one file.
const MAX_USELESS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(text: &str) -> Tables {
        let mut tables = Tables::built_in();
        let file = parse("a.conf", text);
        assert_eq!(
            (file.notes.as_slice(), useless(&file)),
            ([].as_slice(), vec![])
        );
        tables.add_file(&file.name, file.sections);
        tables
    }

    fn value<'a>(tables: &'a Tables, subject: &Subject<'_>, keyword: &str) -> (&'a str, String) {
        let mut layers = tables.layers(subject).into_iter();
        let entry = layers.find_map(|layer| last(layer, keyword)).unwrap();
        (&entry.value, entry.origin.to_string())
    }

    const MD36XXI: Subject<'_> = Subject {
        wwid: Some("36782bcb0002c039d"),
        vendor: Some("DELL"),
        product: Some("MD36xxi"),
        revision: Some("0784"),
    };

    #[test]
    fn the_built_in_tables_have_nothing_odd() {
        let file = parse("", BUILT_IN);
        assert_eq!(file.notes, []);
        let tables = Tables::built_in();
        for device in &tables.devices {
            for pattern in device.patterns.iter().flatten() {
                assert_eq!(pattern.error, None);
            }
        }
        for (vendor, product, prio) in [
            ("DELL", "MD36xxi", "rdac"),
            ("IBM", "1814      FAStT", "rdac"),
            ("NETAPP", "INF-01-00", "rdac"),
            ("DGC", "VRAID", "emc"),
            ("NETAPP", "LUN", "ontap"),
            ("LIO-ORG", "lun0", "alua"),
            ("NONAME", "X", "const"),
        ] {
            let subject = Subject {
                vendor: Some(vendor),
                product: Some(product),
                ..Subject::default()
            };
            assert_eq!(
                value(&tables, &subject, "prio").0,
                prio,
                "{vendor} {product}"
            );
        }
    }

    #[test]
    fn multipaths_count_before_overrides_before_devices_before_defaults() {
        let mut text = String::new();
        for (section, expected) in [
            ("", ("rdac", "built in")),
            ("defaults {\nprio hds\n}\n", ("rdac", "built in")),
            (
                "devices {\ndevice {\nvendor DELL\nproduct MD36\nprio hp_sw\n}\n}\n",
                ("hp_sw", "a.conf:8"),
            ),
            ("overrides {\nprio ontap\n}\n", ("ontap", "a.conf:12")),
            (
                "multipaths {\nmultipath {\nwwid 36782bcb0002c039d\nprio random\n}\n}\n",
                ("random", "a.conf:17"),
            ),
        ] {
            text.push_str(section);
            let tables = tables(&text);
            let (value, origin) = value(&tables, &MD36XXI, "prio");
            assert_eq!((value, origin.as_str()), expected, "{text}");
        }
        assert_eq!(
            value(&tables(&text), &Subject::default(), "path_checker").0,
            "tur"
        );
    }

    #[test]
    fn of_several_entries_the_last_that_matches_counts_setting_by_setting() {
        let tables = tables(
            "devices {\ndevice {\nvendor DELL\nproduct MD\nprio a\nprio b\nfailback manual\n}\n\
             device {\nvendor DELL\nproduct MD36\nrevision 07\nprio c\n}\n\
             device {\nvendor DELL\nproduct MD36\nrevision 08\nprio d\n}\n\
             device {\nvendor DELL\nproduct \"*\"\nprio e\n}\n}\n",
        );
        assert_eq!(value(&tables, &MD36XXI, "prio").0, "c");
        assert_eq!(value(&tables, &MD36XXI, "failback").0, "manual");
        assert_eq!(value(&tables, &MD36XXI, "path_checker").0, "rdac");
        let other = Subject {
            revision: None,
            ..MD36XXI
        };
        assert_eq!(value(&tables, &other, "prio"), ("b", "a.conf:6".to_owned()));
    }

    #[test]
    fn sections_for_nothing_are_noted() {
        let text = "devices {\ndevice {\nproduct X\n}\ndevice {\nvendor X\n}\n}\n\
                    multipaths {\nmultipath {\nprio a\n}\n}\n";
        let file = parse("a.conf", text);
        let notes = useless(&file);
        let lines = notes.iter().filter_map(|note| Some(note.at.as_ref()?.line));
        assert_eq!(lines.collect::<Vec<_>>(), [2, 5, 10]);
        let mut tables = Tables::default();
        tables.add_file(&file.name, file.sections);
        assert!(
            tables
                .layers(&Subject::default())
                .iter()
                .all(|layer| layer.is_empty())
        );
    }

    #[test]
    fn an_entry_takes_over_what_earlier_ones_of_its_names_set() {
        let device = |product: &str, settings: &str| {
            format!("device {{\nvendor DELL\nproduct \"{product}\"\n{settings}\n}}\n")
        };
        let text = format!(
            "devices {{\n{}{}{}}}\n",
            device("MD36", "prio hds"),
            device(
                "^MD3",
                "path_grouping_policy multibus\nfeatures \"1 queue_if_no_path\""
            ),
            device("^MD3", "failback manual"),
        );
        let tables = tables(&text);
        // The built-in entry's settings count where the user's entry of its names stands.
        assert_eq!(
            value(&tables, &MD36XXI, "prio"),
            ("rdac", "built in".to_owned())
        );
        assert_eq!(value(&tables, &MD36XXI, "failback").0, "manual");
        assert_eq!(
            value(&tables, &MD36XXI, "path_grouping_policy").0,
            "multibus"
        );
        // The built-in no_path_retry counts, and the feature of that meaning goes.
        assert_eq!(value(&tables, &MD36XXI, "no_path_retry").0, "30");
        assert_eq!(value(&tables, &MD36XXI, "features").0, "0");
        let named = tables
            .devices
            .iter()
            .filter(|it| it.names() == tables.devices.last().unwrap().names());
        assert_eq!(named.count(), 1);
    }
}
