//! An array reached over networks: a guest that is the array (`target`), another one that is the host
//! (`initiator`), and four networks between them, one for each portal, beside one for the control of the array.
//!
//! ```text
//! host     eth0..eth3 10.0.N.2 ── wire ── eth0..eth3 ─ bridge swN ─ port swN-p ─ portal pN 10.0.N.1     array
//! ```
//!
//! The port stands for that of a switch: its MTU can be another one than that of both ends.

pub(crate) mod initiator;
mod target;

pub(crate) use initiator::say;
pub(crate) use target::serve;

use crate::array::{Controller, PathName};

/// The array's name.
pub(crate) const TARGET: &str = "iqn.2026-11.org.alua-trace:array";
/// The host's.
const HOST: &str = "iqn.2026-11.org.alua-trace:host";
/// Where the array is told what to do.
const CONTROL: &str = "10.9.0.1:7000";
/// The host's address beside it.
const CONTROL_HOST: &str = "10.9.0.2/24";
const CONTROL_ARRAY: &str = "10.9.0.1/24";
/// MTU of everything at first: what a connection agrees on when it is made, it never exceeds.
pub(crate) const JUMBO: u32 = 9000;
/// Of each portal.
const PORT: u16 = 3260;

/// Paths in the order of their networks.
pub(crate) fn paths() -> [PathName; 4] {
    let path = |controller, host| PathName { controller, host };
    [
        path(Controller::A, 1),
        path(Controller::A, 2),
        path(Controller::B, 1),
        path(Controller::B, 2),
    ]
}

/// The number of a path's network.
pub(crate) fn network(path: PathName) -> usize {
    let known = paths().into_iter().position(|it| it == path);
    known.unwrap_or(0)
}

/// A path's portal.
pub(crate) fn portal(network: usize) -> String {
    format!("10.0.{network}.1:{PORT}")
}

/// The interface of a guest whose last byte of its MAC address is this: the numbers of networks, and after them
/// that of the control.
fn interface(last: usize) -> anyhow::Result<String> {
    let class = "/sys/class/net";
    let ends = format!(":{last:02x}");
    let found = crate::sys::names(class).into_iter().find(|name| {
        let address = crate::sys::read(format!("{class}/{name}/address"));
        name.starts_with("eth")
            && address.is_ok_and(|it| it.starts_with("52:54:00") && it.ends_with(&ends))
    });
    anyhow::Context::with_context(found, || {
        format!("no interface with a MAC address that ends in {ends}")
    })
}

/// `ip` with these words.
fn ip(words: &str) -> anyhow::Result<String> {
    run("ip", words)
}

fn run(program: &str, words: &str) -> anyhow::Result<String> {
    let words: Vec<&str> = words.split_whitespace().collect();
    crate::sys::process::run(program, &words)
}
