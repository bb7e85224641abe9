//! Owns how a path's transport is told in words.

use crate::inventory::model::{Iscsi, Transport};
use crate::safe::name;

/// What is known of how the path reaches the array, one item each.
pub(super) fn words(transport: Option<&Transport>) -> Vec<String> {
    match transport {
        None => vec!["transport unknown".to_owned()],
        Some(Transport::Iscsi(iscsi)) => words_of_iscsi(iscsi),
        Some(Transport::Fc {
            local_port,
            remote_port,
            speed,
            state,
        }) => vec![
            format!("FC {} to {}", known(local_port), known(remote_port)),
            format!("speed {}", known(speed)),
            format!("remote port {}", known(state)),
        ],
        Some(Transport::Sas {
            local_address,
            remote_address,
        }) => vec![format!(
            "SAS {} to {}",
            known(local_address),
            known(remote_address)
        )],
        Some(Transport::Other { driver }) => vec![format!("driver {}", name(driver))],
    }
}

fn words_of_iscsi(iscsi: &Iscsi) -> Vec<String> {
    let number = |value: Option<u32>| value.map_or_else(unknown, |value| value.to_string());
    vec![
        format!("iSCSI {} {}", known(&iscsi.session), known(&iscsi.state)),
        format!("target {}", known(&iscsi.target)),
        format!("portal {}", known(&iscsi.portal)),
        format!("from {}", known(&iscsi.local_address)),
        format!("interface {}", known(&iscsi.interface)),
        format!("MTU {}", number(iscsi.mtu)),
        format!("MSS {}", number(iscsi.mss)),
        format!("round trip {} µs", number(iscsi.rtt_us)),
        format!("{} retransmits", number(iscsi.retransmits)),
    ]
}

fn known(value: &Option<String>) -> String {
    value.as_deref().map_or_else(unknown, name)
}

fn unknown() -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_told_and_the_unknown_said() {
        let iscsi = Iscsi {
            session: Some("session3".to_owned()),
            portal: Some("10.0.0.2:3260".to_owned()),
            mtu: Some(9000),
            mss: Some(1448),
            rtt_us: Some(211),
            ..Iscsi::default()
        };
        let text = words(Some(&Transport::Iscsi(iscsi))).join(", ");
        let expected = "iSCSI session3 unknown, target unknown, portal 10.0.0.2:3260, from unknown, \
                        interface unknown, MTU 9000, MSS 1448, round trip 211 µs, \
                        unknown retransmits";
        assert_eq!(text, expected);
        assert_eq!(words(None), ["transport unknown"]);
    }

    #[test]
    fn ports_and_addresses_name_both_ends() {
        let fc = Transport::Fc {
            local_port: Some("0x1".to_owned()),
            remote_port: Some("0x2\x1b".to_owned()),
            speed: None,
            state: Some("Online".to_owned()),
        };
        assert_eq!(words(Some(&fc))[0], "FC 0x1 to 0x2\\x1b");
        let sas = Transport::Sas {
            local_address: None,
            remote_address: Some("0x5".to_owned()),
        };
        assert_eq!(words(Some(&sas)), ["SAS unknown to 0x5"]);
        let other = Transport::Other {
            driver: "tcm_loopback".to_owned(),
        };
        assert_eq!(words(Some(&other)), ["driver tcm_loopback"]);
    }
}
