//! The stats document: the core's numbers and the shell's, in the one form every face shows.

use std::path::Path;

use plasmad_core::stats::Snapshot;
use serde_json::{Value, json};

use super::dispatch::EPOCH;
use crate::spill::Figures;

/// What the core doesn't know.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) socket: &'a Path,
    pub(crate) uptime_seconds: f64,
    pub(crate) disk: Option<Figures>,
    pub(crate) keeper_pid: u32,
    pub(crate) present_bytes: u64,
    pub(crate) population_done: bool,
    /// The arena's pages, where nothing makes larger ones of them.
    pub(crate) page_bytes: u64,
    /// What is in huge pages.
    pub(crate) huge_bytes: u64,
    /// Connections closed because of what they sent, or didn't take.
    pub(crate) dropped_total: u64,
    /// Clients that map index and page.
    pub(crate) fast: usize,
    /// Objects pinned by clients themselves.
    pub(crate) gets_shared: u64,
}

/// Sizes in bytes, times in seconds.
pub(crate) fn document(snapshot: &Snapshot, around: &Surroundings<'_>) -> Value {
    json!({
        "schema": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": plasmad_wire::limits::PROTOCOL_VERSION,
        "pid": around.keeper_pid,
        "engine_pid": std::process::id(),
        "epoch": EPOCH,
        "restarts": EPOCH - 1,
        "uptime_seconds": around.uptime_seconds,
        "socket": around.socket,
        "memory": memory(snapshot, around),
        "objects": {
            "created": snapshot.created,
            "sealed": snapshot.sealed,
            "spilling": snapshot.spilling,
            "spilled": snapshot.spilled,
            "restoring": snapshot.restoring,
        },
        "index": { "slots": snapshot.slots, "used": snapshot.slots_used },
        "clients": {
            "connected": snapshot.connected,
            "readers": snapshot.readers,
            "fast": around.fast,
            "gets_waiting": snapshot.gets_waiting,
            "creates_waiting": snapshot.creates_waiting,
            "oldest_wait_seconds": snapshot.oldest_wait_ns as f64 / 1e9,
            "refused_total": snapshot.totals.refused,
            "dropped_total": around.dropped_total,
        },
        "spill": spill(snapshot, around.disk.as_ref()),
        "totals": {
            "creates": snapshot.totals.creates,
            "seals": snapshot.totals.seals,
            "aborts": snapshot.totals.aborts,
            "puts_ring": snapshot.totals.puts_by_ring,
            "gets_socket": snapshot.totals.gets,
            "gets_shared": around.gets_shared,
            "deletes": snapshot.totals.deletes,
            "evictions": snapshot.totals.evictions,
            "evicted_bytes": snapshot.totals.evicted_bytes,
        },
    })
}

fn memory(snapshot: &Snapshot, around: &Surroundings<'_>) -> Value {
    json!({
        "capacity_bytes": snapshot.capacity_bytes,
        "used_bytes": snapshot.used_bytes,
        "free_bytes": snapshot.free_bytes,
        "largest_hole_bytes": snapshot.largest_hole_bytes,
        "granted_bytes": snapshot.granted_bytes,
        "pinned_bytes": snapshot.pinned_bytes,
        "unsealed_bytes": snapshot.unsealed_bytes,
        "evictable_bytes": snapshot.evictable_bytes,
        "populated_bytes": around.present_bytes,
        "population_done": around.population_done,
        "page_bytes": around.page_bytes,
        "huge_bytes": around.huge_bytes,
    })
}

fn spill(snapshot: &Snapshot, disk: Option<&Figures>) -> Value {
    let traffic = disk.map(|disk| disk.traffic).unwrap_or_default();
    json!({
        "directory": disk.map(|disk| &disk.directory),
        "live_bytes": snapshot.disk_live_bytes,
        "dead_bytes": snapshot.disk_dead_bytes,
        "files": snapshot.disk_files,
        "max_bytes": disk.map(|disk| disk.max_bytes),
        "queue_bytes": snapshot.disk_queue_bytes,
        "written_bytes_total": traffic.written_bytes,
        "read_bytes_total": traffic.read_bytes,
        "write_bytes_per_second": traffic.written_bytes_per_second,
        "read_bytes_per_second": traffic.read_bytes_per_second,
        "direct_io": disk.is_some_and(|disk| disk.is_direct),
        "errors_total": snapshot.totals.disk_errors,
        "lost_total": snapshot.totals.lost,
    })
}
