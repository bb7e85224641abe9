//! The language of the control socket, one line a request. Pure.
//!
//! ```text
//! delay WHERE TIME[..TIME]            latency of reads and writes
//! plant N at TIME among M [on PATH]   exactly N of the next M reads and writes take TIME
//! errors WHERE off|next N FAIL|always FAIL
//! attention WHERE KK/AA/QQ            unit attention
//! state [A STATE] [B STATE]           the array changes states and tells every port
//! swap                                A's and B's states trade places, told to every port
//! transition TIME [A STATE] [B STATE] transitioning for TIME, then these states
//! prefer A|B|none
//! vendor HEX                          8 raw bytes of INQUIRY data
//! stat | log FILE | forget | quit
//! ```
//! WHERE is `all`, a controller or a path; FAIL is `KK/AA/QQ` or `status:SS`.

use std::str::FromStr;

use anyhow::{Context, Error, Result, bail};

use super::access::{Access, Controller, PathName};
use super::delay::{Delay, Plant, parse_duration};
use super::faults::{Errors, Failure};
use super::scsi::Sense;

/// Which paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// Every one.
    All,
    /// A controller's.
    Controller(Controller),
    /// One.
    Path(PathName),
}

impl Where {
    /// True for the paths meant.
    pub(crate) fn covers(self, path: PathName) -> bool {
        match self {
            Where::All => true,
            Where::Controller(controller) => path.controller == controller,
            Where::Path(only) => path == only,
        }
    }
}

impl FromStr for Where {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "all" => Ok(Where::All),
            "A" | "B" => Ok(Where::Controller(controller(text)?)),
            _ => Ok(Where::Path(text.parse()?)),
        }
    }
}

/// A change of the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Latency.
    Delay(Where, Delay),
    /// Planted latency.
    Plant(Plant),
    /// Errors.
    Errors(Where, Errors),
    /// Unit attention.
    Attention(Where, Sense),
    /// New access states.
    States([Option<Access>; 2]),
    /// States trade places.
    Swap,
    /// Transitioning for so many ns, then these states.
    Transition(u64, [Option<Access>; 2]),
    /// Preferred controller.
    Prefer(Option<Controller>),
    /// INQUIRY vendor.
    Vendor([u8; 8]),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    /// Change something.
    Change(Change),
    /// Tell states and counts.
    Stat,
    /// Write the log to a file.
    Log(String),
    /// Empty the log.
    Forget,
    /// End.
    Quit,
}

impl FromStr for Control {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let change = match words.as_slice() {
            ["stat"] => return Ok(Control::Stat),
            ["log", file] => return Ok(Control::Log((*file).to_owned())),
            ["forget"] => return Ok(Control::Forget),
            ["quit"] => return Ok(Control::Quit),
            ["delay", at, delay] => Change::Delay(at.parse()?, delay.parse()?),
            ["plant", rest @ ..] => Change::Plant(plant(rest)?),
            ["errors", at, rest @ ..] => Change::Errors(at.parse()?, errors(rest)?),
            ["attention", at, sense] => Change::Attention(at.parse()?, sense.parse()?),
            ["state", rest @ ..] => Change::States(states(rest)?),
            ["swap"] => Change::Swap,
            ["transition", time, rest @ ..] => {
                Change::Transition(parse_duration(time)?, states(rest)?)
            }
            ["prefer", "none"] => Change::Prefer(None),
            ["prefer", name] => Change::Prefer(Some(controller(name)?)),
            ["vendor", hex] => Change::Vendor(vendor(hex)?),
            _ => bail!("no such request: {line:?}"),
        };
        Ok(Control::Change(change))
    }
}

fn controller(name: &str) -> Result<Controller> {
    match name {
        "A" => Ok(Controller::A),
        "B" => Ok(Controller::B),
        _ => bail!("{name:?} is no controller"),
    }
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

fn states(words: &[&str]) -> Result<[Option<Access>; 2]> {
    let mut states = [None; 2];
    for pair in words.chunks(2) {
        let [name, state] = pair else {
            bail!("{pair:?} has no state")
        };
        states[controller(name)?.index()] = Some(state.parse()?);
    }
    Ok(states)
}

fn vendor(hex: &str) -> Result<[u8; 8]> {
    let mut bytes = [0; 8];
    if hex.len() != 16 || !hex.is_ascii() {
        bail!("want 16 hexadecimal digits");
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        let digits = &hex[2 * index..2 * index + 2];
        *byte = u8::from_str_radix(digits, 16).with_context(|| format!("bad digits {digits}"))?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(line: &str) -> Change {
        match line.parse().unwrap() {
            Control::Change(change) => change,
            other => panic!("{other:?} is no change"),
        }
    }

    #[test]
    fn every_request_is_understood() {
        let b = Where::Controller(Controller::B);
        assert_eq!(
            change("delay B 2ms"),
            Change::Delay(b, "2ms".parse().unwrap())
        );
        let plant = Plant {
            path: None,
            count: 3,
            among: 9,
            delay_ns: 300_000_000,
        };
        assert_eq!(
            change("plant 3 at 300ms among 9"),
            Change::Plant(plant.clone())
        );
        let on = Plant {
            path: Some("A1".parse().unwrap()),
            ..plant
        };
        assert_eq!(change("plant 3 at 300ms among 9 on A1"), Change::Plant(on));
        let busy = Errors::Next(5, Failure::Status(8));
        let a1 = Where::Path("A1".parse().unwrap());
        assert_eq!(
            change("errors A1 next 5 status:08"),
            Change::Errors(a1, busy)
        );
        let sense = Failure::Sense(Sense::TRANSITION);
        assert_eq!(
            change("errors all always 02/04/0a"),
            Change::Errors(Where::All, Errors::Always(sense))
        );
        assert_eq!(
            change("transition 3s A AN B AO"),
            Change::Transition(
                3_000_000_000,
                [Some(Access::NonOptimized), Some(Access::Optimized)]
            )
        );
        assert_eq!(
            change("state B standby"),
            Change::States([None, Some(Access::Standby)])
        );
        assert_eq!(
            change("vendor 1b5b33316d414200"),
            Change::Vendor(*b"\x1b[31mAB\0")
        );
        assert_eq!(
            "log /tmp/x".parse::<Control>().unwrap(),
            Control::Log("/tmp/x".to_owned())
        );
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
            "prefer C",
            "swap now",
        ] {
            assert!(wrong.parse::<Control>().is_err(), "{wrong:?}");
        }
    }
}
