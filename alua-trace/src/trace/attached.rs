//! The probes of a trace: which are planned and attached, as modules come and go, and what they are
//! told.

use std::slice;

use alua_trace_ebpf::GlobalCounts;
use anyhow::{Result, bail};

use super::scanner::OPTIONAL_MODULES;
use crate::{
    kernel::{
        attach::Probes,
        facts::{KernelFacts, Known},
        probes::{self, Facts, Planned},
    },
    model::{Probe, ProbeStatus},
    topology::Topology,
};

/// How long the probes that see states change must have been attached before slots may cache
/// states: an RTPG that was under way when they were attached files its answer unseen.
const SETTLE_NS: u64 = 1_000_000_000;
/// How far the collector raises the generation; the probes raise it by one.
const GENERATION_STEP: u64 = 1 << 20;

/// The probes, their plan, and the kernel's facts it was made from.
pub(super) struct Attached {
    pub probes: Probes,
    plan: Vec<Planned>,
    facts: KernelFacts,
    /// What the probes were told last; its generation is theirs to raise.
    known: Known,
    /// When the last probe was attached.
    attached_at_ns: u64,
}

impl Attached {
    /// Probes that were loaded, none of them attached.
    ///
    /// # Errors
    /// A probe without which there is no trace is not in `plan`.
    pub fn new(probes: Probes, plan: Vec<Planned>, facts: KernelFacts, known: Known) -> Self {
        Self {
            probes,
            plan,
            facts,
            known,
            attached_at_ns: 0,
        }
    }

    /// Attaches what is planned, and what handlers that refuse I/O need.
    ///
    /// # Errors
    /// A probe without which there is no trace cannot be attached.
    pub fn attach(&mut self, refusing: &[&str]) -> Result<()> {
        self.demand(refusing);
        self.probes.attach(&mut self.plan);
        refuse_without_required(&self.plan)
    }

    /// From now on states may be seen to change.
    pub fn settled_from(&mut self, now_ns: u64) {
        self.attached_at_ns = now_ns;
    }

    /// Every probe of the plan and what became of it.
    pub fn report(&self) -> Vec<Probe> {
        self.plan.iter().map(Planned::report).collect()
    }

    /// Plans the probes on demand of handlers that refuse I/O now; gives their places in the plan.
    fn demand(&mut self, refusing: &[&str]) -> Vec<usize> {
        let mut wanted = Vec::new();
        for (index, planned) in self.plan.iter_mut().enumerate() {
            let handler = planned.spec.module.trim_start_matches("scsi_dh_");
            // Without the module no path has the handler.
            if planned.spec.on_demand
                && planned.status == ProbeStatus::NotApplicable
                && refusing.contains(&handler)
            {
                planned.set(ProbeStatus::Ok, String::new(), "");
                wanted.push(index);
            }
        }
        wanted
    }

    /// Attaches the probes that count what handlers refuse, once there is something to refuse.
    pub fn follow_refusals(&mut self, refusing: &[&str]) {
        for index in self.demand(refusing) {
            self.probes.attach(slice::from_mut(&mut self.plan[index]));
        }
    }

    /// Attaches probes of modules that have loaded; gives those that are gone.
    pub fn follow_modules(&mut self, facts: KernelFacts, now_ns: u64) -> Vec<&'static str> {
        let before = OPTIONAL_MODULES.map(|module| self.facts.module(module).loaded);
        self.facts = facts;
        let mut gone = Vec::new();
        for (module, was_loaded) in OPTIONAL_MODULES.into_iter().zip(before) {
            let is_loaded = self.facts.module(module).loaded;
            if was_loaded && !is_loaded {
                gone.push(module);
            }
            if was_loaded != is_loaded {
                self.replan(module, now_ns);
            }
        }
        gone
    }

    fn replan(&mut self, module: &str, now_ns: u64) {
        (self.known.cache_states, self.known.routes_known_ns) = (false, 0);
        self.attached_at_ns = now_ns;
        let of_module = |planned: &&mut Planned| planned.spec.module == module;
        for planned in self.plan.iter_mut().filter(of_module) {
            self.probes.detach(planned.spec.name);
            *planned = probes::plan_one(planned.spec, &self.facts);
            self.probes.attach(slice::from_mut(planned));
        }
    }

    /// Lets the probes cache states as soon as every change of one is seen.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub fn settle(&mut self, now_ns: u64) -> Result<()> {
        if self.known.cache_states
            || !self.sees_state_changes()
            || now_ns.saturating_sub(self.attached_at_ns) < SETTLE_NS
        {
            return Ok(());
        }
        self.known.cache_states = true;
        self.tell()
    }

    fn sees_state_changes(&self) -> bool {
        self.has_all(&probes::STATE_CHANGES)
    }

    /// Whether these probes are attached.
    fn has_all(&self, names: &[&str]) -> bool {
        self.plan
            .iter()
            .filter(|planned| names.contains(&planned.spec.name))
            .all(|planned| planned.status == ProbeStatus::Ok)
    }

    /// After a look that began at `began_ns`: the probes read again what they cached.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub fn scanned(&mut self, topology: &Topology, began_ns: u64) -> Result<()> {
        self.known.bio_based = is_bio_based(topology);
        let known = topology.has_one_route_a_path()
            && began_ns > self.attached_at_ns
            && self.has_all(&[probes::TABLE_CHANGES]);
        self.known.routes_known_ns = if known { began_ns } else { 0 };
        self.tell()
    }

    /// Has the probes look at their tables again, if an id there was retired.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub fn follow_retired(&mut self) -> Result<()> {
        if self.probes.tables.has_retired() {
            self.tell()?;
        }
        Ok(())
    }

    /// From here on changes of states may go unseen.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub fn stop_caching(&mut self) -> Result<()> {
        self.known.cache_states = false;
        self.tell()
    }

    /// Makes the probes read again what they cached, and tells them what has changed.
    ///
    /// # Errors
    /// The control map cannot be accessed: does not happen on a running trace.
    fn tell(&mut self) -> Result<()> {
        // A large step: the probes may increment it between this read and the write, and everything
        // they cached until then must still compare as older.
        self.known.generation = self.probes.generation()? + GENERATION_STEP;
        self.probes.set_control(&self.facts.control(&self.known))
    }

    /// Counts that belong to no path.
    pub fn global_counts(&self) -> GlobalCounts {
        self.probes.tables.global_counts()
    }
}

/// Whether a map is bio-based.
pub(super) fn is_bio_based(topology: &Topology) -> bool {
    topology.maps().iter().any(|map| map.bio_based)
}

/// Fails when a probe without which there is no trace is not planned, or could not be attached.
///
/// # Errors
/// Names the probe, the reason, and what to do about it.
pub(super) fn refuse_without_required(plan: &[Planned]) -> Result<()> {
    let missing = plan
        .iter()
        .find(|p| p.spec.required && p.status != ProbeStatus::Ok);
    if let Some(Planned {
        spec,
        reason,
        remedy,
        ..
    }) = missing
    {
        bail!("cannot trace without {}: {reason}; {remedy}", spec.name);
    }
    Ok(())
}
