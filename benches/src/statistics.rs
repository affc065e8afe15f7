//! Medians, ratios and percentiles.

/// The middle one, or the mean of the two in the middle.
///
/// # Panics
/// If there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    (sorted[low] + sorted[high]) / 2.0
}

/// The median of the rounds' ratios: not the ratio of the medians, since a slow round slows both its halves.
pub(crate) fn ratio(rounds: &[f64], reference: &[f64]) -> f64 {
    let ratios: Vec<f64> = rounds.iter().zip(reference).map(|(ours, theirs)| ours / theirs).collect();
    median(&ratios)
}

/// The smallest value that at least so many percent of all don't exceed.
///
/// # Panics
/// If there are no values.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let sorted = sorted(values);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn sorted(values: &[f64]) -> Vec<f64> {
    assert!(!values.is_empty(), "a figure needs a value");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_or_between_the_two_there() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
        assert_eq!(median(&[7.0]), 7.0);
    }

    #[test]
    fn a_ratio_is_taken_within_rounds() {
        // The machine was ten times slower in the last round, for both sides: that changes nothing.
        assert_eq!(ratio(&[2.0, 2.0, 20.0], &[1.0, 1.0, 10.0]), 2.0);
        // One disturbed round doesn't count; the medians alone, 2 and 10, would say 0.2.
        assert_eq!(ratio(&[2.0, 2.0, 200.0], &[1.0, 10.0, 100.0]), 2.0);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 50.0), 100.0);
        assert_eq!(percentile(&values, 99.0), 198.0);
        assert_eq!(percentile(&values, 100.0), 200.0);
        assert_eq!(percentile(&[3.0], 99.0), 3.0);
    }
}
