//! What sg3_utils prints of a device, as the words of `alua-trace paths --json`.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::sys::process;

/// A target port group as `sg_rtpg -d` tells of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    pub(super) id: u64,
    pub(super) state: &'static str,
    pub(super) preferred: bool,
    pub(super) supported: Vec<&'static str>,
    pub(super) status: &'static str,
    pub(super) ports: Vec<u64>,
}

/// The states by code, as the tool calls them.
pub(super) fn state_name(code: u64) -> &'static str {
    match code {
        0x0 => "active/optimized",
        0x1 => "active/non-optimized",
        0x2 => "standby",
        0x3 => "unavailable",
        0x4 => "logical block dependent",
        0xe => "offline",
        0xf => "transitioning",
        _ => "reserved",
    }
}

pub(super) fn status_words(code: u64) -> &'static str {
    match code {
        0 => "no status",
        1 => "state changed last by SET TARGET PORT GROUPS (a host)",
        2 => "state changed last by the array itself (implicitly)",
        _ => "reserved",
    }
}

/// Runs it up to 5 times: every unit attention costs a command.
fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let mut last = process::run(program, arguments);
    for _ in 0..4 {
        if last.is_ok() {
            break;
        }
        last = process::run(program, arguments);
    }
    last
}

/// The text behind `label` and a colon, at the first line that has it.
fn labelled<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.contains(label))?;
    let (_, value) = line.split_once(label)?.1.split_once(':')?;
    Some(value.trim())
}

/// A number: `0x` in hexadecimal, else decimal.
pub(super) fn number(text: &str) -> Option<u64> {
    let word: String = text
        .trim()
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    match word.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}

/// INQUIRY, pages 80h and 83h of the device at `node`, as fields of a path.
pub(super) fn identity(node: &str) -> Result<Value> {
    let inquiry = run("sg_inq", &[node])?;
    let of = |label| labelled(&inquiry, label).map(str::to_owned);
    let tpgs = inquiry.split("TPGS=").nth(1).and_then(number);
    let serial = run("sg_vpd", &["-p", "0x80", node])?;
    let page = run("sg_vpd", &["-p", "0x83", node])?;
    let naa = page.lines().map(str::trim).find_map(|line| {
        let hex = line.strip_prefix("0x")?;
        (hex.len() == 32).then(|| format!("naa.{hex}"))
    });
    Ok(json!({
        "vendor": of("Vendor identification"),
        "product": of("Product identification"),
        "revision": of("Product revision level"),
        "tpgs": tpgs,
        "serial": labelled(&serial, "Product serial number"),
        "wwid": naa,
        "relative_port": behind(&page, "Relative target port:"),
        "port_group": behind(&page, "Target port group:"),
    }))
}

/// The number of a line that begins with `label`: the type of a designator is called the same.
fn behind(page: &str, label: &str) -> Option<u64> {
    let mut lines = page.lines().map(str::trim);
    lines.find_map(|line| number(line.strip_prefix(label)?))
}

/// REPORT TARGET PORT GROUPS of the device at `node`.
pub(super) fn groups(node: &str) -> Result<Vec<Group>> {
    groups_with(node, &[])
}

/// The same, with more options.
pub(super) fn groups_with(node: &str, options: &[&str]) -> Result<Vec<Group>> {
    let text = run("sg_rtpg", &[&["-d", node], options].concat())?;
    let mut parts = text.split("target port group id :");
    parts.next();
    let groups: Option<Vec<Group>> = parts.map(group).collect();
    groups.with_context(|| format!("not understood: {text}"))
}

fn group(text: &str) -> Option<Group> {
    let flag = |name: &str| {
        let rest = text.split(name).nth(1)?.trim_start_matches([' ', ':']);
        number(rest)
    };
    let mut supported = Vec::new();
    for (name, state) in [
        (" AO_SUP", 0x0),
        (" AN_SUP", 0x1),
        (" S_SUP", 0x2),
        (" U_SUP", 0x3),
        ("LBD_SUP", 0x4),
        (" O_SUP", 0xe),
        ("T_SUP", 0xf),
    ] {
        if flag(name) == Some(1) {
            supported.push(state_name(state));
        }
    }
    // Without ports there is no such line.
    let ports = text
        .split("Relative target port ids:")
        .nth(1)
        .unwrap_or_default();
    Some(Group {
        id: number(text)?,
        state: state_name(number(labelled(text, "asymmetric access state")?)?),
        preferred: number(text.split("Pref=").nth(1)?)? == 1,
        supported,
        status: status_words(number(labelled(text, "status code")?)?),
        ports: ports.lines().filter_map(number).collect(),
    })
}

/// The bytes of a page that sg_vpd does not need to know.
pub(super) fn page(node: &str, code: &str) -> Result<Vec<u8>> {
    let text = run("sg_vpd", &["-p", code, "--hex", node])?;
    Ok(text.lines().flat_map(dump_line).collect())
}

/// `10     00 00 …    text`: an offset, at most 16 bytes, and what they read as.
fn dump_line(line: &str) -> Vec<u8> {
    let mut words = line.split_whitespace();
    let offset = words.next().unwrap_or_default();
    if !offset.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Vec::new();
    }
    let byte = |word: &str| (word.len() == 2).then(|| u8::from_str_radix(word, 16).ok())?;
    words.take(16).map_while(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_group_is_read_as_sg_rtpg_prints_it() {
        let text = " 0x1 , Pref=0, Rtpg_fmt=0
    target port group asymmetric access state : 0x01 (active/non optimized)
    T_SUP : 1, O_SUP : 0, LBD_SUP : 0, U_SUP : 1, S_SUP : 0, AN_SUP : 1, AO_SUP : 1
    status code : 0x02 (target port asym. state changed by implicit lu behaviour)
    vendor unique status : 0x00
    target port count : 02
    Relative target port ids:
      0x01
      0x03
  ";
        let group = group(text).unwrap();
        assert_eq!((group.id, group.preferred), (1, false));
        assert_eq!(group.state, "active/non-optimized");
        let supported = [
            "active/optimized",
            "active/non-optimized",
            "unavailable",
            "transitioning",
        ];
        assert_eq!(group.supported, supported);
        assert!(group.status.ends_with("(implicitly)"));
        assert_eq!(group.ports, [1, 3]);
    }

    #[test]
    fn a_dump_ends_before_its_text() {
        let line = "00     00 c9 00 2c 76 61 63 31  f1 01 00 01 01 01 00 00    ab cd";
        assert_eq!(dump_line(line).len(), 16);
        assert!(dump_line("Volume access control (RDAC) VPD Page:").is_empty());
    }
}
