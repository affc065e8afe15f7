//! What ends a wait from outside: the user's hook, or the store being closed.
//!
//! Invariant: the hook runs only on the thread that waits, and never under a lock of this library, so it may use the
//! store itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::Error;

/// Asked at least every [`TICK`] while a verb waits; true ends the wait.
pub(crate) type Hook = Arc<dyn Fn() -> bool + Send + Sync>;

/// What a waiting thread looks at between two ticks.
#[derive(Clone, Default)]
pub(crate) struct Interrupt {
    hook: Option<Hook>,
    closed: Arc<AtomicBool>,
}

impl Interrupt {
    pub(crate) fn with_hook(&self, hook: Hook) -> Self {
        Self { hook: Some(hook), closed: self.closed.clone() }
    }

    /// The same hook, for a store of its own.
    pub(crate) fn reopened(&self) -> Self {
        Self { hook: self.hook.clone(), closed: Arc::default() }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Why the wait should end now; `None` to go on.
    pub(crate) fn reason(&self) -> Option<Error> {
        if self.is_closed() {
            return Some(Error::Closed);
        }
        self.hook.as_ref().is_some_and(|hook| hook()).then_some(Error::Interrupted)
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Interrupt").field("hook", &self.hook.is_some()).field("closed", &self.closed).finish()
    }
}

/// How long a thread waits before it looks whether it should go on.
pub(crate) const TICK: Duration = Duration::from_millis(50);
