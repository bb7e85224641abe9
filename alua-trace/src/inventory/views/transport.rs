//! Owns how a path's transport is told in words.

use crate::inventory::model::{Iscsi, Transport};
use crate::safe::name;

/// What is known of how the path reaches the array, one item each.
pub(super) fn words(transport: &Transport) -> Vec<String> {
    match transport {
        Transport::Iscsi(iscsi) => words_of_iscsi(iscsi),
        Transport::Fc {
            local_port,
            remote_port,
            speed,
            state,
        } => [
            Some(ends("FC", local_port, remote_port)),
            labelled("speed", speed),
            labelled("remote port", state),
        ]
        .into_iter()
        .flatten()
        .collect(),
        Transport::Sas {
            local_address,
            remote_address,
        } => vec![ends("SAS", local_address, remote_address)],
        Transport::Other { driver } => vec![format!("driver {}", name(driver))],
    }
}

fn words_of_iscsi(iscsi: &Iscsi) -> Vec<String> {
    let number = |before: &str, value: Option<u32>, after: &str| {
        value.map(|value| format!("{before}{value}{after}"))
    };
    let session = [&iscsi.session, &iscsi.state].into_iter().flatten();
    let session: String = session.map(|part| format!(" {}", name(part))).collect();
    [
        Some(format!("iSCSI{session}")),
        labelled("target", &iscsi.target),
        labelled("portal", &iscsi.portal),
        labelled("from", &iscsi.local_address),
        labelled("interface", &iscsi.interface),
        number("MTU ", iscsi.mtu, ""),
        number("MSS ", iscsi.mss, ""),
        number("round trip ", iscsi.rtt_us, " µs"),
        number("", iscsi.retransmits, " retransmits"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn labelled(what: &str, value: &Option<String>) -> Option<String> {
    value
        .as_deref()
        .map(|value| format!("{what} {}", name(value)))
}

/// Both ends, as far as they are known.
fn ends(what: &str, local: &Option<String>, remote: &Option<String>) -> String {
    let part = |before: &str, value: &Option<String>| {
        value
            .as_deref()
            .map_or_else(String::new, |value| format!("{before}{}", name(value)))
    };
    format!("{what}{}{}", part(" ", local), part(" to ", remote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_field_is_told() {
        let iscsi = Iscsi {
            session: Some("session3".to_owned()),
            portal: Some("10.0.0.2:3260".to_owned()),
            mtu: Some(9000),
            mss: Some(1448),
            rtt_us: Some(211),
            ..Iscsi::default()
        };
        let text = words(&Transport::Iscsi(iscsi)).join(", ");
        let expected =
            "iSCSI session3, portal 10.0.0.2:3260, MTU 9000, MSS 1448, round trip 211 µs";
        assert_eq!(text, expected);
    }

    #[test]
    fn ports_and_addresses_name_both_ends() {
        let fc = Transport::Fc {
            local_port: Some("0x1".to_owned()),
            remote_port: Some("0x2\x1b".to_owned()),
            speed: None,
            state: Some("Online".to_owned()),
        };
        assert_eq!(words(&fc)[0], "FC 0x1 to 0x2\\x1b");
        let sas = Transport::Sas {
            local_address: None,
            remote_address: Some("0x5".to_owned()),
        };
        assert_eq!(words(&sas), ["SAS to 0x5"]);
        let other = Transport::Other {
            driver: "tcm_loopback".to_owned(),
        };
        assert_eq!(words(&other), ["driver tcm_loopback"]);
    }
}
