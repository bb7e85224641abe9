//! The kernel modules of a guest, named by the host in load order.

use crate::sys::{self, process};

const LIST: &str = "/etc/alua-trace/modules";

/// Loads every module of the list and says which failed, one line each.
pub(super) fn load() -> Vec<String> {
    let list = match sys::read(LIST) {
        Ok(list) => list,
        Err(error) => return vec![format!("{error:#}")],
    };
    let names: Vec<&str> = list.split_whitespace().collect();
    let mut all = vec!["-a"];
    all.extend(&names);
    if process::run("modprobe", &all).is_ok() {
        return Vec::new();
    }
    names
        .iter()
        .filter_map(|name| process::run("modprobe", &[name]).err())
        .map(|error| format!("{error:#}"))
        .collect()
}
