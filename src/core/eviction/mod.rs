//! Which objects make room when memory is short.
//!
//! [`WhenFull`] says which objects may go at all, [`Recency`] in which order, [`plan`] which of them are enough.

mod plan;
mod recency;

pub use plan::{Candidate, Plan, plan, plan_pieces};
pub use recency::Recency;

/// What the store does when a create finds no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenFull {
    /// Drop objects marked evictable, least recently used first; keep all others, on disk where there is one.
    Spill,
    /// Drop any sealed object nobody pins, least recently used first: a cache.
    Evict,
    /// Drop nothing.
    Refuse,
}

impl WhenFull {
    /// May an object be dropped, given its creator's mark?
    pub fn may_drop(self, evictable: bool) -> bool {
        match self {
            WhenFull::Spill => evictable,
            WhenFull::Evict => true,
            WhenFull::Refuse => false,
        }
    }
}
