//! When requests that wait are to be answered at the latest.

use alloc::collections::BTreeSet;

use plasmad_wire::limits::FOREVER;

use super::WaitKey;
use crate::Nanos;

/// The moment a timeout ends; `None` never.
pub fn deadline(now: Nanos, timeout_ns: u64) -> Option<Nanos> {
    if timeout_ns == FOREVER { None } else { now.checked_add(timeout_ns) }
}

/// All deadlines, earliest first.
#[derive(Debug, Default)]
pub struct Deadlines {
    ends: BTreeSet<(Nanos, WaitKey)>,
}

impl Deadlines {
    /// Adds one, if there is one.
    pub fn insert(&mut self, at: Option<Nanos>, key: WaitKey) {
        if let Some(at) = at {
            self.ends.insert((at, key));
        }
    }

    /// Takes one away.
    pub fn remove(&mut self, at: Option<Nanos>, key: WaitKey) {
        if let Some(at) = at {
            self.ends.remove(&(at, key));
        }
    }

    /// The earliest.
    pub fn next(&self) -> Option<Nanos> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// The earliest, if it has come.
    pub fn due(&self, now: Nanos) -> Option<WaitKey> {
        let (at, key) = self.ends.first()?;
        (*at <= now).then_some(*key)
    }
}
