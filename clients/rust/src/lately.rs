//! Doing something again only when some milliseconds have passed: by the kernel's coarse clock, which costs no system call.

use std::sync::atomic::{AtomicI64, Ordering};

use nix::time::{ClockId, clock_gettime};

/// When something was last done.
#[derive(Debug, Default)]
pub(crate) struct Lately(AtomicI64);

impl Lately {
    /// The clock has moved on since this was last asked: some hundred times a second at most.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |now| now.tv_sec() << 30 | now.tv_nsec());
        // Nobody orders anything by it, so a load and a store do; an exchange would cost every put a locked instruction.
        let is_over = self.0.load(Ordering::Relaxed) != now;
        if is_over {
            self.0.store(now, Ordering::Relaxed);
        }
        is_over
    }
}
