//! What is drawn, and that nothing from outside is markup.

use super::*;
use crate::inventory::views::graph::tests::{disks, four_paths, hostile};

#[test]
fn lines_are_drawn_by_their_state() {
    let svg = render(&four_paths());
    let count = |words: &str| svg.matches(words).count();
    // Two paths and one group each; the legend has one of each, and two of the first.
    assert_eq!(count("class=\"path solid current\" d="), 1 + 1);
    assert_eq!(count("class=\"path solid\" d="), 1 + 1 + 1);
    assert_eq!(count("class=\"path dashed\" d="), 1 + 1 + 1);
    assert_eq!(count("class=\"path failed\" d="), 1 + 1);
    for words in [
        "10.0.0.1 eth0",
        "port 2  10.0.1.2:3260",
        "mpatha",
        "LIO-ORG disk",
        "1.5 TiB",
        "IP network",
    ] {
        assert_eq!(count(words).min(1), 1, "{words} in\n{svg}");
    }
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
}

#[test]
fn several_units_are_stacked() {
    let mut inventory = four_paths();
    inventory.maps.extend(four_paths().maps);
    inventory.unmapped = disks();
    let height = |svg: &str| -> u32 {
        let at = svg.split(" height=\"").nth(1).unwrap();
        at.split('"').next().unwrap().parse().unwrap()
    };
    let one = height(&render(&four_paths()));
    let all = render(&inventory);
    assert!(height(&all) > 2 * one, "{one} {}", height(&all));
    assert_eq!(all.matches("class=\"unit\"").count(), 4);
}

#[test]
fn nothing_from_outside_is_markup() {
    let svg = render(&hostile());
    for bad in ["<script", "\u{1b}", "\u{ffff}", "&mpath", "\"'"] {
        assert!(!svg.contains(bad), "{bad:?} in\n{svg}");
    }
    assert!(svg.contains("&lt;script&gt;"), "{svg}");
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
}

#[test]
fn an_empty_inventory_has_a_picture() {
    assert!(render(&Inventory::default()).contains("no paths"));
}
