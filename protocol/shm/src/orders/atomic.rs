//! Loom's atomics, each of whose orders can be weakened, by the line of code that asks for it.
//!
//! Invariant: with nothing weakened these are loom's, and every line that asked for more than `Relaxed` is known.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::atomic::Ordering::{self, Relaxed};

/// A line of code.
pub(super) type Line = (&'static str, u32);

thread_local! {
    // Loom runs all threads of a model on the thread that checks it.
    static ASKED: RefCell<BTreeSet<Line>> = const { RefCell::new(BTreeSet::new()) };
    static WEAKENED: Cell<Option<Line>> = const { Cell::new(None) };
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// From here on lines are noted, and weakened, or no longer: what one thread does alone needs no order.
pub(super) fn watch(watched: bool) {
    WATCHED.set(watched);
}

/// The lines that asked for an order since this was asked last.
pub(super) fn take_asked() -> BTreeSet<Line> {
    ASKED.take()
}

/// From here on this line is `Relaxed`; if it is a fence there is none.
pub(super) fn weaken(line: Option<Line>) {
    WEAKENED.set(line);
}

#[track_caller]
fn in_force(order: Ordering) -> Ordering {
    let caller = Location::caller();
    let line = (caller.file(), caller.line());
    if order == Relaxed || !WATCHED.get() {
        return order;
    }
    ASKED.with_borrow_mut(|asked| asked.insert(line));
    if WEAKENED.get() == Some(line) { Relaxed } else { order }
}

/// A fence, unless it is weakened.
#[track_caller]
pub(crate) fn fence(order: Ordering) {
    match in_force(order) {
        Relaxed => (),
        order => loom::sync::atomic::fence(order),
    }
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        /// Loom's, with orders in force.
        #[derive(Debug)]
        pub struct $name(loom::sync::atomic::$name);

        impl $name {
            pub(super) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            /// As the machine's.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                self.0.load(in_force(order))
            }

            /// As the machine's.
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                self.0.store(value, in_force(order));
            }

            /// As the machine's.
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.0.swap(value, in_force(order))
            }

            /// As the machine's.
            #[track_caller]
            pub fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                self.0.fetch_max(value, in_force(order))
            }

            /// As the machine's.
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.0.compare_exchange(current, new, in_force(success), in_force(failure))
            }
        }
    };
}

atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
