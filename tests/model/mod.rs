//! A naive model of the store, driven side by side with the real core by random operations of several clients.
//!
//! The model knows no allocator, no index, no queues and no counters: it answers every question by looking at
//! everything. Every answer, every change to shared memory and their order are compared after every operation.
//! What only the core can decide, where an object lies and which objects make room for it, is taken from the core
//! and held to rules.
//!
//! A failure names its seed; `PLASMAD_SEED=<seed> cargo test --release model` runs that one again.
//!
//! | file | what |
//! |---|---|
//! | `driver` | core and model side by side |
//! | `events`, `making`, `reading`, `removing`, `inspecting`, `watching` | what each verb means |
//! | `granting`, `pushing` | grants, and what is told on rings |
//! | `rules` | placement, and who may make room |
//! | `state`, `transcript` | the model's objects; what the core said about one event |
//! | `faulty` | broken on purpose, to prove that the checker sees it |

mod driver;
mod events;
mod faulty;
mod granting;
mod inspecting;
mod making;
mod pushing;
mod reading;
mod removing;
mod rules;
mod state;
mod transcript;
mod watching;

use self::driver::{Failure, run};
use self::faulty::Fault;
use self::state::Seen;
use crate::support::seeds;

#[test]
fn core_against_model_fifty_thousand() {
    against_model(0..6, 50_000 / 6 + 1);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "half a minute without optimisation; run it with --release")]
fn core_against_model_one_million() {
    against_model(100..130, 1_000_000 / 30 + 1);
}

#[test]
fn the_model_notices_every_fault() {
    let faults = [
        (Fault::ForgetsPins, "pages hold"),
        (Fault::ScansNothing, "Free("),
        (Fault::RetractsPinned, "under a pin"),
        (Fault::PublishesStale, "was used before|expected Publish"),
        (Fault::MiscountsReply, "found Some(Reply"),
        (Fault::LosesReply, "no room for"),
        (Fault::SwapsReplies, "found Some(Reply"),
        (Fault::ShiftsExtents, "lies on"),
        (Fault::WantsNothing, "asked to ring"),
        (Fault::LosesChange, "has heard"),
        (Fault::RevokesClaimed, "expected Keep"),
        (Fault::LosesEntry, "expected"),
        (Fault::RepeatsEntry, "Expel|expected grants"),
        (Fault::KeepsNothing, "granted are"),
        (Fault::ExpectsNothing, "expected are"),
        (Fault::ReadsOnce, "expected Publish"),
        (Fault::NobodyRings, "nobody rang"),
    ];
    for (fault, expected) in faults {
        // These seeds evict when they are full, so that every fault has its occasion.
        let failure = [1, 4, 7].into_iter().find_map(|seed| run(seed, CANARY_OPERATIONS, fault).err());
        let failure = failure.unwrap_or_else(|| panic!("{fault:?} went unnoticed"));
        let found = failure.violation.0;
        let is_known = expected.split('|').any(|part| found.contains(part));
        assert!(is_known, "{fault:?} after {} operations: {found}", failure.operation);
    }
}

#[test]
fn a_run_replays_from_its_seed() {
    let failures = [(); 2].map(|()| run(1, CANARY_OPERATIONS, Fault::RetractsPinned).unwrap_err());
    assert_eq!(format!("{:?}", failures[0]), format!("{:?}", failures[1]));
}

/// No run fails, and together they meet every situation that matters: otherwise they would prove little.
fn against_model(range: std::ops::Range<u64>, operations: u64) {
    let mut seen = Vec::new();
    for seed in seeds(range) {
        match run(seed, operations, Fault::None) {
            Ok(situations) => seen.push(situations),
            Err(Failure { seed, operation, violation }) => {
                panic!("PLASMAD_SEED={seed} fails at operation {operation}:\n   {violation:?}")
            }
        }
    }
    assert!(Seen::rarest(&seen) > 0 || seen.len() == 1, "too little was tried: {seen:?}");
}

/// Within so many operations of a seed every fault must have been noticed.
const CANARY_OPERATIONS: u64 = 5_000;
