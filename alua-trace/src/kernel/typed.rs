//! A probe that reads through the kernel's own types instead of copying, where the kernel knows them: loading and
//! attaching it.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
};

use anyhow::{Context, Result, anyhow};
use aya_obj::generated::{bpf_attach_type, bpf_btf_info, bpf_cmd, bpf_prog_type};

use super::{
    bpf::{call, nothing, open},
    hooks,
    object::{Code, Object},
    types::TracepointType,
};

/// The probe that may be loaded with the kernel's own types, and its twin that is.
pub(super) const DONE: &str = "scsi_dispatch_cmd_done";
const DONE_TYPED: &str = "scsi_dispatch_cmd_done_typed";

/// The typed twin of [`DONE`]. Where it cannot be loaded, the other one is: the kernel has no types of the module that
/// has the tracepoint (before Linux 5.11), or does not let this process see them.
pub(super) struct Done {
    /// The tracepoint that it can be loaded for, or why it cannot be.
    tracepoint: Result<TracepointType, String>,
    program: Option<OwnedFd>,
    link: Option<OwnedFd>,
}

impl Done {
    /// For the tracepoint, if the kernel says what that is.
    pub fn new(tracepoint: Option<TracepointType>) -> Self {
        let none = || "the kernel does not say what the tracepoint's argument is".to_owned();
        Self {
            tracepoint: tracepoint.ok_or_else(none),
            program: None,
            link: None,
        }
    }

    /// Loads that of `object`: whether the kernel has it. If not, it is not tried again.
    pub fn load(&mut self, object: &Object) -> bool {
        if self.program.is_none()
            && let Ok(tracepoint) = self.tracepoint
        {
            match object
                .code(DONE_TYPED)
                .and_then(|code| load(code, tracepoint))
            {
                Ok(program) => self.program = Some(program),
                Err(error) => self.tracepoint = Err(format!("{error:#}")),
            }
        }
        self.is_loaded()
    }

    /// Attaches what is loaded: whether it is. If not, it is not tried again.
    pub fn attach(&mut self) -> bool {
        let Some(program) = &self.program else {
            return false;
        };
        // Where to, the program says.
        match hooks::raw_tracepoint(program.as_fd(), None) {
            Ok(link) => self.link = Some(link),
            Err(error) => {
                self.tracepoint = Err(format!("{error:#}"));
                self.program = None;
            }
        }
        self.link.is_some()
    }

    /// Why it cannot be used.
    pub fn why_not(&self) -> Option<&str> {
        self.tracepoint.as_ref().err().map(String::as_str)
    }

    /// Detaches it; it can be loaded again.
    pub fn unload(&mut self) {
        (self.link, self.program) = (None, None);
    }

    pub fn is_loaded(&self) -> bool {
        self.program.is_some()
    }

    /// The program's descriptor.
    pub fn fd(&self) -> Option<RawFd> {
        self.program.as_ref().map(AsRawFd::as_raw_fd)
    }
}

/// Loads code for a tracepoint.
///
/// # Errors
/// The kernel's: it is too old for that, or does not let this process.
fn load(code: &Code, tracepoint: TracepointType) -> Result<OwnedFd> {
    let module = tracepoint.module.map(module_types).transpose()?;
    let module = module.as_ref().map(number).transpose()?;
    code.load_as(|load| {
        load.prog_type = bpf_prog_type::BPF_PROG_TYPE_TRACING as u32;
        load.expected_attach_type = bpf_attach_type::BPF_TRACE_RAW_TP as u32;
        load.attach_btf_id = tracepoint.id;
        if let Some(module) = module {
            load.__bindgen_anon_1.attach_btf_obj_fd = module;
        }
    })
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
