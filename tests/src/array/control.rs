//! The language of the control socket, one line a request. Pure.
//!
//! ```text
//! [lun N] …                           only LUN N; without it, every LUN
//!   delay WHERE TIME[..TIME]          latency of reads and writes
//!   plant N at TIME among M [on PATH] exactly N of the next M reads and writes take TIME
//!   errors WHERE off|next N FAIL|always FAIL
//!   attention WHERE KK/AA/QQ          unit attention
//!   prefer A|B|none
//!   own A|B                           the array moves the LUN
//!   swap                              the controllers trade places
//!   other-host A|B                    another host moves it: by STPG, by MODE SELECT
//!   quiesce TIME [KK/AA/QQ]           reads and writes get 06/8b/02, or that, for TIME
//!   state [AT STATE]…                 ALUA: the array changes states and tells every port
//!   transition TIME [AT STATE]…       ALUA: transitioning for TIME, then these states
//! shipping TIME[..TIME]               what a read or write takes longer by a controller that does
//!                                     not own the LUN, by a port that is not optimized
//! transfer-time TIME                  how long `own`, `swap`, `other-host`, STPG and MODE SELECT
//!                                     take: transitioning (ALUA), 02/04/a1 (RDAC)
//! mode rdac|avt|ioship                RDAC
//! contention N                        RDAC: the next N MODE SELECTs get 05/91/36
//! vendor HEX                          8 raw bytes of INQUIRY data
//! serial N                            another identity of every LUN
//! groups HEX|off                      ALUA: REPORT TARGET PORT GROUPS answers these raw bytes
//! stat | log FILE | transfers FILE | forget | quit
//! ```
//! WHERE is `all`, a controller or a path; AT is the same and means port groups; FAIL is
//! `KK/AA/QQ` or `status:SS`. What the array does by itself it tells the ports of an ALUA LUN.

use std::str::FromStr;

use anyhow::{Context, Error, Result, anyhow, bail};

use super::access::{Access, Controller, Where};
use super::delay::{Delay, Plant, parse_duration};
use super::faults::{Errors, Failure};
use super::rdac::Mode;
use super::scsi::Sense;

/// A change of some LUNs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LunChange {
    /// Latency.
    Delay(Where, Delay),
    /// Planted latency.
    Plant(Plant),
    /// Errors.
    Errors(Where, Errors),
    /// Unit attention.
    Attention(Where, Sense),
    /// Preferred controller.
    Prefer(Option<Controller>),
    /// The array moves the LUN.
    Own(Controller),
    /// The controllers trade places.
    Swap,
    /// Another host moves the LUN.
    OtherHost(Controller),
    /// Reads and writes are refused with this sense for so many ns.
    Quiesce(u64, Sense),
    /// New access states.
    States(Vec<(Where, Access)>),
    /// Transitioning for so many ns, then these states.
    Transition(u64, Vec<(Where, Access)>),
}

/// A change of the whole array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArrayChange {
    /// Additional latency of a path that is not the best.
    Shipping(Delay),
    /// How long a transfer takes, in ns.
    TransferTime(u64),
    /// RDAC mode.
    Mode(Mode),
    /// So many MODE SELECTs find the array locked.
    Contention(u64),
    /// INQUIRY vendor.
    Vendor([u8; 8]),
    /// Serial number: part of every LUN's NAA identifier.
    Serial(u32),
    /// Answer of REPORT TARGET PORT GROUPS; `None` is the truth.
    Groups(Option<Vec<u8>>),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    /// Change a LUN, or every one.
    Lun(Option<u8>, LunChange),
    /// Change the array.
    Array(ArrayChange),
    /// Tell states and counts.
    Stat,
    /// Write the log to a file.
    Log(String),
    /// Write the log of changes to a file.
    Transfers(String),
    /// Empty both logs.
    Forget,
    /// End.
    Quit,
}

impl FromStr for Control {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["stat"] => Ok(Control::Stat),
            ["log", file] => Ok(Control::Log((*file).to_owned())),
            ["transfers", file] => Ok(Control::Transfers((*file).to_owned())),
            ["forget"] => Ok(Control::Forget),
            ["quit"] => Ok(Control::Quit),
            ["lun", lun, rest @ ..] => {
                let lun = lun.parse().with_context(|| format!("{lun:?} is no LUN"))?;
                Ok(Control::Lun(Some(lun), lun_change(rest)?))
            }
            words => match array_change(words)? {
                Some(change) => Ok(Control::Array(change)),
                None => Ok(Control::Lun(None, lun_change(words)?)),
            },
        }
    }
}

/// `None` when it is about LUNs, if anything.
fn array_change(words: &[&str]) -> Result<Option<ArrayChange>> {
    Ok(Some(match words {
        ["shipping", delay] => ArrayChange::Shipping(delay.parse()?),
        ["transfer-time", time] => ArrayChange::TransferTime(parse_duration(time)?),
        ["mode", mode] => ArrayChange::Mode(mode.parse()?),
        ["contention", count] => ArrayChange::Contention(count.parse()?),
        ["vendor", hex] => ArrayChange::Vendor(vendor(hex)?),
        ["serial", number] => ArrayChange::Serial(number.parse()?),
        ["groups", "off"] => ArrayChange::Groups(None),
        ["groups", hex] => ArrayChange::Groups(Some(bytes(hex)?)),
        _ => return Ok(None),
    }))
}

fn lun_change(words: &[&str]) -> Result<LunChange> {
    Ok(match words {
        ["delay", at, delay] => LunChange::Delay(at.parse()?, delay.parse()?),
        ["plant", rest @ ..] => LunChange::Plant(plant(rest)?),
        ["errors", at, rest @ ..] => LunChange::Errors(at.parse()?, errors(rest)?),
        ["attention", at, sense] => LunChange::Attention(at.parse()?, sense.parse()?),
        ["prefer", "none"] => LunChange::Prefer(None),
        ["prefer", name] => LunChange::Prefer(Some(name.parse()?)),
        ["own", name] => LunChange::Own(name.parse()?),
        ["swap"] => LunChange::Swap,
        ["other-host", name] => LunChange::OtherHost(name.parse()?),
        ["quiesce", time] => LunChange::Quiesce(parse_duration(time)?, Sense::QUIESCENCE),
        ["quiesce", time, sense] => LunChange::Quiesce(parse_duration(time)?, sense.parse()?),
        ["state", rest @ ..] => LunChange::States(states(rest)?),
        ["transition", time, rest @ ..] => {
            LunChange::Transition(parse_duration(time)?, states(rest)?)
        }
        _ => bail!("no such request: {:?}", words.join(" ")),
    })
}

fn plant(words: &[&str]) -> Result<Plant> {
    let (count, delay, among, path) = match words {
        [count, "at", delay, "among", among] => (count, delay, among, None),
        [count, "at", delay, "among", among, "on", path] => {
            (count, delay, among, Some(path.parse()?))
        }
        _ => bail!("want: plant N at TIME among M [on PATH]"),
    };
    let plant = Plant {
        path,
        lun: None,
        count: count.parse()?,
        among: among.parse()?,
        delay_ns: parse_duration(delay)?,
    };
    if plant.count > plant.among {
        bail!("cannot plant {} among {}", plant.count, plant.among);
    }
    Ok(plant)
}

fn errors(words: &[&str]) -> Result<Errors> {
    match words {
        ["off"] => Ok(Errors::Off),
        ["always", failure] => Ok(Errors::Always(failure_of(failure)?)),
        ["next", count, failure] => Ok(Errors::Next(count.parse()?, failure_of(failure)?)),
        _ => bail!("want: errors WHERE off|next N FAIL|always FAIL"),
    }
}

fn failure_of(text: &str) -> Result<Failure> {
    match text.strip_prefix("status:") {
        Some(hex) => Ok(Failure::Status(u8::from_str_radix(hex, 16)?)),
        None => Ok(Failure::Sense(text.parse()?)),
    }
}

fn states(words: &[&str]) -> Result<Vec<(Where, Access)>> {
    let pair = |pair: &[&str]| match pair {
        [at, state] => Ok((at.parse()?, state.parse()?)),
        _ => bail!("{pair:?} has no state"),
    };
    words.chunks(2).map(pair).collect()
}

fn vendor(hex: &str) -> Result<[u8; 8]> {
    let bytes = bytes(hex)?;
    bytes
        .try_into()
        .map_err(|_| anyhow!("want 16 hexadecimal digits"))
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        bail!("want pairs of hexadecimal digits");
    }
    let digits = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
    digits
        .map(|digits| {
            u8::from_str_radix(digits, 16).with_context(|| format!("bad digits {digits}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(line: &str) -> LunChange {
        match line.parse().unwrap() {
            Control::Lun(None, change) => change,
            other => panic!("{other:?} is no change of every LUN"),
        }
    }

    fn array(line: &str) -> ArrayChange {
        match line.parse().unwrap() {
            Control::Array(change) => change,
            other => panic!("{other:?} is no change of the array"),
        }
    }

    const B: Where = Where::Controller(Controller::B);

    #[test]
    fn latency_and_faults_are_understood() {
        assert_eq!(
            change("delay B 2ms"),
            LunChange::Delay(B, "2ms".parse().unwrap())
        );
        let plant = Plant {
            path: None,
            lun: None,
            count: 3,
            among: 9,
            delay_ns: 300_000_000,
        };
        assert_eq!(
            change("plant 3 at 300ms among 9"),
            LunChange::Plant(plant.clone())
        );
        let on = Plant {
            path: Some("A1".parse().unwrap()),
            ..plant
        };
        assert_eq!(
            change("plant 3 at 300ms among 9 on A1"),
            LunChange::Plant(on)
        );
        let busy = Errors::Next(5, Failure::Status(8));
        let a1 = Where::Path("A1".parse().unwrap());
        assert_eq!(
            change("errors A1 next 5 status:08"),
            LunChange::Errors(a1, busy)
        );
        let sense = Failure::Sense(Sense::TRANSITION);
        assert_eq!(
            change("errors all always 02/04/0a"),
            LunChange::Errors(Where::All, Errors::Always(sense))
        );
        assert_eq!(
            change("quiesce 1s"),
            LunChange::Quiesce(1_000_000_000, Sense::QUIESCENCE)
        );
        assert_eq!(
            change("quiesce 1ms 02/04/a1"),
            LunChange::Quiesce(1_000_000, Sense::QUIESCING)
        );
    }

    #[test]
    fn states_and_transfers_are_understood() {
        let a = Where::Controller(Controller::A);
        assert_eq!(
            change("transition 3s A AN B AO"),
            LunChange::Transition(
                3_000_000_000,
                vec![(a, Access::NonOptimized), (B, Access::Optimized)]
            )
        );
        let a2 = Where::Path("A2".parse().unwrap());
        assert_eq!(
            change("state A2 standby"),
            LunChange::States(vec![(a2, Access::Standby)])
        );
        assert_eq!(
            "lun 3 own B".parse::<Control>().unwrap(),
            Control::Lun(Some(3), LunChange::Own(Controller::B))
        );
        assert_eq!(change("other-host A"), LunChange::OtherHost(Controller::A));
        assert_eq!(change("swap"), LunChange::Swap);
        assert_eq!(change("prefer none"), LunChange::Prefer(None));
    }

    #[test]
    fn what_is_about_the_whole_array_is_understood() {
        assert_eq!(array("mode avt"), ArrayChange::Mode(Mode::Avt));
        assert_eq!(array("contention 3"), ArrayChange::Contention(3));
        assert_eq!(
            array("transfer-time 2ms"),
            ArrayChange::TransferTime(2_000_000)
        );
        assert_eq!(
            array("shipping 1ms..2ms"),
            ArrayChange::Shipping("1ms..2ms".parse().unwrap())
        );
        assert_eq!(
            array("vendor 1b5b33316d414200"),
            ArrayChange::Vendor(*b"\x1b[31mAB\0")
        );
        assert_eq!(array("serial 7"), ArrayChange::Serial(7));
        assert_eq!(
            array("groups 00ff"),
            ArrayChange::Groups(Some(vec![0, 0xff]))
        );
        assert_eq!(array("groups off"), ArrayChange::Groups(None));
        for (line, expected) in [
            ("log /tmp/x", Control::Log("/tmp/x".to_owned())),
            ("transfers /tmp/x", Control::Transfers("/tmp/x".to_owned())),
        ] {
            assert_eq!(line.parse::<Control>().unwrap(), expected);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            "",
            "delay",
            "delay C 2ms",
            "plant 10 at 1ms among 9",
            "plant 1 at 1ms",
            "errors all",
            "errors all next x 02/04/0a",
            "state A",
            "state A fine",
            "vendor 1b",
            "groups 1",
            "groups xx",
            "prefer C",
            "own A1",
            "mode alua",
            "swap now",
            "lun",
            "lun 256 swap",
            "lun 0 stat",
            "lun 0 contention 1",
        ] {
            assert!(wrong.parse::<Control>().is_err(), "{wrong:?}");
        }
    }
}
