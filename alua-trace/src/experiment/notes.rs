//! What of the set-up is not the same in all runs of an experiment: what goes with a factor is its doing; what comes
//! and goes is not.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{effects::RunOf, plan::Plan};
use crate::inference::Factorial;

/// A fact that is not the same in all runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Its name.
    pub what: String,
    /// Its values.
    pub values: BTreeSet<String>,
    /// The factor that it goes with, or `all` for the combination of them; `null` where it changes from run to run of
    /// the same cell.
    pub goes_with: Option<String>,
}

pub(super) fn notes(plan: &Plan, factorial: &Factorial, runs: &[RunOf]) -> Vec<Note> {
    let names = runs.iter().flat_map(|run| run.facts.keys());
    // The experiment's own, and what each run has to differ in.
    let names = names.filter(|name| !name.starts_with("label ") && *name != "command");
    let names: BTreeSet<&String> = names.collect();
    let value = |run: &RunOf, name: &String| match run.facts.get(name) {
        Some(values) => values.iter().cloned().collect::<Vec<_>>().join(", "),
        None => "unknown".to_owned(),
    };
    let notes = names.into_iter().filter_map(|name| {
        let of_each: Vec<(usize, String)> = runs
            .iter()
            .map(|run| (run.of.cell, value(run, name)))
            .collect();
        let values: BTreeSet<String> = of_each.iter().map(|(_, it)| it.clone()).collect();
        (values.len() > 1).then(|| Note {
            what: name.clone(),
            goes_with: goes_with(plan, factorial, &of_each),
            values,
        })
    });
    notes.collect()
}

fn goes_with(plan: &Plan, factorial: &Factorial, of_each: &[(usize, String)]) -> Option<String> {
    let is_by = |key: &dyn Fn(usize) -> usize| {
        let mut pairs = of_each.iter().enumerate();
        pairs.all(|(nth, (cell, value))| {
            let mut others = of_each[nth..].iter();
            others.all(|(other, also)| key(*cell) != key(*other) || value == also)
        })
    };
    let factors = plan.factors.iter().enumerate();
    let mut factors = factors.filter(|(nth, _)| is_by(&|cell| factorial.levels_of(cell)[*nth]));
    let factor = factors.next().map(|(_, factor)| factor.name.clone());
    factor.or_else(|| is_by(&|cell| cell).then(|| "all".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::{journal::Try, plan::tests::PLAN};
    use super::*;

    #[test]
    fn what_goes_with_a_factor_is_told_from_what_comes_and_goes() {
        let plan = Plan::parse(PLAN).unwrap();
        let factorial = plan.factorial().unwrap();
        let runs: Vec<RunOf> = (0..8)
            .map(|nth| {
                let (block, cell) = (nth / 4, nth % 4);
                let facts = [
                    ("kernel", "6.1".to_owned()),
                    ("MSS", ["1448", "8948"][cell % 2].to_owned()),
                    ("selector", ["rr", "st"][cell / 2].to_owned()),
                    ("both", cell.to_string()),
                    (
                        "governor",
                        ["performance", "powersave"][usize::from(nth == 5)].to_owned(),
                    ),
                    ("label block", block.to_string()),
                ];
                let facts = facts.map(|(name, value)| (name.to_owned(), BTreeSet::from([value])));
                RunOf {
                    of: Try {
                        block,
                        cell,
                        nth: 1,
                    },
                    recording: String::new(),
                    rounds: 5,
                    values: Vec::new(),
                    conditions: Vec::new(),
                    not_optimized_costs_ns: None,
                    facts: facts.into(),
                }
            })
            .collect();
        let notes = notes(&plan, &factorial, &runs);
        let found: Vec<(&str, Option<&str>)> = notes
            .iter()
            .map(|it| (it.what.as_str(), it.goes_with.as_deref()))
            .collect();
        let expected = [
            ("MSS", Some("MTU")),
            ("both", Some("all")),
            ("governor", None),
            ("selector", Some("ALUA")),
        ];
        assert_eq!(found, expected);
    }
}
