//! Draws the live view. A pure function of [`Screen`]: no clock, no terminal, no keys.

use std::fmt::Write;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::cells::Canvas;
use super::columns::{Column, Place, places};
use super::screen::Screen;
use super::table::{self, Entry, Sorting, Visible};
use crate::format;
use crate::model::{AccessState, Flag, Row, Severity, Transfer};
use crate::report::histogram::push_bar;
use crate::report::{flags, words};
use crate::safe;

const PLAIN: Style = Style::new();
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
/// The title of the column that the table is sorted by.
const SORTED: Style = Style::new().add_modifier(Modifier::BOLD.union(Modifier::UNDERLINED));
const WARNING: Style = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);

/// From this height on there is a foot.
const WITH_FOOT: u16 = 4;
/// From this height of the body on there are flags and transfers.
const WITH_EVENTS: u16 = 4;

/// Shows `screen` on the whole of `frame`, whose last line is the foot.
pub fn draw(screen: &Screen, frame: &mut Frame<'_>) {
    let area = frame.area();
    let mut canvas = Canvas::new(frame.buffer_mut(), area);
    let Rect { width, height, .. } = canvas.area;
    if width == 0 || height == 0 {
        return;
    }
    header(&mut canvas, screen);
    let foot = u16::from(height >= WITH_FOOT);
    let body = height - 1 - foot;
    let (flags, transfers) = event_lines(screen, body);
    let y = table(&mut canvas, screen, 1, 1 + body - flags - transfers);
    if flags > 0 {
        flag_list(&mut canvas, screen, y, flags);
    }
    if transfers > 0 {
        transfer_list(&mut canvas, screen, y + flags, transfers);
    }
    if foot > 0 {
        canvas.left((0, height - 1), width, DIM, |out| push_foot(out, screen));
    }
}

fn push_foot(out: &mut String, screen: &Screen) {
    out.push_str("Ctrl-C ends with the summary");
    if !screen.has_keys {
        return;
    }
    out.push_str("  ↑ ↓ PgUp PgDn scroll  < > sort");
    if let Some(Sorting {
        column,
        is_ascending,
    }) = screen.sorting
    {
        let order = if is_ascending {
            "ascending"
        } else {
            "descending"
        };
        let _ = write!(out, ": {}, {order}  r turns  Esc unsorts", column.title());
    }
}

/// Lines that `screen` needs to show everything, at most `height`. The cells below are left alone:
/// comparing them with those of the frame before costs more than all that is drawn.
pub(super) fn needed_lines(screen: &Screen, height: u16) -> u16 {
    let events = wanted_flag_lines(screen).saturating_add(wanted_transfer_lines(screen));
    let body = table_lines(screen)
        .saturating_add(events)
        .max(if events > 0 {
            WITH_EVENTS
        } else {
            WITH_FOOT - 2
        });
    // Head and foot.
    body.saturating_add(2).min(height)
}

/// Lines the table wants: titles, a line a map and a line a path.
fn table_lines(screen: &Screen) -> u16 {
    u16::try_from(1 + table::lines(screen.rows())).unwrap_or(u16::MAX)
}

/// Lines the flags want: a title, and one each.
fn wanted_flag_lines(screen: &Screen) -> u16 {
    with_title(screen.flags.len())
}

/// Lines the transfers want: a title, and one each.
fn wanted_transfer_lines(screen: &Screen) -> u16 {
    with_title(screen.transfers.len())
}

fn with_title(lines: usize) -> u16 {
    match lines {
        0 => 0,
        lines => u16::try_from(lines + 1).unwrap_or(u16::MAX),
    }
}

/// Lines for flags and for transfers: what the table leaves, but at least a third of the body.
/// Transfers get what the flags leave, but at least half where half is more than a title.
fn event_lines(screen: &Screen, body: u16) -> (u16, u16) {
    if body < WITH_EVENTS {
        return (0, 0);
    }
    let left = body.saturating_sub(table_lines(screen));
    let room = left.max(body / 3).max(2);
    let flags = wanted_flag_lines(screen);
    let half = if room < 4 { 0 } else { room / 2 };
    let transfers = wanted_transfer_lines(screen).min(room.saturating_sub(flags).max(half));
    (flags.min(room - transfers), transfers)
}

fn header(canvas: &mut Canvas<'_>, screen: &Screen) {
    let width = canvas.area.width;
    let losses = screen.losses();
    // Losses come first after the name: they must be seen on a narrow screen too.
    let x = canvas.left((0, 0), width, BOLD, |out| out.push_str("alua-trace "));
    let style = if words::lost_anything(&losses) {
        WARNING
    } else {
        DIM
    };
    let x = canvas.left((x, 0), width, PLAIN, |out| {
        match screen.elapsed_ns() / 1_000_000_000 {
            seconds @ 0..60 => _ = write!(out, "{seconds} s"),
            _ => format::push_duration(out, screen.elapsed_ns()),
        }
        out.push_str("  ");
    });
    let x = canvas.left((x, 0), width, style, |out| words::push_losses(out, &losses));
    let x = canvas.left((x, 0), width, BOLD, |out| {
        let sum = |of: fn(&Row) -> f64| screen.rows().iter().map(of).fold(0.0, |sum, n| sum + n);
        if screen.interval.is_some() {
            out.push_str("  ");
            format::push_rate(out, sum(|row| row.iops));
            out.push_str(" IOPS  ");
            format::push_mib(out, sum(|row| row.bytes_per_s));
            out.push_str(" MiB/s");
        }
    });
    canvas.left((x, 0), width, DIM, |out| {
        out.push_str("  Linux ");
        safe::push(out, &screen.kernel, safe::NAME_CHARS);
        out.push_str("  ");
        safe::push(out, &screen.version, safe::NAME_CHARS);
        for (index, map) in screen.maps.iter().enumerate() {
            out.push_str(if index == 0 { "  only " } else { ", " });
            safe::push(out, map, safe::NAME_CHARS);
        }
    });
}

/// Draws from line `y` up to `end`, and returns the line after the last one.
fn table(canvas: &mut Canvas<'_>, screen: &Screen, mut y: u16, end: u16) -> u16 {
    let rows = screen.rows();
    if rows.is_empty() {
        let text = match screen.interval {
            Some(_) => "no paths",
            None => "waiting for the first interval",
        };
        let width = if y < end { canvas.area.width } else { 0 };
        canvas.left((0, y), width, DIM, |out| out.push_str(text));
        return (y + 1).min(end);
    }
    let places = screen_places(screen, canvas.area.width);
    if has_titles(end.saturating_sub(y)) {
        titles(canvas, &places, screen.sorting, y);
        y += 1;
    }
    let room = usize::from(end.saturating_sub(y));
    let visible = table::visible(rows, screen.sorting, screen.first, room);
    for entry in &visible.entries {
        match *entry {
            Entry::Map { of, iops } => map_line(canvas, of, iops, y),
            Entry::Path { row, is_map_busy } => path_line(canvas, &places, row, is_map_busy, y),
        }
        y += 1;
    }
    if visible.above + visible.below > 0 && y < end {
        more(canvas, &visible, y);
        y += 1;
    }
    y
}

/// Where the columns are on a screen so wide.
fn screen_places(screen: &Screen, width: u16) -> Vec<Place> {
    let rows = screen.rows();
    let network = rows.iter().any(|row| row.network.is_some());
    places(width, path_width(rows), network)
}

/// Whether a table of so many lines has one for titles.
const fn has_titles(lines: u16) -> bool {
    lines >= 3
}

/// What keys need to know of a screen of this size: the columns, and how many lines of the table it shows.
pub(super) fn layout(screen: &Screen, width: u16, height: u16) -> (Vec<Column>, usize) {
    let foot = u16::from(height >= WITH_FOOT);
    let body = height.saturating_sub(1 + foot);
    let (flags, transfers) = event_lines(screen, body);
    let lines = body.saturating_sub(flags + transfers);
    let room = lines.saturating_sub(u16::from(has_titles(lines)));
    let places = screen_places(screen, width);
    let columns = places.iter().map(|place| place.column).collect();
    (columns, usize::from(room))
}

/// Room that the widest path wants: two blanks, H:C:T:L, a blank, the device.
fn path_width(rows: &[Row]) -> u16 {
    let device = |row: &Row| {
        row.path
            .device
            .as_ref()
            .map_or(0, |device| device.len() + 1)
    };
    let widest = rows
        .iter()
        .map(|row| 2 + row.path.hctl.len() + device(row))
        .max();
    widest
        .and_then(|widest| u16::try_from(widest).ok())
        .unwrap_or(u16::MAX)
}

fn more(canvas: &mut Canvas<'_>, visible: &Visible<'_>, y: u16) {
    canvas.left((0, y), canvas.area.width, DIM, |out| {
        let _ = match (visible.above, visible.below) {
            (0, below) => write!(out, "+{below} more paths"),
            (above, below) => write!(out, "+{above} more paths above, {below} below"),
        };
    });
}

fn titles(canvas: &mut Canvas<'_>, places: &[Place], sorting: Option<Sorting>, y: u16) {
    for Place { column, x, width } in places {
        let push = |out: &mut String| out.push_str(column.title());
        let style = match sorting {
            Some(sorting) if sorting.column == *column => SORTED,
            _ => DIM,
        };
        match column.is_left() {
            true => _ = canvas.left((*x, y), *width, style, push),
            false => canvas.right((*x, y), *width, style, push),
        }
    }
}

fn map_line(canvas: &mut Canvas<'_>, row: &Row, iops: f64, y: u16) {
    let width = canvas.area.width;
    let Some(map) = &row.path.map else {
        canvas.left((0, y), width, BOLD, |out| out.push_str("no map"));
        return;
    };
    let x = canvas.name((0, y), width.min(64), BOLD, map);
    canvas.left((x, y), width, DIM, |out| {
        for name in [&row.path.dm, &row.path.wwid].into_iter().flatten() {
            out.push_str("  ");
            safe::push(out, name, safe::NAME_CHARS);
        }
        out.push_str("  ");
        format::push_rate(out, iops);
        out.push_str(" IOPS");
    });
}

fn path_line(canvas: &mut Canvas<'_>, places: &[Place], row: &Row, map_busy: bool, y: u16) {
    let share = map_busy.then_some(row.share);
    for Place { column, x, width } in places {
        let at = (*x, y);
        match column {
            Column::Path => path_cell(canvas, row, at, *width),
            Column::State => state_cell(canvas, row, at, *width),
            Column::Bar => {
                let share = share.unwrap_or(0.0);
                let push = |out: &mut String| push_bar(out, share, usize::from(*width));
                canvas.left(at, *width, state_style(row.path.state), push);
            }
            _ => canvas.right(at, *width, PLAIN, |out| {
                push_number(out, *column, row, share)
            }),
        }
    }
}

fn path_cell(canvas: &mut Canvas<'_>, row: &Row, (x, y): (u16, u16), width: u16) {
    let path = &row.path;
    canvas.left((x, y), width, PLAIN, |out| {
        out.push_str("  ");
        let room = usize::from(width).saturating_sub(2);
        safe::push(out, &path.hctl, room);
        let room = usize::from(width).saturating_sub(out.chars().count() + 1);
        if let Some(device) = path.device.as_ref().filter(|_| room > 1) {
            out.push(' ');
            safe::push(out, device, room);
        }
    });
}

fn state_cell(canvas: &mut Canvas<'_>, row: &Row, at: (u16, u16), width: u16) {
    canvas.left(at, width, state_style(row.path.state), |out| {
        out.push_str(row.path.state.short());
        if row.path.preferred == Some(true) {
            out.push('*');
        }
    });
}

fn push_number(out: &mut String, column: Column, row: &Row, share: Option<f64>) {
    match column {
        Column::PathGroup => push_known(out, row.path.path_group),
        Column::PortGroup => push_known(out, row.path.port_group.map(u32::from)),
        Column::Iops => format::push_rate(out, row.iops),
        Column::Mib => format::push_mib(out, row.bytes_per_s),
        Column::InFlight => format::push_count(out, row.in_flight),
        Column::P50 => format::push_latency(out, row.p50_ns),
        Column::P99 => format::push_latency(out, row.p99_ns),
        Column::P999 => format::push_latency(out, row.p999_ns),
        Column::Max => format::push_latency(out, row.max_ns),
        Column::Share => format::push_share(out, share),
        Column::Rtt => {
            let rtt_us = row.network.and_then(|it| it.rtt_us);
            format::push_latency(out, rtt_us.map(|us| u64::from(us) * 1000));
        }
        Column::Retransmits => match row.network {
            Some(network) => format::push_count(out, network.retransmits),
            None => out.push_str(format::UNKNOWN),
        },
        Column::Path | Column::State | Column::Bar => {}
    }
}

fn push_known(out: &mut String, number: Option<u32>) {
    match number {
        Some(number) => _ = write!(out, "{number}"),
        None => out.push_str(format::UNKNOWN),
    }
}

fn state_style(state: AccessState) -> Style {
    match state {
        AccessState::Optimized => Style::new().fg(Color::Green),
        AccessState::NonOptimized => Style::new().fg(Color::Yellow),
        AccessState::Unknown => DIM,
        _ => Style::new().fg(Color::Red),
    }
}

fn flag_list(canvas: &mut Canvas<'_>, screen: &Screen, y: u16, lines: u16) {
    let width = canvas.area.width;
    let active = screen
        .flags
        .iter()
        .filter(|flag| flag.ended_at_ns.is_none())
        .count();
    let shown = usize::from(lines.saturating_sub(1));
    canvas.left((0, y), width, BOLD, |out| {
        let _ = write!(
            out,
            "flags: {active} active, {} ended",
            screen.flags.len() - active
        );
    });
    for (line, flag) in (y + 1..).zip(screen.flags.iter().take(shown)) {
        let style = match (flag.ended_at_ns, flag.severity) {
            (Some(_), _) => DIM,
            (None, Severity::Warning) => WARNING,
            (None, Severity::Info) => PLAIN,
        };
        canvas.left((0, line), width, style, |out| {
            push_flag(out, flag, screen.started_at_ns)
        });
    }
}

/// `12.050 avoidable non-optimized-io mpatha  1,234 commands 12.1 %  p50 1.94 ms, …  text`.
fn push_flag(out: &mut String, flag: &Flag, started_at_ns: u64) {
    format::push_duration(out, flag.first_at_ns.saturating_sub(started_at_ns));
    if let Some(ended) = flag.ended_at_ns {
        out.push_str(" for ");
        format::push_duration(out, ended.saturating_sub(flag.first_at_ns));
    }
    for word in [words::last_verdict(flag), words::kind(flag.kind)] {
        out.push_str(if word.is_empty() { "" } else { " " });
        out.push_str(word);
    }
    out.push(' ');
    safe::push(out, &flag.subject, safe::NAME_CHARS);
    if flag.commands > 0 {
        out.push_str("  ");
        format::push_count(out, flag.commands);
        out.push_str(" commands ");
        format::push_share(out, Some(flag.share));
        out.push_str("  p50 ");
        flags::push_cost(out, flag);
    }
    out.push_str("  ");
    safe::push(out, &flag.text, safe::TEXT_CHARS);
}

fn transfer_list(canvas: &mut Canvas<'_>, screen: &Screen, y: u16, lines: u16) {
    let width = canvas.area.width;
    canvas.left((0, y), width, BOLD, |out| {
        let _ = write!(out, "transfers: {}", screen.transferred);
    });
    let shown = usize::from(lines.saturating_sub(1));
    for (line, transfer) in (y + 1..).zip(screen.transfers.iter().take(shown)) {
        canvas.left((0, line), width, PLAIN, |out| {
            push_transfer(out, transfer, screen.started_at_ns)
        });
    }
}

/// `12.0 s mpatha moved from TPG 1 to TPG 2 in 3.00 s by sg_stpg[123] (local-explicit); …`.
fn push_transfer(out: &mut String, transfer: &Transfer, started_at_ns: u64) {
    format::push_duration(out, transfer.started_at_ns.saturating_sub(started_at_ns));
    out.push(' ');
    safe::push(out, &transfer.subject, safe::NAME_CHARS);
    out.push(' ');
    out.push_str(&safe::sentence(&transfer.sentence()));
}
