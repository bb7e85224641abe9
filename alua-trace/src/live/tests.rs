//! Screens of every size, with nothing, much and hostile things on them.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use super::draw::{draw, layout, needed_lines};
use super::{Key, Screen};
use crate::model::{
    AccessState, FlagChange, FlagEvent, FlagKind, Interval, TransferChange, TransferEvent,
};
use crate::report::samples;
use crate::safe;

fn screen(interval: Option<Interval>) -> Screen {
    let mut screen = Screen::new(&samples::start(0), &[]);
    if let Some(interval) = interval {
        screen.interval(interval.into());
    }
    screen
}

fn flag(screen: &mut Screen, id: u32, change: FlagChange) {
    let mut flag = samples::flag(id);
    flag.raised_at_ns += u64::from(id);
    if change == FlagChange::Ended {
        flag.ended_at_ns = Some(flag.last_at_ns);
    }
    screen.flag(&FlagEvent { change, flag });
}

fn transfer(screen: &mut Screen, id: u32, change: TransferChange) {
    let mut transfer = samples::transfer();
    transfer.id = id;
    if change == TransferChange::Seen {
        transfer.impact = None;
    }
    screen.transfer(&TransferEvent { change, transfer });
}

fn buffer(screen: &Screen, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(screen, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(screen: &Screen, width: u16, height: u16) -> Vec<String> {
    let buffer = buffer(screen, width, height);
    let line = |y| {
        (0..width)
            .map(|x| buffer[(x, y)].symbol())
            .collect::<String>()
    };
    (0..height).map(|y| line(y).trim_end().to_owned()).collect()
}

#[test]
fn a_usual_screen() {
    let mut screen = screen(Some(samples::interval(2)));
    flag(&mut screen, 1, FlagChange::Ended);
    flag(&mut screen, 2, FlagChange::Raised);
    let lines = text(&screen, 100, 30);
    let expected = [
        "alua-trace 12 s  0 lost  18,518 IOPS  145 MiB/s  Linux 6.12.48  0.1.0",
        "path              PG   TPG state       IOPS   MiB/s inflight     p50     p99   p99.9     max   share",
        "mpatha  dm-0  naa.600a098038303053  18,518 IOPS",
        "  3:0:0:1 sdb      1     1 AO*       12,345    96.4       12 87.2 µs  140 µs  330 µs 1.94 ms  50.0 %",
        "  4:0:0:1 sdc      2     2 AN         6,173    48.2       12 87.2 µs  140 µs  330 µs 1.94 ms  50.0 %",
        "flags: 1 active, 1 ended",
        "12.0 s avoidable non-optimized-io mpatha  1,234 commands 12.1 %  p50 1.94 ms, optimized 87.2 µs (22.",
        "12.0 s for 2.96 s avoidable non-optimized-io mpatha  1,234 commands 12.1 %  p50 1.94 ms, optimized 8",
        "",
    ];
    assert_eq!(lines[..expected.len()], expected, "\n{}", lines.join("\n"));
    assert_eq!(lines[29], "Ctrl-C ends with the summary");
}

#[test]
fn transfers_are_told_below_the_flags_and_their_cost_when_it_is_known() {
    let mut screen = screen(Some(samples::interval(1)));
    flag(&mut screen, 1, FlagChange::Raised);
    transfer(&mut screen, 1, TransferChange::Seen);
    transfer(&mut screen, 1, TransferChange::Done);
    transfer(&mut screen, 2, TransferChange::Seen);
    let lines = text(&screen, 150, 30);
    let moved =
        "12.0 s mpatha moved from TPG 1 to TPG 2 in 3.00 s by sg_stpg[123] (local-explicit)";
    let cost = "; 16 I/Os delayed by 48.0 s in all,";
    assert_eq!(lines[6], "transfers: 2");
    assert_eq!(lines[7], moved);
    assert!(
        lines[8].starts_with(&format!("{moved}{cost}")),
        "{lines:#?}"
    );
}

#[test]
fn a_transfer_is_no_flag_beside() {
    let mut screen = screen(None);
    let mut flag = samples::flag(1);
    flag.kind = FlagKind::OwnershipTransfer;
    screen.flag(&FlagEvent {
        change: FlagChange::Raised,
        flag,
    });
    assert!(screen.flags.is_empty());
}

#[test]
fn flags_and_transfers_share_a_small_screen() {
    let mut screen = screen(Some(samples::interval(40)));
    for id in 1..=200 {
        flag(&mut screen, id, FlagChange::Raised);
        transfer(&mut screen, id, TransferChange::Seen);
    }
    // Half of them have been forgotten.
    for id in 1..=200 {
        transfer(&mut screen, id, TransferChange::Done);
    }
    let lines = text(&screen, 100, 14);
    let at = |text: &str| lines.iter().position(|line| line.starts_with(text));
    assert_eq!(at("flags: 200 active"), Some(9), "{lines:#?}");
    assert_eq!(at("transfers: 200"), Some(11), "{lines:#?}");
    assert_eq!(screen.transfers.len(), 100);
    assert_eq!(screen.transfers[0].id, 200);
}

#[test]
fn states_have_colours_and_losses_a_warning() {
    let mut interval = samples::interval(2);
    interval.losses.ring_full = 1200;
    let screen = screen(Some(interval));
    let buffer = buffer(&screen, 100, 30);
    assert_eq!(buffer[(28, 3)].fg, Color::Green);
    assert_eq!(buffer[(28, 4)].fg, Color::Yellow);
    let header = &text(&screen, 100, 30)[0];
    assert!(
        header.starts_with("alua-trace 12 s  1,200 lost: 1,200 ring buffer full  18"),
        "{header}"
    );
    assert_eq!(buffer[(17, 0)].fg, Color::Yellow);
}

#[test]
fn wide_screens_have_bars() {
    let line = &text(&screen(Some(samples::interval(2))), 120, 30)[3];
    assert!(line.ends_with("50.0 % █████"), "{line}");
}

#[test]
fn nothing_yet_and_no_paths() {
    assert_eq!(
        text(&screen(None), 80, 10)[1],
        "waiting for the first interval"
    );
    let lines = text(&screen(Some(samples::interval(0))), 80, 10);
    assert_eq!(
        lines[0],
        "alua-trace 12 s  0 lost  0 IOPS  0 MiB/s  Linux 6.12.48  0.1.0"
    );
    assert_eq!(lines[1], "no paths");
}

#[test]
fn an_idle_map_has_no_shares_and_no_latencies() {
    let mut interval = samples::interval(1);
    let row = &mut interval.rows[0];
    (row.iops, row.bytes_per_s, row.in_flight, row.share) = (0.0, 0.0, 0, 0.0);
    row.commands = 0;
    (row.p50_ns, row.p99_ns, row.p999_ns, row.max_ns) = (None, None, None, None);
    let path = std::sync::Arc::make_mut(&mut row.path);
    (path.path_group, path.port_group) = (None, None);
    let line = &text(&screen(Some(interval)), 100, 30)[3];
    let expected = "  3:0:0:1 sdb      –     – AO*            0       0        0       –       –       –       –       –";
    assert_eq!(line, expected);
}

#[test]
fn a_tiny_screen_shows_what_fits() {
    let mut screen = screen(Some(samples::interval(4)));
    flag(&mut screen, 1, FlagChange::Raised);
    let lines = text(&screen, 24, 5);
    assert_eq!(lines[0], "alua-trace 12 s  0 lost");
    assert_eq!(lines[1], "path            state");
    for (width, height) in [(1, 1), (2, 2), (20, 5), (5, 20), (500, 3), (3, 500), (0, 0)] {
        text(&screen, width, height);
    }
}

#[test]
fn five_hundred_paths_say_how_many_are_missing() {
    let mut interval = samples::interval(500);
    for (index, row) in interval.rows.iter_mut().enumerate() {
        std::sync::Arc::make_mut(&mut row.path).map = Some(format!("mpath{:03}", index / 4));
        if index != 7 && index != 499 {
            (row.iops, row.in_flight) = (0.0, 0);
        }
    }
    let busy = text(&screen(Some(interval)), 100, 30);
    let found = |text: &str| busy.iter().filter(|line| line.contains(text)).count();
    assert_eq!(
        (found("10:0:0:1"), found("502:0:0:1"), found("mpath124")),
        (1, 1, 2),
        "{busy:#?}"
    );
    // Those without I/O come after the others.
    let busy_first = ["mpath001", "mpath124", "mpath001"];
    assert_eq!([2, 4, 6].map(|line: usize| &busy[line][..8]), busy_first);
    assert_eq!(busy[28], "+481 more paths");
    let full = text(&screen(Some(samples::interval(500))), 100, 30);
    assert_eq!(full[28], "+475 more paths", "{full:#?}");
}

/// A screen of `height` lines, 100 wide, with so many maps of four paths, all busy.
fn keyed(maps: u16, height: u16) -> impl FnMut(&[Key]) -> Vec<String> {
    let mut interval = samples::interval(4 * maps);
    for (index, row) in interval.rows.iter_mut().enumerate() {
        let path = std::sync::Arc::make_mut(&mut row.path);
        path.map = Some(format!("mpath{:03}", index / 4));
        row.p99_ns = Some(100_000 - index as u64);
        row.max_ns = (index != 5).then_some(1_000_000 + index as u64);
        row.iops = f64::from(u32::try_from(index * 7 % 40).unwrap() + 1);
    }
    let mut screen = screen(Some(interval)).with_keys(true);
    move |keys| {
        for key in keys {
            let (columns, room) = layout(&screen, 100, height);
            screen.fit(columns, room);
            screen.key(*key);
        }
        let (columns, room) = layout(&screen, 100, height);
        screen.fit(columns, room);
        text(&screen, 100, height)
    }
}

fn paths_of(lines: &[String]) -> Vec<String> {
    let paths = lines.iter().filter(|line| line.contains(":0:0:1"));
    paths
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_path_is_seen_once_page_by_page() {
    let mut press = keyed(30, 20);
    let (mut seen, mut page) = (Vec::new(), press(&[]));
    loop {
        assert!(page[2].starts_with("mpath"), "{page:#?}");
        for path in paths_of(&page) {
            if !seen.contains(&path) {
                seen.push(path);
            }
        }
        let next = press(&[Key::PageDown]);
        if next == page {
            break;
        }
        page = next;
    }
    assert_eq!(seen.len(), 120);
    let more = "+108 more paths above, 0 below".to_owned();
    assert!(page.contains(&more), "{page:#?}");
    assert_eq!(
        press(&[Key::First]),
        press(&[Key::Last, Key::Down, Key::PageUp, Key::First])
    );
    // What is overshot need not be scrolled back.
    let end = press(&[Key::Last]);
    assert_eq!(end, press(&[Key::Down, Key::Down, Key::PageDown]));
    assert_ne!(end, press(&[Key::Up]));
    let foot = "Ctrl-C ends with the summary  ↑ ↓ PgUp PgDn scroll  < > sort";
    assert_eq!(end[19], foot);
}

#[test]
fn the_map_of_the_first_path_stands_above_it() {
    let mut press = keyed(30, 20);
    let (top, down) = (press(&[]), press(&[Key::Down, Key::Down, Key::Down]));
    assert_eq!(down[2], top[2]);
    assert_eq!(paths_of(&down)[0], paths_of(&top)[2]);
    assert!(down[18].starts_with("+2 more paths above, "), "{down:#?}");
}

#[test]
fn the_table_is_sorted_by_the_column_that_is_chosen() {
    let mut press = keyed(2, 30);
    let usual = press(&[]);
    let by_iops = press(&[Key::SortRight]);
    // Of 46 and 78 I/Os per second in their maps.
    let largest_first = [8, 7, 10, 9, 6, 5, 4, 3].map(|host| format!("{host}:0:0:1"));
    assert_eq!(paths_of(&by_iops), largest_first);
    assert!(
        by_iops[29].ends_with("sort: IOPS, descending  r turns  Esc unsorts"),
        "{}",
        by_iops[29]
    );
    let turned = press(&[Key::Turn]);
    assert_eq!(paths_of(&turned)[..2], ["3:0:0:1", "4:0:0:1"]);
    assert!(turned[29].contains("IOPS, ascending"));
    // MiB/s, in flight, p50, p99, p99.9, max: one that is not known comes last.
    let by_max = press(&[Key::SortRight; 6]);
    assert!(
        by_max[29].contains("sort: max, descending"),
        "{}",
        by_max[29]
    );
    assert_eq!(
        paths_of(&by_max)[..4],
        ["10:0:0:1", "9:0:0:1", "7:0:0:1", "8:0:0:1"]
    );
    assert_eq!(press(&[Key::Reset]), usual);
    // The first column, the other way round.
    press(&[Key::SortLeft]);
    let by_path = press(&[Key::SortLeft; 9]);
    assert_eq!(by_path[..28], usual[..28]);
    assert_eq!(paths_of(&press(&[Key::Turn]))[0], "10:0:0:1");
}

#[test]
fn where_not_all_fit_the_worst_map_comes_first() {
    let mut interval = samples::interval(400);
    for (index, row) in interval.rows.iter_mut().enumerate() {
        let path = std::sync::Arc::make_mut(&mut row.path);
        path.map = Some(format!("mpath{:03}", index / 4));
        path.state = AccessState::Optimized;
        row.p99_ns = Some(100_000 + index as u64);
    }
    let of_map = |map: usize| 4 * map + 1;
    std::sync::Arc::make_mut(&mut interval.rows[of_map(42)].path).state = AccessState::NonOptimized;
    interval.rows[of_map(17)].p99_ns = Some(9_000_000);
    // What has no I/O is nobody's trouble.
    let idle = &mut interval.rows[of_map(60)];
    (idle.iops, idle.in_flight, idle.p99_ns) = (0.0, 0, Some(90_000_000));
    let shown = text(&screen(Some(interval)), 100, 30);
    let maps: Vec<&str> = shown
        .iter()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.starts_with("mpath"))
        .collect();
    assert_eq!(
        maps[..3],
        ["mpath042", "mpath017", "mpath099"],
        "{shown:#?}"
    );
}

#[test]
fn active_flags_come_first_and_old_ones_are_forgotten() {
    let mut screen = screen(Some(samples::interval(1)));
    for id in 1..=300 {
        flag(&mut screen, id, FlagChange::Raised);
        if id % 100 != 0 {
            flag(&mut screen, id, FlagChange::Ended);
        }
    }
    let ids: Vec<u32> = screen.flags.iter().map(|flag| flag.id).collect();
    assert_eq!(ids[..5], [300, 200, 100, 299, 298]);
    assert_eq!(ids.len(), 103);
}

#[test]
fn escape_sequences_never_reach_the_buffer() {
    let mut interval = samples::interval(3);
    for row in &mut interval.rows {
        row.path = samples::hostile_path(row.path.id).into();
    }
    let mut start = samples::start(0);
    let hostile = samples::hostile_path(1).hctl;
    (start.kernel, start.version) = (hostile.clone(), hostile.clone());
    let mut screen = Screen::new(&start, std::slice::from_ref(&hostile));
    screen.interval(interval.into());
    let flag = samples::hostile_flag(1);
    screen.flag(&FlagEvent {
        change: FlagChange::Raised,
        flag,
    });
    let mut transfer = samples::transfer();
    (transfer.subject, transfer.actor) = (hostile.clone(), hostile.clone());
    (transfer.from, transfer.to) = (vec![hostile.clone()], vec![hostile]);
    let change = TransferChange::Seen;
    screen.transfer(&TransferEvent { change, transfer });
    for (width, height) in [(300, 30), (100, 30), (40, 8), (7, 7)] {
        let buffer = buffer(&screen, width, height);
        let symbols = buffer.content.iter().flat_map(|cell| cell.symbol().chars());
        assert!(!symbols.into_iter().any(safe::is_unsafe));
    }
    assert!(
        text(&screen, 100, 30)
            .iter()
            .any(|line| line.contains("a\\x1b[2J"))
    );
}

#[test]
fn the_lines_it_needs_show_what_a_whole_screen_shows() {
    let mut screen = screen(None);
    for events in 0..12 {
        for paths in [0, 1, 2, 7] {
            screen.interval(samples::interval(paths).into());
            let needed = needed_lines(&screen, 60);
            let (whole, just) = (text(&screen, 100, 60), text(&screen, 100, needed));
            let (content, foot) = just.split_at(usize::from(needed) - 1);
            assert_eq!(
                content,
                &whole[..content.len()],
                "{events} events, {paths} paths"
            );
            assert_eq!(foot, ["Ctrl-C ends with the summary"]);
            assert!(whole[content.len()..59].iter().all(String::is_empty));
        }
        match events % 2 {
            0 => flag(&mut screen, events + 1, FlagChange::Raised),
            _ => transfer(&mut screen, events + 1, TransferChange::Seen),
        }
    }
    assert_eq!(needed_lines(&screen, 10), 10);
}
