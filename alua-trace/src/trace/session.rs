//! One trace: logs drained, topology followed, flags raised, outputs fed.
//!
//! A single thread on a timer: the probes never wake it. It drains their logs every [`POLL`] and reads
//! the probes' counts when an interval ends or their sum of block I/O on paths that are not
//! active/optimized has moved. What may take its time is on threads of its own: looking at the
//! topology ([`super::scanner`]), rendering and writing ([`super::outputs`]).

use std::{os::fd::OwnedFd, time::Duration};

use anyhow::Result;
use rustix::process::Signal;
use tokio::time::sleep;

use super::{
    Extras,
    attached::{Attached, is_bio_based, refuse_without_required},
    beginning::{start_line, wanted},
    counting::Counting,
    draining::Filling,
    ending::exit_status,
    feed::Feed,
    load::{self, Load, Running},
    network::Network,
    outputs::Outputs,
    placement,
    recording::Recording,
    scanner::{Scan, Scanner, Unannounced},
    signals::{self, EndSignals},
    slots::{self, Slots},
    waiting::{announcement, listen_to_uevents, timer},
};
use crate::{
    cli::RunConfig,
    clock::{cpu_ns, monotonic_ns},
    engine::{Input, Wants},
    gates,
    ingest::inbox::Inbox,
    kernel::{
        attach::{self, Probes},
        complaints::complaints,
        facts::{KernelFacts, Known},
        probes,
        recycling::Recycling,
    },
    model::CountingChange,
    record::Snapshots,
    sysroot::Sysroot,
    topology::Topology,
};

/// How often the logs are drained while they are nearly empty: a flag is raised at most this much after its cause.
pub(super) const POLL: Duration = Duration::from_millis(50);
/// The same while commands are counted: the logs have what is rare, and counts are read when an interval ends.
const POLL_COUNTED: Duration = Duration::from_millis(200);
/// How often topology and modules are looked at without an announcement, while there is I/O: the kernel announces devices,
/// maps, failed paths and modules, and the probes announce states.
const LOOK: Duration = Duration::from_secs(10);
/// At most so often announcements make it look.
const ANNOUNCED_LOOK_NS: u64 = 100_000_000;
/// How long a flag waits for a fresh look at the topology before it is raised without.
const FLAG_PATIENCE_NS: u64 = 250_000_000;
/// How often the paths' counts are read while a flag is up: there may be thousands, by CPU.
const COUNTS_WHILE_FLAGGED_NS: u64 = 200_000_000;
/// How often they are read at least, however long an interval is: a command that hangs on an idle path shows in
/// them alone.
const COUNTS_NS: u64 = 2_000_000_000;
/// How often the probes' slots are read while a path is silent.
const IN_FLIGHT_NS: u64 = 50_000_000;
/// Why a trace ends.
enum End {
    /// Its time is over, the user said so, or nobody reads any more.
    Asked,
    /// COMMAND ended with this status.
    Command(i32),
}

/// A trace.
pub(super) struct Session<'config> {
    pub(super) config: &'config RunConfig,
    pub(super) root: Sysroot,
    pub(super) attached: Attached,
    pub(super) inbox: Inbox,
    pub(super) counting: Counting,
    pub(super) slots: Slots,
    pub(super) feed: Feed,
    pub(super) outputs: Outputs,
    pub(super) scanner: Scanner,
    unannounced: Unannounced,
    network: Network,
    pub(super) signals: EndSignals,
    /// When the last scan was asked for.
    pub(super) looked_at_ns: u64,
    /// Something changed since then.
    pub(super) announced: bool,
    /// Since when a flag waits for a scan.
    pub(super) flag_waits_since_ns: Option<u64>,
    /// Block I/O on paths that are not active/optimized, when last counted.
    pub(super) not_optimized: u64,
    /// When the paths' counts were last read.
    pub(super) counted_at_ns: u64,
    pub(super) recycling: Recycling,
    /// When the probes' slots were last read for commands in flight.
    in_flight_at_ns: u64,
    /// How fast the logs fill.
    pub(super) filling: Filling,
    /// Processor time that the start took.
    pub(super) cpu_at_start_ns: u64,
    /// Has the kernel measure the probes, if the user asked for that.
    _measuring: Option<OwnedFd>,
    snapshots: Snapshots,
    /// Modules that were unloaded under the trace.
    pub(super) unloaded: Vec<&'static str>,
}

impl<'config> Session<'config> {
    /// Loads and attaches. Nothing stays behind when it fails: probes go with the process.
    pub fn start(
        config: &'config RunConfig,
        root: Sysroot,
        facts: KernelFacts,
        (topology, maps): (&Topology, &[String]),
        extras: Extras,
    ) -> Result<Self> {
        let target = facts.target();
        if target.is_err() {
            // The plan says what to do about it.
            refuse_without_required(&probes::plan(&facts))?;
        }
        let devices = topology.devices().len();
        let (mut probes, inbox) = Probes::load(target?, config.ring_bytes, devices)?;
        let plan = probes::plan(&facts);
        refuse_without_required(&plan)?;
        let known = Known {
            generation: 1,
            bio_based: is_bio_based(topology),
            ..Known::default()
        };
        probes.set_control(&facts.control(&known))?;
        let with_setup = config.record.is_some();
        let mut scanner = Scanner::start(root.clone(), config.btf.clone(), &facts, with_setup)?;
        let recording = config.record.as_ref();
        let recording = recording.map(|to| Recording::create(to, &root, maps, &config.command));
        let recording = recording.transpose()?;
        let mut feed = Feed::new(wanted(config, maps), recording);
        feed.take(monotonic_ns(), Input::Topology(topology));
        let refusing = feed.engine.refusing();
        // The start line has the paths as they are.
        feed.engine.take_lines();
        let counting = Counting::start(config.telling, &inbox)?;
        let measuring = config.cost.then(attach::measure).transpose()?;
        let mut attached = Attached::new(probes, plan, facts, known);
        attached.attach(&refusing)?;
        let started_at_ns = monotonic_ns();
        attached.settled_from(started_at_ns);
        feed.take(started_at_ns, Input::Begin);
        // Before the live view: whoever ends the trace gets the terminal back.
        let signals = EndSignals::new()?.on_hang_up(extras.on_hang_up);
        let start = start_line(&root, &attached, &feed, started_at_ns);
        feed.start(&start);
        if counting.is_on() {
            feed.take(started_at_ns, Input::Counting(CountingChange::Asked));
        }
        let outputs = Outputs::open(config, &start, maps, extras.outputs)?;
        let snapshots = extras.snapshots;
        if feed.recording.as_ref().is_some_and(Recording::is_window) {
            snapshots.keep();
        }
        // What the probes may rely on, and the set-up, come with it.
        scanner.ask(started_at_ns, true);
        Ok(Self {
            config,
            attached,
            inbox,
            counting,
            slots: Slots::new(),
            feed,
            outputs,
            scanner,
            unannounced: Unannounced::default(),
            network: Network::start(root.clone())?,
            root,
            signals,
            looked_at_ns: started_at_ns,
            announced: false,
            flag_waits_since_ns: None,
            not_optimized: 0,
            counted_at_ns: 0,
            recycling: Recycling::default(),
            in_flight_at_ns: 0,
            filling: Filling::default(),
            cpu_at_start_ns: cpu_ns(),
            _measuring: measuring,
            snapshots,
            unloaded: Vec::new(),
        })
    }

    /// Runs to its end; gives the exit status.
    pub async fn run(mut self, load: Load) -> Result<u8> {
        let mut load = load.start(load::Wanted {
            keep: self.outputs.is_live(),
            record: self.config.record.is_some(),
        })?;
        let placed = placement::apply(&self.config.placement);
        let end = match placed {
            Ok(()) => self.follow(&mut load).await?,
            Err(_) => End::Asked,
        };
        if load.exists() && matches!(end, End::Asked) {
            load.signal(Signal::TERM);
            self.drain_until(load.ended()).await?;
        }
        placed?;
        let command_status = match end {
            End::Command(status) => Some(status),
            End::Asked => None,
        };
        self.last_look().await?;
        // While the programs are there.
        let complaints = complaints(&self.attached.probes);
        let summary = self.finish(command_status).await?;
        let compared = self.compare_counted(&summary);
        let outcomes = gates::outcomes(&self.config.gates, &summary);
        self.outputs.leave_live(&mut self.signals).await;
        if let (Some(recording), Some(printed)) = (&mut self.feed.recording, load.printed()) {
            recording.recorder.printed(printed);
        }
        load.print_output();
        let mut unsaid = self.outputs.finish(summary, &mut self.signals).await;
        if let Some(recording) = self.feed.recording {
            unsaid.extend(recording.close(&mut self.signals).await);
        }
        for complaint in complaints {
            eprintln!("alua-trace: the probes say: {complaint}");
        }
        compared?;
        let gates = gates::told(&self.config.gates, "trace", &outcomes)?;
        Ok(match exit_status(command_status, &self.unloaded, &unsaid) {
            status if gates == 0 || command_status.is_some_and(|it| it != 0) => status,
            _ => gates,
        })
    }

    async fn follow(&mut self, load: &mut Running) -> Result<End> {
        // Without announcements the look every [`LOOK`] still finds what changed.
        let mut uevents = listen_to_uevents();
        let (mut poll, mut look) = (timer(POLL), timer(LOOK));
        let mut interval = timer(self.config.interval);
        let window = self
            .feed
            .recording
            .as_ref()
            .is_some_and(Recording::is_window);
        let mut snapshots = window.then(signals::snapshots).transpose()?;
        let deadline = self.config.duration.map(sleep);
        tokio::pin!(deadline);
        while !self.outputs.is_over() {
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
                () = signals::asked(&mut snapshots) => {
                    if let Some(recording) = &mut self.feed.recording {
                        recording.trigger();
                    }
                }
                () = self.snapshots.asked() => {
                    if let Some(recording) = &mut self.feed.recording {
                        recording.trigger();
                    }
                }
                _ = poll.tick() => {
                    self.poll()?;
                    let at_most = if self.counting.is_on() { POLL_COUNTED } else { POLL };
                    poll.reset_after(self.filling.next(at_most));
                }
                scan = self.scanner.next() => self.scanned(scan?)?,
                seen = self.network.next() => {
                    self.feed.take(seen.at_ns, Input::Connections(&seen.connections));
                }
                _ = interval.tick() => self.interval()?,
                _ = look.tick() => if self.unannounced.is_due() {
                    self.scanner.ask(monotonic_ns(), false);
                },
                () = announcement(&mut uevents) => self.announced = true,
                () = self.outputs.obey_keys() => {}
            }
        }
        Ok(End::Asked)
    }

    /// Drains the ring and raises flags.
    fn poll(&mut self) -> Result<()> {
        self.drain();
        let now_ns = monotonic_ns();
        self.change_over(now_ns);
        if self.announced && now_ns.saturating_sub(self.looked_at_ns) >= ANNOUNCED_LOOK_NS {
            self.look(now_ns);
        }
        self.attached.settle(now_ns)?;
        let global = self.attached.global_counts();
        self.attached.probes.tables.top_up(&global)?;
        let has_offended = global.not_optimized != self.not_optimized && self.may_count(now_ns);
        if has_offended || now_ns.saturating_sub(self.counted_at_ns) >= COUNTS_NS {
            self.read_counts()?;
        }
        let wants = self.obey()?;
        if wants.in_flight {
            self.look_at_those_in_flight(now_ns)?;
        }
        if self.may_tick(now_ns, wants.scan) {
            self.tick();
        }
        self.outputs.say_failures(now_ns);
        if let Some(recording) = &mut self.feed.recording {
            if let Some(what) = recording.new_failure() {
                self.outputs.say_failure(now_ns, &what);
            }
            for what in recording.news(&self.snapshots) {
                self.outputs.say_text(now_ns, &what);
            }
        }
        Ok(())
    }

    /// While a path is silent: what is in flight there, and since when.
    fn look_at_those_in_flight(&mut self, now_ns: u64) -> Result<()> {
        if now_ns.saturating_sub(self.in_flight_at_ns) < IN_FLIGHT_NS {
            return Ok(());
        }
        self.in_flight_at_ns = now_ns;
        let commands = self.attached.probes.tables.in_flight()?;
        self.feed
            .take(now_ns, Input::InFlight(&slots::of_paths(&commands)));
        Ok(())
    }

    fn interval(&mut self) -> Result<()> {
        self.read_counts()?;
        self.feed.take(monotonic_ns(), Input::Interval);
        self.say();
        Ok(())
    }

    pub(super) fn say(&mut self) {
        let lines = self.feed.lines();
        if !lines.is_empty() {
            self.outputs.say(lines);
        }
    }

    /// Whether the paths' counts are worth reading: at once when I/O begins to go over ports that are
    /// not active/optimized, now and then while it goes on.
    fn may_count(&mut self, now_ns: u64) -> bool {
        !self.feed.engine.is_flagged()
            || now_ns.saturating_sub(self.counted_at_ns) >= COUNTS_WHILE_FLAGGED_NS
    }

    /// Tells the counts of every path that the probes have met. What has completed is taken right after what has been
    /// dispatched was read: the rest is in flight.
    pub(super) fn read_counts(&mut self) -> Result<()> {
        let global = self.attached.global_counts();
        let (slots, feed) = (&mut self.slots, &mut self.feed);
        let tables = &self.attached.probes.tables;
        let now_ns = monotonic_ns();
        slots.meet(&global, tables, &mut |input| feed.take(now_ns, input));
        slots.read_counts(tables);
        self.drain();
        self.take_counted();
        let per_path = self.slots.take_changed();
        if !per_path.is_empty() {
            self.unannounced.io();
        }
        self.not_optimized = global.not_optimized;
        self.counted_at_ns = monotonic_ns();
        self.feed
            .take(self.counted_at_ns, Input::Counts(&global, &per_path));
        Ok(())
    }

    /// Asks for a look at topology and modules.
    pub(super) fn look(&mut self, now_ns: u64) {
        self.announced = false;
        self.looked_at_ns = now_ns;
        self.scanner.ask(now_ns, true);
    }

    /// Whether flags may be raised: whether I/O could have gone elsewhere is judged by what is true
    /// now, so that they wait for a scan that begins after their cause, but not for long.
    fn may_tick(&mut self, now_ns: u64, scan: bool) -> bool {
        if !scan {
            self.flag_waits_since_ns = None;
            return true;
        }
        let since_ns = match self.flag_waits_since_ns {
            Some(since_ns) => since_ns,
            None => {
                self.flag_waits_since_ns = Some(now_ns);
                self.look(now_ns);
                now_ns
            }
        };
        now_ns.saturating_sub(since_ns) >= FLAG_PATIENCE_NS
    }

    pub(super) fn tick(&mut self) {
        self.flag_waits_since_ns = None;
        self.feed.take(monotonic_ns(), Input::Tick);
        self.say();
    }

    /// Does what the engine wants of the probes; gives what else it wants.
    fn obey(&mut self) -> Result<Wants> {
        let wants = self.feed.engine.wants();
        for id in &wants.retire {
            self.attached.probes.tables.retire_path(*id);
        }
        self.attached.follow_retired()?;
        Ok(wants)
    }

    /// Takes what a look found, and makes the probes read again what they cached.
    pub(super) fn scanned(&mut self, scan: Scan) -> Result<()> {
        if let Some(facts) = scan.facts {
            self.follow_modules(facts?);
        }
        self.drain();
        let tables = &mut self.attached.probes.tables;
        tables.expect_devices(scan.topology.devices().len());
        if let (Some(setup), Some(recording)) = (scan.setup, &mut self.feed.recording) {
            recording.recorder.setup(*setup);
        }
        self.feed
            .take(scan.began_ns, Input::Topology(&scan.topology));
        self.obey()?;
        self.attached.follow_refusals(&self.feed.engine.refusing());
        self.attached.scanned(&scan.topology, scan.began_ns)?;
        self.recycle()?;
        if self
            .flag_waits_since_ns
            .is_some_and(|since_ns| scan.began_ns >= since_ns)
        {
            // The counts were read path by path: the first dispatch may be on one that was read
            // too early.
            self.read_counts()?;
            self.tick();
        }
        self.say();
        Ok(())
    }

    /// Gives ids back that nothing stands for any more.
    fn recycle(&mut self) -> Result<()> {
        let probes = &mut self.attached.probes;
        let (global, generation) = (probes.tables.global_counts(), probes.generation()?);
        let tables = &mut probes.tables;
        let unused = self
            .recycling
            .look(tables, &global, generation, monotonic_ns())?;
        self.attached.follow_retired()?;
        // What ended before the commands in flight were read is in the ring, or counted.
        self.drain();
        self.take_counted();
        let at_ns = monotonic_ns();
        let tables = &mut self.attached.probes.tables;
        for id in &unused.paths {
            let last = self.slots.counts_of(*id, tables);
            self.feed.take(at_ns, Input::PathRetired(*id, &last));
            self.slots.forget_path(*id);
            tables.free_path(*id)?;
        }
        for id in &unused.routes {
            self.slots.forget_route(*id);
            tables.free_route(*id)?;
        }
        self.recycling.freed(&unused);
        Ok(())
    }

    fn follow_modules(&mut self, facts: KernelFacts) {
        let now_ns = monotonic_ns();
        for module in self.attached.follow_modules(facts, now_ns) {
            self.unloaded.push(module);
            self.feed.take(now_ns, Input::ModuleUnloaded(module));
        }
    }
}
