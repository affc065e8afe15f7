//! The store's own numbers.
//!
//! Invariant: `used_bytes + free_bytes == capacity_bytes` in every snapshot.

/// What happened since the store began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Objects created.
    pub creates: u64,
    /// Objects sealed.
    pub seals: u64,
    /// Those of them that were told on a ring.
    pub puts_by_ring: u64,
    /// Objects given up before they were sealed, by their creator or its death.
    pub aborts: u64,
    /// Objects pinned for gets answered over the socket.
    pub gets: u64,
    /// Objects deleted.
    pub deletes: u64,
    /// Objects dropped to make room.
    pub evictions: u64,
    /// Memory that gave.
    pub evicted_bytes: u64,
    /// Requests refused.
    pub refused: u64,
    /// Objects whose memory was taken back because they are on disk.
    pub spills: u64,
    /// Memory that gave.
    pub spilled_bytes: u64,
    /// Objects that came back from disk.
    pub restores: u64,
    /// Memory that took.
    pub restored_bytes: u64,
    /// Objects that could not be read back: they are gone.
    pub lost: u64,
    /// Batches that were not written, and restores that failed or found an object lost.
    pub disk_errors: u64,
}

/// All numbers at one instant. Sizes in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// The arena's size.
    pub capacity_bytes: u64,
    /// What objects occupy, rounding included.
    pub used_bytes: u64,
    /// The rest, grants included: they are taken back for whoever needs the room.
    pub free_bytes: u64,
    /// What is handed to clients, and not used yet.
    pub granted_bytes: u64,
    /// The largest contiguous piece of the rest.
    pub largest_hole_bytes: u64,
    /// The highest address ever used.
    pub high_water_bytes: u64,
    /// What pins keep in place.
    pub pinned_bytes: u64,
    /// Objects being written.
    pub unsealed_bytes: u64,
    /// Sealed objects that may be dropped when memory is short.
    pub evictable_bytes: u64,
    /// Objects being written.
    pub created: u64,
    /// Objects sealed and in memory.
    pub sealed: u64,
    /// Objects being written to disk, still readable.
    pub spilling: u64,
    /// Objects on disk only.
    pub spilled: u64,
    /// Objects coming back from disk.
    pub restoring: u64,
    /// Deleted objects still pinned.
    pub doomed: u64,
    /// Spill files.
    pub disk_files: u64,
    /// What in them is wanted: records of objects, and tombstones as long as they are needed.
    pub disk_live_bytes: u64,
    /// The rest of them, that of batches in flight not included.
    pub disk_dead_bytes: u64,
    /// What is being written, and read back.
    pub disk_queue_bytes: u64,
    /// Slots there can be.
    pub slots: u64,
    /// Slots in use.
    pub slots_used: u64,
    /// Clients that can be answered.
    pub connected: u64,
    /// Those of them that only read.
    pub readers: u64,
    /// Gets and waits that wait.
    pub gets_waiting: u64,
    /// Creates that wait.
    pub creates_waiting: u64,
    /// How long the oldest of all these has waited, in nanoseconds.
    pub oldest_wait_ns: u64,
    /// What happened so far.
    pub totals: Totals,
}
