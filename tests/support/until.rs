//! Waiting for what must come.

use std::time::{Duration, Instant};

/// Waits until `found` gives something.
///
/// # Panics
/// If it never does.
pub(crate) fn until<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    until_within(DEADLINE, what, found)
}

/// The same for what takes long by its nature.
pub(crate) fn until_within<T>(patience: Duration, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + patience;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < give_up, "still waiting after {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Far more than anything takes that works.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
