//! What the statistics make of fixed runs, as JSON: `tests/statistics/check.py` reckons the same with scipy.

use alua_trace::inference::{
    At, Contrast, Effect, Factorial, band, detectable, holm, interval, p_value, p_value_of_blocks,
    widest,
};
use serde_json::{Value, json};

use crate::{ALUA, MTU, blocks, sides};

/// Seed of what is drawn by lot.
const SEED: u64 = 5;

/// Runs of two sides: alike, apart, few and many, unlike in how they vary.
const SIDES: [(&[f64], &[f64]); 4] = [
    (
        &[4.61, 4.64, 4.58, 4.63, 4.60, 4.59],
        &[4.66, 4.70, 4.69, 4.64, 4.71, 4.68],
    ),
    (&[0.10, 0.35, 0.12, 0.11], &[0.13, 0.09, 0.12, 0.31]),
    (
        &[2.31, 2.29, 2.40, 2.35, 2.33, 2.30, 2.36],
        &[2.1, 2.9, 2.4, 2.6, 3.4],
    ),
    (
        &[7.0, 7.1, 6.9, 7.3, 7.05, 7.2, 6.8, 7.15],
        &[7.1, 7.4, 7.2, 7.0, 7.35, 7.3, 7.45, 7.25],
    ),
];

/// Contrasts of blocks.
const BLOCKS: [&[f64]; 3] = [
    &[0.031, 0.028, 0.035, 0.030, 0.026, 0.033, 0.029, 0.032],
    &[0.02, -0.01, 0.05, -0.03, 0.01, 0.00, 0.02],
    &[
        -0.04, -0.06, -0.03, -0.05, -0.21, -0.04, -0.02, -0.05, -0.06, -0.03,
    ],
];

/// Cells of two factors in a block.
const CELLS: [f64; 4] = [10.0, 13.0, 20.0, 21.0];

/// All of it.
pub fn values() -> Value {
    json!({
        "sides": SIDES.map(|(one, other)| of_sides(one, other)),
        "blocks": BLOCKS.map(of_blocks),
        "holm": of_chances(&[0.01, 0.04, 0.03, 0.2, 0.013, 0.9]),
        "factorial": of_cells(),
        "band": of_percentiles(),
    })
}

fn of_sides(one: &[f64], other: &[f64]) -> Value {
    let sides = sides(one, other);
    let mut value = of_contrast(sides, p_value(sides, SEED));
    value["one"] = json!(one);
    value["other"] = json!(other);
    value
}

fn of_blocks(of_each: &[f64]) -> Value {
    let blocks = blocks(of_each);
    let mut value = of_contrast(blocks, p_value_of_blocks(blocks, SEED));
    value["of_each"] = json!(of_each);
    value
}

fn of_contrast(contrast: impl Contrast + Copy, p: f64) -> Value {
    let interval = interval(contrast, 0.95, SEED);
    json!({
        "difference": interval.difference,
        "low": interval.low,
        "high": interval.high,
        "p": p,
        "widest": widest(contrast),
        "detectable": detectable(contrast),
    })
}

fn of_chances(chances: &[f64]) -> Value {
    json!({ "chances": chances, "adjusted": holm(chances) })
}

fn of_cells() -> Value {
    let design = Factorial::new(&[2, 2]).unwrap_or_else(|| unreachable!("two levels each"));
    let value = |effect| design.value(effect, &CELLS);
    let without = At { level: 0, ..ALUA };
    json!({
        "cells": CELLS,
        "alua": value(Effect::Main(ALUA)),
        "mtu": value(Effect::Main(MTU)),
        "mtu_without_alua": value(Effect::Where(MTU, without)),
        "mtu_with_alua": value(Effect::Where(MTU, ALUA)),
        "interaction": value(Effect::Interaction(MTU, ALUA)),
    })
}

/// Two of three percentiles go together.
fn of_percentiles() -> Value {
    let side = |from: f64| -> Vec<Vec<f64>> {
        let runs = SIDES[3]
            .0
            .iter()
            .zip(SIDES[3].1)
            .zip(SIDES[0].0.iter().cycle());
        runs.map(|((a, b), c)| vec![from + a, from + a + 0.2 * b, 3.0 * c])
            .collect()
    };
    let (one, other) = (side(0.0), side(0.1));
    let band = band(&one, &other, 0.95, SEED).unwrap_or_default();
    let band: Vec<(f64, f64)> = band.iter().map(|it| (it.low, it.high)).collect();
    json!({ "one": one, "other": other, "band": band })
}
