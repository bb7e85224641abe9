//! Tests of [`super`].

use super::super::fixture::Tree;
use super::*;
use crate::iscsi::{Interface, Socket, Tcp};

fn only(tree: &Tree, hctl: &str) -> Option<Transport> {
    let hctl: Hctl = hctl.parse().unwrap();
    read(&tree.root(), std::iter::once(hctl)).remove(&hctl)
}

#[test]
fn an_iscsi_path_has_its_session_and_portal() {
    let tree = Tree::new();
    tree.placed(
        "platform/host3/session7",
        "3:0:0:1",
        &[("state", b"running")],
    );
    let class = "sys/class";
    tree.file(
        &format!("{class}/iscsi_session/session7/targetname"),
        b"iqn.x\n",
    );
    tree.file(
        &format!("{class}/iscsi_session/session7/state"),
        b"LOGGED_IN\n",
    );
    let connection = format!("{class}/iscsi_connection/connection7:0");
    tree.file(
        &format!("{connection}/persistent_address"),
        b"array.example\n",
    );
    tree.file(&format!("{connection}/persistent_port"), b"3260\n");
    tree.file(
        &format!("{class}/iscsi_host/host3/ipaddress"),
        b"192.0.2.1\n",
    );
    let Some(Transport::Iscsi(iscsi)) = only(&tree, "3:0:0:1") else {
        panic!("no iSCSI")
    };
    assert_eq!(iscsi.session.as_deref(), Some("session7"));
    assert_eq!(iscsi.target.as_deref(), Some("iqn.x"));
    assert_eq!(iscsi.state.as_deref(), Some("LOGGED_IN"));
    assert_eq!(iscsi.portal.as_deref(), Some("array.example:3260"));
    assert_eq!(iscsi.local_address.as_deref(), Some("192.0.2.1"));
    assert_eq!((iscsi.mss, iscsi.interface), (None, None));
    tree.file(&format!("{connection}/address"), b"2001:db8::2\n");
    tree.file(&format!("{connection}/port"), b"3261\n");
    let Some(Transport::Iscsi(iscsi)) = only(&tree, "3:0:0:1") else {
        panic!("no iSCSI")
    };
    assert_eq!(iscsi.portal.as_deref(), Some("[2001:db8::2]:3261"));
}

#[test]
fn a_connection_completes_a_session() {
    let tree = Tree::new();
    let connection = "sys/class/iscsi_connection/connection7:0";
    tree.file(&format!("{connection}/address"), b"10.0.0.2\n");
    tree.file(&format!("{connection}/port"), b"3260\n");
    tree.file(&format!("{connection}/local_ipaddr"), b"0.0.0.0\n");
    let network = Network {
        connections: vec![Socket {
            local: "10.0.0.1:40000".parse().unwrap(),
            remote: "10.0.0.2:3260".parse().unwrap(),
            bound_to: 0,
            tcp: Tcp {
                mss: Some(1448),
                rtt_us: Some(211),
                retransmits: Some(0),
                ..Tcp::default()
            },
        }],
        addresses: vec![(2, "10.0.0.1".parse().unwrap())],
        interfaces: vec![Interface {
            index: 2,
            name: "eth0".to_owned(),
            mtu: Some(9000),
        }],
    };
    let iscsi = iscsi(Session::read(&tree.root(), "session7", 3), &network);
    assert_eq!(iscsi.portal.as_deref(), Some("10.0.0.2:3260"));
    assert_eq!(iscsi.local_address.as_deref(), Some("10.0.0.1"));
    assert_eq!(
        (iscsi.interface.as_deref(), iscsi.mtu),
        (Some("eth0"), Some(9000))
    );
    assert_eq!(
        (iscsi.mss, iscsi.rtt_us, iscsi.retransmits),
        (Some(1448), Some(211), Some(0))
    );
}

#[test]
fn a_fibre_channel_path_has_both_ports() {
    let tree = Tree::new();
    tree.placed(
        "pci0000:00/host1/rport-1:0-2",
        "1:0:2:5",
        &[("state", b"running")],
    );
    tree.file("sys/class/fc_host/host1/port_name", b"0x10000000c9a1b2c3\n");
    tree.file("sys/class/fc_host/host1/speed", b"16 Gbit\n");
    tree.file(
        "sys/class/fc_remote_ports/rport-1:0-2/port_name",
        b"0x2015\n",
    );
    tree.file(
        "sys/class/fc_remote_ports/rport-1:0-2/port_state",
        b"Online\n",
    );
    let expected = Transport::Fc {
        local_port: Some("0x10000000c9a1b2c3".to_owned()),
        remote_port: Some("0x2015".to_owned()),
        speed: Some("16 Gbit".to_owned()),
        state: Some("Online".to_owned()),
    };
    assert_eq!(only(&tree, "1:0:2:5"), Some(expected));
}

#[test]
fn a_sas_path_has_both_addresses() {
    let tree = Tree::new();
    let place = "pci0000:00/host2/port-2:0/end_device-2:0";
    tree.placed(place, "2:0:0:5", &[("state", b"running")]);
    tree.file(
        "sys/class/sas_device/end_device-2:0/sas_address",
        b"0x5000c500\n",
    );
    tree.file("sys/class/sas_phy/phy-2:0/sas_address", b"0x500605b0\n");
    let sas = |local: &str| Transport::Sas {
        local_address: Some(local.to_owned()),
        remote_address: Some("0x5000c500".to_owned()),
    };
    assert_eq!(only(&tree, "2:0:0:5"), Some(sas("0x500605b0")));
    tree.file("sys/class/scsi_host/host2/host_sas_address", b"0x1\n");
    assert_eq!(only(&tree, "2:0:0:5"), Some(sas("0x1")));
}

#[test]
fn another_transport_is_called_by_its_driver() {
    let tree = Tree::new();
    tree.placed("tcm_loop_0/host4", "4:0:0:0", &[("state", b"running")]);
    assert_eq!(only(&tree, "4:0:0:0"), None);
    tree.file("sys/class/scsi_host/host4/proc_name", b"tcm_loopback\n");
    let other = Transport::Other {
        driver: "tcm_loopback".to_owned(),
    };
    assert_eq!(only(&tree, "4:0:0:0"), Some(other.clone()));
    tree.file("sys/class/scsi_host/host4/proc_name", b"<NULL>\n");
    assert_eq!(only(&tree, "4:0:0:0"), None);
}

#[test]
fn names_on_the_way_tell_the_transport() {
    for (place, expected) in [
        (
            "../../devices/host3/session12/target3:0:0",
            Kind::Iscsi("session12"),
        ),
        ("../../devices/sessions/host3", Kind::Other),
        ("../../devices/host3/rport-3:0-0/x", Kind::Fc("rport-3:0-0")),
        ("", Kind::Other),
    ] {
        assert_eq!(kind(Path::new(place)), expected, "{place}");
    }
}
