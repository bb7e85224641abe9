//! What the running kernel offers, gathered once and again when a module loads: layouts and
//! function addresses.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
    thread::{self, JoinHandle},
};

use alua_trace_ebpf::{
    ABSENT, AluaLayout, BufferLayout, Control, DmLayout, RdacLayout, ScsiLayout,
};

use super::{
    layout::{self, LayoutError},
    machine::Cast,
    pages::{self, PAGES},
    probes::{Facts, Hook, ModuleFacts, TABLE, VMLINUX},
    types::{MODULES, RawTypes, TracepointType, Types, TypesError},
};
use crate::sysroot::{self, SymbolsError, Sysroot};

/// What one look at the kernel found.
#[derive(Debug)]
pub struct KernelFacts {
    root: Sysroot,
    loaded: BTreeMap<&'static str, bool>,
    scsi: Result<ScsiLayout, LayoutError>,
    dm: Result<DmLayout, LayoutError>,
    alua: Result<AluaLayout, LayoutError>,
    rdac: Result<RdacLayout, LayoutError>,
    buffer: Result<BufferLayout, LayoutError>,
    execute_rq_argument: Result<u32, LayoutError>,
    done: Option<TracepointType>,
    cast: Option<Cast>,
    addresses: Addresses,
    /// Where types came from, by module.
    pub sources: Vec<(String, String)>,
}

/// What the code of the probes depends on.
#[derive(Debug, Clone)]
pub struct Target {
    /// Offsets of the SCSI probes.
    pub layout: ScsiLayout,
    /// How probes may load from any address.
    pub cast: Option<Cast>,
    /// The kernel's type of the tracepoint on a command's end.
    pub done: Option<TracepointType>,
}

/// What a trace knows that the probes go by: as in [`Control`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// [`Control::generation`].
    pub generation: u64,
    /// [`Control::bio_based`].
    pub bio_based: bool,
    /// [`Control::cache_states`].
    pub cache_states: bool,
    /// [`Control::routes_known_ns`].
    pub routes_known_ns: u64,
}

impl KernelFacts {
    /// Looks at the kernel. Its symbols, which take the longest, are looked through on a thread, and waited for when
    /// they are needed.
    ///
    /// # Errors
    /// [`TypesError`]: no type information, or one that must not be used.
    pub fn gather(root: &Sysroot, directory: Option<&Path>) -> Result<Self, TypesError> {
        let loaded: BTreeMap<_, _> = MODULES
            .into_iter()
            .map(|module| (module, root.is_loaded(module)))
            .collect();
        let addresses = Addresses::search(root, &loaded);
        let mut raw = RawTypes::read(root, directory)?;
        let sources = raw
            .sources()
            .into_iter()
            .map(|(module, path)| (module, path.display().to_string()))
            .collect();
        let vmlinux = raw.parse_vmlinux()?;
        let types = raw.parse_modules(&vmlinux)?;
        Ok(Self {
            root: root.clone(),
            scsi: layout::scsi(&types),
            dm: layout::dm(&types),
            alua: layout::alua(&types),
            rdac: layout::rdac(&types),
            buffer: layout::buffer(&types),
            execute_rq_argument: vmlinux
                .argument("blk_execute_rq", "request")
                .map_err(LayoutError::from),
            done: TracepointType::find(&types, "scsi_mod", "scsi_dispatch_cmd_done"),
            cast: Cast::find(&vmlinux),
            addresses,
            sources: with_missing(sources, &types, &loaded),
            loaded,
        })
    }

    /// What the probes are loaded for.
    ///
    /// # Errors
    /// What is missing.
    pub fn target(&self) -> Result<Target, LayoutError> {
        Ok(Target {
            layout: self.scsi.clone()?,
            cast: self.cast,
            done: self.done,
        })
    }

    /// What the probes are told of modules that may come and go.
    #[must_use]
    pub fn control(&self, known: &Known) -> Control {
        let address = |name| self.addresses.get()?.get(name).copied();
        // Without the layout the address must not make the probes read.
        let dm_address = |name| address(name).filter(|_| self.dm.is_ok()).unwrap_or(0);
        let buffer = match (&self.buffer, address(PAGES[0]), address(PAGES[1])) {
            (Ok(buffer), Some(page_offset_base), Some(vmemmap_base)) if pages::ARE_VARIABLES => {
                BufferLayout {
                    page_offset_base,
                    vmemmap_base,
                    ..*buffer
                }
            }
            (Ok(buffer), Some(va_bits), Some(vmemmap)) => BufferLayout {
                page_offset: u64::MAX.checked_shl(va_bits as u32).unwrap_or(0),
                vmemmap,
                ..*buffer
            },
            _ => BufferLayout::default(),
        };
        Control {
            generation: known.generation,
            bio_based: u32::from(known.bio_based),
            cache_states: u32::from(known.cache_states),
            routes_known_ns: known.routes_known_ns,
            end_clone_request: dm_address("end_clone_request"),
            clone_endio: dm_address("clone_endio"),
            dm: self.dm.clone().unwrap_or(DmLayout {
                bio_to_mpath_io: ABSENT,
                ..DmLayout::default()
            }),
            alua: self.alua.clone().unwrap_or(layout::no_alua()),
            rdac: self.rdac.clone().unwrap_or(layout::no_rdac()),
            buffer,
            execute_rq_argument: self.execute_rq_argument.clone().unwrap_or(0),
            reserved2: 0,
        }
    }
}

impl Facts for KernelFacts {
    fn module(&self, name: &str) -> ModuleFacts {
        let layout_error = match name {
            "scsi_mod" => self.scsi.as_ref().err(),
            "dm_mod" | "dm_multipath" => self.dm.as_ref().err(),
            "scsi_dh_alua" => self.alua.as_ref().err(),
            "scsi_dh_rdac" => self.rdac.as_ref().err(),
            _ => self
                .execute_rq_argument
                .as_ref()
                .err()
                .or(self.buffer.as_ref().err()),
        };
        ModuleFacts {
            loaded: name == VMLINUX || self.loaded.get(name).copied().unwrap_or(false),
            layout_error: layout_error.map(|error| format!("the kernel's types lack it: {error}")),
        }
    }

    fn has_function(&self, _module: &str, name: &str) -> Option<bool> {
        Some(self.addresses.get()?.contains_key(name))
    }

    fn has_tracepoint(&self, group: &str, name: &str) -> Option<bool> {
        self.root.has_tracepoint(group, name)
    }
}

/// Addresses by function name; `None` when they are hidden.
type Found = Option<BTreeMap<&'static str, u64>>;

/// Addresses of the functions in the table whose modules are loaded.
#[derive(Debug)]
struct Addresses {
    searching: Mutex<Option<JoinHandle<Found>>>,
    found: OnceLock<Found>,
}

impl Addresses {
    fn search(root: &Sysroot, loaded: &BTreeMap<&'static str, bool>) -> Self {
        let (of, loaded) = (root.clone(), loaded.clone());
        let searching = thread::Builder::new()
            .name("symbols".to_owned())
            .spawn(move || addresses(&of, &loaded));
        Self {
            searching: Mutex::new(searching.ok()),
            found: OnceLock::new(),
        }
    }

    /// Waits for them.
    fn get(&self) -> Option<&BTreeMap<&'static str, u64>> {
        let wait = || {
            let mut searching = self
                .searching
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            searching.take()?.join().ok()?
        };
        self.found.get_or_init(wait).as_ref()
    }
}

/// One pass over the symbols.
fn addresses(root: &Sysroot, loaded: &BTreeMap<&'static str, bool>) -> Found {
    let mut wanted = Vec::new();
    for spec in TABLE {
        if let Hook::KProbe(name) | Hook::KRetProbe(name) | Hook::Address(name) = spec.hook
            && !wanted.contains(&(spec.module, name))
            && (spec.module == VMLINUX || loaded.get(spec.module) == Some(&true))
        {
            wanted.push((spec.module, name));
        }
    }
    match sysroot::addresses(root, &wanted) {
        Ok(found) => {
            let names = wanted.into_iter().map(|(_, name)| name);
            let found = names.zip(found).chain(crash_numbers(root));
            Some(found.filter_map(|(name, it)| Some((name, it?))).collect())
        }
        Err(SymbolsError::Restricted | SymbolsError::Io(_)) => None,
        #[expect(unreachable_patterns, reason = "the error may grow")]
        Err(_) => None,
    }
}

/// The numbers in the table that the kernel leaves for readers of crash dumps; none where it does not let them be read.
fn crash_numbers(root: &Sysroot) -> Vec<(&'static str, Option<u64>)> {
    let names = TABLE.iter().filter_map(|spec| match spec.hook {
        Hook::CrashNote(name) => Some(name),
        _ => None,
    });
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return Vec::new();
    }
    let found = sysroot::crash_numbers(root, &names).unwrap_or_default();
    names.into_iter().zip(found).collect()
}

/// Adds the loaded modules that have no types of their own.
fn with_missing(
    mut sources: Vec<(String, String)>,
    types: &Types<'_>,
    loaded: &BTreeMap<&'static str, bool>,
) -> Vec<(String, String)> {
    for module in MODULES {
        if sources.iter().any(|(name, _)| name == module) {
            continue;
        }
        let why = match (loaded.get(module), types.has(module)) {
            (Some(false), _) => "not loaded",
            (_, true) => "in vmlinux: built in",
            _ => "none: this kernel has no BTF for it (--btf DIR)",
        };
        sources.push((module.into(), why.into()));
    }
    sources
}
