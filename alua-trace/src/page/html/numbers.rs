//! Numbers as [`format`] has them, where `<` begins an element.

use crate::{format, safe};

pub(super) fn rate(per_s: f64) -> String {
    safe::xml(&format::rate(per_s))
}

pub(super) fn mib(bytes_per_s: f64) -> String {
    safe::xml(&format::mib(bytes_per_s))
}

pub(super) fn share(share: Option<f64>) -> String {
    safe::xml(&format::share(share))
}
