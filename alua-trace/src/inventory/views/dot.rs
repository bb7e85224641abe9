//! Owns the picture of host ports, network, port groups and units, for Graphviz: `dot -Tsvg`.
//!
//! Each path is a node in the network, between the host's port and the array's, so that its name has
//! a place.

use std::fmt::Write;

use super::graph::{self, Stroke, Unit};
use crate::inventory::model::Inventory;
use crate::safe;

/// Longest line of a label.
const LABEL_CHARS: usize = 140;

const HEAD: &str = "digraph paths {\n  rankdir=LR;\n  graph [fontname=\"monospace\", ranksep=0.9];\n  \
    node [shape=box, fontname=\"monospace\", fontsize=10];\n  edge [dir=none];\n";

const LEGEND: &str = "  subgraph cluster_legend {\n    label=\"solid: active/optimized, or RDAC \
    owner\\ldashed: active/non-optimized\\ldotted: other or unknown state\\lred: failed\\lthick: \
    current, I/O goes there\\l\";\n    style=dotted;\n    legend [shape=point, style=invis];\n  }\n";

pub(super) fn render(inventory: &Inventory) -> String {
    let mut out = HEAD.to_owned();
    // Graphviz puts what comes first at the bottom.
    for (nth, unit) in graph::units(inventory).iter().enumerate().rev() {
        draw_unit(&mut out, unit, nth);
    }
    out.push_str(LEGEND);
    out.push_str("}\n");
    out
}

fn draw_unit(out: &mut String, unit: &Unit, nth: usize) {
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "  subgraph cluster_{nth} {{\n    label={};",
        quoted(&[&unit.title])
    );
    for (host, port) in unit.host_ports.iter().enumerate() {
        let detail = port.detail.as_deref().unwrap_or_default();
        let _ = writeln!(
            out,
            "    u{nth}_h{host} [label={}];",
            quoted(&[&port.name, detail])
        );
    }
    draw_network(out, unit, nth);
    for (number, group) in unit.port_groups.iter().enumerate() {
        let state = if group.state.is_empty() {
            "state unknown"
        } else {
            &group.state
        };
        let preferred = if group.preferred { ", preferred" } else { "" };
        let label = quoted(&[&group.name, &format!("{state}{preferred}")]);
        let _ = writeln!(
            out,
            "    subgraph cluster_{nth}_g{number} {{\n      label={label};\n      style=rounded;"
        );
        for (port, name) in group.ports.iter().enumerate() {
            let _ = writeln!(
                out,
                "      u{nth}_g{number}_p{port} [label={}];",
                quoted(&[name])
            );
        }
        if group.ports.is_empty() {
            let _ = writeln!(out, "      u{nth}_g{number}_p0 [shape=point];");
        }
        out.push_str("    }\n");
    }
    let lines: Vec<&str> = unit.lines.iter().map(String::as_str).collect();
    let _ = writeln!(
        out,
        "    u{nth}_lun [shape=cylinder, label={}];",
        quoted(&lines)
    );
    draw_edges(out, unit, nth);
    out.push_str("  }\n");
}

fn draw_network(out: &mut String, unit: &Unit, nth: usize) {
    let _ = writeln!(
        out,
        "    subgraph cluster_{nth}_network {{\n      label={};\n      style=\"rounded,filled\";\n      color=\"#eef4fb\";",
        quoted(&[unit.network])
    );
    for (number, line) in unit.paths.iter().enumerate() {
        let current = if line.current { "current" } else { "" };
        let label = quoted(&[&line.name, line.state, current]);
        let _ = writeln!(
            out,
            "      u{nth}_l{number} [shape=plaintext, label={label}];"
        );
    }
    out.push_str("    }\n");
}

fn draw_edges(out: &mut String, unit: &Unit, nth: usize) {
    for (number, line) in unit.paths.iter().enumerate() {
        let (host, (group, port)) = (line.from, line.to);
        let style = style(line.stroke, line.current);
        let _ = writeln!(
            out,
            "    u{nth}_h{host} -> u{nth}_l{number} -> u{nth}_g{group}_p{port} [{style}];"
        );
    }
    for (number, group) in unit.port_groups.iter().enumerate() {
        let style = style(group.stroke, false);
        for port in 0..group.ports.len().max(1) {
            let _ = writeln!(out, "    u{nth}_g{number}_p{port} -> u{nth}_lun [{style}];");
        }
    }
}

fn style(stroke: Stroke, current: bool) -> String {
    let style = match stroke {
        Stroke::Solid => "style=solid, color=\"#0b6e4f\"",
        Stroke::Dashed => "style=dashed, color=\"#b35c00\"",
        Stroke::Dotted => "style=dotted, color=\"#8c959f\"",
        Stroke::Failed => "style=dashed, color=\"#c1121f\"",
    };
    format!("{style}{}", if current { ", penwidth=3" } else { "" })
}

/// A quoted string of lines; without those that are empty. Backslashes would be escapes to Graphviz.
fn quoted(lines: &[&str]) -> String {
    let mut out = "\"".to_owned();
    for line in lines.iter().filter(|line| !line.is_empty()) {
        if out.len() > 1 {
            out.push_str("\\n");
        }
        for c in safe::text(line, LABEL_CHARS).chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                // Graphviz reads entities in labels.
                '&' => out.push_str("&amp;"),
                '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
                _ => out.push(c),
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::views::graph::tests::{four_paths, hostile};

    #[test]
    fn paths_lead_from_host_ports_over_the_network_to_ports() {
        let dot = render(&four_paths());
        for line in [
            "u0_h0 [label=\"host 0\\n10.0.0.1 eth0\"];",
            "u0_l0 [shape=plaintext, label=\"sda 0:0:1:0\\nAO\\ncurrent\"];",
            "u0_h0 -> u0_l0 -> u0_g0_p0 [style=solid, color=\"#0b6e4f\", penwidth=3];",
            "u0_h1 -> u0_l2 -> u0_g1_p0 [style=dashed, color=\"#b35c00\"];",
            "u0_h1 -> u0_l3 -> u0_g1_p1 [style=dashed, color=\"#c1121f\"];",
            "u0_g0_p0 -> u0_lun [style=solid, color=\"#0b6e4f\"];",
            "u0_lun [shape=cylinder, label=\"logical unit\\nmpatha\\nLIO-ORG disk\\n1.5 TiB\\nhandler alua\"];",
        ] {
            assert!(dot.contains(line), "{line} in\n{dot}");
        }
        assert_eq!(dot.matches('{').count(), dot.matches('}').count());
    }

    #[test]
    fn strings_from_outside_stay_strings() {
        let dot = render(&hostile());
        assert!(dot.contains(r#"a\"b\\x1b&amp;mpath;<script>"#), "{dot}");
        assert!(!dot.contains('\x1b'));
    }
}
