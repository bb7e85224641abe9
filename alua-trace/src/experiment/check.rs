//! Whether a factor is what it is called: an MTU that changes no frame on the wire shows nothing.

use anyhow::{Context, Result, bail};

use super::{
    journal::{Journal, Try},
    plan::{Kind, Plan},
};
use crate::comparison::{self, Condition};

/// Frames of an I/O at one MTU, to those at another: with less there is none to speak of.
const LEAST_RATIO: f64 = 1.2;

/// Looks at the runs of the block that differ from the last one in its MTU alone.
///
/// # Errors
/// The frames of each I/O do not change with it, or nobody knows how many there are.
pub(super) fn frames(plan: &Plan, journal: &Journal, of: Try) -> Result<()> {
    let factors = plan.factors.iter().enumerate();
    for (nth, factor) in factors.filter(|(_, factor)| factor.kind == Kind::Mtu) {
        let factorial = plan.factorial()?;
        let own = factorial.levels_of(of.cell);
        let differs_in_it_alone = |cell: &usize| {
            let levels = factorial.levels_of(*cell);
            let differ = (0..levels.len()).filter(|it| levels[*it] != own[*it]);
            differ.eq([nth])
        };
        let frames = |cell: usize| -> Result<Option<f64>> {
            let Some(run) = journal.done.run_of(of.block, cell) else {
                return Ok(None);
            };
            let frames = of_run(plan, journal, &run.recording)?;
            Ok(Some(frames.with_context(|| {
                format!(
                    "nobody knows the frames of each I/O, so that {} shows nothing: no path of the maps goes over an \
                     iSCSI session with a network interface of this host",
                    factor.name
                )
            })?))
        };
        let Some(here) = frames(of.cell)? else {
            continue;
        };
        for cell in (0..factorial.cells()).filter(differs_in_it_alone) {
            let Some(there) = frames(cell)? else { continue };
            if here.max(there) < LEAST_RATIO * here.min(there) {
                bail!(
                    "{} shows nothing: {here:.2} frames per I/O with {}, {there:.2} with {}. An offload puts frames \
                     together, or the I/O are too small; switch TSO, GSO and GRO off (`ethtool -K`), or give the load \
                     larger ones",
                    factor.name,
                    plan.name_of(of.cell, " "),
                    plan.name_of(cell, " "),
                );
            }
        }
    }
    Ok(())
}

fn of_run(plan: &Plan, journal: &Journal, recording: &str) -> Result<Option<f64>> {
    let run = comparison::run_of(&[journal.dir().join(recording)], &plan.maps, None)?;
    Ok(run.condition(Condition::Frames))
}
