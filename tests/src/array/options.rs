//! What `guest array` is started with, to and from the words of a command line.

use anyhow::{Context, Result, bail};

use super::access::{Controller, Nexus, PathName};
use super::groups::Layout;
use super::personality::Personality;
use super::rdac::Mode;

/// What `guest array` is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where it listens.
    pub(crate) socket: String,
    /// Size of each LUN.
    pub(crate) size_bytes: u64,
    /// Distinguishes arrays: serial number and WWID are made from it.
    pub(crate) serial: u32,
    /// Hosts with a path to each controller.
    pub(crate) hosts: u8,
    /// Logical units, from 0.
    pub(crate) luns: u8,
    /// Owners of LUN 0, 1, …; from the first again when there are more LUNs.
    pub(crate) owners: Vec<Controller>,
    /// TPGS field of INQUIRY: 1 implicit, 2 explicit, 3 both. An RDAC array has 0.
    pub(crate) tpgs: u8,
    /// A target port group for each port, not for each controller.
    pub(crate) group_per_port: bool,
    /// An RDAC array in this mode; else an ALUA array.
    pub(crate) rdac: Option<Mode>,
    /// How many LUNs an RDAC array says it can have; below 32 it takes MODE SELECT(6).
    pub(crate) max_luns: u8,
    /// Commands the log has room for.
    pub(crate) log_commands: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            socket: "/run/array.sock".to_owned(),
            size_bytes: 64 << 20,
            serial: 1,
            hosts: 2,
            luns: 1,
            owners: vec![Controller::A],
            tpgs: 3,
            group_per_port: false,
            rdac: None,
            max_luns: 255,
            log_commands: 1 << 20,
        }
    }
}

impl Options {
    /// As the words of a command line.
    pub(crate) fn to_arguments(&self) -> Vec<String> {
        let owners: String = self.owners.iter().map(ToString::to_string).collect();
        let group_per = if self.group_per_port {
            "port"
        } else {
            "controller"
        };
        let rdac = self.rdac.map_or("none".to_owned(), |mode| mode.to_string());
        [
            ("--socket", self.socket.clone()),
            ("--size-bytes", self.size_bytes.to_string()),
            ("--serial", self.serial.to_string()),
            ("--hosts", self.hosts.to_string()),
            ("--luns", self.luns.to_string()),
            ("--owners", owners),
            ("--tpgs", self.tpgs.to_string()),
            ("--group-per", group_per.to_owned()),
            ("--rdac", rdac),
            ("--max-luns", self.max_luns.to_string()),
            ("--log-commands", self.log_commands.to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }

    /// Reads the words of a command line.
    pub(crate) fn parse(words: &[&str]) -> Result<Options> {
        let mut options = Options::default();
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                bail!("{pair:?} has no value")
            };
            options
                .set(name, value)
                .with_context(|| format!("bad option {name} {value}"))?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "--socket" => self.socket = value.to_owned(),
            "--size-bytes" => self.size_bytes = value.parse()?,
            "--serial" => self.serial = value.parse()?,
            "--hosts" => self.hosts = value.parse()?,
            "--luns" => self.luns = value.parse()?,
            "--owners" => self.owners = owners(value)?,
            "--tpgs" => self.tpgs = value.parse()?,
            "--group-per" => {
                self.group_per_port = match value {
                    "port" => true,
                    "controller" => false,
                    _ => bail!("want port or controller"),
                }
            }
            "--rdac" => {
                self.rdac = match value {
                    "none" => None,
                    mode => Some(mode.parse()?),
                }
            }
            "--max-luns" => self.max_luns = value.parse()?,
            "--log-commands" => self.log_commands = value.parse()?,
            _ => bail!("no such option"),
        }
        Ok(())
    }

    /// Every path, in the order in which an administrator would cable them: A1 B1 A2 B2.
    pub(crate) fn paths(&self) -> Vec<PathName> {
        (1..=self.hosts)
            .flat_map(|host| Controller::ALL.map(|controller| PathName { controller, host }))
            .collect()
    }

    /// Every LUN over every path.
    pub(super) fn nexuses(&self) -> Vec<Nexus> {
        let over = |path| (0..self.luns).map(move |lun| Nexus { path, lun });
        self.paths().into_iter().flat_map(over).collect()
    }

    /// First owner of a LUN.
    pub(super) fn owner(&self, lun: u8) -> Controller {
        let mut owners = self.owners.iter().cycle();
        owners
            .nth(usize::from(lun))
            .copied()
            .unwrap_or(Controller::A)
    }

    /// How ports are gathered into groups.
    pub(super) fn layout(&self) -> Layout {
        Layout {
            hosts: self.hosts,
            group_per_port: self.group_per_port,
        }
    }

    /// Kind of array.
    pub(super) fn personality(&self) -> Personality {
        match self.rdac {
            Some(mode) => Personality::Rdac {
                mode,
                max_luns: self.max_luns,
            },
            None => Personality::Alua { tpgs: self.tpgs },
        }
    }
}

fn owners(letters: &str) -> Result<Vec<Controller>> {
    letters
        .chars()
        .map(|letter| letter.to_string().parse())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_arrives() {
        let options = Options {
            socket: "/tmp/x".to_owned(),
            size_bytes: 1,
            serial: 2,
            hosts: 3,
            luns: 4,
            owners: vec![Controller::B, Controller::A],
            tpgs: 1,
            group_per_port: true,
            rdac: Some(Mode::Avt),
            max_luns: 31,
            log_commands: 7,
        };
        let words = options.to_arguments();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(Options::parse(&words).unwrap(), options);
        assert_eq!(options.owner(2), Controller::B);
        assert_eq!(options.owner(3), Controller::A);
        assert_eq!(options.nexuses().len(), 24);
        for wrong in [["--luns", "x"], ["--rdac", "alua"], ["--sock", "x"]] {
            assert!(Options::parse(&wrong).is_err(), "{wrong:?}");
        }
        assert!(Options::parse(&["--luns"]).is_err());
    }
}
