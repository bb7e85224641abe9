//! Owns what becomes of settings when sections are merged (libmultipath/config.c `merge_hwe`,
//! `merge_mpe`).

use super::tables::{Entry, Origin, last};
use super::values::ZERO_IS_NONE;

/// Adds settings of a section that there is one of; numbers that stand for none take back what the
/// user's files set before.
pub(super) fn extend(entries: &mut Vec<Entry>, more: impl Iterator<Item = Entry>) {
    for entry in more {
        if entry.value.is_empty() && ZERO_IS_NONE.contains(&entry.keyword.as_str()) {
            let is_users = |it: &Entry| matches!(it.origin, Origin::File(_));
            entries.retain(|it| it.keyword != entry.keyword || !is_users(it));
        } else {
            entries.push(entry);
        }
    }
}

/// What a later section takes over: the last of each keyword, unless it is empty (config.c
/// `merge_str`).
pub(super) fn inherited(entries: Vec<Entry>) -> Vec<Entry> {
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        kept.retain(|earlier| earlier.keyword != entry.keyword);
        kept.push(entry);
    }
    kept.retain(|entry| !entry.value.is_empty());
    kept
}

/// Features that have a keyword of their own become that (propsel.c
/// `reconcile_features_with_options`).
pub(super) fn reconcile(entries: &mut Vec<Entry>) {
    for (feature, keyword, value) in [
        ("queue_if_no_path", "no_path_retry", "queue"),
        (
            "retain_attached_hw_handler",
            "retain_attached_hw_handler",
            "yes",
        ),
    ] {
        let is_set = last(entries, keyword).is_some();
        let Some(features) = entries
            .iter_mut()
            .rfind(|entry| entry.keyword == "features")
        else {
            return;
        };
        if !features.value.contains(feature) {
            continue;
        }
        let words = features.value.split_whitespace().skip(1);
        let words: Vec<&str> = words.filter(|word| *word != feature).collect();
        features.value = [words.len().to_string()]
            .into_iter()
            .chain(words.into_iter().map(str::to_owned))
            .collect::<Vec<_>>()
            .join(" ");
        if !is_set {
            let origin = features.origin.clone();
            entries.push(Entry {
                keyword: keyword.to_owned(),
                value: value.to_owned(),
                origin,
            });
        }
    }
}
