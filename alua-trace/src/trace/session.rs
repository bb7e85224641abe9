//! One trace: probes attached, ring drained, topology followed, flags raised, sinks fed.
//!
//! A single thread on a timer: the probes never wake it. It drains the ring every [`POLL`],
//! looks at the topology every few seconds and whenever the kernel announces a change, and reads the
//! probes' counts when an interval ends or their sum of block I/O on paths that are not
//! active/optimized has moved.

use std::{collections::HashMap, time::Duration};

use alua_trace_ebpf::{PathCounts, PathSlot, RouteSlot, command_flag};
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::{
    io::unix::AsyncFd,
    signal::unix::{Signal as Signals, SignalKind, signal},
    time::{Instant, Interval as Timer, MissedTickBehavior, interval_at, sleep},
};

use super::{
    complaints::Complaints,
    load::{Load, Running},
    sinks::Sinks,
};
use crate::{
    cli::RunConfig,
    clock::{monotonic_ns, wall_unix_ns},
    engine::{Engine, Event, Tables},
    ingest::{self, Record, ring::Ring},
    kernel::{
        attach::Probes,
        facts::KernelFacts,
        probes::{self, Facts, Planned},
    },
    model::{Line, ProbeStatus, SCHEMA, Start, Summary},
    sysroot::Sysroot,
    topology::{self, DmControl, Topology, Uevents},
};

/// How often the ring is drained: it holds several times what arrives in between, and a flag is
/// raised at most this much after its cause.
const POLL: Duration = Duration::from_millis(50);
/// How often topology and modules are looked at without an announcement: the kernel announces
/// devices, maps, failed paths and modules, and the probes announce states.
const LOOK: Duration = Duration::from_secs(5);
/// At most so often announcements make it look.
const ANNOUNCED_LOOK_NS: u64 = 100_000_000;
/// How long the probes that see states change must have been attached before slots may cache
/// states: an RTPG that was under way when they were attached files its answer unseen.
const SETTLE_NS: u64 = 1_000_000_000;
/// How far the collector raises the generation; the probes raise it by one.
const GENERATION_STEP: u64 = 1 << 20;
/// Records per drain before signals and timers get their turn.
const DRAIN_LIMIT: usize = 65_536;
/// How long a program that is being detached may still run: a grace period of the kernel's.
const GRACE: Duration = Duration::from_millis(20);
/// Modules that may come and go while tracing.
const OPTIONAL_MODULES: [&str; 4] = ["dm_mod", "dm_multipath", "scsi_dh_alua", "scsi_dh_rdac"];

/// Why a trace ends.
enum End {
    /// Its time is over, the user said so, or nobody reads any more.
    Asked,
    /// COMMAND ended with this status.
    Command(i32),
}

/// A trace.
pub(super) struct Session<'config> {
    config: &'config RunConfig,
    root: Sysroot,
    facts: KernelFacts,
    plan: Vec<Planned>,
    probes: Probes,
    complaints: Complaints,
    ring: Ring,
    engine: Engine,
    sinks: Sinks,
    signals: EndSignals,
    bio_based: bool,
    started_at_ns: u64,
    looked_at_ns: u64,
    /// When the last probe was attached.
    attached_at_ns: u64,
    /// The probes may cache states.
    cache_states: bool,
    /// Something changed since the last look.
    announced: bool,
    /// Paths the probes had met when the path table was last read.
    paths_met: u64,
    /// Modules that were unloaded under the trace.
    unloaded: Vec<String>,
}

/// The probes' tables, as the engine asks for them.
struct KernelTables<'a>(&'a Probes);

impl Tables for KernelTables<'_> {
    fn path(&self, id: u16) -> Option<PathSlot> {
        self.0.path(id).ok().flatten()
    }

    fn route(&self, id: u16) -> Option<RouteSlot> {
        self.0.route(id).ok().flatten()
    }
}

impl<'config> Session<'config> {
    /// Loads and attaches. Nothing stays behind when it fails: probes go with the process.
    pub fn start(
        config: &'config RunConfig,
        root: Sysroot,
        facts: KernelFacts,
        topology: &Topology,
        maps: &[String],
    ) -> Result<Self> {
        let mut plan = probes::plan(&facts);
        refuse_without_required(&plan)?;
        let layout = facts.scsi()?;
        let bio_based = topology.maps().iter().any(|map| map.bio_based);
        let ring_bytes = config
            .ring_bytes
            .max(u32::try_from(rustix::param::page_size())?);
        let (mut probes, ring) =
            Probes::load(&layout, &facts.control(1, bio_based, false), ring_bytes)?;
        let complaints = Complaints::new(&mut probes);
        let mut engine = Engine::new(maps.to_vec(), monotonic_ns());
        engine.topology(topology, monotonic_ns());
        engine.take_events();
        demand(&mut plan, &engine);
        probes.attach(&mut plan);
        let started_at_ns = monotonic_ns();
        refuse_without_required(&plan)?;
        engine.begin(started_at_ns);
        // Before the live view: whoever ends the trace gets the terminal back.
        let signals = EndSignals::new()?;
        let start = start_line(&root, &plan, &engine, started_at_ns);
        let sinks = Sinks::open(config, &start, maps)?;
        Ok(Self {
            config,
            root,
            facts,
            plan,
            probes,
            complaints,
            ring: Ring::new(ring),
            engine,
            sinks,
            signals,
            bio_based,
            started_at_ns,
            looked_at_ns: started_at_ns,
            attached_at_ns: started_at_ns,
            cache_states: false,
            announced: false,
            paths_met: 0,
            unloaded: Vec::new(),
        })
    }

    /// Runs to its end; gives the exit status.
    pub async fn run(mut self, load: Load) -> Result<u8> {
        let mut load = load.start(self.sinks.is_live())?;
        let end = self.follow(&mut load).await?;
        if load.exists() && matches!(end, End::Asked) {
            load.signal(Signal::TERM);
            load.ended().await?;
        }
        let command_status = match end {
            End::Command(status) => Some(status),
            End::Asked => None,
        };
        let summary = self.finish(command_status).await?;
        self.sinks.leave_live();
        load.print_output();
        self.sinks.finish(&summary)?;
        for complaint in self.complaints.all() {
            eprintln!("alua-trace: the probes say: {complaint}");
        }
        Ok(self.exit_status(command_status))
    }

    fn exit_status(&self, command_status: Option<i32>) -> u8 {
        match command_status {
            Some(status) if status != 0 => u8::try_from(status).unwrap_or(1),
            _ if !self.unloaded.is_empty() => {
                eprintln!(
                    "alua-trace: {} was unloaded while tracing: the trace is incomplete; keep it \
                     loaded and trace again",
                    self.unloaded.join(", ")
                );
                2
            }
            _ => 0,
        }
    }

    async fn follow(&mut self, load: &mut Running) -> Result<End> {
        // Without announcements the look every [`LOOK`] still finds what changed.
        let mut uevents = listen_to_uevents();
        let (mut poll, mut look) = (timer(POLL), timer(LOOK));
        let mut interval = timer(self.config.interval);
        let deadline = self.config.duration.map(sleep);
        tokio::pin!(deadline);
        while !self.sinks.is_closed() {
            tokio::select! {
                biased;
                status = load.ended() => return Ok(End::Command(status?)),
                signal = self.signals.next() => {
                    // The terminal has sent its own signal to COMMAND, too.
                    if !load.exists() {
                        return Ok(End::Asked);
                    }
                    load.signal(signal);
                }
                () = async { match deadline.as_mut().as_pin_mut() {
                    Some(deadline) => deadline.await,
                    None => std::future::pending().await,
                } } => return Ok(End::Asked),
                _ = poll.tick() => self.poll()?,
                _ = interval.tick() => self.interval()?,
                _ = look.tick() => self.look()?,
                () = announcement(&mut uevents) => self.announced = true,
            }
        }
        Ok(End::Asked)
    }

    /// Drains the ring and raises flags.
    fn poll(&mut self) -> Result<()> {
        self.drain()?;
        let now_ns = monotonic_ns();
        if self.announced && now_ns.saturating_sub(self.looked_at_ns) >= ANNOUNCED_LOOK_NS {
            self.look()?;
        }
        if !self.cache_states
            && self.sees_state_changes()
            && now_ns.saturating_sub(self.attached_at_ns) >= SETTLE_NS
        {
            self.cache_states = true;
            self.tell_probes()?;
        }
        let global = self.probes.global_counts()?;
        if global.not_optimized != self.engine.not_optimized() {
            // A path whose first command has not completed has no record yet. Reading the whole
            // table costs too much to do it for every new path.
            if global.paths != self.paths_met {
                self.paths_met = global.paths;
                self.read_ids()?;
            }
            self.read_counts()?;
        }
        if self.engine.wants_topology() {
            // Whether I/O could have gone elsewhere is judged by what is true now. The counts were
            // read path by path: the first dispatch may be on one that was read too early.
            self.look()?;
            self.read_counts()?;
        }
        self.engine.tick(monotonic_ns());
        self.say_events()
    }

    fn drain(&mut self) -> Result<()> {
        loop {
            let (engine, sinks, announced) =
                (&mut self.engine, &mut self.sinks, &mut self.announced);
            let tables = KernelTables(&self.probes);
            let each = self.config.commands;
            let mut failed = None;
            let drained = self.ring.drain(DRAIN_LIMIT, |record| match record {
                Ok(Record::Command(record)) => {
                    engine.command(&record, &tables);
                    if each && let Some(command) = engine.describe(&record) {
                        failed = failed.take().or(sinks.say(Line::Command(command)).err());
                    }
                }
                Ok(Record::Rtpg(record)) => {
                    engine.filed(&record, &tables);
                    // The kernel has filed new states: sysfs has those of idle paths.
                    *announced = true;
                }
                Ok(Record::Management(bytes)) => {
                    engine.management(&ingest::management(bytes), &tables);
                }
                Ok(Record::Dm(bytes)) => engine.dm(&ingest::dm(bytes)),
                Err(_) => engine.undecodable(),
            });
            if let Some(error) = failed {
                return Err(error);
            }
            if drained < DRAIN_LIMIT || self.sinks.is_closed() {
                return Ok(());
            }
        }
    }

    fn interval(&mut self) -> Result<()> {
        self.drain()?;
        self.read_counts()?;
        let interval = self.engine.interval(self.started_at_ns, monotonic_ns());
        self.say_events()?;
        self.sinks.say(Line::Interval(interval))
    }

    fn say_events(&mut self) -> Result<()> {
        for event in self.engine.take_events() {
            self.sinks.say(match event {
                Event::Path(event) => Line::Path(event),
                Event::Flag(event) => Line::Flag(event),
                Event::Transfer(event) => Line::Transfer(*event),
            })?;
        }
        Ok(())
    }

    fn read_counts(&mut self) -> Result<()> {
        let global = self.probes.global_counts()?;
        let per_path: Vec<(u16, PathCounts)> = self
            .engine
            .kernel_ids()
            .iter()
            .map(|id| Ok((*id, self.probes.counts(*id)?)))
            .collect::<Result<_>>()?;
        self.engine.counts(global, &per_path, monotonic_ns());
        Ok(())
    }

    /// Looks at topology and modules, and makes the probes read again what they cached.
    fn look(&mut self) -> Result<()> {
        self.announced = false;
        self.follow_modules()?;
        // Before the scan: what a command saw while it ran is fresher.
        self.looked_at_ns = monotonic_ns();
        let topology = topology::scan(&self.root, &DmControl::new(&self.root));
        self.engine.topology(&topology, self.looked_at_ns);
        for id in self.engine.take_stale_ids() {
            self.probes.retire(id)?;
        }
        self.bio_based = topology.maps().iter().any(|map| map.bio_based);
        self.follow_refusals();
        self.tell_probes()
    }

    /// Attaches the probes that count what handlers refuse, once there is something to refuse.
    fn follow_refusals(&mut self) {
        for index in demand(&mut self.plan, &self.engine) {
            self.probes
                .attach(std::slice::from_mut(&mut self.plan[index]));
        }
    }

    fn sees_state_changes(&self) -> bool {
        self.plan
            .iter()
            .filter(|planned| probes::STATE_CHANGES.contains(&planned.spec.name))
            .all(|planned| planned.status == ProbeStatus::Ok)
    }

    /// Makes the probes read again what they cached, and tells them what has changed.
    fn tell_probes(&mut self) -> Result<()> {
        // By much: the probes may raise it meanwhile, and what they read before that must still be
        // older than what is written here.
        let generation = self.probes.generation()? + GENERATION_STEP;
        self.probes.set_control(
            &self
                .facts
                .control(generation, self.bio_based, self.cache_states),
        )
    }

    /// Attaches probes of modules that have loaded, and says which are gone.
    fn follow_modules(&mut self) -> Result<()> {
        let changed = OPTIONAL_MODULES
            .iter()
            .any(|module| self.root.is_loaded(module) != self.facts.module(module).loaded);
        if !changed {
            return Ok(());
        }
        let before = OPTIONAL_MODULES.map(|module| self.facts.module(module).loaded);
        self.facts = KernelFacts::gather(&self.root, self.config.btf.as_deref())?;
        for (module, was_loaded) in OPTIONAL_MODULES.iter().zip(before) {
            let is_loaded = self.facts.module(module).loaded;
            if was_loaded && !is_loaded {
                self.unloaded.push((*module).into());
                self.engine.module_unloaded(module, monotonic_ns());
            }
            if was_loaded != is_loaded {
                self.replan(module);
            }
        }
        Ok(())
    }

    fn replan(&mut self, module: &str) {
        self.cache_states = false;
        self.attached_at_ns = monotonic_ns();
        for planned in self
            .plan
            .iter_mut()
            .filter(|planned| planned.spec.module == module)
        {
            self.probes.detach(planned.spec.name);
            *planned = probes::plan_one(planned.spec, &self.facts);
            self.probes.attach(std::slice::from_mut(planned));
        }
    }

    /// Reads the kernel's own count of runs it left out; programs tell it while they are loaded.
    fn read_misses(&mut self) {
        let missed = self.probes.missed_runs();
        self.engine.missed_runs(missed);
    }

    /// Takes the probes down so that every count is final, and sums up.
    async fn finish(&mut self, command_status: Option<i32>) -> Result<Summary> {
        let ended_at_ns = monotonic_ns();
        // From here on changes of states may go unseen.
        self.cache_states = false;
        self.tell_probes()?;
        // The start goes first: what it has counted can still be seen to end.
        self.read_misses();
        for spec in probes::TABLE.iter().rev() {
            self.probes.detach(spec.name);
            if spec.name == "scsi_dispatch_cmd_start" {
                sleep(GRACE).await;
                self.drain()?;
            }
        }
        sleep(GRACE).await;
        self.drain()?;
        self.read_ids()?;
        if self.engine.has_unknown_paths() {
            let topology = topology::scan(&self.root, &DmControl::new(&self.root));
            self.engine.topology(&topology, monotonic_ns());
        }
        self.read_counts()?;
        self.engine.tick(monotonic_ns());
        self.say_events()?;
        let mut in_flight: HashMap<u16, u64> = HashMap::new();
        for command in self.probes.in_flight()? {
            // Those that timed out are counted as that.
            let timed_out = command.followed.has(command_flag::LATE);
            *in_flight.entry(command.followed.path()).or_default() += u64::from(!timed_out);
        }
        let finished = self.engine.finish(monotonic_ns(), &|id| {
            in_flight.get(&id).copied().unwrap_or(0)
        });
        self.say_events()?;
        let losses = self.engine.losses();
        let mut summary = Summary {
            duration_ns: ended_at_ns.saturating_sub(self.started_at_ns),
            complete: false,
            incomplete_because: Vec::new(),
            paths: finished.paths,
            flags: finished.flags,
            ownership: finished.ownership,
            holds: finished.holds,
            losses,
            probes: self.plan.iter().map(Planned::report).collect(),
            command_status,
        };
        summary.incomplete_because = self.incomplete_because(&summary);
        if finished.left_out > 0 {
            summary.incomplete_because.push(format!(
                "{} flags or events about ownership found no room",
                finished.left_out
            ));
        }
        summary.complete = summary.incomplete_because.is_empty();
        Ok(summary)
    }

    /// Paths whose commands never completed have no record: their ids are only in the table.
    fn read_ids(&mut self) -> Result<()> {
        for id in self.probes.path_ids()? {
            self.engine.resolve(id, &KernelTables(&self.probes));
        }
        Ok(())
    }

    fn incomplete_because(&self, summary: &Summary) -> Vec<String> {
        let losses = &summary.losses;
        let mut because = Vec::new();
        for (count, what) in [
            (
                losses.ring_full,
                "completed commands found the ring buffer full (--ring-bytes)",
            ),
            (losses.untracked, "commands found no slot to be followed in"),
            (
                losses.superseded,
                "commands were dispatched again before their end was seen",
            ),
            (
                losses.implausible,
                "records had a completion before their dispatch",
            ),
            (losses.undecodable, "records could not be decoded"),
            (
                losses.path_table_full,
                "commands went to devices beyond the path table",
            ),
            (
                losses.route_table_full,
                "commands came by routes beyond the route table",
            ),
            (losses.failed_reads, "reads of kernel memory failed"),
            (
                losses.missed_runs,
                "runs of a probe were left out by the kernel",
            ),
        ] {
            if count > 0 {
                because.push(format!("{count} {what}"));
            }
        }
        for probe in &summary.probes {
            if matches!(probe.status, ProbeStatus::Unsupported | ProbeStatus::Broken) {
                because.push(format!("no {}: {}", probe.name, probe.lost_without));
            }
        }
        for module in &self.unloaded {
            because.push(format!("{module} was unloaded while tracing"));
        }
        because
    }
}

fn start_line(root: &Sysroot, plan: &[Planned], engine: &Engine, started_at_ns: u64) -> Start {
    let now_ns = monotonic_ns();
    Start {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").into(),
        kernel: root.kernel_release().unwrap_or_default(),
        wall_unix_ns: wall_unix_ns().saturating_sub(now_ns.saturating_sub(started_at_ns)),
        started_at_ns,
        probes: plan.iter().map(Planned::report).collect(),
        paths: engine.shown_paths(),
    }
}

/// Plans the probes on demand for handlers that refuse I/O now; gives their places in the plan.
fn demand(plan: &mut [Planned], engine: &Engine) -> Vec<usize> {
    let mut wanted = Vec::new();
    for (index, planned) in plan.iter_mut().enumerate() {
        let handler = planned.spec.module.trim_start_matches("scsi_dh_");
        // Without the module no path has the handler.
        if planned.spec.on_demand
            && planned.status == ProbeStatus::NotApplicable
            && engine.refuses(handler)
        {
            planned.set(ProbeStatus::Ok, String::new(), "");
            wanted.push(index);
        }
    }
    wanted
}

fn refuse_without_required(plan: &[Planned]) -> Result<()> {
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

/// A timer whose first tick comes after its first period, and that does not catch up.
fn timer(period: Duration) -> Timer {
    let mut timer = interval_at(Instant::now() + period, period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

fn listen_to_uevents() -> Option<AsyncFd<Uevents>> {
    let uevents = Uevents::open().ok()?;
    // SAFETY: `Uevents` owns its socket, gives the same descriptor until it is dropped, and
    // `AsyncFd` keeps it from being dropped or replaced before.
    unsafe { AsyncFd::register(uevents) }.ok()
}

/// Waits for an announcement that matters.
async fn announcement(uevents: &mut Option<AsyncFd<Uevents>>) {
    let Some(uevents) = uevents else {
        return std::future::pending().await;
    };
    loop {
        let Ok(mut ready) = uevents.readable_mut().await else {
            return std::future::pending().await;
        };
        let matters = ready.get_inner_mut().drain();
        ready.clear_ready();
        if matters {
            return;
        }
    }
}

/// Signals that ask for the end.
struct EndSignals {
    interrupt: Signals,
    terminate: Signals,
    hang_up: Signals,
}

impl EndSignals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen to signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
        }
    }
}
