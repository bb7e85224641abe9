//! Arguments of `experiment`.

use std::path::PathBuf;

use clap::Args;

use super::{Gates, JsonTarget, gate::ExperimentGateArgs, values};

#[derive(Debug, Args)]
pub(super) struct ExperimentArgs {
    /// Where the experiment is kept; PLAN without its ending, and .experiment, by default
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only say in which order what is run, and how long it takes
    #[arg(long)]
    dry_run: bool,
    /// Only say how many blocks find an effect of so many per cent, by what those that are done vary
    #[arg(long, value_name = "PERCENT", conflicts_with = "dry_run", value_parser = values::percent)]
    power: Option<f64>,
    /// Only say what the blocks that are done tell
    #[arg(long, conflicts_with_all = ["dry_run", "power"])]
    results: bool,
    /// Write the results as one JSON object to this file, or to standard output with "-"
    #[arg(long, value_name = "FILE|-", value_parser = values::json_target())]
    json: Option<JsonTarget>,
    /// Directory with BTF files named like their modules, for kernels without module BTF
    #[arg(long, value_name = "DIR")]
    btf: Option<PathBuf>,
    #[command(flatten)]
    gates: ExperimentGateArgs,
    /// The plan, in TOML
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct GuardArgs {
    dir: PathBuf,
}

impl GuardArgs {
    pub(super) fn dir(self) -> PathBuf {
        self.dir
    }
}

/// An experiment to make.
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentConfig {
    /// The plan's file.
    pub plan: PathBuf,
    /// Where it is kept.
    pub dir: PathBuf,
    /// What of it is wanted.
    pub wish: ExperimentWish,
    /// Where the JSON goes, if anywhere.
    pub json: Option<JsonTarget>,
    /// What must not be true.
    pub gates: Gates,
    /// Directory with BTF files.
    pub btf: Option<PathBuf>,
    /// What traces and records: this program.
    pub tracer: PathBuf,
}

/// What of an experiment is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ExperimentWish {
    /// Its results; what is not done yet is done.
    Make,
    /// Its schedule.
    DryRun,
    /// How many blocks find an effect of this part.
    Power(f64),
    /// The results of what is done.
    Results,
}

impl From<ExperimentArgs> for ExperimentConfig {
    fn from(args: ExperimentArgs) -> Self {
        let wish = match (args.dry_run, args.power, args.results) {
            (true, ..) => ExperimentWish::DryRun,
            (_, Some(percent), _) => ExperimentWish::Power(percent / 100.0),
            (.., true) => ExperimentWish::Results,
            _ => ExperimentWish::Make,
        };
        Self {
            dir: args
                .dir
                .unwrap_or_else(|| args.plan.with_extension("experiment")),
            plan: args.plan,
            wish,
            json: args.json,
            gates: args.gates.into(),
            btf: args.btf,
            // Without /proc there is nothing to trace either.
            tracer: std::env::current_exe().unwrap_or_else(|_| "alua-trace".into()),
        }
    }
}
