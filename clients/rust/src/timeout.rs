//! How long a verb waits.

use std::time::{Duration, Instant};

use plasmad_wire::limits::FOREVER;

/// How long a verb waits for what isn't there yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timeout {
    /// For ever.
    None,
    /// This long.
    After(Duration),
}

impl Timeout {
    /// Answers at once with what is there.
    pub const NO_WAIT: Self = Self::After(Duration::ZERO);

    pub(crate) fn nanoseconds(self) -> u64 {
        match self {
            Self::None => FOREVER,
            // The longest finite wait is 584 years.
            Self::After(time) => u64::try_from(time.as_nanos()).unwrap_or(FOREVER).min(FOREVER - 1),
        }
    }

    /// When the time will be up; `None` is never.
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            Self::None => None,
            Self::After(time) => Instant::now().checked_add(time),
        }
    }
}

impl From<Duration> for Timeout {
    fn from(time: Duration) -> Self {
        Self::After(time)
    }
}

impl From<Option<Duration>> for Timeout {
    fn from(time: Option<Duration>) -> Self {
        time.map_or(Self::None, Self::After)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_none_is_for_ever() {
        assert_eq!(Timeout::None.nanoseconds(), FOREVER);
        assert_eq!(Timeout::NO_WAIT.nanoseconds(), 0);
        assert_eq!(Timeout::After(Duration::MAX).nanoseconds(), FOREVER - 1);
    }
}
