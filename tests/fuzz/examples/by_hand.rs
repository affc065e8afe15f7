//! Seeds for libFuzzer, and the small fuzzer of the tests by hand.
//!
//! ```text
//! by_hand seeds FOLDER               writes FOLDER/<target>/seed-0000 ... for every target
//! by_hand run TARGET CASES [SEED]    runs the small fuzzer
//! by_hand replay TARGET HEX          runs one input
//! ```

use std::path::Path;
use std::process::ExitCode;

use plasmad_fuzz::targets::{self, PLANTED, TARGETS};
use plasmad_fuzz::{mutation, seeds};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["seeds", folder] => {
            for name in TARGETS.iter().map(|(name, _)| *name).chain(["planted"]) {
                let written = seeds::write(name, &Path::new(folder).join(name)).expect("the folder can be written");
                println!("{name}: {written} seeds");
            }
            ExitCode::SUCCESS
        }
        ["run", name, cases] => run(name, cases, "1"),
        ["run", name, cases, seed] => run(name, cases, seed),
        ["replay", name, hex] => {
            targets::run(name, &seeds::bytes(hex));
            println!("{name}: all holds");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: by_hand seeds FOLDER | run TARGET CASES [SEED] | replay TARGET HEX");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, cases: &str, seed: &str) -> ExitCode {
    let found = TARGETS.iter().chain(PLANTED).find(|(other, _)| *other == name);
    let (Some((_, target)), Ok(cases), Ok(seed)) = (found, cases.parse(), seed.parse()) else {
        eprintln!("there is no such target, or a number is none");
        return ExitCode::FAILURE;
    };
    let start = std::time::Instant::now();
    match mutation::run(*target, &seeds::of(name), cases, seed) {
        Ok(outcomes) => {
            println!("{name}: {cases} cases, {outcomes} outcomes, {:.1} s", start.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(finding) => {
            let hex: String = finding.input.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{name}: case {} after {:.1} s: {hex}", finding.case, start.elapsed().as_secs_f64());
            ExitCode::FAILURE
        }
    }
}
