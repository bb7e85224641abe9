//! What goes wrong on one path: errors and unit attentions.

use std::collections::VecDeque;

use super::delay::Delay;
use super::scsi::{Reply, Sense};

/// Errors a path answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errors {
    /// None.
    Off,
    /// The next so many reads and writes.
    Next(u64, Failure),
    /// All reads and writes.
    Always(Failure),
}

/// How a command fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// CHECK CONDITION with this sense.
    Sense(Sense),
    /// A status byte without sense, such as 0x08 BUSY.
    Status(u8),
}

/// One path's latency and faults.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Delay of reads and writes.
    pub(crate) delay: Delay,
    /// Errors.
    pub(crate) errors: Errors,
    /// Unit attentions that wait to be told.
    pub(crate) attentions: VecDeque<Sense>,
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            delay: Delay::default(),
            errors: Errors::Off,
            attentions: VecDeque::new(),
        }
    }
}

impl Faults {
    /// Adds a unit attention unless the same one already waits.
    pub(crate) fn attend(&mut self, sense: Sense) {
        if !self.attentions.contains(&sense) {
            self.attentions.push_back(sense);
        }
    }

    /// The error of the next read or write, if it has one.
    pub(crate) fn next_error(&mut self) -> Option<Reply> {
        let failure = match self.errors {
            Errors::Off => return None,
            Errors::Always(failure) => failure,
            Errors::Next(left, failure) => {
                self.errors = if left <= 1 {
                    Errors::Off
                } else {
                    Errors::Next(left - 1, failure)
                };
                failure
            }
        };
        Some(match failure {
            Failure::Sense(sense) => Reply::check(sense),
            Failure::Status(status) => Reply {
                status,
                sense: None,
                data: Vec::new(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_errors_ends() {
        let failure = Failure::Status(8);
        let mut faults = Faults {
            errors: Errors::Next(2, failure),
            ..Faults::default()
        };
        let failed = (0..5).filter(|_| faults.next_error().is_some()).count();
        assert_eq!(failed, 2);
        faults.errors = Errors::Always(failure);
        assert!((0..5).all(|_| faults.next_error().is_some_and(|reply| reply.status == 8)));
    }

    #[test]
    fn the_same_attention_waits_once() {
        let mut faults = Faults::default();
        faults.attend(Sense::STATE_CHANGED);
        faults.attend(Sense::STATE_CHANGED);
        assert_eq!(faults.attentions.len(), 1);
    }
}
