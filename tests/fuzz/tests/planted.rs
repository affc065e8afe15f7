//! The fuzzer of the tests finds every planted mistake, by what it breaks.

use plasmad_fuzz::targets::PLANTED;
use plasmad_fuzz::{mutation, seeds};

#[test]
fn every_planted_mistake_is_found() {
    let said = ["char boundary", "has another encoding", "bytes needed", "has another encoding"];
    assert_eq!(PLANTED.len(), said.len());
    for ((name, target), expected) in PLANTED.iter().zip(said) {
        let finding = mutation::run(*target, &seeds::of(name), CASES, 1).expect_err(name);
        assert!(finding.said.contains(expected), "{name}, case {}: {}", finding.case, finding.said);
        println!("{name}: found by case {}", finding.case);
    }
}

/// The mistake that is hardest to find takes two millions.
const CASES: u64 = 10_000_000;
