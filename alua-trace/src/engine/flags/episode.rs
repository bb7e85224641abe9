//! One episode of block I/O over ports that are not active/optimized: its flag, what it costs, and
//! how it was judged while it lasted.

use super::judgement::{self, LastNonOptimized, NonOptimized};
use crate::{
    engine::paths::Paths,
    model::{AccessState, Baseline, Flag, FlagKind, Judgement, Severity, Verdict},
    stats::LatencyHistogram,
};

/// Judgements kept of one episode; the last one always is.
const MOST_JUDGEMENTS: usize = 64;

#[derive(Debug)]
pub(super) struct Episode {
    pub flag: Flag,
    pub raised: bool,
    pub offending: LatencyHistogram,
    pub optimized: LatencyHistogram,
    /// Median of the optimized commands before the episode.
    before_ns: Option<u64>,
    /// Every path that has offended.
    offences: LastNonOptimized,
    /// Counts of the unit when the episode began.
    pub offences_before: u64,
    pub total_before: u64,
    pub active_at_ns: u64,
}

impl Episode {
    pub fn new(first_at_ns: u64, offences: u64, total: u64) -> Self {
        Self {
            flag: blank(first_at_ns),
            raised: false,
            offending: LatencyHistogram::default(),
            optimized: LatencyHistogram::default(),
            before_ns: None,
            offences: LastNonOptimized::new(),
            offences_before: offences,
            total_before: total,
            active_at_ns: first_at_ns,
        }
    }

    /// Block I/O was dispatched over a path in a state that is not active/optimized.
    pub fn non_optimized(&mut self, hctl: &str, state: AccessState, dispatch_ns: u64) {
        let offence = NonOptimized { state, dispatch_ns };
        match self.offences.get_mut(hctl) {
            Some(last) if last.dispatch_ns < dispatch_ns => *last = offence,
            Some(_) => {}
            None => {
                self.offences.insert(hctl.to_owned(), offence);
            }
        }
    }

    /// Whether this path is among those that have offended.
    pub fn has_carried(&self, hctl: &str) -> bool {
        self.offences.contains_key(hctl)
    }

    pub fn raise(&mut self, paths: &Paths, lun: usize, id: u32, now_ns: u64) {
        let mut before = LatencyHistogram::default();
        for entry in paths.of_lun(lun) {
            entry
                .stats
                .add_block_io(AccessState::Optimized, &mut before);
        }
        self.before_ns = before.percentile_ns(0.5);
        self.raised = true;
        let flag = &mut self.flag;
        flag.id = id;
        flag.raised_at_ns = now_ns;
        if let Some(label) = label(paths, lun) {
            flag.subject = label
                .map
                .clone()
                .or_else(|| label.device.clone())
                .unwrap_or_else(|| label.hctl.clone());
            flag.wwid = label.wwid.clone();
        }
        if let Some(judgement) = judgement::judge(paths, lun, &self.offences) {
            self.judged(judgement, paths, lun);
        }
    }

    /// Judges anew when I/O went on after something had changed; whether that says something else.
    pub fn judge_again(&mut self, paths: &Paths, lun: usize) -> bool {
        let last_ns = self.offences.values().map(|it| it.dispatch_ns).max();
        if last_ns < Some(judgement::changed_at_ns(paths, lun)) {
            return false;
        }
        let Some(mut new) = judgement::judge(paths, lun, &self.offences) else {
            return false;
        };
        if let Some(last) = self.flag.judgements.last_mut()
            && last.verdict == new.verdict
            && last.alternatives == new.alternatives
            && is_part_of(&last.paths, &new.paths)
        {
            // More of the same: the path group's other paths, or a path that comes and goes beside
            // the map.
            let more = last.paths != new.paths || !is_part_of(&new.outside_map, &last.outside_map);
            if !more {
                return false;
            }
            new.at_ns = last.at_ns.max(new.at_ns);
            self.flag.judgements.pop();
        }
        self.judged(new, paths, lun);
        true
    }

    fn judged(&mut self, judgement: Judgement, paths: &Paths, lun: usize) {
        let map = label(paths, lun).and_then(|label| label.map.as_deref());
        let flag = &mut self.flag;
        flag.text = judgement::text(&judgement, map);
        flag.avoidable = match judgement.verdict {
            Verdict::Avoidable => Some(true),
            Verdict::Unavoidable => Some(false),
            Verdict::InTransition => None,
        };
        flag.judgements.push(judgement);
        if flag.judgements.len() > MOST_JUDGEMENTS {
            flag.judgements.remove(MOST_JUDGEMENTS - 1);
            flag.judgements_left_out += 1;
        }
        let avoidable = |it: &Judgement| it.verdict == Verdict::Avoidable;
        flag.severity = if flag.judgements.iter().any(avoidable) {
            Severity::Warning
        } else {
            Severity::Info
        };
    }

    /// Brings the flag's counts and latencies up to date.
    pub fn refresh(&mut self, offences: u64, total: u64) {
        let flag = &mut self.flag;
        // Records may be ahead of the counts, or, when the ring buffer is full, behind them.
        flag.commands = offences
            .saturating_sub(self.offences_before)
            .max(self.offending.len());
        let all = total.saturating_sub(self.total_before).max(flag.commands);
        flag.share = if all == 0 {
            1.0
        } else {
            flag.commands as f64 / all as f64
        };
        flag.p50_ns = self.offending.percentile_ns(0.5);
        let (optimized, baseline) = match self.optimized.percentile_ns(0.5) {
            Some(same) => (Some(same), Some(Baseline::SamePeriod)),
            None => (self.before_ns, self.before_ns.map(|_| Baseline::Before)),
        };
        // While the array is in transition nothing is there to choose, and the path is compared
        // with itself.
        let judgements = &flag.judgements;
        let compares = judgements
            .iter()
            .any(|it| it.verdict != Verdict::InTransition);
        flag.optimized_p50_ns = optimized.filter(|_| compares);
        flag.baseline = baseline.filter(|_| compares);
        flag.paths = self.offences.keys().cloned().collect();
    }
}

fn label(paths: &Paths, lun: usize) -> Option<&crate::model::Path> {
    let labels = || paths.of_lun(lun).map(|entry| &*entry.label);
    labels()
        .find(|label| label.map.is_some())
        .or_else(|| labels().next())
}

fn is_part_of<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    part.iter().all(|one| whole.contains(one))
}

/// A flag of which nothing is known but when it began.
pub(in crate::engine) fn blank(at_ns: u64) -> Flag {
    Flag {
        id: 0,
        kind: FlagKind::NonOptimizedIo,
        severity: Severity::Warning,
        subject: String::new(),
        wwid: None,
        avoidable: None,
        first_at_ns: at_ns,
        last_at_ns: at_ns,
        raised_at_ns: at_ns,
        ended_at_ns: None,
        commands: 0,
        share: 0.0,
        p50_ns: None,
        optimized_p50_ns: None,
        baseline: None,
        paths: Vec::new(),
        judgements: Vec::new(),
        judgements_left_out: 0,
        text: String::new(),
    }
}
