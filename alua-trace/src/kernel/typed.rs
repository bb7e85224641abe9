//! A probe that reads through the kernel's own types instead of copying, where the kernel knows them: loading and
//! attaching it. aya cannot say in which module's types a tracepoint is.

use std::{
    collections::{BTreeMap, HashSet},
    io, mem,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use anyhow::{Context, Result, anyhow};
use aya_obj::{
    Object,
    generated::{bpf_attach_type, bpf_attr, bpf_btf_info, bpf_cmd, bpf_insn, bpf_prog_type},
};

use super::{
    bpf::{call, nothing, open},
    types::TracepointType,
};

/// The probe that may be loaded with the kernel's own types, and its twin that is.
pub(super) const DONE: &str = "scsi_dispatch_cmd_done";
const DONE_TYPED: &str = "scsi_dispatch_cmd_done_typed";

/// The typed twin of [`DONE`]. Where it cannot be loaded, the other one is: the kernel has no types of the module that
/// has the tracepoint (before Linux 5.11), or does not let this process see them.
pub(super) struct Done {
    /// Ready to be loaded for this tracepoint, or why it cannot be.
    program: Result<(Relocated, TracepointType), String>,
    loaded: Option<Typed>,
}

impl Done {
    /// That of `object`, whose maps have these descriptors, for the tracepoint, if the kernel says what that is.
    pub fn new(
        object: &[u8],
        maps: &BTreeMap<String, RawFd>,
        tracepoint: Option<TracepointType>,
    ) -> Self {
        let program = match tracepoint {
            Some(tracepoint) => Relocated::new(object, DONE_TYPED, maps)
                .map(|program| (program, tracepoint))
                .map_err(|error| format!("{error:#}")),
            None => Err("the kernel does not say what the tracepoint's argument is".to_owned()),
        };
        Self {
            program,
            loaded: None,
        }
    }

    /// Loads it: whether the kernel has it. If not, it is not tried again.
    pub fn load(&mut self) -> bool {
        if self.loaded.is_none()
            && let Ok((program, tracepoint)) = &self.program
        {
            match program.load(*tracepoint) {
                Ok(typed) => self.loaded = Some(typed),
                Err(error) => self.program = Err(format!("{error:#}")),
            }
        }
        self.is_loaded()
    }

    /// Attaches what is loaded: whether it is. If not, it is not tried again.
    pub fn attach(&mut self) -> bool {
        let Some(typed) = self.loaded.as_mut() else {
            return false;
        };
        let attached = typed.attach();
        if let Err(error) = &attached {
            self.program = Err(format!("the tracepoint cannot be attached to: {error}"));
            self.loaded = None;
        }
        attached.is_ok()
    }

    /// Why it cannot be used.
    pub fn why_not(&self) -> Option<&str> {
        self.program.as_ref().err().map(String::as_str)
    }

    /// Detaches it; it can be loaded again.
    pub fn unload(&mut self) {
        self.loaded = None;
    }

    pub fn is_loaded(&self) -> bool {
        self.loaded.is_some()
    }

    /// The program's descriptor.
    pub fn fd(&self) -> Option<RawFd> {
        self.loaded.as_ref().map(|it| it.program.as_raw_fd())
    }
}

/// A program of the object, ready to be loaded.
struct Relocated {
    instructions: Vec<bpf_insn>,
}

/// A program that the kernel has, and where it is attached.
struct Typed {
    program: OwnedFd,
    link: Option<OwnedFd>,
}

impl Relocated {
    /// The program `name` of `object`, whose maps have these descriptors. They must stay as they are until it is loaded.
    ///
    /// # Errors
    /// The object has no such program, or other maps.
    fn new(object: &[u8], name: &str, maps: &BTreeMap<String, RawFd>) -> Result<Self> {
        let mut object = Object::parse(object).context("failed to parse the probes")?;
        let declared = mem::take(&mut object.maps);
        let text: HashSet<usize> = object
            .functions
            .keys()
            .map(|(section, _)| *section)
            .collect();
        // One that is missing would be taken for another: they are all in one section.
        let mut opened = Vec::new();
        for (name, map) in &declared {
            let fd = maps.get(name).with_context(|| format!("no map {name}"))?;
            opened.push((name.as_str(), *fd, map));
        }
        object.relocate_maps(opened.into_iter(), &text)?;
        object.relocate_calls(&text)?;
        let program = object.programs.get(name);
        let program = program.with_context(|| format!("no program {name} in the object"))?;
        let function = object.functions.remove(&program.function_key());
        Ok(Self {
            instructions: function.context("the program has no code")?.instructions,
        })
    }

    /// Loads it for a tracepoint.
    ///
    /// # Errors
    /// The kernel's: it is too old for that, or does not let this process.
    fn load(&self, tracepoint: TracepointType) -> Result<Typed> {
        let module = match tracepoint.module {
            Some(module) => Some(module_types(module)?),
            None => None,
        };
        let license = c"Dual MIT/GPL";
        let mut attributes = nothing();
        // SAFETY: this member is what BPF_PROG_LOAD takes, and all zeroes are valid for it.
        let load = unsafe { &mut attributes.__bindgen_anon_3 };
        load.prog_type = bpf_prog_type::BPF_PROG_TYPE_TRACING as u32;
        load.expected_attach_type = bpf_attach_type::BPF_TRACE_RAW_TP as u32;
        load.insns = self.instructions.as_ptr() as u64;
        load.insn_cnt = u32::try_from(self.instructions.len())?;
        load.license = license.as_ptr() as u64;
        load.attach_btf_id = tracepoint.id;
        if let Some(module) = &module {
            load.__bindgen_anon_1.attach_btf_obj_fd = number(module)?;
        }
        let program = match open(bpf_cmd::BPF_PROG_LOAD, &mut attributes) {
            Ok(program) => program,
            Err(error) => return Err(refused(&error, &mut attributes)),
        };
        Ok(Typed {
            program,
            link: None,
        })
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
pub(super) fn verdict(log: &str) -> String {
    let lines: Vec<&str> = log
        .lines()
        .take_while(|line| {
            !line.starts_with("verification time") && !line.starts_with("processed ")
        })
        .collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

impl Typed {
    /// Attaches it, until it is dropped.
    ///
    /// # Errors
    /// The kernel's.
    fn attach(&mut self) -> io::Result<()> {
        let mut attributes = nothing();
        // Where to, the program says.
        attributes.raw_tracepoint.prog_fd = self.program.as_raw_fd() as u32;
        self.link = Some(open(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attributes)?);
        Ok(())
    }
}

/// The types of a module, as the kernel has them.
fn module_types(module: &str) -> Result<OwnedFd> {
    let mut id = 0;
    loop {
        let mut attributes = nothing();
        attributes.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
        call(bpf_cmd::BPF_BTF_GET_NEXT_ID, &mut attributes)
            .with_context(|| format!("the kernel has no types of {module}"))?;
        // SAFETY: the kernel has written it.
        id = unsafe { attributes.__bindgen_anon_6.next_id };
        let mut attributes = nothing();
        attributes.__bindgen_anon_6.__bindgen_anon_1.btf_id = id;
        // One may be gone since.
        let Ok(types) = open(bpf_cmd::BPF_BTF_GET_FD_BY_ID, &mut attributes) else {
            continue;
        };
        if name_of(&types)? == module.as_bytes() {
            return Ok(types);
        }
    }
}

/// The name of types: a module's.
fn name_of(types: &OwnedFd) -> io::Result<Vec<u8>> {
    /// `MODULE_NAME_LEN` is less.
    const LONGEST: usize = 64;
    let mut name = vec![0_u8; LONGEST];
    // SAFETY: all zeroes are a valid one.
    let mut info: bpf_btf_info = unsafe { mem::zeroed() };
    info.name = name.as_mut_ptr() as u64;
    info.name_len = LONGEST as u32;
    let mut attributes = nothing();
    attributes.info.bpf_fd = types.as_raw_fd() as u32;
    attributes.info.info = &raw mut info as u64;
    attributes.info.info_len = size_of::<bpf_btf_info>() as u32;
    call(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(LONGEST));
    Ok(name)
}

fn number(fd: &OwnedFd) -> Result<u32> {
    u32::try_from(fd.as_raw_fd()).map_err(|_| anyhow!("a descriptor that is none"))
}
