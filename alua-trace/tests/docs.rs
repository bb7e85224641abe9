//! The examples in the documentation are what the tool prints: the probes of `docs/json.md` against
//! the probe table. (`report::json` holds the examples against the model.)

use alua_trace::kernel::probes::TABLE;
use serde_json::Value;

const JSON: &str = include_str!("../../docs/json.md");

fn examples() -> Vec<&'static str> {
    let blocks = JSON.split("```json\n").skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

/// No example shows a probe that there is not, or another hook or loss than the table's.
#[test]
fn the_probes_of_the_examples_are_of_the_table() {
    let mut seen = 0;
    for text in examples() {
        let example: Value = serde_json::from_str(text).unwrap();
        for probe in example["probes"].as_array().into_iter().flatten() {
            let name = probe["name"].as_str().unwrap();
            let spec = TABLE.iter().find(|spec| spec.name == name);
            let spec = spec.unwrap_or_else(|| panic!("no probe is called {name}"));
            assert_eq!(probe["lost_without"], spec.lost_without);
            seen += 1;
        }
    }
    assert!(seen > 0);
}
