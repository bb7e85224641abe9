//! `scsi_dh_rdac`: when it moves logical units by MODE SELECT.

use alua_trace_ebpf::handler;
use aya_ebpf::{
    macros::{kprobe, kretprobe},
    programs::{ProbeContext, RetProbeContext},
};

use crate::management;

/// `static void send_mode_select(struct work_struct *work)`
#[kprobe]
pub fn send_mode_select(_ctx: ProbeContext) -> u32 {
    management::work_begins(handler::RDAC);
    0
}

#[kretprobe]
pub fn send_mode_select_return(_ctx: RetProbeContext) -> u32 {
    management::work_ends();
    0
}
