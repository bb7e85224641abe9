//! Owns the reading of what multipathd says of itself: `show daemon`, `show status`
//! (multipathd/cli_handlers.c `show_daemon`, libmultipath/print.c `snprint_status`).

use anyhow::{Result, ensure};

use super::leftover::Leftover;
use crate::inventory::model::Inventory;
use crate::safe;

/// multipathd's states (multipathd/main.c `daemon_status_msg`).
const STATES: [&str; 6] = [
    "init",
    "startup",
    "configure",
    "idle",
    "running",
    "shutdown",
];
const STATUS: &str = "path checker states:";

/// Whether a line is one of these answers.
pub(super) fn is_line(line: &str) -> bool {
    daemon(line.trim()).is_some() || line.trim() == STATUS
}

/// `pid 1234 running`, with words about systemd behind it in some releases.
fn daemon(line: &str) -> Option<(u32, &str)> {
    let mut words = line.strip_prefix("pid ")?.split_whitespace();
    let pid = words.next()?.parse().ok()?;
    let state = words.next()?;
    STATES.contains(&state).then_some((pid, state))
}

/// What it says, as notes: it tells of no map and of no path.
///
/// # Errors
/// There is nothing of it.
pub(super) fn parse(text: &str) -> Result<Inventory> {
    let mut notes = Vec::new();
    let mut counts: Option<Vec<String>> = None;
    let mut other = Leftover::default();
    for (nth, line) in text.lines().enumerate() {
        let line = line.trim();
        let words: Vec<&str> = line.split_whitespace().take(3).collect();
        match (&mut counts, &words[..]) {
            (_, []) => {}
            _ if line == STATUS => counts = Some(Vec::new()),
            // `up                  8`
            (Some(counts), [state, number]) if number.parse::<u32>().is_ok() => {
                let state = safe::name(state.trim_end_matches(':'));
                if counts.len() < STATES.len() * 4 {
                    counts.push(format!("{number} {state}"));
                }
            }
            // `busy: False`
            (Some(_), ["busy:", _]) => {}
            _ => match daemon(line) {
                Some((pid, state)) => notes.push(format!("multipathd is process {pid}: {state}")),
                None => other.add(nth, line),
            },
        }
    }
    if let Some(counts) = counts.filter(|counts| !counts.is_empty()) {
        notes.push(format!(
            "multipathd counts paths by state: {}",
            counts.join(", ")
        ));
    }
    ensure!(!notes.is_empty(), "it says nothing of multipathd");
    notes.extend(other.note("not understood"));
    Ok(Inventory {
        notes,
        ..Inventory::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemon_and_status_become_notes() {
        let text = "pid 812 running\n\npath checker states:\nup                  8\ndown                1\n\n\
                    paths: 9\nbusy: False\n";
        assert_eq!(
            parse(text).unwrap().notes,
            [
                "multipathd is process 812: running",
                "multipathd counts paths by state: 8 up, 1 down, 9 paths"
            ]
        );
        assert!(is_line("pid 7 idle") && !is_line("pid 7 was killed"));
        assert!(parse("path checker states:\n").is_err());
    }
}
