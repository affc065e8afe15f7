//! How well a cache chooses what it drops, beside exact LRU over the same gets.
//!
//! A client that gets by itself tells what it used in a table that forgets: 2,048 slots, without their order, read when
//! something has to go. More objects are kept here than it has room for.
//!
//! | module | what is in it |
//! |---|---|
//! | `trace` | what is asked for |
//! | `caches` | exact LRU, the order of making, and a real daemon with a real client |
//! | `inside` | the daemon's core and memory without the daemon |

mod caches;
mod inside;
mod trace;

use caches::{Exact, Fifo, Real, Way, hits};
use inside::Inside;
use trace::Trace;

use crate::it::numbers::number;
use crate::support::{Checked, ensure};

#[test]
fn a_client_that_asks_for_everything_has_an_exact_lru_cache() {
    for trace in [Trace::zipf(1, FEW, 20_000), Trace::scans(1, FEW, 20_000)] {
        let mut real = Real::new(FEW, Way::Socket);
        assert!(hits(&trace, &mut real) == hits(&trace, &mut Exact::new(FEW)), "{}: not the same gets hit", trace.name);
        assert_eq!(number(real.store(), "totals/gets_shared"), 0);
    }
}

#[test]
fn a_client_that_gets_by_itself_has_nearly_an_lru_cache() {
    for trace in traces() {
        let mut real = Real::new(KEPT, Way::Index);
        nearly_lru(&trace, &hits(&trace, &mut real)).unwrap();
        assert!(number(real.store(), "totals/gets_shared") > GETS as u64 / 2);
    }
}

#[test]
fn a_client_that_gets_and_puts_by_itself_has_nearly_an_lru_cache() {
    for trace in traces() {
        let mut real = Real::new(KEPT, Way::Ring);
        nearly_lru(&trace, &hits(&trace, &mut real)).unwrap();
        let [gets, puts, evictions] = ["gets_shared", "puts_ring", "evictions"];
        let total = |name| number(real.store(), &format!("totals/{name}"));
        assert!(total(gets) > GETS as u64 / 2 && total(puts) > total(evictions) / 10 * 9 && total(evictions) > 5000);
    }
}

#[test]
fn a_store_that_hears_nothing_of_what_clients_use_is_noticed() {
    for trace in traces() {
        nearly_lru(&trace, &hits(&trace, &mut Inside::new(KEPT, false))).unwrap();
        let deaf = hits(&trace, &mut Inside::new(KEPT, true));
        nearly_lru(&trace, &deaf).unwrap_err();
        // It drops what was made first, and that is all that is wrong with it.
        assert!(deaf == hits(&trace, &mut Fifo(Exact::new(KEPT))));
    }
}

#[test]
fn a_trace_meets_the_same_hits_each_time() {
    let again = || hits(&Trace::scans(7, FEW, 20_000), &mut Inside::new(FEW, false));
    assert!(again() == again());
    assert_ne!(Trace::scans(7, FEW, 100).keys, Trace::scans(8, FEW, 100).keys);
}

/// As many of a hundred gets hit as would with exact LRU, give or take two.
fn nearly_lru(trace: &Trace, found: &[bool]) -> Checked {
    let rate = |hits: &[bool]| 100.0 * hits.iter().filter(|hit| **hit).count() as f64 / hits.len() as f64;
    let (exact, real) = (rate(&hits(trace, &mut Exact::new(KEPT))), rate(found));
    println!("{}: {real:.2} of 100 gets hit, {exact:.2} with exact LRU", trace.name);
    let is_near = (real - exact).abs() <= POINTS_APART_MAX;
    ensure!(is_near, "{}: {real:.2} and {exact:.2}", trace.name);
    Ok(())
}

fn traces() -> [Trace; 2] {
    [Trace::zipf(1, KEPT, GETS), Trace::scans(1, KEPT, GETS)]
}

const POINTS_APART_MAX: f64 = 2.0;
/// Four times as many objects as the table of a client has room for.
const KEPT: u32 = 8192;
const GETS: usize = 80_000;
const FEW: u32 = 1024;
