//! What the running kernel offers and how the probes get into it: BTF, layouts, the probe table,
//! the plan, loading and attaching.
//!
//! Only `attach`, `object`, `hooks`, `machine`, `tables`, `typed`, `bpf`, `complaints` (and `ingest::ring`) know aya. No
//! kernel version decides anything here: what counts is what BTF, symbols and the kernel's own answers say.

pub mod attach;
mod bpf;
pub mod btf;
pub mod code;
pub mod complaints;
pub mod facts;
mod hooks;
pub mod layout;
pub mod machine;
pub mod object;
mod pages;
pub mod probes;
pub mod recycling;
pub mod tables;
mod typed;
pub mod types;
