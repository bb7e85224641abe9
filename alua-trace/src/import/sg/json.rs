//! Owns the reading of the JSON of sg_inq and sg_vpd (sg3_utils since 1.48, sg3_utils_json(8)), which has
//! most of a page's fields: the page is made of them again, so that it is read as any other.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Longest designator (SPC-4 7.8.6).
const MAX_DESIGNATOR: usize = 255;

/// Whether a text is such a document.
pub(super) fn is_document(text: &str) -> bool {
    text.trim_start().starts_with('{') && text.contains("\"utility_invoked\"")
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(alias = "standard_inquiry_data")]
    standard_inquiry_data_format: Option<Inquiry>,
    unit_serial_number_vpd_page: Option<Serial>,
    #[serde(borrow)]
    device_identification_vpd_page: Option<Identification<'a>>,
}

#[derive(Deserialize)]
struct Inquiry {
    tpgs: Option<Number>,
    t10_vendor_identification: Option<String>,
    product_identification: Option<String>,
    product_revision_level: Option<String>,
}

#[derive(Deserialize)]
struct Serial {
    #[serde(alias = "unit_serial_number")]
    product_serial_number: Option<String>,
}

#[derive(Deserialize)]
struct Identification<'a> {
    #[serde(borrow)]
    designation_descriptor_list: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Designator {
    association: Option<Number>,
    designator_type: Option<Number>,
    naa: Option<Number>,
    aoi: Option<Number>,
    vendor_specific_identifier: Option<Identifier>,
    vendor_specific_identifier_extension: Option<Number>,
    vendor_specific_identifier_a: Option<Number>,
    vendor_specific_identifier_b: Option<Number>,
    locally_administered_value: Option<Number>,
    eui_64_based_designator_length: Option<Number>,
    ieee_identifier: Option<Number>,
    #[serde(alias = "directory_identifier")]
    directory_id: Option<Number>,
    #[serde(alias = "identifer_extension")]
    identifier_extension: Option<Number>,
    t10_vendor_identification: Option<String>,
    scsi_name_string: Option<String>,
    relative_target_port_identifier: Option<Number>,
    #[serde(alias = "target_port_group_identifier")]
    target_port_group: Option<Number>,
    logical_unit_group: Option<Number>,
}

/// A number by itself, or with its meaning or its digits beside it.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Number {
    // 64-bit fields are printed as signed ones.
    Signed(i64),
    Unsigned(u64),
    Explained { i: i64 },
}

/// Of a T10 vendor identification it is a text, of an NAA a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Identifier {
    Number(Number),
    Text(String),
}

impl Number {
    const fn value(self) -> u64 {
        match self {
            // As many bits, whatever sign was printed.
            Self::Signed(i) | Self::Explained { i } => i as u64,
            Self::Unsigned(i) => i,
        }
    }
}

fn value(number: Option<Number>) -> Option<u64> {
    number.map(Number::value)
}

/// What a document tells.
pub(super) enum Told {
    /// Standard INQUIRY data.
    Inquiry {
        vendor: Option<String>,
        product: Option<String>,
        revision: Option<String>,
        tpgs: Option<u8>,
    },
    /// VPD pages: the serial number, and the bytes of page 83h.
    Pages {
        serial: Option<String>,
        identification: Option<Vec<u8>>,
    },
}

/// Reads a document.
///
/// # Errors
/// It is no JSON, or has none of the pages that are shown.
pub(super) fn parse(text: &str) -> Result<Told> {
    let document: Document<'_> =
        serde_json::from_str(text).context("it begins as JSON of sg3_utils, but is none")?;
    let text = |text: Option<String>| {
        let text = text?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    if let Some(inquiry) = document.standard_inquiry_data_format {
        return Ok(Told::Inquiry {
            vendor: text(inquiry.t10_vendor_identification),
            product: text(inquiry.product_identification),
            revision: text(inquiry.product_revision_level),
            tpgs: value(inquiry.tpgs).and_then(|tpgs| u8::try_from(tpgs).ok()),
        });
    }
    let serial = document.unit_serial_number_vpd_page;
    let serial = serial.and_then(|page| text(page.product_serial_number));
    let identification = document.device_identification_vpd_page;
    if serial.is_none() && identification.is_none() {
        bail!(
            "nothing that is shown is in this JSON; what is: standard INQUIRY data, the unit's serial \
             number, device identification"
        );
    }
    Ok(Told::Pages {
        serial,
        identification: identification.map(page),
    })
}

/// Page 83h with these designators; what is not understood is left out.
fn page(identification: Identification<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    for raw in identification.designation_descriptor_list {
        let designator = serde_json::from_str::<Designator>(raw.get()).ok();
        let Some((head, bytes)) = designator.as_ref().and_then(bytes) else {
            continue;
        };
        if body.len() + bytes.len() + 4 > usize::from(u16::MAX) {
            break;
        }
        let Ok(length) = u8::try_from(bytes.len()) else {
            continue;
        };
        body.extend([head[0], head[1], 0, length]);
        body.extend(bytes);
    }
    let mut page = vec![0, 0x83];
    // It was kept below.
    page.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
    page.extend(body);
    page
}

/// A designator's first two bytes, and its own (SPC-4 7.8.6).
fn bytes(of: &Designator) -> Option<([u8; 2], Vec<u8>)> {
    const BINARY: u8 = 1;
    const ASCII: u8 = 2;
    const UTF8: u8 = 3;
    let kind = u8::try_from(value(of.designator_type)?).ok()?;
    let association = u8::try_from(value(of.association)? & 3).ok()?;
    // Its last bytes.
    let low = |number: u64, length: usize| {
        let bytes = number.to_be_bytes();
        bytes
            .get(bytes.len() - length..)
            .unwrap_or_default()
            .to_vec()
    };
    let (code_set, bytes) = match kind {
        1 => {
            let vendor = of.t10_vendor_identification.as_deref()?;
            let rest = match &of.vendor_specific_identifier {
                Some(Identifier::Text(text)) => text.as_str(),
                _ => "",
            };
            (ASCII, format!("{vendor:<8}{rest}").into_bytes())
        }
        2 => {
            let identifier = low(value(of.ieee_identifier)?, 8);
            let bytes = match value(of.eui_64_based_designator_length)? {
                8 => identifier,
                12 => [identifier, low(value(of.directory_id)?, 4)].concat(),
                16 => [low(value(of.identifier_extension)?, 8), identifier].concat(),
                _ => return None,
            };
            (BINARY, bytes)
        }
        3 => (BINARY, naa(of)?),
        4 => (BINARY, low(value(of.relative_target_port_identifier)?, 4)),
        5 => (BINARY, low(value(of.target_port_group)?, 4)),
        6 => (BINARY, low(value(of.logical_unit_group)?, 4)),
        8 => (UTF8, of.scsi_name_string.clone()?.into_bytes()),
        _ => return None,
    };
    (bytes.len() <= MAX_DESIGNATOR).then_some(([code_set, association << 4 | kind], bytes))
}

/// An NAA designator: four bits of format, and what it puts behind them.
fn naa(of: &Designator) -> Option<Vec<u8>> {
    let format = value(of.naa)? & 0xf;
    let company = || value(of.aoi);
    let own = || match &of.vendor_specific_identifier {
        Some(Identifier::Number(number)) => Some(number.value()),
        _ => None,
    };
    let (a, b) = (
        of.vendor_specific_identifier_a,
        of.vendor_specific_identifier_b,
    );
    let first = match format {
        2 => value(a)? << 48 | company()? << 24 | value(b)?,
        3 => value(of.locally_administered_value)?,
        5 | 6 => company()? << 36 | own()?,
        _ => return None,
    };
    let first = format << 60 | (first & u64::MAX >> 4);
    let mut bytes = first.to_be_bytes().to_vec();
    if format == 6 {
        let extension = value(of.vendor_specific_identifier_extension)?;
        bytes.extend(extension.to_be_bytes());
    }
    Some(bytes)
}
