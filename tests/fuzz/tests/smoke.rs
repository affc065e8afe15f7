//! Every target survives changed seeds; a bounded number of them, the same each time.
//!
//! `PLASMAD_FUZZ_CASES` sets how many a decoder gets (an input for the core is hundreds of events, so it gets a tenth),
//! `PLASMAD_FUZZ_SEED` which.

use plasmad_fuzz::targets::TARGETS;
use plasmad_fuzz::{mutation, seeds};

#[test]
fn every_target_survives_changed_seeds() {
    let cases = variable("PLASMAD_FUZZ_CASES", 500_000);
    for (name, target) in TARGETS {
        let seeds = seeds::of(name);
        let cases = if *name == "store" { cases / 10 } else { cases };
        let start = std::time::Instant::now();
        match mutation::run(*target, &seeds, cases, variable("PLASMAD_FUZZ_SEED", 1)) {
            Ok(outcomes) => println!("{name}: {cases} cases, {outcomes} outcomes, {:?}", start.elapsed()),
            Err(finding) => {
                let hex: String = finding.input.iter().map(|byte| format!("{byte:02x}")).collect();
                panic!(
                    "{name}, case {}: {}\n   cargo run --release --example by_hand replay {name} {hex}",
                    finding.case, finding.said
                )
            }
        }
    }
}

fn variable(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}
