//! Arguments of the verbs that make something of a recording.

use std::path::PathBuf;

use clap::Args;

use super::{JsonTarget, values};

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Make an HTML page of it, one file that needs nothing else
    #[arg(long, short, value_name = "FILE.html")]
    output: Option<PathBuf>,
    /// Write the report as one JSON object to this file, or to standard output with "-"
    #[arg(long, value_name = "FILE|-", value_parser = values::json_target())]
    json: Option<JsonTarget>,
    /// Only this multipath map, by name, dm-N or WWID as they were; may be given several times
    #[arg(long = "map", value_name = "MAP", value_parser = values::name)]
    maps: Vec<String>,
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A recording to report on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportConfig {
    /// Where the page goes, if one is wanted.
    pub output: Option<PathBuf>,
    /// Where the JSON goes, if anywhere.
    pub json: Option<JsonTarget>,
    /// Names of maps; empty for those that the trace was of.
    pub maps: Vec<String>,
    /// The recording.
    pub file: PathBuf,
}

impl From<ReportArgs> for ReportConfig {
    fn from(args: ReportArgs) -> Self {
        Self {
            output: args.output,
            json: args.json,
            maps: args.maps,
            file: args.file,
        }
    }
}
