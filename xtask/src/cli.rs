//! The command line.

use clap::{Args, Parser, Subcommand};

use crate::arch::Arch;

/// Everything a person types in this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
#[command(
    after_help = "What is fetched is verified, kept in target/lab and fetched once; \
    from the second time on nothing needs a network. Only installing QEMU needs root."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// See alua-trace at work: on this host if it has multipath storage, else in the lab
    Run(RunArgs),
    /// A shell in a guest that has an array, four paths and alua-trace
    Lab(LabArgs),
    /// All tests: units here, then real kernels in the lab
    Test(TestArgs),
    /// Proofs that take long: all tests have their short form
    Soak(SoakArgs),
    /// Measure: what the tool costs natively, and what tracing costs a guest
    Bench(BenchArgs),
    /// Say what is here and what is missing, with remedies; changes nothing
    Doctor,
    /// Throw bytes and texts at every decoder and importer; needs nightly and a C++ compiler
    Fuzz(FuzzArgs),
    /// Static binaries, Debian and RPM packages, what they are made of, and checksums: in target/dist
    Dist(DistArgs),
    /// Formatting, lints, documentation and licences
    Ci,
}

/// Options of everything that starts guests.
#[derive(Debug, Args)]
pub(crate) struct Fetching {
    /// Ask the mirror for newer packages and kernels instead of using those fetched before
    #[arg(long)]
    pub(crate) refresh: bool,
}

/// Options of `dist`.
#[derive(Debug, Args)]
pub(crate) struct DistArgs {
    /// Only for this processor; may be given several times
    #[arg(long)]
    pub(crate) arch: Vec<Arch>,
    /// Build it all a second time, from a clone in another directory, and compare
    #[arg(long)]
    pub(crate) twice: bool,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Trace this host, or say exactly why not
    #[arg(long, conflicts_with = "lab")]
    pub(crate) host: bool,
    /// Use the lab even if this host has multipath storage
    #[arg(long)]
    pub(crate) lab: bool,
    /// The lab's kernel: 6.1, 6.12, newest, or the beginning of a version
    #[arg(long, value_name = "K", default_value = crate::kernels::DEFAULT)]
    pub(crate) kernel: String,
    /// How long: the load in the lab (40 if not given), the trace on this host
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: Option<u32>,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
    /// Further arguments of `alua-trace run`, on this host
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub(crate) arguments: Vec<String>,
}

/// Options of `fuzz`.
#[derive(Debug, Args)]
pub(crate) struct FuzzArgs {
    /// Only this target, which is a file in tests/fuzz/fuzz_targets
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
}

/// Options of `lab`.
#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    /// Another lab than one with an array in the same guest
    #[arg(value_name = "WHAT", value_enum)]
    pub(crate) what: Option<LabWhat>,
    /// Of `experiment`: another plan than docs/alua-mtu.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<std::path::PathBuf>,
    /// Of `experiment`: so many blocks instead of the plan's; 2 take some minutes, and carry no verdict
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) blocks: Option<u32>,
    /// 6.1, 6.12, newest, or the beginning of a version
    #[arg(long, value_name = "K", default_value = crate::kernels::DEFAULT)]
    pub(crate) kernel: String,
    /// The guest's processor
    #[arg(long, value_enum, default_value_t = Arch::HOST)]
    pub(crate) arch: Arch,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
}

/// Another lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LabWhat {
    /// A shell with an array behind four iSCSI portals, in a guest of its own
    Iscsi,
    /// In that lab: what ALUA gains, what jumbo frames gain, and whether they add up (docs/alua-mtu.toml)
    Experiment,
}

/// Options of `test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Kernels for the lab's tests, instead of 6.1 and newest; may be given several times
    #[arg(long = "kernel", value_name = "K")]
    pub(crate) kernels: Vec<String>,
    /// The processor of the lab's guests; with another one than this machine's, name the groups: `conservation`, `flags`
    #[arg(long, value_enum, default_value_t = Arch::HOST)]
    pub(crate) arch: Arch,
    /// Only the tests that need no guest
    #[arg(long, conflicts_with = "lab")]
    pub(crate) unit: bool,
    /// Only the lab's tests
    #[arg(long)]
    pub(crate) lab: bool,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
    /// Only tests whose name, or lab group, contains one of these
    #[arg(value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
}

/// Options of `soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// Only these: `stress`, `churn`, `multipath-conf`, `sg-pages`, `statistics`
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

/// Options of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// `native`, `record`, or the name of a guest's benchmark such as `cost`; all if not given
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Rounds of `cost`, in each of which every observer has its turn; by default each is in each place of a round once
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<usize>,
    /// The guest's kernel
    #[arg(long, value_name = "K", default_value = crate::kernels::DEFAULT)]
    pub(crate) kernel: String,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_after_dashes_are_the_tools() {
        let cli = Cli::parse_from(["xtask", "run", "--host", "--", "--json", "-"]);
        let Verb::Run(run) = cli.verb else {
            panic!("not run")
        };
        assert_eq!(run.arguments, ["--json", "-"]);
        assert_eq!(run.kernel, "6.1");
    }
}
