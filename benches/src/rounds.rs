//! Rounds: the measured and its reference in turns, and what is made of them.

use std::time::Instant;

/// Seconds that `operations` calls took, a call.
pub(crate) fn seconds_each(operations: u32, mut operation: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..operations {
        operation();
    }
    start.elapsed().as_secs_f64() / f64::from(operations)
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    (sorted[low] + sorted[high]) / 2.0
}

/// The median of the rounds' ratios.
pub(crate) fn ratio(rounds: &[f64], reference: &[f64]) -> f64 {
    let ratios: Vec<f64> = rounds.iter().zip(reference).map(|(ours, theirs)| ours / theirs).collect();
    median(&ratios)
}
