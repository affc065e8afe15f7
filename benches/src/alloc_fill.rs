//! How full an arena gets before the first refusal, after a long life.

use plasmad_core::arena::fill;

use crate::report::{Bar, Row};
use crate::rounds::seconds_each;

/// Sizes log-uniform from 64 B to 4 MiB in 1 GiB; filled, then a million times one deleted at random and another put.
pub(crate) fn alloc_fill() -> Vec<Row> {
    let mut filled = Vec::new();
    let mut whole = true;
    let seconds = seconds_each(1, || {
        for seed in 0..SEEDS {
            let outcome = fill::run(seed, ARENA_BYTES, EXCHANGES.into());
            filled.push(100.0 * outcome.churned);
            whole &= outcome.whole_again;
        }
    });
    assert!(whole, "deleting all must leave one hole of the arena's size");
    let mean = filled.iter().sum::<f64>() / filled.len() as f64;
    let each = 1e6 * seconds / (SEEDS as f64 * f64::from(EXCHANGES));
    vec![Row {
        name: "alloc_fill",
        unit: "%",
        operations: EXCHANGES,
        rounds: filled,
        reference: None,
        bar: Some(Bar::ValueMin(87.0)),
        note: format!("mean {mean:.2}; an exchange takes {each:.2} us"),
    }]
}

const SEEDS: u64 = 10;
const ARENA_BYTES: u64 = 1 << 30;
const EXCHANGES: u32 = 1_000_000;
