//! Who owned one logical unit when: its tenures and transfers, of which the latest are kept.

use std::collections::VecDeque;

use crate::engine::book::Subject;
use crate::model::{Load, Ownership, Tenure, Transfer};

/// Transfers, and tenures between them, kept per logical unit.
const KEPT: usize = 256;

/// The past of one logical unit.
#[derive(Debug, Default)]
pub(super) struct History {
    tenures: VecDeque<Tenure>,
    transfers: VecDeque<Transfer>,
    left_out: u64,
    began_ns: Option<u64>,
}

impl History {
    /// The present owner is known since `at_ns`, unless one was known before.
    pub fn begin(&mut self, at_ns: u64) {
        self.began_ns.get_or_insert(at_ns);
    }

    /// Since when the present owner is known.
    pub fn began_ns(&self) -> Option<u64> {
        self.began_ns
    }

    /// A transfer is over, and with it the tenure of the owner before.
    pub fn moved(&mut self, transfer: Transfer, load: Option<Load>) {
        let began_ns = self.began_ns.unwrap_or(transfer.started_at_ns);
        self.push(
            transfer.from.clone(),
            (began_ns, transfer.started_at_ns),
            load,
        );
        self.began_ns = Some(transfer.ended_at_ns);
        if self.transfers.len() == KEPT {
            self.transfers.pop_front();
            self.left_out += 1;
        }
        self.transfers.push_back(transfer);
    }

    fn push(
        &mut self,
        owner: Vec<String>,
        (began_at_ns, ended_at_ns): (u64, u64),
        load: Option<Load>,
    ) {
        if self.tenures.len() > KEPT {
            self.tenures.pop_front();
        }
        self.tenures.push_back(Tenure {
            owner,
            began_at_ns: began_at_ns.min(ended_at_ns),
            ended_at_ns,
            load: load.unwrap_or(Load {
                commands: 0,
                iops: 0.0,
                p50_ns: None,
                p99_ns: None,
            }),
        });
    }

    /// The end of the last transfer, while its I/O after is not known.
    pub fn wants_after(&self) -> Option<u64> {
        let last = self.transfers.back().filter(|last| last.after.is_none());
        last.map(|last| last.ended_at_ns)
    }

    /// The I/O after the last transfer.
    pub fn after(&mut self, load: Option<Load>) {
        if let Some(last) = self.transfers.back_mut() {
            last.after = load;
        }
    }

    /// All of it at `now_ns`, with the tenure that goes on then.
    pub fn finish(
        &mut self,
        subject: &Subject,
        owner: Vec<String>,
        load: Option<Load>,
        now_ns: u64,
    ) -> Ownership {
        let began_ns = self.began_ns.unwrap_or(now_ns);
        self.push(owner, (began_ns, now_ns), load);
        Ownership {
            subject: subject.name.clone(),
            wwid: subject.wwid.clone(),
            tenures: std::mem::take(&mut self.tenures).into(),
            transfers: std::mem::take(&mut self.transfers).into(),
            transfers_left_out: self.left_out,
        }
    }
}
