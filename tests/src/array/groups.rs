//! A LUN's target port groups: which ports are in which, their states, who changed them, and
//! transitions. Pure.

use super::access::{Access, Controller, PathName, Where};
use super::changes::{ChangedBy, Moved, Reason};

/// How the array's ports are gathered into target port groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Host ports; each sees one port of each controller.
    pub(crate) hosts: u8,
    /// A group for each port, not for each controller.
    pub(crate) group_per_port: bool,
}

impl Layout {
    /// The group `path` leads to: 1 and 2 for controllers; for ports 0x11 0x12 … of A and
    /// 0x21 0x22 … of B, which are nobody's relative port.
    pub(crate) fn group_of(self, path: PathName) -> u16 {
        let controller = path.controller.group();
        if self.group_per_port {
            controller << 4 | u16::from(path.host)
        } else {
            controller
        }
    }

    /// Every group's ports, A's first.
    fn ports(self) -> Vec<Vec<PathName>> {
        let port = |controller, host| PathName { controller, host };
        let of = |controller| (1..=self.hosts).map(move |host| port(controller, host));
        if self.group_per_port {
            let all = Controller::ALL.into_iter().flat_map(of);
            all.map(|path| vec![path]).collect()
        } else {
            Controller::ALL.map(|it| of(it).collect()).into()
        }
    }
}

/// A target port group of one LUN.
#[derive(Debug, Clone)]
pub(crate) struct PortGroup {
    /// Identifier.
    pub(crate) id: u16,
    /// Whose ports they are.
    pub(crate) controller: Controller,
    /// Its ports.
    pub(crate) ports: Vec<PathName>,
    /// Status code.
    pub(crate) changed_by: ChangedBy,
    state: Access,
}

/// All groups of one LUN.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    members: Vec<PortGroup>,
    transition: Option<Transition>,
}

#[derive(Debug, Clone)]
struct Transition {
    until_ns: u64,
    then: Vec<Access>,
    reason: Reason,
}

/// A transition that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    /// When.
    pub(crate) at_ns: u64,
    /// What that changed.
    pub(crate) moved: Vec<Moved>,
    /// Why it had begun.
    pub(crate) reason: Reason,
}

impl Groups {
    /// `owner`'s groups are optimized, the others non-optimized.
    pub(crate) fn new(layout: Layout, owner: Controller) -> Groups {
        let group = |ports: Vec<PathName>| {
            let first = *ports.first()?;
            Some(PortGroup {
                id: layout.group_of(first),
                controller: first.controller,
                state: if first.controller == owner {
                    Access::Optimized
                } else {
                    Access::NonOptimized
                },
                changed_by: ChangedBy::Nobody,
                ports,
            })
        };
        Groups {
            members: layout.ports().into_iter().filter_map(group).collect(),
            transition: None,
        }
    }

    /// Every group with its state now.
    pub(crate) fn reported(&self) -> impl Iterator<Item = (&PortGroup, Access)> {
        self.members.iter().map(|group| (group, self.now(group)))
    }

    fn now(&self, group: &PortGroup) -> Access {
        match self.transition {
            Some(_) => Access::Transitioning,
            None => group.state,
        }
    }

    /// State of the group `path` leads to.
    pub(crate) fn state(&self, path: PathName) -> Access {
        self.reported()
            .find(|(group, _)| group.ports.contains(&path))
            .map_or(Access::Unavailable, |(_, state)| state)
    }

    /// The states with some of them replaced; the last wish for a group counts, and a path names
    /// its group.
    pub(crate) fn with(&self, wishes: &[(Where, Access)]) -> Vec<Access> {
        let wish = |group: &PortGroup| {
            let named = |it: &&(Where, Access)| group.ports.iter().any(|path| it.0.covers(*path));
            let wish = wishes.iter().rev().find(named);
            wish.map_or(group.state, |it| it.1)
        };
        self.members.iter().map(wish).collect()
    }

    /// The states after SET TARGET PORT GROUPS with these descriptors, or `None` when one names a
    /// group there is not. A LUN has one owner: to make a group optimized moves it to that group's
    /// controller with all its groups, unless the list says something else about one.
    pub(crate) fn requested(&self, descriptors: &[(u16, Access)]) -> Option<Vec<Access>> {
        let mut states: Vec<Access> = self.members.iter().map(|it| it.state).collect();
        let mut named = vec![false; states.len()];
        let mut optimized = Vec::new();
        for (id, state) in descriptors {
            let index = self.members.iter().position(|group| group.id == *id)?;
            states[index] = *state;
            named[index] = true;
            if *state == Access::Optimized {
                optimized.push(self.members[index].controller);
            }
        }
        if let Some(first) = optimized.first() {
            let others = self.members.iter().zip(&mut states).zip(&named);
            for ((group, state), _) in others.filter(|(_, named)| !**named) {
                *state = owned(*state, group.controller == *first);
            }
        }
        Some(states)
    }

    /// The states when `owner` has the LUN; groups that are not active stay what they are.
    pub(crate) fn owned_by(&self, owner: Controller) -> Vec<Access> {
        let owned = |group: &PortGroup| owned(group.state, group.controller == owner);
        self.members.iter().map(owned).collect()
    }

    /// The states when A's and B's trade places.
    pub(crate) fn swapped(&self) -> Vec<Access> {
        let half = self.members.len() / 2;
        let mut states: Vec<Access> = self.members.iter().map(|it| it.state).collect();
        states.rotate_left(half);
        states
    }

    /// Takes on `states` at once; says what that changed.
    pub(crate) fn change(&mut self, states: &[Access], reason: Reason) -> Vec<Moved> {
        let moved = self.moves(states, reason);
        for (group, state) in self.members.iter_mut().zip(states) {
            group.state = *state;
        }
        self.transition = None;
        moved
    }

    /// All groups transition until `until_ns`, then have the states `then`.
    pub(crate) fn begin_transition(
        &mut self,
        until_ns: u64,
        then: Vec<Access>,
        reason: Reason,
    ) -> Vec<Moved> {
        let transitioning = vec![Access::Transitioning; self.members.len()];
        let moved = self.moves(&transitioning, reason);
        self.transition = Some(Transition {
            until_ns,
            then,
            reason,
        });
        moved
    }

    /// Ends a transition whose time has come.
    pub(crate) fn advance(&mut self, now_ns: u64) -> Option<Ended> {
        let over = self.transition.clone().filter(|it| now_ns >= it.until_ns)?;
        Some(Ended {
            at_ns: over.until_ns,
            moved: self.change(&over.then, over.reason),
            reason: over.reason,
        })
    }

    /// What changes when the states become these; the groups that do note who changed them.
    fn moves(&mut self, states: &[Access], reason: Reason) -> Vec<Moved> {
        let transitioning = self.transition.is_some();
        let mut moved = Vec::new();
        for (group, to) in self.members.iter_mut().zip(states) {
            let from = if transitioning {
                Access::Transitioning
            } else {
                group.state
            };
            if from != *to {
                group.changed_by = reason.status_code();
                moved.push(Moved::Group {
                    id: group.id,
                    from,
                    to: *to,
                });
            }
        }
        moved
    }
}

fn owned(state: Access, by_this: bool) -> Access {
    match (state, by_this) {
        (Access::NonOptimized, true) => Access::Optimized,
        (Access::Optimized, false) => Access::NonOptimized,
        _ => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Access::{NonOptimized, Optimized, Standby, Transitioning};

    fn path(name: &str) -> PathName {
        name.parse().unwrap()
    }

    fn groups(group_per_port: bool) -> Groups {
        let layout = Layout {
            hosts: 2,
            group_per_port,
        };
        Groups::new(layout, Controller::A)
    }

    fn states(groups: &Groups) -> Vec<(u16, Access, ChangedBy)> {
        let row = |(group, state): (&PortGroup, Access)| (group.id, state, group.changed_by);
        groups.reported().map(row).collect()
    }

    #[test]
    fn ports_are_gathered_by_controller_or_not_at_all() {
        let ids = |per_port| {
            let groups = groups(per_port);
            let ids: Vec<u16> = groups.reported().map(|(group, _)| group.id).collect();
            ids
        };
        assert_eq!(ids(false), [1, 2]);
        assert_eq!(ids(true), [0x11, 0x12, 0x21, 0x22]);
        assert_eq!(groups(true).state(path("A2")), Optimized);
        assert_eq!(groups(true).state(path("B1")), NonOptimized);
    }

    #[test]
    fn a_transition_ends_at_its_time_and_not_before() {
        let mut groups = groups(false);
        let begun = groups.begin_transition(100, vec![NonOptimized, Optimized], Reason::Implicit);
        assert_eq!(begun.len(), 2);
        assert_eq!(groups.state(path("A1")), Transitioning);
        assert!(groups.advance(99).is_none());
        let ended = groups.advance(170).unwrap();
        assert_eq!((ended.at_ns, ended.reason), (100, Reason::Implicit));
        let first = Moved::Group {
            id: 1,
            from: Transitioning,
            to: NonOptimized,
        };
        assert_eq!(ended.moved[0], first);
        assert_eq!(
            states(&groups),
            [
                (1, NonOptimized, ChangedBy::Implicit),
                (2, Optimized, ChangedBy::Implicit)
            ]
        );
        assert!(groups.advance(200).is_none());
    }

    #[test]
    fn only_a_group_that_changes_says_who_did_it() {
        let mut groups = groups(true);
        let standby = groups.with(&[(Where::Path(path("B2")), Standby)]);
        assert_eq!(groups.change(&standby, Reason::Implicit).len(), 1);
        let wish = groups.requested(&[(0x21, Optimized)]).unwrap();
        let moved = groups.change(&wish, Reason::OtherHost);
        assert_eq!(moved.len(), 3);
        assert_eq!(
            states(&groups),
            [
                (0x11, NonOptimized, ChangedBy::Explicit),
                (0x12, NonOptimized, ChangedBy::Explicit),
                (0x21, Optimized, ChangedBy::Explicit),
                (0x22, Standby, ChangedBy::Implicit),
            ]
        );
    }

    #[test]
    fn one_group_made_optimized_moves_the_lun() {
        let two = groups(false);
        assert_eq!(
            two.requested(&[(2, Optimized)]).unwrap(),
            [NonOptimized, Optimized]
        );
        assert_eq!(
            two.requested(&[(2, Optimized), (1, Optimized)]).unwrap(),
            [Optimized; 2]
        );
        assert_eq!(two.requested(&[(9, Optimized)]), None);
        let four = groups(true);
        assert_eq!(
            four.requested(&[(0x22, Optimized)]).unwrap(),
            [NonOptimized, NonOptimized, Optimized, Optimized]
        );
        assert_eq!(four.swapped(), four.owned_by(Controller::B));
    }
}
