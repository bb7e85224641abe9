//! What records say about ownership: turns them into the observations of the ownership engine.

use std::collections::{BTreeMap, HashMap};

use alua_trace_ebpf::{
    CommandRecord, DmRecord, ManagementRecord, NO_CONTROLLER, PathSlot, RETIRED, RtpgRecord,
    access_state, command_flag, dm_event, handler,
};

use super::{
    Engine,
    early::Early,
    ownership::{GroupAnswer, Issuer, Moves, Observation, RdacMode, SenseAt, Side, Source},
    paths::{Entry, model_state},
};
use crate::{
    model::AccessState,
    scsi::{
        emc,
        mode::ModeHeader,
        opcode,
        rdac::{Mode, PathPriority, RedundantController, Transfer, VolumeAccess},
        rtpg,
    },
    topology::{DevNo, Topology},
};

/// `major << MINOR_BITS | minor` is how the kernel writes a device number.
const MINOR_BITS: u32 = 20;
/// MODE SELECT(6), MODE SELECT(10).
const MODE_SELECT: [u8; 2] = [0x15, 0x55];

/// What translation has to remember.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// Logical unit of a map.
    pub(super) units: BTreeMap<DevNo, usize>,
    /// A path of an `alua_port_group`, by the address of that: its memory is used again for the
    /// port group of another logical unit, and the last path to say so is right.
    port_groups: HashMap<u64, usize>,
    pub(super) early: Early,
}

impl Witness {
    /// What was told of the entry `met` is of the path `index`.
    pub fn moved(&mut self, met: usize, index: usize) {
        for path in self.port_groups.values_mut() {
            if *path == met {
                *path = index;
            }
        }
    }

    /// Labels from a scan.
    pub fn label(&mut self, topology: &Topology, entries: &[Entry]) {
        self.units.clear();
        for map in topology.maps() {
            let unit = entries
                .iter()
                .find(|entry| entry.label.map.as_ref() == Some(&map.name));
            if let Some(entry) = unit {
                self.units.insert(map.devno, entry.lun);
            }
        }
    }
}

impl Engine {
    /// Tells the ownership engine which units and paths there are, and what sysfs says of them.
    pub(super) fn introduce(&mut self, now_ns: u64) {
        let entries = self.paths.entries().iter();
        for entry in entries.filter(|entry| entry.is_known()) {
            let label = &entry.label;
            if !entry.present {
                self.ownership.observe(Observation::PathGone {
                    lun: entry.lun,
                    path: u32::from(label.id),
                });
                continue;
            }
            let name = label.map.as_ref().or(label.device.as_ref());
            self.ownership.observe(Observation::Unit {
                lun: entry.lun,
                name: name.unwrap_or(&label.hctl).clone(),
                wwid: label.wwid.clone(),
            });
            self.ownership.observe(Observation::Path {
                lun: entry.lun,
                path: u32::from(label.id),
                hctl: entry.hctl,
                side: entry.side(),
            });
            if let Some(state) = entry.sysfs_state {
                self.ownership.observe(Observation::Sysfs {
                    lun: entry.lun,
                    path: u32::from(label.id),
                    at_ns: now_ns,
                    state,
                });
            }
        }
    }

    /// Notes what a path's slot says: the port group it belongs to, or its controller.
    pub(super) fn note_slot(&mut self, index: usize, slot: &PathSlot) {
        let has_controller = slot.handler == handler::RDAC && slot.controller != NO_CONTROLLER;
        self.paths.any_controller |= has_controller;
        let Some(entry) = self.paths.get_mut(index) else {
            return;
        };
        let is_known = entry.is_known();
        if slot.handler == handler::ALUA && slot.handler_state != 0 && slot.sdev != RETIRED {
            self.witness.port_groups.insert(slot.handler_state, index);
        }
        if !has_controller {
            return;
        }
        let known = entry
            .controller
            .replace((slot.controller & 0x3f, mode(slot.controller >> 6)));
        if known != entry.controller && is_known {
            self.ownership.observe(Observation::Path {
                lun: entry.lun,
                path: u32::from(entry.label.id),
                hctl: entry.hctl,
                side: entry.side(),
            });
        }
    }

    /// Whether a path is of an RDAC array.
    pub(super) fn is_rdac(&self, index: usize) -> bool {
        self.paths
            .get(index)
            .is_some_and(|entry| entry.controller.is_some())
    }

    /// What the handler holds of a path has become known, or changed: seen at a dispatch.
    pub(super) fn seen_at_dispatch(&mut self, index: usize, at_ns: u64) {
        let Some(entry) = self.paths.get(index).filter(|entry| entry.is_known()) else {
            return;
        };
        let (lun, preferred) = (entry.lun, entry.label.preferred == Some(true));
        let observation = match (entry.controller, entry.label.port_group) {
            (Some((slot, mode)), _) => Observation::Controller {
                lun,
                path: u32::from(entry.label.id),
                asked_at_ns: at_ns,
                at_ns,
                side: Side::Controller(slot),
                mode,
                owned: entry.label.state == AccessState::Optimized,
                preferred,
                from: Source::Handler,
            },
            (None, Some(group)) => Observation::Filed {
                lun,
                group,
                state: entry.label.state,
                preferred,
                entry_ns: at_ns,
                return_ns: at_ns,
            },
            (None, None) => return,
        };
        self.ownership.observe(observation);
    }

    /// What a command about ownership tells of a path whose logical unit is known.
    pub(super) fn told(&mut self, index: usize, record: &ManagementRecord) {
        let Some(entry) = self.paths.get(index) else {
            return;
        };
        let length = (record.length as usize).min(record.data.len());
        let data = &record.data[..length];
        let observation = if record.completion_ns == 0 {
            issued(entry, record, data)
        } else if record.result == 0 {
            answered(entry, record, data)
        } else {
            None
        };
        if let Some(observation) = observation {
            self.ownership.observe(observation);
        }
    }

    /// Tells of a state filed, or keeps it until topology knows a path of the port group.
    pub(super) fn file(&mut self, record: &RtpgRecord) {
        let path = self.witness.port_groups.get(&record.port_group);
        let Some(entry) = path.and_then(|index| self.paths.get(*index)) else {
            return;
        };
        if !entry.is_known() {
            self.witness.early.keep_filed(record);
            return;
        }
        let Ok(group) = u16::try_from(record.group) else {
            return;
        };
        let lun = entry.lun;
        let state = crate::stats::access_state(record.state & access_state::MASK);
        let preferred = record.preferred != 0;
        self.ownership.observe(Observation::Filed {
            lun,
            group,
            state,
            preferred,
            entry_ns: record.entry_ns,
            return_ns: record.return_ns,
        });
        let told = (state, preferred);
        for event in self.paths.filed(lun, group, told, record.return_ns) {
            self.say_path(event);
        }
    }

    /// Something happened in dm-multipath.
    pub(super) fn dm(&mut self, record: &DmRecord) {
        let map = DevNo {
            major: record.map_major,
            minor: record.map_minor,
        };
        let at_ns = record.at_ns;
        if record.event == dm_event::MESSAGE {
            if let Some(lun) = self.witness.units.get(&map) {
                let words = record.words.each_ref().map(|word| text(word));
                self.ownership.observe(Observation::Message {
                    lun: *lun,
                    text: words.join(" ").trim_end().to_owned(),
                    pid: record.pid,
                    comm: text(&record.comm),
                    at_ns,
                });
            }
            return;
        }
        let device = DevNo {
            major: record.device >> MINOR_BITS,
            minor: record.device & ((1 << MINOR_BITS) - 1),
        }
        .to_string();
        let is_it = |entry: &Entry| entry.present && entry.label.devno.as_ref() == Some(&device);
        let Some(index) = self.paths.entries().iter().position(is_it) else {
            return;
        };
        let Some(entry) = self.paths.get(index) else {
            return;
        };
        let (lun, path) = (entry.lun, u32::from(entry.label.id));
        if record.event == dm_event::FAIL_PATH
            && let Some(entry) = self.paths.get_mut(index)
        {
            entry.watched.failed_ns = at_ns;
        }
        self.ownership.observe(match record.event {
            dm_event::FAIL_PATH => Observation::PathFailed { lun, path, at_ns },
            dm_event::REINSTATE_PATH => Observation::PathReinstated { lun, path, at_ns },
            dm_event::ACTIVATE => Observation::Activate { lun, path, at_ns },
            dm_event::ACTIVATED => Observation::Activated {
                lun,
                path,
                at_ns,
                result: i32::try_from(record.result).unwrap_or(i32::MAX),
            },
            _ => return,
        });
    }

    /// Sense data, and the ends of commands that move units.
    #[cold]
    pub(super) fn account_end(&mut self, index: usize, record: &CommandRecord) {
        let Some(entry) = self.paths.get(index) else {
            return;
        };
        let has_sense = record.followed.has(command_flag::SENSE);
        if !entry.is_known() {
            if has_sense || moves(record) {
                self.witness.early.keep_end(record);
            }
            return;
        }
        let (lun, path) = (entry.lun, u32::from(entry.label.id));
        let sense = has_sense.then_some([record.sense_key, record.asc, record.ascq]);
        if let Some(sense) = sense {
            self.ownership.observe(Observation::Sense {
                lun,
                sense: SenseAt {
                    path,
                    dispatch_ns: record.dispatch_ns,
                    at_ns: record.completion_ns,
                    sense,
                },
            });
        }
        if moves(record) {
            self.ownership.observe(Observation::Ended {
                lun,
                path,
                dispatch_ns: record.dispatch_ns,
                completion_ns: record.completion_ns,
                ok: record.result == 0,
                sense,
            });
        }
    }
}

impl Entry {
    /// The side of the array that serves it.
    fn side(&self) -> Option<Side> {
        match self.label.handler.as_deref() {
            Some("rdac") => self.controller.map(|(slot, _)| Side::Controller(slot)),
            _ => self.label.port_group.map(Side::Group),
        }
    }
}

/// SET TARGET PORT GROUPS, MODE SELECT.
fn moves(record: &CommandRecord) -> bool {
    let [operation, action, ..] = record.cdb;
    let stpg = operation == opcode::MAINTENANCE_OUT && action & 0x1f == opcode::TARGET_PORT_GROUPS;
    record.followed.has(command_flag::PASSTHROUGH) && (stpg || MODE_SELECT.contains(&operation))
}

fn issued(entry: &Entry, record: &ManagementRecord, data: &[u8]) -> Option<Observation> {
    let what = match record.cdb[0] {
        opcode::MAINTENANCE_OUT => {
            let asked = rtpg::parse_set(data).ok()?;
            let groups = asked.groups.iter();
            Moves::Stpg(groups.map(|it| (it.id, model_state(it.state))).collect())
        }
        operation => mode_select(entry, operation, data)?,
    };
    Some(Observation::Issued {
        lun: entry.lun,
        path: u32::from(entry.label.id),
        what,
        issuer: Issuer {
            pid: record.pid,
            comm: text(&record.comm),
            handler: match record.handler {
                handler::ALUA => Some("scsi_dh_alua"),
                handler::RDAC => Some("scsi_dh_rdac"),
                _ => None,
            },
        },
        dispatch_ns: record.dispatch_ns,
    })
}

fn mode_select(entry: &Entry, operation: u8, data: &[u8]) -> Option<Moves> {
    let header = if operation == MODE_SELECT[0] {
        ModeHeader::Six
    } else {
        ModeHeader::Ten
    };
    if let Ok(page) = RedundantController::parse_behind(header, data) {
        return match page.transfer() {
            Transfer::Luns(luns) => {
                Some(Moves::ModeSelect(luns.into_iter().map(u64::from).collect()))
            }
            Transfer::All => Some(Moves::ModeSelect(vec![entry.hctl.lun])),
            Transfer::None => None,
        };
    }
    emc::Trespass::parse(data).ok().map(|_| Moves::Trespass)
}

fn answered(entry: &Entry, record: &ManagementRecord, data: &[u8]) -> Option<Observation> {
    let path = u32::from(entry.label.id);
    if record.cdb[0] == opcode::MAINTENANCE_IN {
        let answer = rtpg::parse(data).ok()?;
        let groups = answer.groups.iter().map(|group| GroupAnswer {
            group: group.id,
            state: model_state(group.state),
            preferred: group.preferred,
            status: group.status.code(),
        });
        return Some(Observation::Groups {
            lun: entry.lun,
            asked_at_ns: record.dispatch_ns,
            answered_at_ns: record.completion_ns,
            transition_time_s: answer.implicit_transition_s,
            groups: groups.collect(),
        });
    }
    let page = VolumeAccess::parse(data).ok()?;
    Some(Observation::Controller {
        lun: entry.lun,
        path,
        asked_at_ns: record.dispatch_ns,
        at_ns: record.completion_ns,
        side: entry.side()?,
        mode: match page.mode {
            Mode::Rdac => RdacMode::Rdac,
            Mode::Avt => RdacMode::Avt,
            Mode::IoShip => RdacMode::IoShip,
        },
        owned: page.owned,
        preferred: matches!(page.path_priority, PathPriority::Preferred),
        from: Source::Array,
    })
}

/// `rdac_dh_data.mode`.
fn mode(number: u8) -> RdacMode {
    match number {
        1 => RdacMode::Avt,
        2 => RdacMode::IoShip,
        _ => RdacMode::Rdac,
    }
}

/// A kernel string, ended by a zero byte or by its field.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}
