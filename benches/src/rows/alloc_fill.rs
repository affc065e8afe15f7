//! How full an arena gets before the first refusal, after a long life.

use plasmad_core::arena::fill;

use crate::bench::Bench;
use crate::error::Result;
use crate::row::{Bar, Row, Unit};
use crate::slice::Slice;

/// Sizes log-uniform from 64 B to 4 MiB in 1 GiB; filled, then a million times one deleted at random and another put.
/// A round is a seed, and always gives the same figure.
pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let (mut filled, mut whole) = (Vec::new(), Vec::new());
    let mut work = Slice::default();
    for seed in 0..SEEDS {
        bench.round("alloc_fill", seed, SEEDS)?;
        let outcome = work.time(EXCHANGES, || fill::run(seed as u64, ARENA_BYTES, EXCHANGES));
        assert!(outcome.whole_again, "deleting all must leave one hole of the arena's size");
        filled.push(Slice::of(outcome.churned));
        whole.push(Slice::of(1.0));
    }
    let row = Row::new("alloc_fill", Unit::Share, &filled)
        .reference("the whole arena", &whole)
        .bar(Bar::ratio_min(0.87))
        .note(format!("{EXCHANGES} exchanges of {:.2} us a seed", 1e6 * work.seconds_each()));
    Ok(vec![row])
}

const SEEDS: usize = 10;
const ARENA_BYTES: u64 = 1 << 30;
const EXCHANGES: u64 = 1_000_000;
