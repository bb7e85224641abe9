//! What reaches the array: nothing, or with `--refresh` what docs/paths.md promises. The emulator
//! counts.

use anyhow::{Result, ensure};

use super::tool;
use crate::array::{Mode, PathName};
use crate::cases::Outcome;
use crate::lab::Lab;
use crate::lab::multipath::{Handler, MapOptions};
use crate::sys;

/// Every view without `--refresh`, and what else promises it.
const SILENT: [&[&str]; 8] = [
    &["paths"],
    &["paths", "--json"],
    &["paths", "--view", "tree"],
    &["paths", "--view", "mpath"],
    &["paths", "--view", "nmp"],
    &["paths", "--dot"],
    &["paths", "--svg"],
    &["paths", "mpatha"],
];

/// CDB bytes 0 to 2.
type Command = [u8; 3];

const INQUIRY: Command = [0x12, 0, 0];
const GROUPS: Command = [0xa3, 0x2a, 0];

fn page(code: u8) -> Command {
    [0x12, 1, code]
}

/// What the array saw while `run` ran, in order, over which path.
fn seen(lab: &mut Lab, run: impl FnOnce() -> Result<()>) -> Result<Vec<(PathName, Command)>> {
    lab.array()?.ask("forget")?;
    run()?;
    let mut log = lab.array()?.log()?;
    log.sort_by_key(|it| it.sequence);
    let commands = log.iter().map(|it| {
        let [second, third] = it.asked;
        (it.path, [it.opcode, second, third])
    });
    Ok(commands.collect())
}

/// Waits until nobody asks the array anything any more.
fn quiet(lab: &mut Lab) -> Result<()> {
    sys::wait_for(std::time::Duration::from_secs(10), "a quiet array", || {
        let noise = seen(lab, || {
            sys::sleep_ms(500);
            Ok(())
        })?;
        Ok(noise.is_empty())
    })
}

fn each_array(lab: &mut Lab, check: fn(&mut Lab, bool) -> Result<usize>) -> Result<usize> {
    lab.emulator()?;
    lab.learn_states()?;
    lab.map(&MapOptions::default())?;
    quiet(lab)?;
    let mut count = check(lab, false)?;
    lab.tear_down()?;
    lab.rdac_emulator(Mode::Ioship, 1)?;
    lab.map(&MapOptions::of(0, Handler::Rdac))?;
    quiet(lab)?;
    count += check(lab, true)?;
    Ok(count)
}

pub(super) fn none(lab: &mut Lab) -> Result<Outcome> {
    let runs = each_array(lab, |lab, _| {
        for arguments in SILENT {
            let sent = seen(lab, || tool(arguments).map(drop))?;
            ensure!(sent.is_empty(), "{arguments:?} sent {sent:02x?}");
        }
        let sent = seen(lab, || {
            // Its findings are no concern here.
            crate::lab::tracer::say(&["doctor"], super::LIMIT).map(drop)
        })?;
        ensure!(sent.is_empty(), "doctor sent {sent:02x?}");
        Ok(SILENT.len() + 1)
    })?;
    lab.figure("runs that sent nothing", runs as f64, "");
    Ok(Outcome::Passed)
}

/// One path per port group, or each where there are none; and twice the same.
pub(super) fn promised(lab: &mut Lab) -> Result<Outcome> {
    let sent = each_array(lab, |lab, rdac| {
        let before = lab.array()?.ask("stat")?;
        let transfers = lab.array()?.transfers()?;
        let mut count = 0;
        for arguments in [
            &["paths", "--refresh"][..],
            &["paths", "--refresh", "--json"],
        ] {
            let sent = seen(lab, || tool(arguments).map(drop))?;
            ensure!(
                sent == expected(rdac)?,
                "{arguments:?} sent {sent:02x?}, not {:02x?}",
                expected(rdac)?
            );
            count += sent.len();
        }
        let changed = lab.array()?.transfers()?;
        ensure!(
            changed.is_empty(),
            "it changed {changed:?}; {transfers:?}, {before:?}"
        );
        Ok(count)
    })?;
    lab.figure("commands sent as promised", sent as f64, "");
    Ok(Outcome::Passed)
}

fn expected(rdac: bool) -> Result<Vec<(PathName, Command)>> {
    let mut expected = Vec::new();
    let (paths, commands) = if rdac {
        let pages = [0x00, 0x80, 0x83, 0xc4, 0xc8, 0xc9].map(page);
        (
            &["A1", "A2", "B1", "B2"][..],
            [&[INQUIRY][..], &pages].concat(),
        )
    } else {
        let pages = [0x00, 0x80, 0x83].map(page);
        (&["A1", "B1"][..], [&[INQUIRY, GROUPS][..], &pages].concat())
    };
    for path in paths {
        let path: PathName = path.parse()?;
        expected.extend(commands.iter().map(|command| (path, *command)));
    }
    Ok(expected)
}
