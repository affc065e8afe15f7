//! The clock that all processes of the machine share.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC in nanoseconds, comparable between processes.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    Duration::from(time).as_nanos() as u64
}

/// Nanoseconds of `calls` calls, each the mean of a batch: reading the clock costs 30 ns, which a short call must not pay.
pub(crate) fn batches(calls: usize, batch: usize, mut call: impl FnMut(usize)) -> Vec<f64> {
    let mut took = Vec::with_capacity(calls);
    for at in 0..calls {
        let before = now();
        for within in 0..batch {
            call(at * batch + within);
        }
        took.push((now() - before) as f64 / batch as f64);
    }
    took
}

/// 1, or `batch` if a call is so short that the clock would weigh in.
pub(crate) fn batch_for(batch: usize, mut call: impl FnMut(usize)) -> usize {
    let before = now();
    (0..TRIED).for_each(&mut call);
    if (now() - before) / (TRIED as u64) < SHORT_NS { batch } else { 1 }
}

/// Sleeps until this time.
pub(crate) fn sleep_until(nanoseconds: u64) {
    std::thread::sleep(Duration::from_nanos(nanoseconds.saturating_sub(now())));
}

/// Keeps this core busy for so long: whoever hands something over has been working, not sleeping.
pub(crate) fn work_for(nanoseconds: u64) {
    let end = now() + nanoseconds;
    while now() < end {
        std::hint::spin_loop();
    }
}

const TRIED: usize = 64;
const SHORT_NS: u64 = 2000;
