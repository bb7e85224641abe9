//! The array's state, shared by its paths: what a command is answered, how long that takes, and
//! what the control socket changes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};

use super::access::{Access, Controller, Nexus, PathName, Where};
use super::changes::{Changes, Moved, Reason, StateChange};
use super::control::{ArrayChange, LunChange};
use super::delay::{Delay, Plant, Random};
use super::faults::Faults;
use super::groups::Layout;
use super::journal::Journal;
use super::lun::{Lun, Transfer};
use super::options::Options;
use super::pages::Identity;
use super::personality::Personality;
use super::rdac::Mode;
use super::scsi::{Reply, Request, Sense};
use super::store::Store;

/// What all threads of the emulator share.
pub(crate) struct Shared {
    /// Every LUN's data.
    pub(super) stores: Vec<Store>,
    /// One log a nexus.
    pub(super) journals: BTreeMap<Nexus, Mutex<Journal>>,
    /// Numbers commands in the order in which the array saw them.
    pub(super) sequence: AtomicU64,
    /// Time to end.
    pub(super) stop: AtomicBool,
    model: Mutex<Model>,
}

/// Everything that changes.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) identity: Identity,
    pub(super) personality: Personality,
    pub(super) layout: Layout,
    pub(super) luns: Vec<Lun>,
    changes: Changes,
    faults: BTreeMap<Nexus, Faults>,
    plants: Vec<Plant>,
    shipping: Delay,
    transfer_ns: u64,
    pub(super) contended_mode_selects: u64,
    random: Random,
    pub(super) size_bytes: u64,
    /// What REPORT TARGET PORT GROUPS answers instead of the truth.
    pub(super) told_groups: Option<Vec<u8>>,
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
        let nexuses = options.nexuses();
        let each = options.log_commands / nexuses.len().max(1);
        Shared {
            stores: (0..options.luns)
                .map(|_| Store::new(options.size_bytes))
                .collect(),
            journals: nexuses
                .into_iter()
                .map(|nexus| (nexus, Mutex::new(Journal::new(each))))
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
    /// As it leaves the factory.
    pub(super) fn new(options: &Options) -> Model {
        let personality = options.personality();
        let layout = options.layout();
        Model {
            identity: match personality {
                Personality::Alua { .. } => Identity::new(options.serial),
                Personality::Rdac { .. } => Identity::rdac(options.serial),
            },
            personality,
            layout,
            luns: (0..options.luns)
                .map(|lun| Lun::new(personality, layout, options.owner(lun)))
                .collect(),
            changes: Changes::default(),
            faults: options
                .nexuses()
                .into_iter()
                .map(|nexus| (nexus, Faults::default()))
                .collect(),
            plants: Vec::new(),
            shipping: Delay::default(),
            transfer_ns: 0,
            contended_mode_selects: 0,
            random: Random::new(u64::from(options.serial)),
            size_bytes: options.size_bytes,
            told_groups: None,
        }
    }

    /// LUN `number`, if there is one.
    pub(super) fn lun(&mut self, number: u8) -> Option<&mut Lun> {
        self.luns.get_mut(usize::from(number))
    }

    /// A transfer that begins now and takes as long as transfers take.
    pub(super) fn transfer(&self, reason: Reason, now_ns: u64) -> Transfer {
        Transfer {
            reason,
            now_ns,
            takes_ns: self.transfer_ns,
        }
    }

    /// Ends transitions whose time has come, and tells every port.
    fn advance(&mut self, number: u8, now_ns: u64) {
        if let Some(ended) = self.lun(number).and_then(|lun| lun.advance(now_ns)) {
            self.told(number, ended.at_ns, ended.moved, ended.reason);
        }
    }

    fn advance_all(&mut self, now_ns: u64) {
        (0..self.count()).for_each(|lun| self.advance(lun, now_ns));
    }

    /// How many LUNs there are.
    pub(super) fn count(&self) -> u8 {
        u8::try_from(self.luns.len()).unwrap_or(u8::MAX)
    }

    /// Notes what moved. The ports of an ALUA LUN are told by a unit attention, but for the one that
    /// asked, and not when a transition begins; those of an RDAC array find out.
    pub(super) fn told(&mut self, number: u8, at_ns: u64, moved: Vec<Moved>, reason: Reason) {
        let tell = moved
            .iter()
            .any(|it| matches!(it, Moved::Group { to, .. } if *to != Access::Transitioning));
        self.changes.note(at_ns, number, moved, reason);
        if tell {
            let asked = reason.asked_over();
            self.attend(number, Where::All, asked, Sense::STATE_CHANGED);
        }
    }

    fn attend(&mut self, lun: u8, at: Where, except: Option<PathName>, sense: Sense) {
        for (nexus, faults) in &mut self.faults {
            if nexus.lun == lun && at.covers(nexus.path) && except != Some(nexus.path) {
                faults.attend(sense);
            }
        }
    }

    /// A command arrives: unit attentions first, then who has the LUN, then errors.
    pub(super) fn admit(&mut self, nexus: Nexus, request: Request, now_ns: u64) -> Admission {
        self.advance(nexus.lun, now_ns);
        let refused = self.refusal(nexus, request, now_ns);
        let delay_ns = if request.is_transfer() {
            self.delay(nexus)
        } else {
            0
        };
        Admission { delay_ns, refused }
    }

    fn refusal(&mut self, nexus: Nexus, request: Request, now_ns: u64) -> Option<Reply> {
        if request.is_always_answered() {
            return None;
        }
        let faults = self.faults.get_mut(&nexus)?;
        if let Some(sense) = faults.attentions.pop_front() {
            return Some(Reply::check(sense));
        }
        if request.is_about_groups() {
            return None;
        }
        if let Some(sense) = self.lun(nexus.lun)?.port_refuses(nexus.path) {
            return Some(Reply::check(sense));
        }
        if !request.is_transfer() {
            return None;
        }
        self.take_over(nexus, request, now_ns);
        let refused = self.held_off(nexus, now_ns).map(Reply::check);
        refused.or_else(|| self.faults.get_mut(&nexus)?.next_error())
    }

    /// Automatic volume transfer. A read of block 0 does not count, as page 0xC9 tells: every host
    /// that looks for partitions would move the LUN.
    fn take_over(&mut self, nexus: Nexus, request: Request, now_ns: u64) {
        let avt = matches!(
            self.personality,
            Personality::Rdac {
                mode: Mode::Avt,
                ..
            }
        );
        if !avt || matches!(request, Request::Read { lba: 0, .. }) {
            return;
        }
        self.own(
            nexus.lun,
            nexus.path.controller,
            Reason::Avt(nexus.path),
            now_ns,
        );
    }

    /// Moves a LUN to `owner`.
    pub(super) fn own(&mut self, number: u8, owner: Controller, reason: Reason, now_ns: u64) {
        let transfer = self.transfer(reason, now_ns);
        if let Some(lun) = self.lun(number) {
            let moved = lun.own(owner, transfer);
            self.told(number, now_ns, moved, reason);
        }
    }

    fn held_off(&mut self, nexus: Nexus, now_ns: u64) -> Option<Sense> {
        let personality = self.personality;
        let lun = self.lun(nexus.lun)?;
        lun.quiesced(now_ns).or_else(|| match personality {
            Personality::Rdac { mode, .. } => lun.controller_refuses(mode, nexus.path),
            Personality::Alua { .. } => None,
        })
    }

    fn delay(&mut self, nexus: Nexus) -> u64 {
        let mut planted = None;
        for plant in &mut self.plants {
            planted = plant.next(nexus, &mut self.random).or(planted);
        }
        self.plants.retain(|plant| plant.among > 0);
        let drawn = self
            .faults
            .get(&nexus)
            .map_or(0, |faults| faults.delay.draw(&mut self.random));
        let detour = self
            .lun(nexus.lun)
            .is_some_and(|it| it.is_detour(nexus.path));
        let shipped = if detour {
            self.shipping.draw(&mut self.random)
        } else {
            0
        };
        planted.unwrap_or(drawn + shipped)
    }

    /// Does what the control socket asks for with one LUN, or with every one.
    pub(super) fn change_luns(
        &mut self,
        only: Option<u8>,
        change: &LunChange,
        now_ns: u64,
    ) -> Result<()> {
        self.advance_all(now_ns);
        if let LunChange::Plant(plant) = change {
            let mut plant = plant.clone();
            plant.lun = only;
            self.plants.push(plant);
            return Ok(());
        }
        match only {
            Some(number) => self.change_lun(number, change, now_ns),
            None => (0..self.count()).try_for_each(|it| self.change_lun(it, change, now_ns)),
        }
    }

    fn change_lun(&mut self, number: u8, change: &LunChange, now_ns: u64) -> Result<()> {
        let transfer = self.transfer(Reason::Implicit, now_ns);
        let lun = self
            .lun(number)
            .with_context(|| format!("no LUN {number}"))?;
        match change {
            LunChange::Delay(at, delay) => self.each(number, *at, |it| it.delay = *delay),
            LunChange::Errors(at, errors) => self.each(number, *at, |it| it.errors = *errors),
            LunChange::Attention(at, sense) => self.attend(number, *at, None, *sense),
            LunChange::Plant(_) => {}
            LunChange::Prefer(controller) => lun.preferred = *controller,
            LunChange::Quiesce(for_ns, sense) => {
                lun.quiesce(now_ns.saturating_add(*for_ns), *sense);
            }
            LunChange::Own(owner) => self.own(number, *owner, Reason::Implicit, now_ns),
            LunChange::OtherHost(owner) => self.own(number, *owner, Reason::OtherHost, now_ns),
            LunChange::Swap => {
                let moved = lun.swap(transfer);
                self.told(number, now_ns, moved, Reason::Implicit);
            }
            LunChange::States(wishes) => {
                let then = lun.with(wishes).context("an RDAC LUN has no states")?;
                let at_once = Transfer {
                    takes_ns: 0,
                    ..transfer
                };
                let moved = lun.change(then, at_once);
                self.told(number, now_ns, moved, Reason::Implicit);
            }
            LunChange::Transition(takes_ns, wishes) => {
                let then = lun.with(wishes).context("an RDAC LUN has no states")?;
                let takes_ns = *takes_ns;
                let moved = lun.change(
                    then,
                    Transfer {
                        takes_ns,
                        ..transfer
                    },
                );
                self.told(number, now_ns, moved, Reason::Implicit);
            }
        }
        Ok(())
    }

    fn each(&mut self, lun: u8, at: Where, mut change: impl FnMut(&mut Faults)) {
        for (nexus, faults) in &mut self.faults {
            if nexus.lun == lun && at.covers(nexus.path) {
                change(faults);
            }
        }
    }

    /// Does what the control socket asks for with the array.
    pub(super) fn change_array(&mut self, change: ArrayChange) -> Result<()> {
        match (change, &mut self.personality) {
            (ArrayChange::Shipping(delay), _) => self.shipping = delay,
            (ArrayChange::TransferTime(time_ns), _) => self.transfer_ns = time_ns,
            (ArrayChange::Vendor(vendor), _) => self.identity.vendor = vendor,
            (ArrayChange::Serial(serial), _) => self.identity.serial = serial,
            (ArrayChange::Groups(told), _) => self.told_groups = told,
            (ArrayChange::Mode(new), Personality::Rdac { mode, .. }) => *mode = new,
            (ArrayChange::Contention(count), Personality::Rdac { .. }) => {
                self.contended_mode_selects = count;
            }
            (ArrayChange::Mode(_) | ArrayChange::Contention(_), Personality::Alua { .. }) => {
                bail!("this is an ALUA array")
            }
        }
        Ok(())
    }

    /// Every change of an owner or a state up to now.
    pub(super) fn changes(&mut self, now_ns: u64) -> Result<&[StateChange]> {
        self.advance_all(now_ns);
        self.changes.all()
    }

    /// Forgets the changes up to now.
    pub(super) fn forget_changes(&mut self, now_ns: u64) {
        self.advance_all(now_ns);
        self.changes.forget();
    }

    /// Lines of `stat`.
    pub(super) fn describe(&mut self, now_ns: u64) -> String {
        self.advance_all(now_ns);
        let luns = self.luns.iter().enumerate();
        let mut text: String = luns
            .map(|(number, lun)| lun.describe(number) + "\n")
            .collect();
        let planted: u64 = self.plants.iter().map(|plant| plant.count).sum();
        text.push_str(&format!("planted-left {planted}\n"));
        text
    }
}

#[cfg(test)]
mod tests;
