//! Owns what the answers of one device mean together. Pure.

use super::plan::{Answer, Asked, Command};
use crate::scsi::inquiry::Inquiry;
use crate::scsi::rdac::{ExtendedIdentification, SubsystemIdentifier, VolumeAccess};
use crate::scsi::rtpg::{self, TargetPortGroups};
use crate::scsi::{DecodeError, vpd, vpd83};

/// What the array said through one path. `None` was not asked, refused, or is not understood.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) inquiry: Option<Inquiry>,
    pub(super) groups: Option<TargetPortGroups>,
    pub(super) serial: Option<String>,
    pub(super) wwid: Option<String>,
    pub(super) port_group: Option<u16>,
    pub(super) relative_port: Option<u16>,
    pub(super) subsystem: Option<SubsystemIdentifier>,
    pub(super) identification: Option<ExtendedIdentification>,
    pub(super) access: Option<VolumeAccess>,
    /// What was refused or is not understood.
    pub(super) complaints: Vec<String>,
}

impl Said {
    /// From a conversation; of a command that was repeated, the last answer counts.
    pub(super) fn new(asked: &[Asked]) -> Self {
        let mut said = Self::default();
        for (nth, (command, answer)) in asked.iter().enumerate() {
            let repeated = asked.iter().skip(nth + 1);
            let again = |(other, _): &Asked| other.to_string() == command.to_string();
            if repeated.clone().any(again) {
                continue;
            }
            match answer {
                Answer::Refused(sense) => said
                    .complaints
                    .push(format!("the array refused {command}: {sense}")),
                Answer::Data(data) => {
                    if let Err(error) = said.take(command, data) {
                        said.complaints.push(format!("not understood: {error}"));
                    }
                }
            }
        }
        said
    }

    fn take(&mut self, command: &Command, data: &[u8]) -> Result<(), DecodeError> {
        match command {
            Command::Inquiry { .. } => self.inquiry = Some(Inquiry::parse(data)?),
            Command::PortGroups { .. } => {
                let groups = rtpg::parse(data)?;
                if groups.truncated {
                    self.complaints
                        .push("the list of port groups ends before its end".to_owned());
                }
                self.groups = Some(groups);
            }
            Command::Page { code: 0x80, .. } => {
                let serial = vpd::serial_number(data)?;
                self.serial = Some(serial).filter(|serial| !serial.is_empty());
            }
            Command::Page { code: 0x83, .. } => {
                (self.port_group, self.relative_port) = vpd83::port_of(data);
                self.wwid = vpd83::lun_wwid(data);
                vpd83::designators(data).try_for_each(|designator| designator.map(drop))?;
            }
            // Other vendors' pages of these numbers are none of ours.
            Command::Page { code: 0xc4, .. } if named(data, b"subs") => {
                self.subsystem = Some(SubsystemIdentifier::parse(data)?);
            }
            Command::Page { code: 0xc8, .. } if named(data, b"edid") => {
                self.identification = Some(ExtendedIdentification::parse(data)?);
            }
            Command::Page { code: 0xc9, .. } if named(data, b"vac") => {
                self.access = Some(VolumeAccess::parse(data)?);
            }
            Command::Page { .. } => {}
        }
        Ok(())
    }
}

/// Whether a page begins with the name by which RDAC arrays mark theirs.
fn named(page: &[u8], name: &[u8]) -> bool {
    page.get(4..).is_some_and(|rest| rest.starts_with(name))
}
