//! How a checker says no, and how a run is found again.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a checker found wrong.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

/// The result of a check.
pub(crate) type Checked<T = ()> = Result<T, Violation>;

impl fmt::Debug for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Returns a [`Violation`] unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::support::Violation(format!($($message)+)));
        }
    };
}
pub(crate) use ensure;

/// Runs a check in which a panic, the core's own asserts included, is a violation like any other.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Checked<T>) -> Checked<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        Err(Violation(format!("panic: {}", said.unwrap_or_default())))
    })
}

/// The seeds to run: all of them, or the one in `PLASMAD_SEED` to replay a failure.
pub(crate) fn seeds(all: std::ops::Range<u64>) -> Vec<u64> {
    match std::env::var("PLASMAD_SEED") {
        Ok(seed) => vec![seed.parse().expect("PLASMAD_SEED is a number")],
        Err(_) => all.collect(),
    }
}
