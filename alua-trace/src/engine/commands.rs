//! One command that completed: filed under its path, class and state, and what is new in it.

use alua_trace_ebpf::{
    CommandRecord, Followed, NO_ROUTE, access_state, command_flag, state_source,
};

use super::{Engine, flags::BlockIo, io::stands_for, slowest};
use crate::{
    model::{AccessState, Class, Counting, CountingChange, CountingEvent, Line, StateSource},
    scsi::opcode,
    stats::{self, Counted, Sample},
};

/// By operation code: a table, because it is asked for every command.
static CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut code = 0;
    while code < classes.len() {
        classes[code] = match opcode::class(code as u8) {
            opcode::Class::Read => Class::Read,
            opcode::Class::Write => Class::Write,
            opcode::Class::Other => Class::Other,
        };
        code += 1;
    }
    classes
};

/// What in [`Followed`] makes a command worth a closer look: a state other than optimized, or any flag but that its map is
/// bio-based.
const NOT_USUAL: u64 = Followed::new(0, 0, 0x1f, 0, !command_flag::BIO_BASED).0;

impl Engine {
    /// Takes a command that is like most: I/O on an optimized path that ended well, says the same as the one before on its
    /// path, and is neither slow nor a sample. There is nothing to do but to count it. False, and nothing is taken, for any
    /// other.
    #[inline]
    pub(super) fn usual(&mut self, record: &CommandRecord) -> bool {
        let followed = record.followed;
        let is_usual = followed.0 & NOT_USUAL == 0
            && record.result | record.retries | record.waited_us == 0
            && !(self.wanted.commands || self.flags.any_episode() || self.each_matters());
        let index = self.ids.path(followed.path()).filter(|_| is_usual);
        let Some(entry) = index.and_then(|index| self.paths.get_mut(index)) else {
            return false;
        };
        let ios = entry.ios.wrapping_add(1);
        if entry.last != followed || stands_for(ios) > 0 {
            return false;
        }
        let mapped = followed.route() != NO_ROUTE;
        let taken = record
            .completion_ns
            .checked_sub(record.dispatch_ns)
            .is_some_and(|latency_ns| {
                let class = class(record.cdb[0]);
                entry
                    .stats
                    .record_usual(class, latency_ns, record.bytes, mapped)
            });
        if taken {
            entry.ios = ios;
            entry.saw_again(followed, record.dispatch_ns);
            entry.watched.completed(record);
            self.stuck.unsettle();
        }
        taken
    }

    /// Takes one command that completed.
    pub(super) fn command(&mut self, record: &CommandRecord) {
        let followed = record.followed;
        let Some(index) = self.ids.path(followed.path()) else {
            self.unresolved += 1;
            return;
        };
        let Some(entry) = self.paths.get_mut(index) else {
            return;
        };
        let Some(latency_ns) = record.completion_ns.checked_sub(record.dispatch_ns) else {
            entry.implausible += 1;
            if self.wanted.commands {
                self.say_command(index, record);
            }
            return;
        };
        let passthrough = followed.has(command_flag::PASSTHROUGH);
        let state = stats::state_index(followed.state());
        let class = class(record.cdb[0]);
        let slow = entry.stats.record(&Sample {
            class,
            state,
            latency_ns,
            bytes: record.bytes,
            passthrough,
            mapped: followed.route() != NO_ROUTE,
            error: record.result != 0,
        });
        // Millions of commands a second say the same as the one before on their path.
        let news = entry.saw(followed, record.dispatch_ns);
        entry.retried += u64::from(record.retries > 0);
        if passthrough && opcode::is_rtpg(&record.cdb) {
            let rtpgs = entry.rtpgs.get_or_insert_default();
            rtpgs.ended(latency_ns, record.result);
        }
        if !passthrough {
            entry.watched.completed(record);
            self.stuck.unsettle();
        }
        if slow {
            self.keep_slow(index, record, (class, state));
        }
        if news {
            self.news(index, record);
        }
        if passthrough || followed.has(command_flag::SENSE) {
            self.account_end(index, record);
        }
        if !passthrough {
            self.account_io(index, record);
        }
        let state = stats::STATES[state & 7];
        if !passthrough && (state != AccessState::Optimized || self.flags.any_episode()) {
            let io = BlockIo {
                state,
                dispatch_ns: record.dispatch_ns,
                latency_ns,
            };
            // Which unit's I/O it is, and what other paths that has, only topology tells.
            if let Some(entry) = self.paths.get(index).filter(|it| it.is_known()) {
                self.flags.command(entry, &io);
            }
        }
        if self.wanted.commands {
            self.say_command(index, record);
        }
    }

    /// Commands are counted, or are no longer.
    pub(super) fn counting(&mut self, change: CountingChange, at_ns: u64) {
        if change != CountingChange::Over {
            let asked = change == CountingChange::Asked;
            let since_ns = at_ns;
            self.counting.get_or_insert(Counting { since_ns, asked });
        }
        self.lines
            .push(Line::Counting(CountingEvent { at_ns, change }));
    }

    /// Takes what the kernel has counted of one path, class and state. What has been counted says nothing else: what is
    /// worth more has a record.
    pub(super) fn counted(&mut self, counted: &Counted) {
        let entry = self.ids.path(counted.path);
        match entry.and_then(|index| self.paths.get_mut(index)) {
            Some(entry) => entry.stats.count(counted),
            None => self.unresolved += counted.commands(),
        }
    }

    /// From which latency on a command of a path id, class and state is among the slowest of its path, in ns; the last
    /// there is where nothing is known of the path.
    #[must_use]
    pub fn slow_from(&self, path: u16, class: u8, state: u8) -> u64 {
        let entry = self.ids.path(path).and_then(|index| self.paths.get(index));
        entry.map_or(u64::MAX, |entry| {
            entry
                .stats
                .slow_from_ns(usize::from(class), usize::from(state))
        })
    }

    /// A command on this path that says something else than the one before: another state or
    /// route.
    #[cold]
    fn news(&mut self, index: usize, record: &CommandRecord) {
        let followed = record.followed;
        self.note_path_group(index, followed.route());
        // `check_ownership` lets I/O through while it asks; what it asks with says nothing.
        if followed.has(command_flag::PASSTHROUGH) && self.is_rdac(index) {
            return;
        }
        let state = stats::access_state(followed.state());
        let source = state_source_of(followed.state_source());
        let preferred = followed.state() & access_state::PREFERRED != 0;
        let event = self
            .paths
            .saw_state(index, state, source, preferred, record.dispatch_ns);
        if let Some(event) = event {
            self.say_path(event);
            self.seen_at_dispatch(index, record.dispatch_ns);
        }
    }

    /// A line for the command, unless it is on a path that is not reported on.
    fn say_command(&mut self, index: usize, record: &CommandRecord) {
        let Some(entry) = self.paths.get(index).filter(|entry| self.shows(entry)) else {
            return;
        };
        let route = self.ids.route(record.followed.route());
        let command = slowest::command(entry, record, route);
        self.lines.push(Line::Command(command));
    }
}

#[inline]
fn class(operation: u8) -> Class {
    CLASSES[usize::from(operation)]
}

pub(super) fn state_source_of(source: u8) -> StateSource {
    match source {
        state_source::RTPG_SEEN => StateSource::RtpgSeen,
        state_source::HANDLER_DATA => StateSource::HandlerData,
        _ => StateSource::None,
    }
}
