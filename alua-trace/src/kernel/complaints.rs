//! The probes' own complaints (aya-log), kept until there is a good moment to print them.

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

/// What the probes complain of.
pub struct Complaints {
    logger: Option<EbpfLogger<Kept>>,
    kept: Kept,
}

impl Complaints {
    /// Listens to the probes.
    pub fn new(probes: &mut Probes) -> Self {
        let kept = Kept::default();
        // Without the map the probes were built without a complaint.
        let logger = EbpfLogger::init_with_logger(probes.ebpf_mut(), kept.clone()).ok();
        Self { logger, kept }
    }

    /// Every complaint so far.
    pub fn all(&mut self) -> Vec<String> {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        self.kept
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
