//! A command of this host that moves ownership: what it asked for, who sent it, how it ended.

use super::{
    observation::{Issuer, Moves, Side},
    verdict::Case,
};
use crate::{format, model::AccessState, scsi::sense::Sense, topology::Hctl};

/// Port groups of one command that count.
const MOST_GROUPS: usize = 32;
const STPG: &str = "SET TARGET PORT GROUPS";

/// One command.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub path: u32,
    pub hctl: Option<Hctl>,
    pub dispatch_ns: u64,
    pub is_mode_select: bool,
    name: &'static str,
    /// Sides, and whether they are to own the logical unit.
    asks: Vec<(Side, bool)>,
    issuer: Issuer,
    /// A dm activation was under way on the logical unit.
    pub via_pg_init: bool,
    /// Who had told dm to, just before.
    pub asked_by: Option<String>,
    end: Option<(u64, bool)>,
    /// The transfer it caused is known: it causes no other.
    pub claimed: bool,
}

impl Command {
    pub fn new(
        (path, hctl): (u32, Option<Hctl>),
        side: Option<Side>,
        what: &Moves,
        issuer: Issuer,
        dispatch_ns: u64,
    ) -> Self {
        let own = side.map(|side| (side, true));
        let asks = match what {
            Moves::Stpg(groups) => groups
                .iter()
                .take(MOST_GROUPS)
                .map(|(group, state)| (Side::Group(*group), *state == AccessState::Optimized))
                .collect(),
            Moves::ModeSelect(_) | Moves::Trespass => own.into_iter().collect(),
        };
        Self {
            path,
            hctl,
            dispatch_ns,
            is_mode_select: matches!(what, Moves::ModeSelect(_)),
            name: match what {
                Moves::Stpg(_) => STPG,
                Moves::ModeSelect(_) => "MODE SELECT",
                Moves::Trespass => "trespass",
            },
            asks,
            issuer,
            via_pg_init: false,
            asked_by: None,
            end: None,
            claimed: false,
        }
    }

    /// The side that owns the unit when the command has ended well: MODE SELECT and trespass take
    /// it to the controller they are sent to.
    pub fn takes(&self) -> Option<Side> {
        let (side, _) = self.asks.first()?;
        (self.name != STPG).then_some(*side)
    }

    pub fn ended(&mut self, at_ns: u64, ok: bool) {
        self.end = Some((at_ns, ok));
    }

    pub fn ended_ns(&self) -> Option<u64> {
        self.end.map(|(at_ns, _)| at_ns)
    }

    pub fn failed(&self) -> bool {
        self.end.is_some_and(|(_, ok)| !ok)
    }

    /// Whether it may be the cause of what changed.
    pub fn could_have(&self, case: &Case) -> bool {
        let on_its_way = self.dispatch_ns <= case.answered_ns
            && self.ended_ns().is_none_or(|end| end >= case.old_asked_ns);
        let asked = self.asks.iter().any(|(side, own)| {
            if *own {
                case.gained(*side)
            } else {
                case.lost(*side)
            }
        });
        !self.failed() && on_its_way && asked
    }

    /// Who sent it: `sg_stpg[123]`, or `scsi_dh_alua via pg_init, asked by dmsetup[411]`.
    pub fn actor(&self) -> String {
        let mut out = match self.issuer.handler {
            Some(handler) => handler.to_owned(),
            None => process(&self.issuer.comm, self.issuer.pid),
        };
        if self.issuer.handler.is_some() && self.via_pg_init {
            out.push_str(" via pg_init");
            if let Some(asked_by) = &self.asked_by {
                out.push_str(", asked by ");
                out.push_str(asked_by);
            }
        }
        out
    }

    /// `sg_stpg[123] sent SET TARGET PORT GROUPS (TPG 2 to own) on 0:0:1:0`.
    pub fn sent(&self) -> String {
        let asks: Vec<String> = self
            .asks
            .iter()
            .map(|(side, own)| format!("{side} {}", if *own { "to own" } else { "not to own" }))
            .collect();
        let on = self
            .hctl
            .map_or_else(String::new, |hctl| format!(" on {hctl}"));
        format!(
            "{} sent {} ({}){on}",
            self.actor(),
            self.name,
            asks.join(", ")
        )
    }

    /// `SET TARGET PORT GROUPS ended well after 1.20 ms`.
    pub fn outcome(&self, sense: Option<[u8; 3]>) -> String {
        let Some((at_ns, ok)) = self.end else {
            return format!("{} has not ended", self.name);
        };
        let took = format::latency(Some(at_ns.saturating_sub(self.dispatch_ns)));
        match sense {
            _ if ok => format!("{} ended well after {took}", self.name),
            Some([key, asc, ascq]) => format!(
                "{} failed after {took}: {}",
                self.name,
                Sense::new(key, asc, ascq)
            ),
            None => format!("{} failed after {took}", self.name),
        }
    }
}

/// `sg_stpg[123]`.
pub(super) fn process(comm: &str, pid: u32) -> String {
    let comm: String = comm.chars().take(16).collect();
    format!("{comm}[{pid}]")
}

/// `TPG 2 AO`.
pub(super) fn side_state(side: Side, state: AccessState) -> String {
    format!("{side} {}", state.short())
}
