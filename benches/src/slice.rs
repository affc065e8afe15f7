//! One side of one round: operations under the clock.
//!
//! A clock read costs some 30 ns, so operations shorter than a microsecond are timed in batches.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::statistics::percentile;

/// What the clock said.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Slice {
    pub(crate) operations: u64,
    /// Under the clock, all together.
    pub(crate) seconds: f64,
    /// Seconds an operation took, one for each batch.
    pub(crate) samples: Vec<f64>,
}

/// How much is measured in one side of one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) time: Duration,
    /// Operations between two looks at the clock.
    pub(crate) batch: u64,
    pub(crate) operations_max: u64,
}

impl Budget {
    /// The usual time, each operation under the clock by itself.
    pub(crate) const EACH: Self = Self { time: Duration::from_millis(80), batch: 1, operations_max: u64::MAX };

    /// The usual time, in batches.
    pub(crate) const fn batches(batch: u64) -> Self {
        Self { batch, ..Self::EACH }
    }

    /// Enough has been done.
    pub(crate) fn is_spent(&self, slice: &Slice) -> bool {
        slice.operations >= self.operations_max || slice.seconds >= self.time.as_secs_f64()
    }
}

impl Slice {
    /// Repeats an operation until the budget is spent: at least one batch.
    pub(crate) fn run(budget: Budget, mut operation: impl FnMut() -> Result<()>) -> Result<Self> {
        let mut slice = Self::default();
        loop {
            let batch = budget.batch.min(budget.operations_max - slice.operations);
            slice.time(batch, || (0..batch).try_for_each(|_| operation()))?;
            if budget.is_spent(&slice) {
                return Ok(slice);
            }
        }
    }

    /// One batch of so many operations.
    pub(crate) fn time<T>(&mut self, operations: u64, batch: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = batch();
        self.add(operations, start.elapsed().as_secs_f64());
        result
    }

    /// One batch that was timed elsewhere.
    pub(crate) fn add(&mut self, operations: u64, seconds: f64) {
        self.operations += operations;
        self.seconds += seconds;
        self.samples.push(seconds / operations as f64);
    }

    /// The 99th percentile of the operations, as if there had been no other.
    pub(crate) fn at_percentile_99(&self) -> Self {
        Self::of(percentile(&self.samples, 99.0))
    }

    /// One figure, which may be no time at all.
    pub(crate) fn of(figure: f64) -> Self {
        Self { operations: 1, seconds: figure, samples: vec![figure] }
    }

    /// Seconds an operation took.
    pub(crate) fn seconds_each(&self) -> f64 {
        self.seconds / self.operations as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_ends_with_its_operations_or_its_time() {
        let mut done = 0;
        let mut operation = || {
            done += 1;
            Ok(())
        };
        let budget = Budget { time: Duration::MAX, batch: 4, operations_max: 10 };
        let slice = Slice::run(budget, &mut operation).unwrap();
        assert_eq!((slice.operations, slice.samples.len()), (10, 3));
        let budget = Budget { time: Duration::ZERO, batch: 4, operations_max: 10 };
        assert_eq!(Slice::run(budget, &mut operation).unwrap().operations, 4);
        assert_eq!(done, 14);
    }

    #[test]
    fn an_operation_takes_its_part_of_all_batches() {
        let mut slice = Slice::default();
        slice.add(1, 2.0);
        slice.add(3, 4.0);
        assert_eq!(slice.seconds_each(), 1.5);
        assert_eq!(slice.samples, [2.0, 4.0 / 3.0]);
    }
}
