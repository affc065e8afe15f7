//! The core's time, and the calendar's.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use plasmad_core::Nanos;

/// Nanoseconds since the engine started, and what that was in UTC.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_unix_ns: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_unix_ns: unix.as_nanos() as u64 }
    }

    pub(crate) fn now(&self) -> Nanos {
        self.started.elapsed().as_nanos() as Nanos
    }

    /// A moment of the core's, in nanoseconds since 1970.
    pub(crate) fn unix_ns(&self, moment: Nanos) -> u64 {
        self.started_unix_ns + moment
    }
}
