//! Where type information comes from: the running kernel, or a directory the user names. Refuses
//! what does not belong to the running kernel.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::btf::{Blob, Btf, BtfError};
use crate::sysroot::Sysroot;

/// Modules whose types the probes need.
pub const MODULES: [&str; 5] = [
    "scsi_mod",
    "dm_mod",
    "dm_multipath",
    "scsi_dh_alua",
    "scsi_dh_rdac",
];

/// Why there are no types.
#[derive(Debug, Error)]
pub enum TypesError {
    /// The kernel has no BTF of its own, and no directory was given.
    #[error(
        "this kernel has no BTF ({path}: {cause}); use a kernel built with \
         CONFIG_DEBUG_INFO_BTF=y, or give a directory with BTF made for this very kernel: \
         --btf DIR"
    )]
    NoVmlinux {
        /// Where it should be.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A file could not be parsed.
    #[error("{path}: {cause}; give the BTF of the running kernel, or leave out --btf")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: BtfError,
    },
    /// The directory does not hold what it should.
    #[error(
        "--btf {dir}: {cause}; it must be a directory with scsi_mod.btf, and dm_mod.btf, \
         dm_multipath.btf, scsi_dh_alua.btf and scsi_dh_rdac.btf for what they belong to"
    )]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What went wrong.
        cause: io::Error,
    },
    /// The file belongs to another kernel.
    #[error(
        "{path} does not belong to the running kernel ({why}): offsets would be misread; leave \
         out --btf, or make BTF from this kernel's own debug information"
    )]
    WrongKernel {
        /// The file.
        path: PathBuf,
        /// How that shows.
        why: String,
    },
}

/// Raw BTF of vmlinux and of each module that has its own.
#[derive(Debug)]
pub struct RawTypes {
    vmlinux: (PathBuf, Blob),
    modules: BTreeMap<&'static str, (PathBuf, Vec<u8>)>,
}

impl RawTypes {
    /// Reads the running kernel's BTF, with `directory` first for the modules.
    ///
    /// # Errors
    /// [`TypesError`]: nothing is guessed.
    pub fn read(root: &Sysroot, directory: Option<&Path>) -> Result<Self, TypesError> {
        let vmlinux = read_vmlinux(root, directory)?;
        let mut modules = BTreeMap::new();
        for module in MODULES {
            let own = root.kernel_btf(module);
            let running = fs::read(&own).ok();
            let given = match directory {
                Some(directory) => read_given(directory, module)?,
                None => None,
            };
            match (given, running) {
                (Some((path, given)), Some(running)) if given != running => {
                    let why = format!("it differs from {}", own.display());
                    return Err(TypesError::WrongKernel { path, why });
                }
                (Some(given), _) => modules.insert(module, given),
                (None, Some(running)) => modules.insert(module, (own, running)),
                (None, None) => None,
            };
        }
        if let Some(directory) = directory
            && !modules
                .values()
                .any(|(path, _)| path.starts_with(directory))
        {
            let cause = io::Error::new(io::ErrorKind::NotFound, "it has no BTF file in it");
            return Err(TypesError::Directory {
                dir: directory.into(),
                cause,
            });
        }
        Ok(Self { vmlinux, modules })
    }

    /// Where each module's types come from, for `doctor`.
    #[must_use]
    pub fn sources(&self) -> Vec<(String, PathBuf)> {
        let vmlinux = ("vmlinux".to_owned(), self.vmlinux.0.clone());
        let modules = self
            .modules
            .iter()
            .map(|(name, (path, _))| ((*name).into(), path.clone()));
        std::iter::once(vmlinux).chain(modules).collect()
    }

    /// Parses vmlinux.
    ///
    /// # Errors
    /// [`TypesError::Damaged`].
    pub fn parse_vmlinux(&mut self) -> Result<Btf<'static>, TypesError> {
        let (path, data) = &mut self.vmlinux;
        Btf::parse(std::mem::replace(data, Vec::new().into()), None).map_err(|cause| {
            TypesError::Damaged {
                path: path.clone(),
                cause,
            }
        })
    }

    /// Parses the modules on top of `vmlinux`, and checks that they belong to it.
    ///
    /// # Errors
    /// [`TypesError::Damaged`], [`TypesError::WrongKernel`].
    pub fn parse_modules<'base>(
        self,
        vmlinux: &'base Btf<'base>,
    ) -> Result<Types<'base>, TypesError> {
        let mut modules = BTreeMap::new();
        for (name, (path, data)) in self.modules {
            let btf = Btf::parse(data, Some(vmlinux)).map_err(|cause| TypesError::Damaged {
                path: path.clone(),
                cause,
            })?;
            if let Some(why) = difference(vmlinux, &btf) {
                return Err(TypesError::WrongKernel { path, why });
            }
            modules.insert(name, btf);
        }
        Ok(Types { vmlinux, modules })
    }
}

/// Types of vmlinux and the modules.
#[derive(Debug)]
pub struct Types<'base> {
    vmlinux: &'base Btf<'base>,
    modules: BTreeMap<&'static str, Btf<'base>>,
}

impl<'base> Types<'base> {
    /// Types that `module` knows: its own BTF, or vmlinux when it is built in.
    #[must_use]
    pub fn of(&self, module: &str) -> &Btf<'base> {
        self.modules.get(module).unwrap_or(self.vmlinux)
    }

    /// Whether a structure that only this module defines is known.
    #[must_use]
    pub fn has(&self, module: &str) -> bool {
        let own = match module {
            "scsi_mod" => "scsi_cmnd",
            "dm_mod" => "mapped_device",
            "dm_multipath" => "pgpath",
            "scsi_dh_rdac" => "rdac_dh_data",
            _ => "alua_port_group",
        };
        self.of(module).size_of(own).is_ok()
    }
}

/// Where the kernel says what a tracepoint's arguments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracepointType {
    /// Number of the typedef `btf_trace_NAME`.
    pub id: u32,
    /// The module whose types it is one of; `None` for vmlinux.
    pub module: Option<&'static str>,
}

impl TracepointType {
    /// Of a tracepoint of `module`, which may be built in.
    #[must_use]
    pub fn find(types: &Types<'_>, module: &'static str, tracepoint: &str) -> Option<Self> {
        let own = types.modules.contains_key(module);
        let id = types
            .of(module)
            .typedef(&format!("btf_trace_{tracepoint}"))?;
        Some(Self {
            id,
            module: own.then_some(module),
        })
    }
}

fn read_vmlinux(root: &Sysroot, directory: Option<&Path>) -> Result<(PathBuf, Blob), TypesError> {
    let own = root.kernel_btf("vmlinux");
    let given = match directory {
        Some(directory) => read_given(directory, "vmlinux")?,
        None => None,
    };
    match given {
        Some((path, given)) if fs::read(&own).is_ok_and(|running| given != running) => {
            Err(TypesError::WrongKernel {
                path,
                why: format!("it differs from {}", own.display()),
            })
        }
        Some((path, given)) => Ok((path, given.into())),
        None => match File::open(&own).and_then(Blob::open) {
            Ok(running) => Ok((own, running)),
            Err(cause) => Err(TypesError::NoVmlinux { path: own, cause }),
        },
    }
}

/// `DIR/module.btf` or `DIR/module`.
fn read_given(directory: &Path, module: &str) -> Result<Option<(PathBuf, Vec<u8>)>, TypesError> {
    let failed = |cause| TypesError::Directory {
        dir: directory.into(),
        cause,
    };
    fs::read_dir(directory).map_err(failed)?;
    for name in [format!("{module}.btf"), module.to_owned()] {
        let path = directory.join(name);
        match fs::read(&path) {
            Ok(data) => return Ok(Some((path, data))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(None)
}

/// Structures of the block layer and the driver core that every module's types contain or refer
/// to. Where a module brings its own copy, it must be the running kernel's.
const SHARED: [&str; 8] = [
    "request",
    "request_queue",
    "bio",
    "gendisk",
    "block_device",
    "device",
    "kobject",
    "module",
];

fn difference(vmlinux: &Btf<'_>, module: &Btf<'_>) -> Option<String> {
    SHARED.into_iter().find_map(|name| {
        let (running, given) = (vmlinux.layout(name).ok()?, module.layout(name).ok()?);
        (running != given).then(|| {
            format!(
                "its struct {name} has {} bytes or other members, not {}",
                given.0, running.0
            )
        })
    })
}
