//! What the live view knows.

use std::sync::Arc;

use super::columns::Column;
use super::keys::Key;
use super::table::{self, Sorting};
use crate::model::{
    Flag, FlagEvent, FlagKind, Interval, Losses, Row, Start, Transfer, TransferChange,
    TransferEvent,
};

/// Flags that have ended are forgotten beyond this number: the summary has them all.
const ENDED_KEPT: usize = 100;
/// Transfers are forgotten beyond this number, too.
const TRANSFERS_KEPT: usize = 100;

/// State of the live view.
#[derive(Debug, Clone)]
pub struct Screen {
    pub(super) version: String,
    pub(super) kernel: String,
    pub(super) started_at_ns: u64,
    pub(super) maps: Vec<String>,
    pub(super) interval: Option<Arc<Interval>>,
    /// Active ones first, then the newest.
    pub(super) flags: Vec<Flag>,
    /// The newest first.
    pub(super) transfers: Vec<Transfer>,
    /// Transfers so far, forgotten ones too.
    pub(super) transferred: usize,
    /// The user can type keys.
    pub(super) has_keys: bool,
    pub(super) sorting: Option<Sorting>,
    /// The first line of the table that is shown.
    pub(super) first: usize,
    /// The columns on the terminal, as it is now.
    columns: Vec<Column>,
    /// Lines of the table that it has room for.
    room: usize,
}

impl Screen {
    /// A view of a trace that has just started, of these maps only (all, when empty). The names are
    /// shown; which rows an interval has is decided where it is made.
    pub fn new(start: &Start, maps: &[String]) -> Self {
        Self {
            version: start.version.clone(),
            kernel: start.kernel.clone(),
            started_at_ns: start.started_at_ns,
            maps: maps.to_vec(),
            interval: None,
            flags: Vec::new(),
            transfers: Vec::new(),
            transferred: 0,
            has_keys: false,
            sorting: None,
            first: 0,
            columns: Vec::new(),
            room: 0,
        }
    }

    /// The same with the keys told at its foot.
    #[must_use]
    pub fn with_keys(self, has_keys: bool) -> Self {
        Self { has_keys, ..self }
    }

    /// Does what a key is for, as of the last picture.
    pub fn key(&mut self, key: Key) {
        let page = self.room.saturating_sub(2).max(1);
        self.first = match key {
            Key::Up => self.first.saturating_sub(1),
            Key::Down => self.first + 1,
            Key::PageUp => self.first.saturating_sub(page),
            Key::PageDown => self.first + page,
            Key::First => 0,
            Key::Last => self.last_first(),
            Key::SortLeft | Key::SortRight | Key::Turn | Key::Reset => {
                self.sorting = self.sorting_after(key);
                0
            }
            Key::Resized => self.first,
        };
    }

    fn sorting_after(&self, key: Key) -> Option<Sorting> {
        let can_sort = |column: &&Column| **column != Column::Bar;
        let columns: Vec<Column> = self.columns.iter().filter(can_sort).copied().collect();
        let at = |column| columns.iter().position(|it| *it == column);
        let by = |index: usize| {
            let column = *columns.get(index)?;
            Some(Sorting {
                column,
                is_ascending: column == Column::Path,
            })
        };
        match (self.sorting, key) {
            (Some(sorting), Key::Turn) => Some(Sorting {
                is_ascending: !sorting.is_ascending,
                ..sorting
            }),
            (Some(sorting), Key::SortLeft) => by(at(sorting.column)?.saturating_sub(1)),
            (Some(sorting), Key::SortRight) => {
                let last = columns.len().saturating_sub(1);
                by((at(sorting.column)? + 1).min(last))
            }
            (None, Key::SortLeft | Key::SortRight) => by(at(Column::Iops).unwrap_or(0)),
            _ => None,
        }
    }

    /// Fits what is shown of the table to the terminal.
    pub(super) fn fit(&mut self, columns: Vec<Column>, room: usize) {
        (self.columns, self.room) = (columns, room);
        self.first = self.first.min(self.last_first());
    }

    fn last_first(&self) -> usize {
        table::last_first(table::lines(self.rows()), self.room)
    }

    /// Takes the numbers of a new interval.
    pub fn interval(&mut self, interval: Arc<Interval>) {
        self.interval = Some(interval);
    }

    /// Takes a flag that was raised, went on or ended. A transfer is shown as what it is, once.
    pub fn flag(&mut self, event: &FlagEvent) {
        if event.flag.kind == FlagKind::OwnershipTransfer {
            return;
        }
        match self.flags.iter_mut().find(|flag| flag.id == event.flag.id) {
            Some(flag) => flag.clone_from(&event.flag),
            None => self.flags.push(event.flag.clone()),
        }
        let order = |flag: &Flag| (flag.ended_at_ns.is_some(), u64::MAX - flag.raised_at_ns);
        self.flags.sort_by_key(order);
        let active = self
            .flags
            .partition_point(|flag| flag.ended_at_ns.is_none());
        self.flags.truncate(active + ENDED_KEPT);
    }

    /// Takes a logical unit's move, or what it was found to have cost.
    pub fn transfer(&mut self, event: &TransferEvent) {
        let transfer = &event.transfer;
        match self.transfers.iter_mut().find(|it| it.id == transfer.id) {
            Some(known) => known.clone_from(transfer),
            // The cost of one that has been forgotten.
            None if event.change == TransferChange::Done => {}
            None => {
                self.transferred += 1;
                self.transfers.insert(0, transfer.clone());
                self.transfers.truncate(TRANSFERS_KEPT);
            }
        }
    }

    pub(super) fn rows(&self) -> &[Row] {
        self.interval
            .as_ref()
            .map_or(&[], |interval| &interval.rows)
    }

    pub(super) fn elapsed_ns(&self) -> u64 {
        self.interval
            .as_ref()
            .map_or(0, |interval| interval.elapsed_ns)
    }

    pub(super) fn losses(&self) -> Losses {
        self.interval
            .as_ref()
            .map_or_else(Losses::default, |interval| interval.losses)
    }
}
