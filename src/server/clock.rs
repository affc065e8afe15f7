//! The core's time, which is also the calendar's.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use plasmad_core::Nanos;

/// UTC when the engine started, and from there on a clock that never goes back, in nanoseconds since 1970. So moments
/// that a former engine noted mean the same to this one.
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
        self.started_unix_ns + self.started.elapsed().as_nanos() as Nanos
    }

    pub(crate) fn uptime_seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}
