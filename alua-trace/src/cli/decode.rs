//! What can be decoded: the names of pages on the command line, and what each is made of.

use std::fmt;

use clap::ValueEnum;

/// What a dump is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DecodePage {
    /// Standard INQUIRY data
    Inquiry,
    /// VPD page 00h, supported pages
    #[value(name = "00")]
    SupportedPages,
    /// VPD page 80h, unit serial number
    #[value(name = "80")]
    SerialNumber,
    /// VPD page 83h, device identification
    #[value(name = "83")]
    Identification,
    /// VPD page C0h, EMC unit path report or RDAC hardware version
    #[value(name = "c0")]
    UnitPath,
    /// VPD page C2h, RDAC software version
    #[value(name = "c2")]
    SoftwareVersion,
    /// VPD page C4h, RDAC subsystem identifier
    #[value(name = "c4")]
    Subsystem,
    /// VPD page C8h, RDAC extended device identification
    #[value(name = "c8")]
    ExtendedIdentification,
    /// VPD page C9h, RDAC volume access control
    #[value(name = "c9")]
    VolumeAccess,
    /// REPORT TARGET PORT GROUPS data
    Rtpg,
    /// SET TARGET PORT GROUPS parameter list
    Stpg,
    /// Mode page 2Ch, RDAC redundant controller
    #[value(name = "2c")]
    RedundantController,
    /// Mode page 22h, EMC trespass
    #[value(name = "22")]
    Trespass,
    /// Sense data
    Sense,
    /// Command descriptor block
    Cdb,
}

impl DecodePage {
    /// What the page is made of, to follow "needs".
    pub const fn needs(self) -> &'static str {
        match self {
            Self::Inquiry => "what `sg_inq --hex DEVICE`, or sg_inq without it, prints",
            Self::SupportedPages => "what `sg_vpd --page=0x00 --hex DEVICE` prints",
            Self::SerialNumber => "what `sg_vpd --page=0x80 --hex DEVICE` prints",
            Self::Identification => "what `sg_vpd --page=0x83 --hex DEVICE` prints",
            Self::UnitPath => "what `sg_vpd --page=0xc0 --hex DEVICE` prints",
            Self::SoftwareVersion => "what `sg_vpd --page=0xc2 --hex DEVICE` prints",
            Self::Subsystem => "what `sg_vpd --page=0xc4 --hex DEVICE` prints",
            Self::ExtendedIdentification => "what `sg_vpd --page=0xc8 --hex DEVICE` prints",
            Self::VolumeAccess => "what `sg_vpd --page=0xc9 --hex DEVICE` prints",
            Self::Rtpg => "what `sg_rtpg --hex DEVICE`, or sg_rtpg without it, prints",
            Self::Stpg => "the parameter list of a SET TARGET PORT GROUPS command",
            Self::RedundantController => {
                "what `sg_modes --page=0x2c --raw DEVICE` prints, or the parameter list of a MODE \
                 SELECT command"
            }
            Self::Trespass => "the parameter list of a MODE SELECT command",
            Self::Sense => "sense data in fixed or descriptor format, from response code 7xh on",
            Self::Cdb => "a command descriptor block",
        }
    }
}

impl fmt::Display for DecodePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
