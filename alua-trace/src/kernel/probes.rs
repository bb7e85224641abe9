//! The probe table: every probe, where it hooks and what is lost without it; and the plan, a pure
//! function of what the kernel offers.
//!
//! The table is the one place that declares a probe: attaching, `doctor`, the trace's header and
//! the documentation derive from it.

use crate::report::model::{Probe, ProbeStatus};

/// Where a probe hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// A raw tracepoint of `scsi_mod`.
    RawTracepoint(&'static str),
    /// Entry of a function, by name.
    KProbe(&'static str),
    /// Return of a function, by name.
    KRetProbe(&'static str),
    /// No program: the probes compare with the address of this function.
    Address(&'static str),
}

/// One probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Name, and name of the program, if it has one.
    pub name: &'static str,
    /// Where it hooks.
    pub hook: Hook,
    /// Kernel module that has the hook; it may be built in.
    pub module: &'static str,
    /// What cannot be told without it.
    pub lost_without: &'static str,
    /// Nothing can be told without it.
    pub required: bool,
}

/// Every probe. The ends come before the start: attached in this order, no command is seen to
/// start whose end could be missed.
pub const TABLE: [Spec; 9] = [
    Spec {
        name: "scsi_dispatch_cmd_done",
        hook: Hook::RawTracepoint("scsi_dispatch_cmd_done"),
        module: "scsi_mod",
        lost_without: "completions and latency: everything",
        required: true,
    },
    Spec {
        name: "scsi_dispatch_cmd_error",
        hook: Hook::RawTracepoint("scsi_dispatch_cmd_error"),
        module: "scsi_mod",
        lost_without: "commands the low-level driver refused: they would seem in flight",
        required: true,
    },
    Spec {
        name: "scsi_dispatch_cmd_timeout",
        hook: Hook::RawTracepoint("scsi_dispatch_cmd_timeout"),
        module: "scsi_mod",
        lost_without: "commands that timed out: they would seem in flight",
        required: true,
    },
    Spec {
        name: "scsi_dispatch_cmd_start",
        hook: Hook::RawTracepoint("scsi_dispatch_cmd_start"),
        module: "scsi_mod",
        lost_without: "dispatches: everything",
        required: true,
    },
    Spec {
        name: "end_clone_request",
        hook: Hook::Address("end_clone_request"),
        module: "dm_mod",
        lost_without: "the map and path group of commands from request-based maps",
        required: false,
    },
    Spec {
        name: "clone_endio",
        hook: Hook::Address("clone_endio"),
        module: "dm_mod",
        lost_without: "the map and path group of commands from bio-based maps",
        required: false,
    },
    Spec {
        name: "alua_rtpg_work",
        hook: Hook::KProbe("alua_rtpg_work"),
        module: "scsi_dh_alua",
        lost_without: "when an access state became known or changed; it is noticed seconds later",
        required: false,
    },
    Spec {
        name: "alua_rtpg_work_return",
        hook: Hook::KRetProbe("alua_rtpg_work"),
        module: "scsi_dh_alua",
        lost_without: "when an access state became known or changed; it is noticed seconds later",
        required: false,
    },
    Spec {
        name: "alua_check_sense_return",
        hook: Hook::KRetProbe("alua_check_sense"),
        module: "scsi_dh_alua",
        lost_without: "nothing: access states are read anew for each command, which costs more",
        required: false,
    },
];

/// Probes that see everything that changes a port group's state: with all of them attached, states
/// need not be read anew for each command.
pub const STATE_CHANGES: [&str; 3] = [
    "alua_rtpg_work",
    "alua_rtpg_work_return",
    "alua_check_sense_return",
];

/// What the kernel offers for one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFacts {
    /// Loaded, or built in.
    pub loaded: bool,
    /// Why the offsets that probes on it need are not there; `None` when they are.
    pub layout_error: Option<String>,
}

/// What the kernel offers.
pub trait Facts {
    /// Of a module.
    fn module(&self, name: &str) -> ModuleFacts;
    /// Whether a function exists, by name and module; `None` when addresses are hidden.
    fn has_function(&self, module: &str, name: &str) -> Option<bool>;
    /// Whether the tracepoint exists; `None` when tracefs is not mounted.
    fn has_tracepoint(&self, group: &str, name: &str) -> Option<bool>;
}

/// One probe and what can become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The probe.
    pub spec: Spec,
    /// What becomes of it.
    pub status: ProbeStatus,
    /// Why not `ok`.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl Planned {
    /// The same, for output.
    #[must_use]
    pub fn report(&self) -> Probe {
        Probe {
            name: self.spec.name.into(),
            hook: self.spec.hook.describe(),
            status: self.status,
            reason: self.reason.clone(),
            remedy: self.remedy.clone(),
            lost_without: self.spec.lost_without.into(),
        }
    }

    /// Sets what became of it when it was tried.
    pub fn set(&mut self, status: ProbeStatus, reason: String, remedy: &str) {
        self.status = status;
        self.reason = reason;
        self.remedy = remedy.into();
    }
}

impl Hook {
    fn describe(self) -> String {
        match self {
            Self::RawTracepoint(name) => format!("raw_tracepoint {name}"),
            Self::KProbe(name) => format!("kprobe {name}"),
            Self::KRetProbe(name) => format!("kretprobe {name}"),
            Self::Address(name) => format!("address of {name}"),
        }
    }
}

/// What will become of each probe of the table.
#[must_use]
pub fn plan(facts: &dyn Facts) -> Vec<Planned> {
    TABLE.iter().map(|spec| plan_one(*spec, facts)).collect()
}

/// What will become of one probe.
#[must_use]
pub fn plan_one(spec: Spec, facts: &dyn Facts) -> Planned {
    let module = facts.module(spec.module);
    let planned = |status, reason: String, remedy: &str| Planned {
        spec,
        status,
        reason,
        remedy: remedy.into(),
    };
    if !module.loaded {
        let remedy = if spec.required {
            "attach a SCSI disk: its driver loads the module"
        } else {
            "none needed: it attaches when the module loads"
        };
        let reason = format!("{} is not loaded", spec.module);
        return planned(ProbeStatus::NotApplicable, reason, remedy);
    }
    if let Some(error) = module.layout_error {
        return planned(
            ProbeStatus::Unsupported,
            error,
            "use a kernel with BTF for its modules (CONFIG_DEBUG_INFO_BTF_MODULES), or --btf DIR",
        );
    }
    match exists(spec, facts) {
        Some(false) => planned(
            ProbeStatus::Unsupported,
            "this kernel does not have it".into(),
            "none: the kernel was built without it; report the kernel's version",
        ),
        None if matches!(spec.hook, Hook::Address(_)) => planned(
            ProbeStatus::Broken,
            "kernel addresses are hidden".into(),
            "run as root with CAP_SYSLOG, or sysctl kernel.kptr_restrict=1",
        ),
        _ => planned(ProbeStatus::Ok, String::new(), ""),
    }
}

fn exists(spec: Spec, facts: &dyn Facts) -> Option<bool> {
    match spec.hook {
        Hook::RawTracepoint(name) => facts.has_tracepoint("scsi", name),
        Hook::KProbe(name) | Hook::KRetProbe(name) | Hook::Address(name) => {
            facts.has_function(spec.module, name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        unloaded: &'static str,
        without_layout: &'static str,
        without_function: &'static str,
        hidden: bool,
    }

    const ALL: Fake = Fake {
        unloaded: "",
        without_layout: "",
        without_function: "",
        hidden: false,
    };

    impl Facts for Fake {
        fn module(&self, name: &str) -> ModuleFacts {
            ModuleFacts {
                loaded: name != self.unloaded,
                layout_error: (name == self.without_layout).then(|| "no struct pgpath".into()),
            }
        }

        fn has_function(&self, _: &str, name: &str) -> Option<bool> {
            (!self.hidden).then_some(name != self.without_function)
        }

        fn has_tracepoint(&self, _: &str, _: &str) -> Option<bool> {
            Some(true)
        }
    }

    fn status(facts: &Fake, name: &str) -> ProbeStatus {
        plan(facts)
            .into_iter()
            .find(|planned| planned.spec.name == name)
            .unwrap()
            .status
    }

    #[test]
    fn everything_there_is_ok() {
        assert!(
            plan(&ALL)
                .iter()
                .all(|planned| planned.status == ProbeStatus::Ok)
        );
    }

    #[test]
    fn each_obstacle_has_its_own_status_and_a_remedy() {
        let unloaded = Fake {
            unloaded: "scsi_dh_alua",
            ..ALL
        };
        assert_eq!(
            status(&unloaded, "alua_rtpg_work"),
            ProbeStatus::NotApplicable
        );
        assert_eq!(status(&unloaded, "end_clone_request"), ProbeStatus::Ok);
        let no_layout = Fake {
            without_layout: "scsi_mod",
            ..ALL
        };
        assert_eq!(
            status(&no_layout, "scsi_dispatch_cmd_start"),
            ProbeStatus::Unsupported
        );
        let no_function = Fake {
            without_function: "clone_endio",
            ..ALL
        };
        assert_eq!(
            status(&no_function, "clone_endio"),
            ProbeStatus::Unsupported
        );
        let hidden = Fake {
            hidden: true,
            ..ALL
        };
        assert_eq!(status(&hidden, "end_clone_request"), ProbeStatus::Broken);
        for facts in [&unloaded, &no_layout, &no_function, &hidden] {
            for planned in plan(facts)
                .iter()
                .filter(|planned| planned.status != ProbeStatus::Ok)
            {
                assert!(!planned.reason.is_empty() && !planned.remedy.is_empty());
            }
        }
    }

    #[test]
    fn the_start_is_attached_after_every_end() {
        let at = |name: &str| TABLE.iter().position(|spec| spec.name == name).unwrap();
        for end in ["done", "error", "timeout"] {
            assert!(
                at(&format!("scsi_dispatch_cmd_{end}")) < at("scsi_dispatch_cmd_start"),
                "{end}"
            );
        }
    }
}
