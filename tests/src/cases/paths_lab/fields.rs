//! Field by field the same as sg3_utils, in every state the arrays can be put in.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Comparison, inventory, list, path_at, sg};
use crate::array::{Controller, Mode};
use crate::cases::Outcome;
use crate::lab::Lab;
use crate::lab::lio::State;
use crate::lab::multipath::{Handler, MapOptions};

/// Every pair of states of the two groups that says something new, with whom the array prefers.
pub(super) fn lio(lab: &mut Lab) -> Result<Outcome> {
    use State::{NonOptimized, Optimized, Standby, Unavailable};
    lab.lio()?;
    lab.map(&MapOptions::default())?;
    let mut comparison = Comparison::default();
    let states = [
        (Optimized, NonOptimized, None),
        (NonOptimized, Optimized, None),
        (Standby, Optimized, Some(Controller::A)),
        (Optimized, Unavailable, Some(Controller::B)),
        (Unavailable, Standby, None),
        (Unavailable, NonOptimized, Some(Controller::B)),
        (NonOptimized, NonOptimized, Some(Controller::A)),
        (Optimized, Optimized, None),
    ];
    for (a, b, preferred) in states {
        lab.target()?.set_states(a, b)?;
        lab.target()?.prefer(preferred)?;
        asymmetric(lab, &format!("{a:?} {b:?} {preferred:?}"), &mut comparison)?;
    }
    done(lab, &comparison, states.len())
}

/// The emulator has the states that LIO cannot be put in, too.
pub(super) fn emulator(lab: &mut Lab) -> Result<Outcome> {
    lab.emulator()?;
    lab.learn_states()?;
    lab.map(&MapOptions::default())?;
    let mut comparison = Comparison::default();
    let requests = [
        "prefer A",
        "swap",
        "prefer none",
        "state A standby B AO",
        "state A unavailable B standby",
        "state A offline B AN",
        "other-host A",
        "transition 60s A AN B AO",
    ];
    for request in requests {
        lab.array()?.ask(request)?;
        asymmetric(lab, request, &mut comparison)?;
    }
    // Or the array would go on with that.
    lab.array()?.ask("state A AO B AN")?;
    done(lab, &comparison, requests.len())
}

fn done(lab: &Lab, comparison: &Comparison, states: usize) -> Result<Outcome> {
    lab.figure("states compared", states as f64, "");
    lab.figure("fields compared", comparison.compared as f64, "");
    comparison.result()?;
    Ok(Outcome::Passed)
}

/// Identity, state and preference of each path, and all of each port group.
fn asymmetric(lab: &Lab, now: &str, comparison: &mut Comparison) -> Result<()> {
    let said = inventory(&["--refresh"])?;
    let mut reported = Vec::new();
    for path in lab.paths() {
        let about = format!("{now}: {}", path.name);
        let shown = path_at(&said, &path.hctl)?;
        let other = identity(comparison, &about, shown, &path.node())?;
        reported = sg::groups(&path.node())?;
        let own = reported
            .iter()
            .find(|group| other["port_group"] == group.id);
        let own = own.with_context(|| format!("{about}: its group is not reported"))?;
        let mut field = |name: &str, tool: &Value, other: Value| {
            comparison.field(&format!("{about} {name}"), tool, &other);
        };
        field("state", &shown["access"]["state"], json!(own.state));
        field("source", &shown["access"]["source"], json!("array"));
        field("preferred", &shown["preferred"], json!(own.preferred));
    }
    let expected: Vec<Value> = reported.iter().map(group).collect();
    let shown = list(&said["maps"][0]["port_groups"]);
    let names = ["id", "state", "preferred", "supported", "status", "ports"];
    comparison.field(
        &format!("{now}: number of port groups"),
        &json!(shown.len()),
        &json!(expected.len()),
    );
    for (shown, expected) in shown.zip(&expected) {
        for name in names {
            let about = format!("{now}: port group {} {name}", shown["id"]);
            comparison.field(&about, &shown[name], &expected[name]);
        }
    }
    Ok(())
}

fn group(group: &sg::Group) -> Value {
    json!({
        "id": group.id,
        "state": group.state,
        "preferred": group.preferred,
        "supported": group.supported,
        "status": group.status,
        "ports": group.ports,
    })
}

/// What sg_inq and sg_vpd say of the path; gives it back.
fn identity(comparison: &mut Comparison, about: &str, shown: &Value, node: &str) -> Result<Value> {
    let other = sg::identity(node)?;
    for (name, value) in other.as_object().into_iter().flatten() {
        comparison.field(&format!("{about} {name}"), &shown[name], value);
    }
    Ok(other)
}

/// Every mode, owner and preference.
pub(super) fn rdac(lab: &mut Lab) -> Result<Outcome> {
    lab.rdac_emulator(Mode::Rdac, 1)?;
    lab.map(&MapOptions::of(0, Handler::Rdac))?;
    let mut comparison = Comparison::default();
    let mut states = 0;
    for mode in ["rdac", "avt", "ioship"] {
        for owner in ["A", "B"] {
            for preferred in ["A", "B", "none"] {
                let requests = [
                    format!("mode {mode}"),
                    format!("own {owner}"),
                    format!("prefer {preferred}"),
                ];
                for request in &requests {
                    lab.array()?.ask(request)?;
                }
                volume_access(lab, &requests.join(", "), &mut comparison)?;
                states += 1;
            }
        }
    }
    done(lab, &comparison, states)
}

/// What pages C4h, C8h and C9h say of each path, by what scsi_dh_rdac.c and the prioritizer `rdac`
/// make of them.
fn volume_access(lab: &Lab, now: &str, comparison: &mut Comparison) -> Result<()> {
    let said = inventory(&["--refresh"])?;
    for path in lab.paths() {
        let about = format!("{now}: {}", path.name);
        let shown = path_at(&said, &path.hctl)?;
        identity(comparison, &about, shown, &path.node())?;
        let access = sg::page(&path.node(), "0xc9")?;
        let slots = sg::page(&path.node(), "0xc4")?;
        let page = Page::read(&access).with_context(|| format!("{about}: {access:02x?}"))?;
        let controller = if slots.get(29) == Some(&b'1') {
            "A"
        } else {
            "B"
        };
        let mut field = |name: &str, tool: &Value, other: Value| {
            comparison.field(&format!("{about} {name}"), tool, &other);
        };
        let rdac = &shown["rdac"];
        field("mode", &rdac["mode"], json!(page.mode));
        field("owned", &rdac["owned"], json!(page.owned));
        field("preferred", &rdac["preferred"], json!(page.weight == 4));
        field("controller", &rdac["controller"], json!(controller));
        field(
            "lab's name",
            &rdac["controller"],
            json!(path.name.controller.to_string()),
        );
        field(
            "priority",
            &shown["priority"]["value"],
            json!(page.priority()),
        );
        field("state", &shown["access"]["state"], json!(page.state));
        let reason = shown["priority"]["reason"].as_str().unwrap_or_default();
        for (word, wanted) in page.reasons() {
            field(
                &format!("reason has {word:?}"),
                &json!(reason.contains(word)),
                json!(wanted),
            );
        }
    }
    Ok(())
}

/// Page C9h.
struct Page {
    mode: &'static str,
    owned: bool,
    /// Of the preferred path 4, of the secondary one 1.
    weight: u8,
    state: &'static str,
}

impl Page {
    fn read(bytes: &[u8]) -> Option<Page> {
        let flags = bytes.get(8)?;
        Some(Page {
            mode: match (flags & 0x80 != 0, flags & 0x20 != 0) {
                (_, true) => "IOSHIP",
                (true, false) => "AVT",
                (false, false) => "RDAC",
            },
            owned: flags & 0x01 != 0,
            weight: match bytes.get(9)? & 0x0f {
                1 => 4,
                2 => 1,
                _ => 0,
            },
            state: sg::state_name(u64::from(bytes.get(10)? & 0x0f)),
        })
    }

    fn priority(&self) -> u8 {
        let ships = if self.mode == "IOSHIP" { 8 } else { 0 };
        2 * u8::from(self.owned) + self.weight + ships
    }

    fn reasons(&self) -> [(&'static str, bool); 4] {
        [
            ("2 owned", self.owned),
            ("4 preferred", self.weight == 4),
            ("1 secondary", self.weight == 1),
            ("8 IOSHIP", self.mode == "IOSHIP"),
        ]
    }
}
