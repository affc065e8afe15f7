//! Optional features, a bit each. A client tells those it knows in its `Hello`; the `Welcome` tells those of them it gets.

/// The client maps the index and a page of its own, and gets objects in memory without asking: section 10 of SPEC.md.
pub const SHARED_GETS: u64 = 1;

/// A writer is granted memory ahead and tells of what it put there through its page. Given only with [`SHARED_GETS`].
pub const SHARED_PUTS: u64 = 2;

/// The client maps a life file, so that its claims end when its memory does: section 9 of SPEC.md.
pub const LIFE_FILE: u64 = 4;

/// All that this version knows.
pub const ALL: u64 = SHARED_GETS | SHARED_PUTS | LIFE_FILE;
