//! How many bytes went by, and how many a second lately.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Counts bytes, by the second for the last few.
#[derive(Debug)]
pub(crate) struct Meter {
    started: Instant,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: u64,
    /// By second modulo their number; the first is the newest second that is counted.
    seconds: [u64; SECONDS + 1],
    newest: u64,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), counts: Mutex::default() }
    }

    pub(crate) fn count(&self, bytes: u64) {
        self.at(self.started.elapsed().as_secs()).count(bytes);
    }

    /// In all, and per second over the last full seconds.
    pub(crate) fn read(&self) -> (u64, u64) {
        let counts = self.at(self.started.elapsed().as_secs());
        (counts.total, counts.per_second())
    }

    fn at(&self, second: u64) -> std::sync::MutexGuard<'_, Counts> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.go_on(second);
        counts
    }
}

impl Counts {
    /// Time has come to this second; those between were quiet.
    fn go_on(&mut self, second: u64) {
        let passed = second.saturating_sub(self.newest).min(SECONDS as u64 + 1);
        for quiet in 0..passed {
            self.seconds[((second - quiet) % (SECONDS as u64 + 1)) as usize] = 0;
        }
        self.newest = self.newest.max(second);
    }

    fn count(&mut self, bytes: u64) {
        self.total += bytes;
        self.seconds[(self.newest % (SECONDS as u64 + 1)) as usize] += bytes;
    }

    fn per_second(&self) -> u64 {
        let now = self.seconds[(self.newest % (SECONDS as u64 + 1)) as usize];
        let full = self.newest.clamp(1, SECONDS as u64);
        (self.seconds.iter().sum::<u64>() - now) / full
    }
}

/// How far back "lately" goes.
const SECONDS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_full_seconds_count_and_older_ones_do_not() {
        let mut counts = Counts::default();
        let mut told = Vec::new();
        for (second, bytes) in [(0, 100), (1, 50), (2, 0), (3, 0), (5, 500), (6, 7), (7, 0), (30, 9), (31, 0)] {
            counts.go_on(second);
            told.push(counts.per_second());
            counts.count(bytes);
        }
        assert_eq!(told, [0, 100, 75, 50, 30, 110, 101, 0, 1]);
        assert_eq!(counts.total, 666);
    }
}
