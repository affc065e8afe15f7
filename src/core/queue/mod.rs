//! Requests that wait: creates for room, gets for objects, with deadlines; subscriptions for whatever happens.

mod creates;
mod deadlines;
#[cfg(test)]
mod fuzz;
mod gets;
mod subscriptions;

pub use creates::{CreateQueue, CreateWait, LOOK_AHEAD, PASSED_BYTES_MIN};
pub use deadlines::{Deadlines, deadline};
pub use gets::{GetWait, GetWaits, Purpose, Turned, distinct};
pub use subscriptions::{Heard, Subscriptions};

/// A request that waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WaitKey {
    /// For room; its place in the queue.
    Create(u64),
    /// For objects; its number.
    Get(u64),
}
