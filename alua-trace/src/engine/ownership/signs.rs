//! Signs that ownership moves or has moved, before any answer names the new owner: sense data and
//! answers that say "transitioning".

/// Signs with nothing after them for this long led to nothing.
pub(super) const KEEP_NS: u64 = 10_000_000_000;

/// What a sense code says about ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// 02/04/0A and 06/04/0A, or an RDAC controller that quiesces: it moves now.
    Moving,
    /// 06/2A/06: it has moved.
    Changed,
    /// 05/94/01: this controller is not the owner.
    NotOwner,
}

impl Sign {
    /// See `alua_check_sense` and `rdac_check_sense`.
    pub fn of(sense: [u8; 3]) -> Option<Self> {
        match sense {
            [0x02 | 0x06, 0x04, 0x0a]
            | [0x02, 0x04, 0xa1]
            | [0x02, 0xa1, 0x02]
            | [0x06, 0x8b, 0x02] => Some(Self::Moving),
            [0x06, 0x2a, 0x06] => Some(Self::Changed),
            [0x05, 0x94, 0x01] => Some(Self::NotOwner),
            _ => None,
        }
    }
}

/// The signs since the owner was last confirmed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signs {
    /// First of them: the array had begun.
    pub first_ns: Option<u64>,
    pub last_ns: u64,
    /// Last dispatch to which the array answered that it was moving.
    pub moving_ns: Option<u64>,
    /// When it announced, after that, that it had moved.
    announced_ns: Option<u64>,
    pub changed: bool,
    pub not_owner: bool,
}

impl Signs {
    /// A sign in the answer to a command dispatched at `dispatch_ns` that came back at `at_ns`.
    pub fn saw(&mut self, sign: Sign, dispatch_ns: u64, at_ns: u64) {
        if at_ns.saturating_sub(self.last_ns) > KEEP_NS {
            *self = Self::default();
        }
        // The array decides when the command arrives, which is close to its dispatch. What says
        // that something is done already must not be dated before it was.
        let near_ns = if sign == Sign::Moving {
            dispatch_ns
        } else {
            at_ns
        };
        self.first_ns = Some(self.first_ns.map_or(near_ns, |first| first.min(near_ns)));
        self.last_ns = self.last_ns.max(at_ns);
        match sign {
            Sign::Moving => {
                self.moving_ns = self.moving_ns.max(Some(dispatch_ns));
                // Still moving after all: another port was faster.
                self.announced_ns = self.announced_ns.filter(|at| *at > dispatch_ns);
            }
            Sign::Changed => self.changed = true,
            Sign::NotOwner => self.not_owner = true,
        }
        if sign != Sign::Moving && self.moving_ns.is_some_and(|moving| dispatch_ns > moving) {
            self.announced_ns = Some(self.announced_ns.map_or(at_ns, |first| first.min(at_ns)));
        }
    }

    /// When the array announced that a transition was over.
    pub fn announced_ns(&self) -> Option<u64> {
        self.announced_ns
    }

    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.first_ns.is_some()
    }

    /// Whether they are too old at `now_ns` to have to do with what happens then.
    pub fn is_stale(&self, now_ns: u64) -> bool {
        self.any() && now_ns.saturating_sub(self.last_ns) > KEEP_NS
    }
}
