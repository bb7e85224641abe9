//! Owns how a timeline is shown: as lines of time, path and what happened.

use super::{Event, Source};
use crate::safe;

/// Widest that a column is made for the sake of one long value.
const COLUMN_CHARS: usize = 32;

/// The timeline for a terminal, and the notes.
pub(in crate::import) fn text(timeline: &[Event], notes: &[String]) -> String {
    let times: Vec<String> = timeline
        .iter()
        .map(|event| cell(event.time.as_deref()))
        .collect();
    let paths: Vec<String> = timeline
        .iter()
        .map(|event| cell(event.path.as_deref()))
        .collect();
    let [time_width, path_width] = [&times, &paths].map(|cells| {
        let widths = cells.iter().map(|cell| cell.chars().count());
        widths.max().unwrap_or_default()
    });
    let sources = timeline.iter().map(|event| event.source.name().len());
    let source_width = sources.max().unwrap_or_default();
    let mut out = String::new();
    for ((event, time), path) in timeline.iter().zip(&times).zip(&paths) {
        let (source, what) = (event.source.name(), safe::sentence(&event.what));
        out.push_str(&format!(
            "{time:>time_width$}  {path:<path_width$}  {source:<source_width$}  {what}\n"
        ));
    }
    for note in notes {
        out.push_str(&format!("note: {}\n", safe::sentence(note)));
    }
    out
}

fn cell(text: Option<&str>) -> String {
    safe::text(text.unwrap_or("-"), COLUMN_CHARS)
}

impl Source {
    /// As short as in the log.
    const fn name(self) -> &'static str {
        match self {
            Self::Alua => "alua",
            Self::Rdac => "rdac",
            Self::DeviceMapper => "dm",
            Self::Scsi => "scsi",
            Self::Multipathd => "multipathd",
            Self::Handler => "handler",
            Self::Transport => "transport",
        }
    }
}
