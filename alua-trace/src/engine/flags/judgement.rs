//! Whether I/O over ports that are not optimized could have gone elsewhere: offence and alternative
//! from the states of one moment, so that no path is its own alternative.

use std::collections::BTreeMap;

use crate::{
    engine::paths::{Entry, Paths},
    model::{AccessState, Judgement, PathState, Verdict},
};

/// The last offending block I/O of a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct NonOptimized {
    pub state: AccessState,
    pub dispatch_ns: u64,
}

/// By H:C:T:L.
pub(super) type LastNonOptimized = BTreeMap<String, NonOptimized>;

/// Judges a unit by what is known of its paths now. `None` when none of them has offended.
pub(super) fn judge(paths: &Paths, lun: usize, offences: &LastNonOptimized) -> Option<Judgement> {
    let last_ns = offences.values().map(|it| it.dispatch_ns).max()?;
    let present: Vec<&Entry> = paths.of_lun(lun).filter(|entry| entry.present).collect();
    let mut offenders = still_offending(&present, offences);
    // All have another state by now: what holds is the time of the last offence.
    let is_past = offenders.is_empty();
    if is_past {
        offenders = last_offenders(offences, last_ns);
    }
    let mut optimized = present.iter().filter(|entry| {
        entry.label.state == AccessState::Optimized
            && entry.usable
            && !entry.contradicted
            && !(is_past && entry.state_since_ns() > last_ns)
            && offenders.iter().all(|it| it.hctl != entry.label.hctl)
    });
    let has_map = present.iter().any(|entry| entry.label.map.is_some());
    let (mut alternatives, mut outside_map) = (Vec::new(), Vec::new());
    for entry in &mut optimized {
        let list = if has_map && entry.label.map.is_none() {
            &mut outside_map
        } else {
            &mut alternatives
        };
        list.push(entry.label.hctl.clone());
    }
    let transitioning = |state: AccessState| state == AccessState::Transitioning;
    let verdict = if offenders.iter().any(|it| transitioning(it.state)) {
        Verdict::InTransition
    } else if !alternatives.is_empty() {
        Verdict::Avoidable
    } else if !is_past && present.iter().any(|it| transitioning(it.label.state)) {
        Verdict::InTransition
    } else {
        Verdict::Unavoidable
    };
    if verdict == Verdict::InTransition {
        // What the other groups were when this one's transition was met says nothing of what they are
        // in it.
        alternatives.clear();
        outside_map.clear();
    }
    let at_ns = if is_past {
        last_ns
    } else {
        last_ns.max(changed_at_ns(paths, lun))
    };
    Some(Judgement {
        at_ns,
        verdict,
        paths: offenders,
        alternatives,
        outside_map,
    })
}

/// When anything that a judgement goes by last changed.
pub(super) fn changed_at_ns(paths: &Paths, lun: usize) -> u64 {
    let changes = paths.of_lun(lun).map(Entry::changed_at_ns);
    changes.max().unwrap_or(0)
}

/// Paths that have offended in the state that they still have.
fn still_offending(present: &[&Entry], offences: &LastNonOptimized) -> Vec<PathState> {
    let offending = present.iter().filter(|entry| {
        is_non_optimized(entry.label.state)
            && !entry.contradicted
            && offences
                .get(&entry.label.hctl)
                .is_some_and(|it| it.dispatch_ns >= entry.state_since_ns())
    });
    let mut offending: Vec<PathState> = offending
        .map(|entry| PathState {
            hctl: entry.label.hctl.clone(),
            state: entry.label.state,
        })
        .collect();
    offending.sort_by(|a, b| a.hctl.cmp(&b.hctl));
    offending
}

fn last_offenders(offences: &LastNonOptimized, last_ns: u64) -> Vec<PathState> {
    let last = offences.iter().filter(|(_, it)| it.dispatch_ns == last_ns);
    last.map(|(hctl, it)| PathState {
        hctl: hctl.clone(),
        state: it.state,
    })
    .collect()
}

/// Block I/O in this state is worth a flag.
pub(super) fn is_non_optimized(state: AccessState) -> bool {
    !matches!(state, AccessState::Optimized | AccessState::Unknown)
}

/// What a judgement says, in a sentence.
pub(super) fn text(judgement: &Judgement, map: Option<&str>) -> String {
    let over: Vec<&str> = judgement.paths.iter().map(|it| it.hctl.as_str()).collect();
    let over = over.join(" ");
    let mut text = match judgement.verdict {
        Verdict::Avoidable => format!(
            "I/O goes over {over}, not active/optimized, although {} {} active/optimized and usable",
            judgement.alternatives.join(" "),
            is_or_are(&judgement.alternatives),
        ),
        Verdict::Unavoidable => format!(
            "I/O goes over {over}, not active/optimized: no active/optimized path is usable"
        ),
        Verdict::InTransition => {
            format!("the array is in transition: I/O goes over {over} until it has new states")
        }
    };
    if let (Some(map), false) = (map, judgement.outside_map.is_empty()) {
        text.push_str(&format!(
            "; {} {} active/optimized, but not in {map}: multipathd has not added {}",
            judgement.outside_map.join(" "),
            is_or_are(&judgement.outside_map),
            if judgement.outside_map.len() == 1 {
                "it"
            } else {
                "them"
            },
        ));
    }
    text
}

fn is_or_are(paths: &[String]) -> &'static str {
    if paths.len() == 1 { "is" } else { "are" }
}
