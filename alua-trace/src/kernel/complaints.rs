//! The probes' own complaints (aya-log), read when there is a good moment to print them.

use std::sync::{Arc, Mutex, PoisonError};

use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use super::attach::Probes;

/// The most complaints kept: each probe complains once per CPU and cause.
const MAX_KEPT: usize = 100;

/// Receives complaints.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Log for Kept {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = record.args().to_string();
        if kept.len() < MAX_KEPT && !kept.contains(&text) {
            kept.push(text);
        }
    }

    fn flush(&self) {}
}

/// What the probes have complained of, as far as this process may read it: opening the ring of programs that run takes
/// CAP_SYS_ADMIN. What they complain of is counted, too.
#[must_use]
pub fn complaints(probes: &Probes) -> Vec<String> {
    let kept = Kept::default();
    let logger = probes
        .complaining()
        .and_then(|id| EbpfLogger::init_from_id_with_logger(id, kept.clone()).ok());
    if let Some(mut logger) = logger {
        logger.flush();
    }
    let kept = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
    kept.clone()
}
