//! alua-trace: which path did every SCSI command take, in which access state, how long did it
//! take.
//!
//! Data flows one way: `kernel` (hooks) → `ingest` (bytes to records) → [`engine`] (pure) →
//! [`stats`] → sinks (`live`, `report`). [`topology`] labels everything. See
//! `docs/architecture.md`.

pub mod alerts;
pub mod cli;
pub mod clock;
pub mod comparison;
pub mod decode;
pub mod doctor;
pub mod engine;
pub mod evidence;
pub mod experiment;
pub mod export;
pub mod format;
pub mod gain;
pub mod gates;
pub mod import;
pub mod inference;
pub mod ingest;
pub mod inventory;
pub mod iscsi;
pub mod json;
pub mod kernel;
pub mod live;
pub mod metrics;
pub mod model;
pub mod multipath_conf;
pub mod out;
pub mod page;
pub mod paths;
pub mod record;
pub mod replay;
pub mod report;
pub mod safe;
pub mod scsi;
pub mod setup;
pub mod sinks;
pub mod stats;
pub mod sysroot;
pub mod topology;
pub mod trace;
pub mod watch;
