//! The arguments of `paths` and `import`, and the views both have.

use clap::{Args, ValueEnum};

use super::{DecodeInput, values};

/// How an inventory is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// A tree: map, path group, path
    Tree,
    /// As `multipath -ll` prints it
    Mpath,
    /// As `esxcli storage nmp device list` prints it
    Nmp,
    /// One JSON object
    Json,
    /// A picture, for Graphviz
    Dot,
    /// A picture
    Svg,
}

/// What somebody's tool printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportKind {
    /// `multipath -ll`, of any age
    MultipathLl,
    /// `multipathd show maps json`
    MultipathdJson,
    /// `multipathd show paths` with any format, `multipath -v3`
    ShowPaths,
    /// `multipathd show maps`, `show maps status`, `show maps stats`, with any format
    ShowMaps,
    /// `multipath.conf`, `multipathd show config`, `multipath -t`
    MultipathConf,
    /// `multipathd show daemon`, `show status`
    Multipathd,
    /// `dmsetup table`, `dmsetup status`
    Dmsetup,
    /// `lsscsi`, with -l, -t, -i
    Lsscsi,
    /// `iscsiadm -m session -P 3`
    Iscsiadm,
    /// `grep . /sys/class/scsi_device/*/device/access_state` and the like, `systool -v -c scsi_device`
    Sysfs,
    /// `esxcli storage nmp device list`
    EsxcliNmp,
    /// `esxcli storage core path list`, `esxcli storage nmp path list`
    EsxcliPaths,
    /// A kernel log with lines of the alua and rdac handlers
    KernelLog,
    /// `sg_rtpg -d`
    SgRtpg,
    /// `sg_inq`
    SgInq,
    /// `sg_vpd`, words or hexadecimal
    SgVpd,
}

/// Which view; all mean the same as `--view`.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct ViewArgs {
    /// How to show it
    #[arg(long, value_enum, value_name = "VIEW")]
    view: Option<View>,
    /// One JSON object, as --view json
    #[arg(long)]
    json: bool,
    /// A picture for Graphviz, as --view dot
    #[arg(long)]
    dot: bool,
    /// A picture, as --view svg
    #[arg(long)]
    svg: bool,
}

impl From<ViewArgs> for View {
    fn from(args: ViewArgs) -> Self {
        match args {
            ViewArgs { json: true, .. } => Self::Json,
            ViewArgs { dot: true, .. } => Self::Dot,
            ViewArgs { svg: true, .. } => Self::Svg,
            ViewArgs { view, .. } => view.unwrap_or(Self::Tree),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct PathsArgs {
    /// Only these maps, by name, dm-N or WWID
    #[arg(value_name = "MAP", value_parser = values::name)]
    maps: Vec<String>,
    /// Ask the array itself: read-only commands, over one path per port group
    #[arg(long)]
    refresh: bool,
    #[command(flatten)]
    view: ViewArgs,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// What it is; found out when not given
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<ImportKind>,
    #[command(flatten)]
    view: ViewArgs,
    /// What a tool printed; standard input with "-"; a support bundle: a directory of such files, or a
    /// tar file of them (.tar, .tar.xz, .tar.gz, .tar.bz2)
    #[arg(value_name = "FILE|DIR|-", default_value = "-", value_parser = values::decode_input())]
    input: DecodeInput,
}

/// Paths of this host to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathsConfig {
    /// Names of maps (name, dm-N or WWID); empty for all.
    pub maps: Vec<String>,
    /// Ask the array.
    pub refresh: bool,
    /// How to show them.
    pub view: View,
}

/// A tool's output to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportConfig {
    /// Where it is.
    pub input: DecodeInput,
    /// What it is; to be found out when `None`.
    pub kind: Option<ImportKind>,
    /// How to show it.
    pub view: View,
}

impl From<PathsArgs> for PathsConfig {
    fn from(args: PathsArgs) -> Self {
        Self {
            maps: args.maps,
            refresh: args.refresh,
            view: args.view.into(),
        }
    }
}

impl From<ImportArgs> for ImportConfig {
    fn from(args: ImportArgs) -> Self {
        Self {
            input: args.input,
            kind: args.kind,
            view: args.view.into(),
        }
    }
}
