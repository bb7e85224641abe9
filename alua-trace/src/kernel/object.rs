//! The probes' object on its way into the kernel: its maps made, its programs ready to be loaded one by one.
//!
//! aya has a loader that does it all. It begins by reading every type of the kernel into memory, which nothing here needs
//! (`EbpfLoader::new`): 17 MiB, more than all the rest of a trace.

use std::{
    collections::{BTreeMap, HashSet},
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use anyhow::{Context, Result, anyhow, ensure};
use aya::maps::MapData;
use aya_obj::{
    EbpfSectionKind, ProgramSection,
    generated::{bpf_attr, bpf_attr__bindgen_ty_4, bpf_cmd, bpf_insn, bpf_prog_type},
};

use super::bpf::{nothing, open, set_value};

/// What is mapped begins on a page, so that no slot lies across two cache lines, and the collector may map it.
const BPF_F_MMAPABLE: u32 = 1 << 10;

const LICENSE: &std::ffi::CStr = c"Dual MIT/GPL";

/// How large a map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many entries.
    Entries(u32),
    /// One entry of so many bytes: memory that programs address directly.
    Bytes(u32),
}

/// Sizes that are not in the object file, by a map's name.
pub type Sizes = BTreeMap<&'static str, Size>;

/// The object: its maps live as long as it does, for programs know them by the numbers of their descriptors.
pub struct Object {
    maps: BTreeMap<String, MapData>,
    programs: BTreeMap<String, Code>,
}

impl Object {
    /// Makes the maps of an object file, of these `sizes` where the file's are not what is wanted.
    ///
    /// # Errors
    /// The kernel refuses a map: not permitted, or too old.
    pub fn new(file: &[u8], sizes: &Sizes) -> Result<Self> {
        let mut object = aya_obj::Object::parse(file).context("failed to parse the probes")?;
        let mut declared = mem::take(&mut object.maps);
        for (name, size) in sizes {
            let map = declared.get_mut(*name);
            let map = map.with_context(|| format!("no map {name} in the object"))?;
            match *size {
                Size::Entries(entries) => map.set_max_entries(entries),
                Size::Bytes(bytes) => map.set_value_size(bytes),
            }
        }
        let mut maps = BTreeMap::new();
        for (name, map) in &declared {
            maps.insert(name.clone(), make(name, map)?);
        }
        let text: HashSet<usize> = object.functions.keys().map(|it| it.0).collect();
        let known = declared.iter().filter_map(|(name, map)| {
            let fd = maps.get(name)?.fd().as_fd().as_raw_fd();
            Some((name.as_str(), fd, map))
        });
        object.relocate_maps(known, &text)?;
        object.relocate_calls(&text)?;
        let mut programs = BTreeMap::new();
        for (name, program) in &object.programs {
            let code = object.functions.get(&program.function_key());
            let code = code.with_context(|| format!("program {name} has no code"))?;
            programs.insert(
                name.clone(),
                Code {
                    instructions: code.instructions.clone(),
                    kind: kind(&program.section)?,
                },
            );
        }
        Ok(Self { maps, programs })
    }

    /// A map for whoever uses it: of the kind that the caller takes it for, or nothing that is done with it succeeds.
    ///
    /// # Errors
    /// There is no such map.
    pub fn map(&self, name: &str) -> Result<MapData> {
        let fd = self.fd(name)?.try_clone_to_owned()?;
        MapData::from_fd(fd).with_context(|| format!("failed to open map {name}"))
    }

    /// A map's descriptor.
    ///
    /// # Errors
    /// As [`Self::map`].
    pub fn fd(&self, name: &str) -> Result<BorrowedFd<'_>> {
        let map = self.maps.get(name);
        Ok(map
            .with_context(|| format!("no map {name} in the object"))?
            .fd()
            .as_fd())
    }

    /// The code of a program.
    ///
    /// # Errors
    /// There is no such program.
    pub fn code(&self, name: &str) -> Result<&Code> {
        let code = self.programs.get(name);
        code.with_context(|| format!("no program {name} in the object"))
    }
}

fn make(name: &str, map: &aya_obj::Map) -> Result<MapData> {
    let is_memory = map.section_kind() == EbpfSectionKind::Bss;
    let to_map = if is_memory { BPF_F_MMAPABLE } else { 0 };
    // Without the zeroes that it begins with, which would be copied.
    let bare = aya_obj::Map::new_from_params(
        map.map_type(),
        map.key_size(),
        map.value_size(),
        map.max_entries(),
        map.map_flags() | to_map,
    );
    let failed = || format!("the kernel does not take the probes' map {name}");
    let made = MapData::create(bare, name, None).with_context(failed)?;
    if matches!(
        map.section_kind(),
        EbpfSectionKind::Rodata | EbpfSectionKind::Data
    ) {
        set_value(made.fd().as_fd(), map.data()).with_context(failed)?;
    }
    Ok(made)
}

fn kind(section: &ProgramSection) -> Result<bpf_prog_type> {
    Ok(match section {
        ProgramSection::RawTracePoint => bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT,
        ProgramSection::KProbe | ProgramSection::KRetProbe => bpf_prog_type::BPF_PROG_TYPE_KPROBE,
        other => return Err(anyhow!("the object has a program of kind {other:?}")),
    })
}

/// A program, ready to be loaded.
pub struct Code {
    instructions: Vec<bpf_insn>,
    kind: bpf_prog_type,
}

impl Code {
    /// Loads it.
    ///
    /// # Errors
    /// The kernel's, with what its verifier says.
    pub fn load(&self) -> Result<OwnedFd> {
        self.load_as(|load| load.prog_type = self.kind as u32)
    }

    /// Loads it as what `say` makes of it.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(super) fn load_as(&self, say: impl FnOnce(&mut bpf_attr__bindgen_ty_4)) -> Result<OwnedFd> {
        ensure!(!self.instructions.is_empty(), "the program has no code");
        let mut attributes = nothing();
        // SAFETY: this member is what BPF_PROG_LOAD takes, and all zeroes are valid for it.
        let load = unsafe { &mut attributes.__bindgen_anon_3 };
        load.insns = self.instructions.as_ptr() as u64;
        load.insn_cnt = u32::try_from(self.instructions.len())?;
        load.license = LICENSE.as_ptr() as u64;
        say(load);
        open(bpf_cmd::BPF_PROG_LOAD, &mut attributes)
            .map_err(|error| refused(&error, &mut attributes))
    }
}

/// What the verifier says to a program that it has refused with `error`: asked again, because a log costs time.
fn refused(error: &io::Error, attributes: &mut bpf_attr) -> anyhow::Error {
    /// `BPF_LOG_STATS` is not asked for: the reason is in the last lines.
    const INSTRUCTIONS: u32 = 1;
    let mut log = vec![0_u8; 1 << 20];
    // SAFETY: the member that BPF_PROG_LOAD takes; it was filled.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.log_level = INSTRUCTIONS;
    load.log_buf = log.as_mut_ptr() as u64;
    load.log_size = log.len() as u32;
    // What was refused is refused again; a log that is longer than its buffer has its end all the same (Linux 6.4).
    let _ = open(bpf_cmd::BPF_PROG_LOAD, attributes);
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    anyhow!(
        "the kernel refuses the program: {error}; {}",
        verdict(&String::from_utf8_lossy(&log[..end]))
    )
}

/// The verifier's reason: what it says last before its statistics.
fn verdict(log: &str) -> String {
    let lines: Vec<&str> = log
        .lines()
        .take_while(|line| {
            !line.starts_with("verification time") && !line.starts_with("processed ")
        })
        .collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}
