//! What was noticed lately about a logical unit, in words: the evidence of its transfers.

use std::collections::VecDeque;

use crate::format;

/// Notes kept per logical unit.
const KEPT: usize = 64;
/// Sentences of evidence per transfer.
const SENTENCES: usize = 16;
/// How long before a transfer something may have led to it.
const BEFORE_NS: u64 = 10_000_000_000;

/// Notes in the order of their time.
#[derive(Debug, Default)]
pub(super) struct Notes(VecDeque<(u64, String)>);

impl Notes {
    /// Adds one; the same words again within the notes kept are said once, the first time.
    pub fn push(&mut self, at_ns: u64, text: String) {
        let recent = |(other, _): &&(u64, String)| at_ns.saturating_sub(*other) < BEFORE_NS;
        if self
            .0
            .iter()
            .filter(recent)
            .any(|(_, known)| *known == text)
        {
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((at_ns, text));
    }

    /// What was noted around a transfer that began at `start_ns`, up to `until_ns` and not before
    /// `since_ns`; the latest when there is too much.
    pub fn evidence(&self, since_ns: u64, start_ns: u64, until_ns: u64) -> Vec<String> {
        let first = since_ns.max(start_ns.saturating_sub(BEFORE_NS));
        let near: Vec<String> = self
            .0
            .iter()
            .filter(|(at_ns, _)| (first..=until_ns).contains(at_ns))
            .map(|(at_ns, text)| format!("{} {text}", relative(*at_ns, start_ns)))
            .collect();
        near[near.len().saturating_sub(SENTENCES)..].to_vec()
    }
}

/// `+1.20 ms` or `-35.0 µs`, as seen from `start_ns`.
fn relative(at_ns: u64, start_ns: u64) -> String {
    let sign = if at_ns < start_ns { '-' } else { '+' };
    format!("{sign}{}:", format::latency(Some(at_ns.abs_diff(start_ns))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_near_bounded_and_said_once() {
        let mut notes = Notes::default();
        notes.push(0, "long ago".to_owned());
        for at in 1..=100 {
            notes.push(BEFORE_NS + at, format!("note {at}"));
        }
        notes.push(BEFORE_NS + 101, "note 100".to_owned());
        assert_eq!(notes.0.len(), KEPT);
        let evidence = notes.evidence(0, BEFORE_NS + 99, BEFORE_NS + 200);
        assert_eq!(evidence.len(), SENTENCES);
        assert_eq!(evidence[14..], ["+0 ns: note 99", "+1 ns: note 100"]);
        assert_eq!(evidence[13], "-1 ns: note 98");
        assert!(notes.evidence(BEFORE_NS + 100, 0, u64::MAX).len() == 1);
    }
}
