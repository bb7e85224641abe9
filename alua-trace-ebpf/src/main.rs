//! The probes: programs on the kernel's SCSI, dm-multipath and device-handler code.
//!
//! One file per kernel subsystem. No kernel offset is compiled in: SCSI and block offsets are put
//! into the code when it is loaded (`kernel::constant`), those of modules that may load later come in the
//! `CONTROL` map. Nothing here decides what a state or a latency means; that is the collector's.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    target_arch = "bpf",
    feature(asm_experimental_arch, core_intrinsics),
    allow(
        internal_features,
        reason = "the target adds atomically but core::sync::atomic does not offer it"
    )
)]

#[cfg(target_arch = "bpf")]
mod alua;
#[cfg(target_arch = "bpf")]
mod dm_events;
#[cfg(target_arch = "bpf")]
mod dm_multipath;
#[cfg(target_arch = "bpf")]
mod ended;
#[cfg(target_arch = "bpf")]
mod globals;
#[cfg(target_arch = "bpf")]
mod histograms;
#[cfg(target_arch = "bpf")]
mod in_flight;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod logs;
#[cfg(target_arch = "bpf")]
mod management;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod path;
#[cfg(target_arch = "bpf")]
mod rdac;
#[cfg(target_arch = "bpf")]
mod rejected;
#[cfg(target_arch = "bpf")]
mod scsi;
#[cfg(target_arch = "bpf")]
mod shortcuts;
#[cfg(target_arch = "bpf")]
mod table;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
