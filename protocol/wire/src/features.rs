//! Optional features, a bit each. A client tells those it knows in its `Hello`; the `Welcome` tells those of them it gets.

/// The client maps the index and a page of its own, and gets objects in memory without asking: section 10 of SPEC.md.
pub const SHARED_GETS: u64 = 1;
