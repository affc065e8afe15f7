//! Optional features, a bit each. A client tells those it knows in its `Hello`; the `Welcome` tells those of them it gets.

/// The client maps the index and a page of its own, and gets objects in memory without asking: section 10 of SPEC.md.
pub const SHARED_GETS: u64 = 1;

/// A writer is granted memory ahead and tells of what it put there through its page. Given only with [`SHARED_GETS`].
pub const SHARED_PUTS: u64 = 2;

/// All that this version knows.
pub const ALL: u64 = SHARED_GETS | SHARED_PUTS;
