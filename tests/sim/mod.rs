//! The core under a seeded simulation: shared memory lies about pins, clients die, time jumps.
//!
//! Promises: nothing is given out twice while anybody claims it; nothing that waits is forgotten, or answered
//! twice; who listens knows what is there; when all are gone the arena is whole. A failure names its seed, and `PLASMAD_SEED=<seed> cargo test
//! --release sim` runs that one again. Clients whose connection is closed keep their claims and make no new ones.

mod liar;
mod listeners;
mod simulator;

use self::simulator::{Fault, run};
use crate::support::seeds;

#[test]
fn two_hundred_seeds_keep_the_promises() {
    keep_the_promises(0..200);
}

#[test]
#[ignore = "the long run: a minute with optimisation"]
fn ten_thousand_seeds_keep_the_promises() {
    keep_the_promises(1000..11_000);
}

#[test]
fn the_simulator_notices_every_fault() {
    let faults = [
        (Fault::RetractsBlindly, "freed under a claim"),
        (Fault::LosesExpired, "not answered in time"),
        (Fault::BuriesTheLiving, "claims were forgotten"),
        (Fault::SwallowsChanges, "believes in"),
    ];
    for (fault, expected) in faults {
        // Some seeds never come to it; in twenty of them it must show.
        let found = (0..20).find_map(|seed| run(seed, EVENTS, fault).err());
        let found = found.unwrap_or_else(|| panic!("{fault:?} went unnoticed")).0;
        assert!(found.contains(expected), "{fault:?}: {found}");
    }
}

#[test]
fn a_failing_seed_replays_exactly() {
    let found = [(); 2].map(|()| (0..20).find_map(|seed| run(seed, EVENTS, Fault::RetractsBlindly).err()));
    assert!(found[0].is_some());
    assert_eq!(found[0], found[1]);
}

fn keep_the_promises(range: std::ops::Range<u64>) {
    for seed in seeds(range) {
        if let Err(violation) = run(seed, EVENTS, Fault::None) {
            panic!("{violation:?}");
        }
    }
}

const EVENTS: u64 = 2_000;
