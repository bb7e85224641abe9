//! Owns the picture of host ports, network, port groups and units, drawn: an SVG that needs nothing
//! else, no scripts and no fonts of its own.
//!
//! Host ports are boxes on the left with a row for each path, so that no two names meet; lines lead
//! from there through the network to the array's ports, and from their groups to the unit.

mod shapes;

use std::fmt::Write;

use super::graph::{self, Group, HostPort, Line, Stroke, Unit};
use crate::inventory::model::Inventory;
use crate::safe;
use shapes::{CHAR, Column, PADDING, end_text, fit, middle_text, rect, text};

/// Everything is in pixels.
const WIDTH: u32 = 1180;
const MARGIN: u32 = 20;
const HOST: Column = Column { x: 20, width: 290 };
const NETWORK: Column = Column { x: 420, width: 100 };
const ARRAY: Column = Column { x: 620, width: 280 };
const UNIT: Column = Column { x: 980, width: 180 };
const ROW: u32 = 22;
const HEAD: u32 = 26;
/// Between boxes.
const GAP: u32 = 18;
const TITLE: u32 = 38;
const LEGEND: u32 = 84;
/// Width of a title's character, a little more than fonts make it.
const TITLE_CHAR: u32 = 9;

const STYLE: &str = "text{font-family:'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:12px;fill:#1b1f24}\
    .title{font-size:14px;font-weight:bold}.head{font-weight:bold}.faint{fill:#57606a}.bad{fill:#c1121f}\
    .box{fill:#f6f8fa;stroke:#57606a}.net{fill:#eef4fb;stroke:#9fb6cf}.unit{fill:#fff8e6;stroke:#8a6d1d}\
    .path{fill:none;stroke-width:1.6}.solid{stroke:#0b6e4f}.dashed{stroke:#b35c00;stroke-dasharray:9 5}\
    .dotted{stroke:#8c959f;stroke-dasharray:2 4}.failed{stroke:#c1121f;stroke-dasharray:12 4 2 4}\
    .current{stroke-width:4}";

pub(super) fn render(inventory: &Inventory) -> String {
    let units = graph::units(inventory);
    let mut body = String::new();
    let mut y = MARGIN;
    for unit in &units {
        y += draw_unit(&mut body, unit, y) + 2 * GAP;
    }
    if units.is_empty() {
        text(&mut body, "faint", MARGIN, y + HEAD, "no paths");
        y += TITLE;
    }
    legend(&mut body, y);
    let height = y + LEGEND;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<style>{STYLE}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

/// Where the boxes of a unit are.
struct Places {
    /// Tops of the host ports' boxes.
    hosts: Vec<u32>,
    /// Tops of the groups' boxes.
    groups: Vec<u32>,
    /// The middle of each path's row.
    rows: Vec<u32>,
    top: u32,
    height: u32,
}

fn draw_unit(out: &mut String, unit: &Unit, top: u32) -> u32 {
    let title_chars = (WIDTH - 2 * MARGIN) / TITLE_CHAR;
    text(
        out,
        "title",
        MARGIN,
        top + 16,
        &fit(&unit.title, title_chars),
    );
    let places = places(unit, top + TITLE);
    network(out, unit, &places);
    for (nth, line) in unit.paths.iter().enumerate() {
        draw_path(out, unit, line, nth, &places);
    }
    for (nth, (port, top)) in unit.host_ports.iter().zip(&places.hosts).enumerate() {
        draw_host(out, unit, nth, port, *top, &places);
    }
    for (group, top) in unit.port_groups.iter().zip(&places.groups) {
        draw_group(out, group, *top, &places);
    }
    draw_logical_unit(out, unit, &places);
    TITLE + places.height
}

fn places(unit: &Unit, top: u32) -> Places {
    let n_paths = |nth: usize| unit.paths.iter().filter(|path| path.from == nth).count();
    let hosts: Vec<u32> = unit
        .host_ports
        .iter()
        .enumerate()
        .map(|(nth, port)| host_height(port, n_paths(nth)))
        .collect();
    let groups: Vec<u32> = unit.port_groups.iter().map(group_height).collect();
    let unit_height = unit_height(unit);
    let height = stack_height(&hosts)
        .max(stack_height(&groups))
        .max(unit_height);
    let hosts_top = top + (height - stack_height(&hosts)) / 2;
    let groups_top = top + (height - stack_height(&groups)) / 2;
    let hosts = stack(&hosts, hosts_top);
    let mut next: Vec<u32> = unit
        .host_ports
        .iter()
        .zip(&hosts)
        .map(|(port, top)| top + head_height(port))
        .collect();
    let rows = unit
        .paths
        .iter()
        .map(|path| {
            let row = next
                .get_mut(path.from)
                .map(|next| std::mem::replace(next, *next + ROW));
            row.unwrap_or(top) + ROW / 2
        })
        .collect();
    Places {
        hosts,
        groups: stack(&groups, groups_top),
        rows,
        top,
        height,
    }
}

fn length(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX / 64)
}

fn stack_height(heights: &[u32]) -> u32 {
    heights.iter().sum::<u32>() + GAP * length(heights.len().saturating_sub(1))
}

fn stack(heights: &[u32], top: u32) -> Vec<u32> {
    let mut at = top;
    let place = |height: &u32| {
        let top = at;
        at += height + GAP;
        top
    };
    heights.iter().map(place).collect()
}

const fn head_height(port: &HostPort) -> u32 {
    if port.detail.is_some() {
        HEAD + ROW
    } else {
        HEAD
    }
}

fn host_height(port: &HostPort, paths: usize) -> u32 {
    head_height(port) + ROW * length(paths) + PADDING / 2
}

fn group_height(group: &Group) -> u32 {
    HEAD + ROW + ROW * length(group.ports.len()) + PADDING / 2
}

fn unit_height(unit: &Unit) -> u32 {
    HEAD + ROW * length(unit.lines.len())
}

/// The middle of a port's row.
fn port_y(group_top: u32, port: usize) -> u32 {
    group_top + HEAD + ROW + ROW * length(port) + ROW / 2
}

fn network(out: &mut String, unit: &Unit, places: &Places) {
    if unit.paths.is_empty() {
        return;
    }
    rect(out, "net", &NETWORK, places.top, places.height, 30);
    let words = if unit.network.is_empty() {
        "network"
    } else {
        unit.network
    };
    // Above the lines: they spread over the whole height.
    middle_text(out, "faint", NETWORK.middle(), places.top - 6, words);
}

fn draw_path(out: &mut String, unit: &Unit, line: &Line, nth: usize, places: &Places) {
    let (group, port) = line.to;
    let (Some(y1), Some(top)) = (places.rows.get(nth), places.groups.get(group)) else {
        return;
    };
    let y2 = port_y(*top, port);
    let current = if line.current { " current" } else { "" };
    let to = unit
        .port_groups
        .get(group)
        .map_or("", |group| group.name.as_str());
    let hint = safe::xml(&safe::sentence(&format!(
        "{} to {to}: {}",
        line.name, line.state
    )));
    let (x1, x2) = (HOST.end(), ARRAY.x);
    let (a, b) = (NETWORK.x, NETWORK.end());
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<path class=\"path {}{current}\" d=\"M{x1} {y1}C{a} {y1} {b} {y2} {x2} {y2}\"><title>{hint}</title></path>",
        class(line.stroke)
    );
    if line.stroke == Stroke::Failed {
        // A cross in the middle: colour alone tells not everybody.
        let (x, y) = (x1.midpoint(x2), y1.midpoint(y2));
        let _ = writeln!(
            out,
            "<path class=\"path\" stroke=\"#c1121f\" d=\"M{} {}l12 12m0 -12l-12 12\"/>",
            x - 6,
            y - 6
        );
    }
}

fn draw_host(
    out: &mut String,
    unit: &Unit,
    nth: usize,
    port: &HostPort,
    top: u32,
    places: &Places,
) {
    let paths = unit.paths.iter().filter(|path| path.from == nth).count();
    rect(out, "box", &HOST, top, host_height(port, paths), 6);
    let x = HOST.x + PADDING;
    text(out, "head", x, top + 17, &fit(&port.name, HOST.chars()));
    if let Some(detail) = &port.detail {
        text(out, "faint", x, top + HEAD + 13, &fit(detail, HOST.chars()));
    }
    for (line, y) in unit
        .paths
        .iter()
        .zip(&places.rows)
        .filter(|(line, _)| line.from == nth)
    {
        let class = match (line.stroke, line.current) {
            (Stroke::Failed, _) => "bad",
            (_, true) => "head",
            _ => "",
        };
        let mark = if line.current { "\u{25b6} " } else { "  " };
        let state_chars = length(line.state.chars().count());
        text(out, class, x, y + 4, mark.trim_end());
        text(
            out,
            class,
            x + 2 * CHAR,
            y + 4,
            &fit(&line.name, HOST.chars() - 3 - state_chars),
        );
        end_text(out, class, HOST.end() - PADDING, y + 4, line.state);
    }
}

fn draw_group(out: &mut String, group: &Group, top: u32, places: &Places) {
    rect(out, "box", &ARRAY, top, group_height(group), 6);
    let x = ARRAY.x + PADDING;
    text(out, "head", x, top + 17, &fit(&group.name, ARRAY.chars()));
    let state = if group.state.is_empty() {
        "state unknown"
    } else {
        &group.state
    };
    let preferred = if group.preferred { ", preferred" } else { "" };
    text(
        out,
        "faint",
        x,
        top + HEAD + 13,
        &fit(&format!("{state}{preferred}"), ARRAY.chars()),
    );
    for (nth, port) in group.ports.iter().enumerate() {
        let y = port_y(top, nth);
        let _ = writeln!(
            out,
            "<circle cx=\"{}\" cy=\"{y}\" r=\"4\" fill=\"#57606a\"/>",
            ARRAY.x
        );
        text(out, "", x, y + 4, &fit(port, ARRAY.chars()));
    }
    let (x1, y1) = (ARRAY.end(), top + group_height(group) / 2);
    let (x2, y2) = (UNIT.x, places.top + places.height / 2);
    let bend = x1.midpoint(x2);
    let _ = writeln!(
        out,
        "<path class=\"path {}\" d=\"M{x1} {y1}C{bend} {y1} {bend} {y2} {x2} {y2}\"/>",
        class(group.stroke)
    );
}

fn draw_logical_unit(out: &mut String, unit: &Unit, places: &Places) {
    let height = unit_height(unit);
    let top = places.top + (places.height - height) / 2;
    rect(out, "unit", &UNIT, top, height, 14);
    for (nth, line) in unit.lines.iter().enumerate() {
        let class = if nth == 0 { "faint" } else { "" };
        let y = top + 24 + ROW * length(nth);
        middle_text(out, class, UNIT.middle(), y, &fit(line, UNIT.chars()));
    }
}

fn legend(out: &mut String, top: u32) {
    let _ = writeln!(
        out,
        "<path d=\"M{MARGIN} {top}H{}\" stroke=\"#d0d7de\"/>",
        WIDTH - MARGIN
    );
    let entries = [
        ("solid", "active/optimized, or RDAC owner"),
        ("dashed", "active/non-optimized"),
        ("dotted", "other or unknown state"),
        ("failed", "failed"),
        ("solid current", "\u{25b6} current: I/O goes there"),
    ];
    for (nth, (class, words)) in entries.into_iter().enumerate() {
        let x = MARGIN + 380 * (length(nth) % 3);
        let y = top + 26 + 26 * (length(nth) / 3);
        let _ = writeln!(out, "<path class=\"path {class}\" d=\"M{x} {y}h60\"/>");
        text(out, "", x + 70, y + 4, words);
    }
}

const fn class(stroke: Stroke) -> &'static str {
    match stroke {
        Stroke::Solid => "solid",
        Stroke::Dashed => "dashed",
        Stroke::Dotted => "dotted",
        Stroke::Failed => "failed",
    }
}

#[cfg(test)]
mod tests;
