//! Answers to every command that neither reads nor writes the medium.

use super::access::Nexus;
use super::alua;
use super::changes::Reason;
use super::lun::Asymmetry;
use super::model::Model;
use super::pages;
use super::personality::Personality;
use super::rdac;
use super::scsi::{ModeForm, Reply, Request, Sense};

const EXPLICIT: u8 = 2;

impl Model {
    /// Answers a command that neither reads nor writes the LUN.
    pub(super) fn answer(
        &mut self,
        nexus: Nexus,
        request: Request,
        data_out: &[u8],
        now_ns: u64,
    ) -> Reply {
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
            Request::Inquiry { page, allocation } => {
                reply_or_invalid(self.inquiry(nexus, page), allocation)
            }
            Request::ReadCapacity10 => Reply::data(pages::capacity_10(self.size_bytes), 8),
            Request::ReadCapacity16 { allocation } => {
                Reply::data(pages::capacity_16(self.size_bytes), allocation)
            }
            Request::ModeSense {
                form,
                page,
                subpage,
                allocation,
            } => {
                let pages = self.mode_pages(nexus, page, subpage);
                let data = pages.map(|pages| pages::mode_data(form, &pages));
                reply_or_invalid(data, allocation)
            }
            Request::ModeSelect { form, length } => {
                let parameters = data_out.get(..length).unwrap_or(data_out);
                self.mode_select(nexus, form, parameters, now_ns)
            }
            Request::ReportLuns { allocation } => {
                Reply::data(pages::luns(self.count()), allocation)
            }
            Request::ReportGroups {
                extended,
                allocation,
            } => self.report_groups(nexus, extended, allocation),
            Request::SetGroups { length } => {
                let parameters = data_out.get(..length).unwrap_or(data_out);
                self.set_groups(nexus, parameters, now_ns)
            }
            Request::Read { .. } | Request::Write { .. } | Request::Unsupported => {
                Reply::check(Sense::INVALID_OPCODE)
            }
        }
    }

    fn inquiry(&mut self, nexus: Nexus, page: Option<u8>) -> Option<Vec<u8>> {
        let Some(page) = page else {
            return Some(self.personality.inquiry(&self.identity));
        };
        let lun = self.luns.get(usize::from(nexus.lun))?;
        self.personality
            .vpd(page, &self.identity, self.layout, nexus, lun)
    }

    fn mode_pages(&mut self, nexus: Nexus, page: u8, subpage: u8) -> Option<Vec<u8>> {
        let is_rdac = matches!(self.personality, Personality::Rdac { .. });
        if page != rdac::REDUNDANT_CONTROLLER || !is_rdac {
            return pages::mode_pages(page);
        }
        let owned: Vec<bool> = self
            .luns
            .iter()
            .map(|lun| !lun.is_owned_elsewhere(nexus.path))
            .collect();
        Some(rdac::redundant_controller_page(&owned, subpage == 1))
    }

    /// MODE SELECT of the redundant controller page moves LUNs to the controller that gets it.
    fn mode_select(
        &mut self,
        nexus: Nexus,
        form: ModeForm,
        parameters: &[u8],
        now_ns: u64,
    ) -> Reply {
        let Personality::Rdac { max_luns, .. } = self.personality else {
            return Reply::check(Sense::INVALID_OPCODE);
        };
        if self.contended_mode_selects > 0 {
            self.contended_mode_selects -= 1;
            return Reply::check(Sense::LOCK_VIOLATION);
        }
        match rdac::transferred_luns(form, max_luns, parameters) {
            Ok(luns) => {
                let reason = Reason::ModeSelect(nexus.path);
                for lun in luns {
                    self.own(lun, nexus.path.controller, reason, now_ns);
                }
                Reply::good()
            }
            Err(sense) => Reply::check(sense),
        }
    }

    fn report_groups(&mut self, nexus: Nexus, extended: bool, allocation: usize) -> Reply {
        if let Some(told) = &self.told_groups {
            return Reply::data(told.clone(), allocation);
        }
        match self.lun(nexus.lun) {
            Some(lun) => match &lun.access {
                Asymmetry::Groups(groups) => Reply::data(
                    alua::report_groups(groups, lun.preferred, extended),
                    allocation,
                ),
                Asymmetry::Owner(_) => Reply::check(Sense::INVALID_OPCODE),
            },
            None => Reply::check(Sense::INVALID_FIELD),
        }
    }

    fn set_groups(&mut self, nexus: Nexus, parameters: &[u8], now_ns: u64) -> Reply {
        let explicit =
            matches!(self.personality, Personality::Alua { tpgs } if tpgs & EXPLICIT != 0);
        let reason = Reason::Stpg(nexus.path);
        let transfer = self.transfer(reason, now_ns);
        let Some(lun) = self.lun(nexus.lun) else {
            return Reply::check(Sense::INVALID_FIELD);
        };
        let states = match &lun.access {
            Asymmetry::Groups(groups) if explicit => alua::set_groups(groups, parameters),
            _ => Err(Sense::INVALID_OPCODE),
        };
        match states {
            Ok(states) => {
                let moved = lun.change(states, transfer);
                self.told(nexus.lun, now_ns, moved, reason);
                Reply::good()
            }
            Err(sense) => Reply::check(sense),
        }
    }
}

fn reply_or_invalid(data: Option<Vec<u8>>, allocation: usize) -> Reply {
    data.map_or_else(
        || Reply::check(Sense::INVALID_FIELD),
        |data| Reply::data(data, allocation),
    )
}
