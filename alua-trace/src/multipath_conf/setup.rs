//! What is said of a multipath set-up: the model of the report and of its JSON. Pure.

use serde::Serialize;

use super::effective::{Answers, Effective};
use super::facts::Host;
use super::findings::{Finding, Severity, findings};
use super::section::Note;
use super::source::Sources;

/// A multipath set-up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Setup {
    /// What was read, the weakest first.
    pub sources: Vec<String>,
    /// What counts for the host's maps.
    pub maps: Vec<MapSettings>,
    /// What should be known, the worst first.
    pub findings: Vec<Finding>,
    /// What could not be read or understood.
    pub notes: Vec<Note>,
}

/// What counts for maps that have the same settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MapSettings {
    /// Their names.
    pub maps: Vec<String>,
    /// INQUIRY bytes 8 to 15.
    pub vendor: Option<String>,
    /// INQUIRY bytes 16 to 31.
    pub product: Option<String>,
    /// Their settings.
    pub settings: Effective,
}

impl Setup {
    /// What is to be said of a configuration, and of a host if there is one.
    pub fn new(sources: Sources, host: Option<&Host>) -> Self {
        let findings = findings(&sources.configuration, host);
        Self {
            maps: host.map_or_else(Vec::new, |host| settings(&sources, host)),
            findings,
            sources: sources.read,
            notes: sources.notes,
        }
    }

    /// Whether a finding is worse than advice.
    pub fn is_wanting(&self) -> bool {
        let mut severities = self.findings.iter().map(|finding| finding.severity);
        severities.any(|severity| severity < Severity::Advice)
    }
}

fn settings(sources: &Sources, host: &Host) -> Vec<MapSettings> {
    let mut answers = Answers::new(&sources.configuration);
    let mut alike: Vec<MapSettings> = Vec::new();
    for map in &host.maps {
        let subject = map.subject();
        let settings = answers.of(subject);
        let (vendor, product) = (subject.vendor, subject.product);
        let same = alike.iter_mut().find(|other| {
            (other.vendor.as_deref(), other.product.as_deref()) == (vendor, product)
                && other.settings == *settings
        });
        match same {
            Some(same) => same.maps.push(map.name.clone()),
            None => alike.push(MapSettings {
                maps: vec![map.name.clone()],
                vendor: vendor.map(str::to_owned),
                product: product.map(str::to_owned),
                settings: Effective::clone(&settings),
            }),
        }
    }
    alike
}
