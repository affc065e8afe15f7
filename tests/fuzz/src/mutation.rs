//! A small fuzzer for tests: it changes inputs at random and keeps those that led to something new.
//!
//! It knows nothing of coverage; what is new is a new [`Outcome`]. The seed decides everything.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Outcome;
use crate::support::Random;
use crate::targets::Target;

/// Where something didn't hold.
#[derive(Debug)]
pub struct Finding {
    /// After so many cases.
    pub case: u64,
    /// For this input.
    pub input: Vec<u8>,
    /// What was said.
    pub said: String,
}

/// Runs so many cases, the seeds first; how many different outcomes there were, or the first finding.
pub fn run(target: Target, seeds: &[Vec<u8>], cases: u64, seed: u64) -> Result<usize, Box<Finding>> {
    let mut random = Random(seed);
    let mut pool = seeds.to_vec();
    let mut known: HashSet<Outcome> = HashSet::new();
    for case in 0..cases {
        let input = match pool.get(case as usize).filter(|_| case < seeds.len() as u64) {
            Some(seed) => seed.clone(),
            None => changed(&pool, &mut random),
        };
        match catch_unwind(AssertUnwindSafe(|| target(&input))) {
            Ok(outcome) => {
                if known.insert(outcome) && case >= seeds.len() as u64 && pool.len() < POOL_MAX {
                    pool.push(input);
                }
            }
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned();
                let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
                return Err(Box::new(Finding { case, input, said: said.unwrap_or_default() }));
            }
        }
    }
    Ok(known.len())
}

/// Changes the first `bytes` of an input once, up to `bytes_max`; how many there are now.
pub fn change_in_place(input: &mut [u8], bytes: usize, bytes_max: usize, seed: u64) -> usize {
    let mut changed = input[..bytes].to_vec();
    let pool = [changed.clone()];
    change(&mut changed, &pool, &mut Random(seed));
    let bytes = changed.len().min(bytes_max).min(input.len());
    input[..bytes].copy_from_slice(&changed[..bytes]);
    bytes
}

fn changed(pool: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = random.pick(pool).cloned().unwrap_or_default();
    for _ in 0..=random.below(4) {
        change(&mut input, pool, random);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn change(input: &mut Vec<u8>, pool: &[Vec<u8>], random: &mut Random) {
    let bytes = input.len() as u64;
    let at = random.below(bytes + 1) as usize;
    match random.below(9) {
        // Some bit, some byte.
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.bits() as u8,
        // A number as lengths and counts are.
        2 | 3 => {
            let number = *random.pick(NUMBERS).expect("there are some");
            let number = if random.percent(50) { number } else { random.below(bytes + 4) };
            let width = 1 << random.below(4);
            let end = (at + width).min(input.len());
            input[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
        }
        // More bytes, fewer bytes.
        4 => {
            let more: Vec<u8> = (0..=random.below(8)).map(|_| random.bits() as u8).collect();
            input.splice(at..at, more);
        }
        5 => {
            let end = at + random.below(bytes - at as u64 + 1) as usize;
            input.drain(at..end.min(at + 64));
        }
        // A piece of the same input again.
        6 => {
            let end = at + random.below(bytes - at as u64 + 1) as usize;
            let piece = input[at..end].to_vec();
            input.splice(end..end, piece);
        }
        // A piece again, and a length before it that tells of it.
        7 => {
            let width = 2 << random.below(2);
            let Some(length) = input.get_mut(at..at + width) else { return };
            let (more, mut number) = (1 + random.below(40), [0; 8]);
            number[..width].copy_from_slice(length);
            let grown = u64::from_le_bytes(number).wrapping_add(more).to_le_bytes();
            length.copy_from_slice(&grown[..width]);
            let from = random.below(input.len() as u64) as usize;
            let piece: Vec<u8> = input[from..].iter().copied().cycle().take(more as usize).collect();
            input.splice(at + width..at + width, piece);
        }
        // The rest of another.
        _ => {
            let other = random.pick(pool).map_or(&[][..], Vec::as_slice);
            let from = random.below(other.len() as u64 + 1) as usize;
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

const NUMBERS: &[u64] =
    &[0, 1, 2, 16, 28, 64, 127, 128, 255, 256, 4095, 4096, 4097, 16_384, 16_385, 65_535, 1 << 21, u64::MAX, 1 << 63];

/// Longer ones say nothing new and take their time.
const INPUT_BYTES_MAX: usize = 8192;

const POOL_MAX: usize = 20_000;
