//! The array's state, shared by its paths: what a command is answered, how long that takes, and
//! what the control socket changes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::access::{Access, ChangedBy, Controller, Groups, PathName};
use super::control::{Change, Where};
use super::delay::{Plant, Random};
use super::faults::Faults;
use super::journal::Journal;
use super::pages::{self, Identity};
use super::personality::Personality;
use super::scsi::{Reply, Request, Sense};
use super::store::Store;
use super::{Options, alua};

/// What all threads of the emulator share.
pub(crate) struct Shared {
    /// The LUN's data.
    pub(super) store: Store,
    /// One log a path.
    pub(super) journals: BTreeMap<PathName, Mutex<Journal>>,
    /// Numbers commands in the order in which the array saw them.
    pub(super) sequence: AtomicU64,
    /// Time to end.
    pub(super) stop: AtomicBool,
    model: Mutex<Model>,
}

/// Everything that changes.
#[derive(Debug)]
pub(super) struct Model {
    identity: Identity,
    personality: Personality,
    groups: Groups,
    faults: BTreeMap<PathName, Faults>,
    plants: Vec<Plant>,
    random: Random,
    hosts: u8,
    size_bytes: u64,
}

/// What becomes of a command when it arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admission {
    /// How long it takes.
    pub(super) delay_ns: u64,
    /// Its answer, when that is known without touching data.
    pub(super) refused: Option<Reply>,
}

/// A lock whose owner panicked still holds whole values: every change here is a single store.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// An array as it leaves the factory.
    pub(super) fn new(options: &Options) -> Shared {
        let paths = options.paths();
        let per_path = options.log_commands / paths.len().max(1);
        Shared {
            store: Store::new(options.size_bytes),
            journals: paths
                .iter()
                .map(|path| (*path, Mutex::new(Journal::new(per_path))))
                .collect(),
            sequence: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            model: Mutex::new(Model::new(options)),
        }
    }

    /// The model, for one command or one change.
    pub(super) fn model(&self) -> MutexGuard<'_, Model> {
        lock(&self.model)
    }
}

impl Model {
    fn new(options: &Options) -> Model {
        Model {
            identity: Identity::new(options.serial),
            personality: Personality::Alua { tpgs: options.tpgs },
            groups: Groups::default(),
            faults: options
                .paths()
                .into_iter()
                .map(|path| (path, Faults::default()))
                .collect(),
            plants: Vec::new(),
            random: Random::new(u64::from(options.serial)),
            hosts: options.hosts,
            size_bytes: options.size_bytes,
        }
    }

    /// A command arrives on `path`: unit attentions first, then the access state, then errors.
    pub(super) fn admit(&mut self, path: PathName, request: Request, now_ns: u64) -> Admission {
        if self.groups.advance(now_ns) {
            self.attend(Where::All, None, Sense::STATE_CHANGED);
        }
        let refused = self.refusal(path, request);
        let delay_ns = if request.is_transfer() {
            self.delay(path)
        } else {
            0
        };
        Admission { delay_ns, refused }
    }

    fn refusal(&mut self, path: PathName, request: Request) -> Option<Reply> {
        if request.is_always_answered() {
            return None;
        }
        let faults = self.faults.get_mut(&path)?;
        if let Some(sense) = faults.attentions.pop_front() {
            return Some(Reply::check(sense));
        }
        if request.is_about_groups() {
            return None;
        }
        if let Some(sense) = self.personality.refuses(&self.groups, path.controller) {
            return Some(Reply::check(sense));
        }
        if request.is_transfer() {
            faults.next_error()
        } else {
            None
        }
    }

    fn delay(&mut self, path: PathName) -> u64 {
        let mut planted = None;
        for plant in &mut self.plants {
            planted = plant.next(path, &mut self.random).or(planted);
        }
        self.plants.retain(|plant| plant.among > 0);
        let drawn = self
            .faults
            .get(&path)
            .map_or(0, |faults| faults.delay.draw(&mut self.random));
        planted.unwrap_or(drawn)
    }

    /// Answers a command that neither reads nor writes the LUN.
    pub(super) fn answer(&mut self, path: PathName, request: Request, data_out: &[u8]) -> Reply {
        match request {
            Request::TestUnitReady | Request::SynchronizeCache => Reply::good(),
            Request::SenseData { allocation } => {
                let nothing = Sense {
                    key: 0,
                    asc: 0,
                    ascq: 0,
                };
                Reply::data(nothing.to_bytes().to_vec(), allocation)
            }
            Request::Inquiry {
                page: None,
                allocation,
            } => {
                let tpgs = self.personality.tpgs();
                Reply::data(pages::standard_inquiry(&self.identity, tpgs), allocation)
            }
            Request::Inquiry {
                page: Some(page),
                allocation,
            } => {
                let data = self.personality.vpd(page, &self.identity, path);
                reply_or_invalid(data, allocation)
            }
            Request::ReadCapacity10 => Reply::data(pages::capacity_10(self.size_bytes), 8),
            Request::ReadCapacity16 { allocation } => {
                Reply::data(pages::capacity_16(self.size_bytes), allocation)
            }
            Request::ModeSense6 { page, allocation } => {
                reply_or_invalid(pages::mode_sense_6(page), allocation)
            }
            Request::ModeSense10 { page, allocation } => {
                reply_or_invalid(pages::mode_sense_10(page), allocation)
            }
            Request::ReportLuns { allocation } => Reply::data(pages::luns(), allocation),
            Request::ReportGroups {
                extended,
                allocation,
            } => Reply::data(
                alua::report_groups(&self.groups, self.hosts, extended),
                allocation,
            ),
            Request::SetGroups { length } => {
                self.set_groups(path, data_out.get(..length).unwrap_or(data_out))
            }
            Request::Read { .. } | Request::Write { .. } | Request::Unsupported => {
                Reply::check(Sense::INVALID_OPCODE)
            }
        }
    }

    /// Every other port learns of it by a unit attention; the one that asked knows.
    fn set_groups(&mut self, path: PathName, parameters: &[u8]) -> Reply {
        match alua::set_groups(&self.groups, parameters) {
            Ok(states) => {
                self.groups.set(states, ChangedBy::Explicit);
                self.attend(Where::All, Some(path), Sense::STATE_CHANGED);
                Reply::good()
            }
            Err(sense) => Reply::check(sense),
        }
    }

    fn attend(&mut self, at: Where, except: Option<PathName>, sense: Sense) {
        for (path, faults) in &mut self.faults {
            if at.covers(*path) && except != Some(*path) {
                faults.attend(sense);
            }
        }
    }

    /// Does what the control socket asks for.
    pub(super) fn apply(&mut self, change: Change, now_ns: u64) {
        match change {
            Change::Delay(at, delay) => self.each(at, |faults| faults.delay = delay),
            Change::Plant(plant) => self.plants.push(plant),
            Change::Errors(at, errors) => self.each(at, |faults| faults.errors = errors),
            Change::Attention(at, sense) => self.attend(at, None, sense),
            Change::States(states) => self.implicit(states),
            Change::Swap => {
                let [a, b] = self.groups.states();
                self.implicit([Some(b), Some(a)]);
            }
            Change::Transition(for_ns, states) => {
                let then = self.with(states);
                self.groups.begin_transition(now_ns + for_ns, then);
            }
            Change::Prefer(controller) => self.groups.preferred = controller,
            Change::Vendor(vendor) => self.identity.vendor = vendor,
        }
    }

    fn each(&mut self, at: Where, mut change: impl FnMut(&mut Faults)) {
        for (path, faults) in &mut self.faults {
            if at.covers(*path) {
                change(faults);
            }
        }
    }

    fn with(&self, states: [Option<Access>; 2]) -> [Access; 2] {
        let [a, b] = self.groups.states();
        [states[0].unwrap_or(a), states[1].unwrap_or(b)]
    }

    /// The array moves by itself and tells every port.
    fn implicit(&mut self, states: [Option<Access>; 2]) {
        let states = self.with(states);
        self.groups.set(states, ChangedBy::Implicit);
        self.attend(Where::All, None, Sense::STATE_CHANGED);
    }

    /// One line of `stat`.
    pub(super) fn describe(&self) -> String {
        let states = Controller::ALL.map(|it| format!("{it} {:?}", self.groups.state(it)));
        let planted: u64 = self.plants.iter().map(|plant| plant.count).sum();
        format!("states {} planted-left {planted}", states.join(" "))
    }
}

fn reply_or_invalid(data: Option<Vec<u8>>, allocation: usize) -> Reply {
    data.map_or_else(
        || Reply::check(Sense::INVALID_FIELD),
        |data| Reply::data(data, allocation),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Request = Request::Read { lba: 0, blocks: 8 };
    const GROUPS: Request = Request::ReportGroups {
        extended: false,
        allocation: 255,
    };

    fn model() -> Model {
        Model::new(&Options::default())
    }

    fn path(name: &str) -> PathName {
        name.parse().unwrap()
    }

    #[test]
    fn a_swap_is_told_once_on_every_path() {
        let mut model = model();
        model.apply(Change::Swap, 0);
        for name in ["A1", "B1", "A2", "B2"] {
            let first = model.admit(path(name), READ, 0).refused;
            assert_eq!(first, Some(Reply::check(Sense::STATE_CHANGED)), "{name}");
            assert_eq!(model.admit(path(name), READ, 0).refused, None, "{name}");
        }
        assert_eq!(model.groups.state(Controller::B), Access::Optimized);
    }

    #[test]
    fn the_port_that_asked_for_a_transfer_gets_no_attention() {
        let mut model = model();
        let wish = [0, 0, 0, 0, 0, 0, 0, 2];
        let reply = model.answer(path("B1"), Request::SetGroups { length: 8 }, &wish);
        assert_eq!(reply, Reply::good());
        assert_eq!(model.admit(path("B1"), READ, 0).refused, None);
        assert!(model.admit(path("B2"), READ, 0).refused.is_some());
    }

    #[test]
    fn a_standby_port_refuses_data_but_answers_about_groups() {
        let mut model = model();
        model.apply(Change::States([None, Some(Access::Standby)]), 0);
        assert!(
            model.admit(path("B1"), GROUPS, 0).refused.is_some(),
            "attention first"
        );
        assert_eq!(model.admit(path("B1"), GROUPS, 0).refused, None);
        let refused = model.admit(path("B1"), READ, 0).refused;
        assert_eq!(refused, Some(Reply::check(Sense::STANDBY)));
    }

    #[test]
    fn a_transition_ends_with_an_attention() {
        let mut model = model();
        model.apply(
            Change::Transition(10, [Some(Access::NonOptimized), None]),
            100,
        );
        let during = model.admit(path("A1"), READ, 109).refused;
        assert_eq!(during, Some(Reply::check(Sense::TRANSITION)));
        let after = model.admit(path("A1"), READ, 110).refused;
        assert_eq!(after, Some(Reply::check(Sense::STATE_CHANGED)));
        assert_eq!(model.admit(path("A1"), READ, 111).refused, None);
    }

    #[test]
    fn only_reads_and_writes_are_delayed() {
        let mut model = model();
        model.apply(
            Change::Delay(Where::Controller(Controller::B), "2ms".parse().unwrap()),
            0,
        );
        assert_eq!(model.admit(path("B2"), READ, 0).delay_ns, 2_000_000);
        assert_eq!(model.admit(path("B2"), GROUPS, 0).delay_ns, 0);
        assert_eq!(model.admit(path("A2"), READ, 0).delay_ns, 0);
    }
}
