//! The probe table: every probe, where it hooks and what is lost without it; and the plan, a pure
//! function of what the kernel offers.
//!
//! The table is the one place that declares a probe: attaching, `doctor`, the trace's header and
//! the documentation derive from it.

use super::pages::{self, PAGES};
use crate::model::{Probe, ProbeStatus};

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
    /// No program: a number that the kernel leaves for readers of its crash dumps ([`crate::sysroot::crash_numbers`]).
    CrashNote(&'static str),
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
    /// Attached only while a handler refuses I/O somewhere: it runs for every command then.
    pub on_demand: bool,
}

impl Spec {
    const fn required(
        name: &'static str,
        module: &'static str,
        lost_without: &'static str,
    ) -> Self {
        Self {
            name,
            hook: Hook::RawTracepoint(name),
            module,
            lost_without,
            required: true,
            on_demand: false,
        }
    }

    const fn new(
        name: &'static str,
        hook: Hook,
        module: &'static str,
        lost_without: &'static str,
    ) -> Self {
        Self {
            name,
            hook,
            module,
            lost_without,
            required: false,
            on_demand: false,
        }
    }

    const fn on_demand(self) -> Self {
        Self {
            on_demand: true,
            ..self
        }
    }
}

/// The kernel itself, where a probe is on no module.
pub const VMLINUX: &str = "vmlinux";

const fn of_pages(name: &'static str) -> Hook {
    match pages::ARE_VARIABLES {
        true => Hook::Address(name),
        false => Hook::CrashNote(name),
    }
}

/// Every probe. The ends come before the starts: attached in this order, no command, and no work of
/// a handler, is seen to start whose end could be missed. Those of commands come last, and are detached first: the kernel
/// goes through all of its functions to attach or detach one kprobe (`ftrace_replace_code`), and on its CPU I/O waits
/// for that.
pub const TABLE: [Spec; 25] = [
    Spec::new(
        "end_clone_request",
        Hook::Address("end_clone_request"),
        "dm_mod",
        "the map and path group of commands from request-based maps",
    ),
    Spec::new(
        "clone_endio",
        Hook::Address("clone_endio"),
        "dm_mod",
        "the map and path group of commands from bio-based maps",
    ),
    Spec::new(
        "alua_rtpg_work_return",
        Hook::KRetProbe("alua_rtpg_work"),
        "scsi_dh_alua",
        "when an access state became known or changed; it is noticed seconds later",
    ),
    Spec::new(
        "alua_rtpg_work",
        Hook::KProbe("alua_rtpg_work"),
        "scsi_dh_alua",
        "when an access state became known or changed; it is noticed seconds later",
    ),
    Spec::new(
        "alua_check_sense_return",
        Hook::KRetProbe("alua_check_sense"),
        "scsi_dh_alua",
        "nothing: access states are read anew for each command, which costs more",
    ),
    Spec::new(
        "blk_execute_rq",
        Hook::KProbe("blk_execute_rq"),
        VMLINUX,
        "the process or handler that sent a command about ownership",
    ),
    Spec::new(
        "blk_execute_rq_nowait",
        Hook::KProbe("blk_execute_rq_nowait"),
        VMLINUX,
        "the process that sent a command about ownership through /dev/sg*",
    ),
    Spec::new(
        PAGES[0],
        of_pages(PAGES[0]),
        VMLINUX,
        "what the array answered, and which units a MODE SELECT moves: who moved a unit",
    ),
    Spec::new(
        PAGES[1],
        of_pages(PAGES[1]),
        VMLINUX,
        "what the array answered, and which units a MODE SELECT moves: who moved a unit",
    ),
    Spec::new(
        "scsi_dh_activate",
        Hook::KProbe("scsi_dh_activate"),
        "scsi_mod",
        "when dm-multipath has a path activated",
    ),
    Spec::new(
        "pg_init_done",
        Hook::KProbe("pg_init_done"),
        "dm_multipath",
        "when a path group was initialised, and with what result",
    ),
    Spec::new(
        "fail_path",
        Hook::KProbe("fail_path"),
        "dm_multipath",
        "when dm-multipath failed a path",
    ),
    Spec::new(
        "reinstate_path",
        Hook::KProbe("reinstate_path"),
        "dm_multipath",
        "when a path was reinstated",
    ),
    Spec::new(
        "multipath_message",
        Hook::KProbe("multipath_message"),
        "dm_multipath",
        "messages to a map (switch_group and others) and who sent them",
    ),
    Spec::new(
        TABLE_CHANGES,
        Hook::KProbe(TABLE_CHANGES),
        "dm_mod",
        "nothing: what dm has chosen is read anew for each command, which costs more",
    ),
    Spec::new(
        "send_mode_select",
        Hook::KProbe("send_mode_select"),
        "scsi_dh_rdac",
        "that a MODE SELECT was sent by the handler",
    ),
    Spec::new(
        "send_mode_select_return",
        Hook::KRetProbe("send_mode_select"),
        "scsi_dh_rdac",
        "that a MODE SELECT was sent by the handler",
    ),
    Spec::new(
        "alua_prep_fn_return",
        Hook::KRetProbe("alua_prep_fn"),
        "scsi_dh_alua",
        "I/O that the handler refuses: it never reaches dispatch",
    )
    .on_demand(),
    Spec::new(
        "alua_prep_fn",
        Hook::KProbe("alua_prep_fn"),
        "scsi_dh_alua",
        "I/O that the handler refuses: it never reaches dispatch",
    )
    .on_demand(),
    Spec::new(
        "rdac_prep_fn_return",
        Hook::KRetProbe("rdac_prep_fn"),
        "scsi_dh_rdac",
        "I/O that the handler refuses: it never reaches dispatch",
    )
    .on_demand(),
    Spec::new(
        "rdac_prep_fn",
        Hook::KProbe("rdac_prep_fn"),
        "scsi_dh_rdac",
        "I/O that the handler refuses: it never reaches dispatch",
    )
    .on_demand(),
    Spec::required(
        "scsi_dispatch_cmd_done",
        "scsi_mod",
        "completions and latency: everything",
    ),
    Spec::required(
        "scsi_dispatch_cmd_error",
        "scsi_mod",
        "commands the low-level driver refused: they would seem in flight",
    ),
    Spec::required(
        "scsi_dispatch_cmd_timeout",
        "scsi_mod",
        "commands that timed out: they would seem in flight",
    ),
    Spec::required(
        "scsi_dispatch_cmd_start",
        "scsi_mod",
        "dispatches: everything",
    ),
];

/// The probe that sees every change of a dm device's table: with it attached, the route of a command need not be read anew
/// where its path has but one.
pub const TABLE_CHANGES: &str = "dm_resume";

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
    /// Why not `ok`, or why it is and does not read by type.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// Its twin that reads through the kernel's own types is attached instead.
    pub reads_by_type: bool,
}

impl Planned {
    /// The same, for output.
    #[must_use]
    pub fn report(&self) -> Probe {
        Probe {
            name: self.spec.name.into(),
            hook: self.spec.hook.describe(self.reads_by_type),
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
    fn describe(self, reads_by_type: bool) -> String {
        match self {
            Self::RawTracepoint(name) if reads_by_type => format!("tp_btf {name}"),
            Self::RawTracepoint(name) => format!("raw_tracepoint {name}"),
            Self::KProbe(name) => format!("kprobe {name}"),
            Self::KRetProbe(name) => format!("kretprobe {name}"),
            Self::Address(name) => format!("address of {name}"),
            Self::CrashNote(name) => format!("number {name} of /proc/kcore"),
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
        reads_by_type: false,
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
        _ if spec.on_demand => planned(
            ProbeStatus::NotApplicable,
            "no path is in a state in which its handler refuses I/O".into(),
            "none needed: it attaches when one is",
        ),
        _ => planned(ProbeStatus::Ok, String::new(), ""),
    }
}

fn exists(spec: Spec, facts: &dyn Facts) -> Option<bool> {
    match spec.hook {
        Hook::RawTracepoint(name) => facts.has_tracepoint("scsi", name),
        Hook::KProbe(name)
        | Hook::KRetProbe(name)
        | Hook::Address(name)
        | Hook::CrashNote(name) => facts.has_function(spec.module, name),
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
        for planned in plan(&ALL) {
            let expected = if planned.spec.on_demand {
                ProbeStatus::NotApplicable
            } else {
                ProbeStatus::Ok
            };
            assert_eq!(planned.status, expected, "{}", planned.spec.name);
        }
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
