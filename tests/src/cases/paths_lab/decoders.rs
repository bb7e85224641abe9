//! `alua-trace decode` against sg3_utils' decoders, on pages made up by a generator with a fixed
//! seed.

mod random;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use self::random::Random;
use super::{Comparison, list, sg, tool};
use crate::cases::Outcome;
use crate::lab::Lab;
use crate::sys;
use crate::sys::process;

const DUMP: &str = "/tmp/page.hex";
/// Pages of each kind.
const PAGES: usize = 40;

/// A way to make a page and to compare what is said of it.
type Check = fn(&mut Lab, &mut Random, &mut Comparison) -> Result<()>;

pub(super) fn agree(lab: &mut Lab) -> Result<Outcome> {
    lab.emulator()?;
    lab.learn_states()?;
    let mut random = Random::new(0x5eed_a10a);
    let mut comparison = Comparison::default();
    let checks: [Check; 5] = [inquiry, serial_number, identification, sense, port_groups];
    for check in checks {
        for _ in 0..PAGES {
            check(lab, &mut random, &mut comparison)?;
        }
    }
    lab.figure("pages decoded twice", (PAGES * checks.len()) as f64, "");
    lab.figure("fields compared", comparison.compared as f64, "");
    comparison.result()?;
    Ok(Outcome::Passed)
}

fn hex(bytes: &[u8], between: &str) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(between)
}

/// What the tool says of a page.
#[derive(Debug)]
struct Decoded {
    /// Of fields that there is one of: what is in the page, and what it means.
    fields: BTreeMap<String, (String, String)>,
    all: Vec<Value>,
}

impl Decoded {
    /// Writes the page to [`DUMP`] and decodes it.
    fn new(page: &str, bytes: &[u8]) -> Result<Decoded> {
        sys::write(DUMP, &format!("{}\n", hex(bytes, " ")))?;
        let said: Value =
            serde_json::from_str(&tool(&["decode", "--page", page, "--json", DUMP])?)?;
        let all: Vec<Value> = list(&said["fields"]).cloned().collect();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let fields = all
            .iter()
            .map(|it| (text(&it["name"]), (text(&it["raw"]), text(&it["meaning"]))));
        Ok(Decoded {
            fields: fields.collect(),
            all,
        })
    }

    /// The number in the page.
    fn number(&self, name: &str) -> Value {
        let raw = self.fields.get(name).map(|it| it.0.as_str());
        json!(raw.and_then(sg::number))
    }

    fn raw(&self, name: &str) -> Value {
        json!(self.fields.get(name).map(|it| it.0.trim_end()))
    }

    fn meaning(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|it| it.1.as_str())
    }
}

/// What a decoder of sg3_utils says of [`DUMP`].
fn theirs(program: &str, page: &[&str]) -> Result<Value> {
    let file = format!("--inhex={DUMP}");
    let text = process::run(program, &[&["--json", &file], page].concat())?;
    serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
}

/// A number, or the number of something that has a meaning, too.
fn plain(value: &Value) -> Value {
    value.get("i").unwrap_or(value).clone()
}

fn inquiry(_: &mut Lab, random: &mut Random, comparison: &mut Comparison) -> Result<()> {
    let mut data = random.bytes(36);
    let extra = random.below(60);
    data.extend(random.bytes(extra));
    data[0] = 0; // Others are not always decoded.
    data[3] = data[3] & 0xf0 | 0x02;
    data[4] = (data.len() - 5) as u8;
    for (at, length) in [(8, 8), (16, 16), (32, 4)] {
        data[at..at + length].copy_from_slice(&random.name(length));
    }
    let ours = Decoded::new("inquiry", &data)?;
    let theirs = &theirs("sg_inq", &[])?["standard_inquiry_data_format"];
    let about = hex(&data[..8], "");
    for (name, other) in [
        ("peripheral qualifier", "peripheral_qualifier"),
        ("device type", "peripheral_device_type"),
        ("RMB", "rmb"),
        ("version", "version"),
        ("TPGS", "tpgs"),
        ("NORMACA", "normaca"),
        ("HISUP", "hisup"),
        ("SCCS", "sccs"),
        ("ACC", "acc"),
        ("3PC", "3pc"),
        ("PROTECT", "protect"),
        ("ENCSERV", "encserv"),
        ("MULTIP", "multip"),
        ("CMDQUE", "cmdque"),
    ] {
        let other = plain(&theirs[other]);
        comparison.field(&format!("{about} {name}"), &ours.number(name), &other);
    }
    for (name, other) in [
        ("vendor", "t10_vendor_identification"),
        ("product", "product_identification"),
        ("revision", "product_revision_level"),
    ] {
        let other = theirs[other].as_str().map(str::trim_end);
        comparison.field(&format!("{about} {name}"), &ours.raw(name), &json!(other));
    }
    Ok(())
}

fn with_header(code: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [&[0, code, length[0], length[1]], body].concat()
}

fn serial_number(_: &mut Lab, random: &mut Random, comparison: &mut Comparison) -> Result<()> {
    let length = 1 + random.below(40);
    let data = with_header(0x80, &random.name(length));
    let ours = Decoded::new("80", &data)?.raw("unit serial number");
    let theirs = theirs("sg_vpd", &["--page=0x80"])?;
    let theirs = &theirs["unit_serial_number_vpd_page"]["product_serial_number"];
    comparison.field("serial number", &ours, theirs);
    Ok(())
}

/// Designators as sg_vpd prints them: the logical unit's, the port's, the device's.
fn identification(_: &mut Lab, random: &mut Random, comparison: &mut Comparison) -> Result<()> {
    let count = 1 + random.below(6);
    let body: Vec<u8> = (0..count).flat_map(|_| random.designator()).collect();
    let data = with_header(0x83, &body);
    let ours = Decoded::new("83", &data)?;
    let file = format!("--inhex={DUMP}");
    let text = process::run("sg_vpd", &[&file, "--page=0x83"])?;
    let mut shown: Vec<Value> = ours.all.iter().filter_map(designator).collect();
    shown.sort_by_key(|it| it["of"].as_u64());
    comparison.field(
        &hex(&data, ""),
        &json!(shown),
        &json!(their_designators(&text)),
    );
    Ok(())
}

const ASSOCIATIONS: [(&str, &str); 3] = [
    ("(logical unit)", "Addressed logical unit:"),
    ("(target port)", "Target port:"),
    (
        "(target device)",
        "Target device that contains addressed lu:",
    ),
];
const KINDS: [(&str, &str); 7] = [
    ("T10 vendor identification", "T10 vendor identification"),
    ("EUI-64", "EUI-64 based"),
    ("NAA", "NAA"),
    ("relative target port", "Relative target port"),
    ("target port group", "Target port group"),
    ("logical unit group", "Logical unit group"),
    ("SCSI name string", "SCSI name string"),
];

/// One of the tool's.
fn designator(field: &Value) -> Option<Value> {
    let (name, raw) = (field["name"].as_str()?, field["raw"].as_str()?);
    let of = ASSOCIATIONS.iter().position(|it| name.ends_with(it.0))?;
    let kind = KINDS.iter().find(|it| name.starts_with(it.0))?.1;
    let meaning = field["meaning"].as_str()?;
    let (meaning, protocol) = match meaning.split_once(", ") {
        Some((meaning, protocol)) => (meaning, Some(protocol)),
        None => (meaning, None),
    };
    let value = match kind {
        "NAA" | "EUI-64 based" => format!("0x{raw}"),
        "T10 vendor identification" | "SCSI name string" => meaning.to_owned(),
        _ => format!("0x{:x}", meaning.parse::<u32>().ok()?),
    };
    Some(json!({ "of": of, "kind": kind, "value": value, "iscsi": protocol == Some("iSCSI") }))
}

fn their_designators(text: &str) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    let mut of = 0;
    for line in text.lines().map(str::trim) {
        if let Some(at) = ASSOCIATIONS.iter().position(|it| it.1 == line) {
            of = at;
        } else if let Some(rest) = line.strip_prefix("designator type: ") {
            let kind = rest.split(',').next().unwrap_or_default();
            found.push(json!({ "of": of, "kind": kind, "value": "", "iscsi": false }));
        } else if let Some(last) = found.last_mut() {
            if line.starts_with("transport:") {
                last["iscsi"] = json!(line.contains("iSCSI"));
                continue;
            }
            // A label before the value, or on a line of its own.
            let labelled = line.starts_with("0x") || line.starts_with("iqn.");
            let value = if labelled {
                line
            } else {
                line.split_once(':').map_or("", |it| it.1)
            };
            let value = format!(
                "{}{}",
                last["value"].as_str().unwrap_or_default(),
                value.trim()
            );
            last["value"] = json!(value);
        }
    }
    found
}

fn sense(_: &mut Lab, random: &mut Random, comparison: &mut Comparison) -> Result<()> {
    let data = random.sense();
    let ours = Decoded::new("sense", &data)?;
    let theirs = theirs("sg_decode_sense", &[])?;
    let about = hex(&data, "");
    for (name, other) in [
        ("response code", "response_code"),
        ("sense key", "sense_key"),
        ("additional sense code", "additional_sense_code"),
        ("qualifier", "additional_sense_code_qualifier"),
    ] {
        let other = plain(&theirs[other]);
        comparison.field(&format!("{about} {name}"), &ours.number(name), &other);
    }
    let descriptors: Vec<&Value> = list(&theirs["sense_data_descriptor_list"]).collect();
    let parts = || [&theirs].into_iter().chain(descriptors.iter().copied());
    let key = ours.meaning("sense key").map(str::to_lowercase);
    let other = theirs["sense_key"]["meaning"]
        .as_str()
        .map(str::to_lowercase);
    comparison.field(&format!("{about} key"), &json!(key), &json!(other));
    let information = ours.meaning("information").and_then(sg::number);
    let valid = |part: &&Value| plain(&part["valid"]) == 1;
    let other = parts()
        .filter(valid)
        .find_map(|part| part.get("information"));
    comparison.field(
        &format!("{about} information"),
        &json!(information),
        other.unwrap_or(&Value::Null),
    );
    let other = parts().find(|part| part["sksv"] == 1).map(|part| {
        let bit = match part["bpv"] == 1 {
            true => format!(" bit {}", part["bit_pointer"]),
            false => String::new(),
        };
        let place = if part["c_d"] == 1 {
            "the CDB"
        } else {
            "the parameter list"
        };
        format!("byte {}{bit} of {place}", part["field_pointer"])
    });
    comparison.field(
        &format!("{about} refused field"),
        &json!(ours.meaning("refused field")),
        &json!(other),
    );
    Ok(())
}

/// sg_rtpg only reads from a device: the emulator answers what was made up.
fn port_groups(lab: &mut Lab, random: &mut Random, comparison: &mut Comparison) -> Result<()> {
    let extended = random.below(2) == 1;
    let data = random.port_groups(extended);
    lab.array()?.ask(&format!("groups {}", hex(&data, "")))?;
    let ours = Decoded::new("rtpg", &data)?;
    let header: &[&str] = if extended { &["-e"] } else { &[] };
    let theirs = sg::groups_with(&lab.path("A1")?.node(), header)?;
    lab.array()?.ask("groups off")?;
    let about = hex(&data, "");
    let ids = ours.fields.keys().filter(|name| name.ends_with(": id"));
    comparison.field(
        &format!("{about} groups"),
        &json!(ids.count()),
        &json!(theirs.len()),
    );
    for group in &theirs {
        let about = format!("{about} group {}", group.id);
        let number = |field: &str| {
            let number = ours.number(&format!("group {}: {field}", group.id));
            number.as_u64().unwrap_or(u64::MAX)
        };
        let mut field = |name: &str, tool: Value, other: Value| {
            comparison.field(&format!("{about} {name}"), &tool, &other);
        };
        let flags = number("supported states");
        let supported: Vec<&str> = [0x0, 0x1, 0x2, 0x3, 0x4, 0xe, 0xf]
            .into_iter()
            .zip([0, 1, 2, 3, 4, 6, 7])
            .filter(|(_, bit)| flags >> bit & 1 == 1)
            .map(|(state, _)| sg::state_name(state))
            .collect();
        let port = format!("group {}: relative target port", group.id);
        let ports = ours.all.iter().filter(|it| it["name"] == port.as_str());
        let ports: Vec<Option<u64>> = ports
            .map(|it| it["raw"].as_str().and_then(sg::number))
            .collect();
        field(
            "state",
            json!(sg::state_name(number("state"))),
            json!(group.state),
        );
        field(
            "preferred",
            json!(number("preferred") == 1),
            json!(group.preferred),
        );
        field("supported", json!(supported), json!(group.supported));
        field(
            "status",
            json!(sg::status_words(number("status code"))),
            json!(group.status),
        );
        field("ports", json!(ports), json!(group.ports));
    }
    Ok(())
}
