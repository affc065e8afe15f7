//! The rows: one file for each group that shares its preparation.
//!
//! | module | what is measured |
//! |---|---|
//! | `hot_gets` | gets of small objects beside a hash map |
//! | [`two_readers`] | two processes on one object beside the same two on one each |
//! | `round_trips` | verbs over the socket beside bare round trips |
//! | `small_puts` | puts of 1 KiB beside a copy and a push on a ring |
//! | [`hand_over`] | an object from one process to another that waits for it |
//! | `large_puts` | puts beside the best copy loop, in memory written before |
//! | `first_touch` | the same in memory the client touches for the first time, huge pages or small ones |
//! | `overtaking` | the same in memory that isn't there yet |
//! | `copy_sweep` | our copy beside `memcpy`, over all sizes |
//! | `spilling` | objects to disk and back beside the best loop over a file |
//! | `zipf` | gets from twice as much as memory holds |
//! | [`beside_spilling`] | gets and small puts while another client's objects are spilled |
//! | `delete_spilled` | what the disk keeps of objects that were deleted there |
//! | `start` | from start to service |
//! | [`client_death`] | from a client's death to having back what it held |
//! | [`neighbours`] | a good client beside a crowd that misbehaves |
//! | `alloc_fill` | how full an arena gets |
//! | `canary` | nothing: its bar is always missed |

mod alloc_fill;
pub(crate) mod beside_spilling;
mod canary;
pub(crate) mod client_death;
mod copy_sweep;
mod delete_spilled;
mod first_touch;
pub(crate) mod hand_over;
mod hot_gets;
mod large_puts;
pub(crate) mod neighbours;
mod overtaking;
mod round_trips;
mod small_puts;
mod spilling;
mod start;
pub(crate) mod two_readers;
mod zipf;

pub(crate) use large_puts::source;

use plasmad_client::{CreateOptions, ObjectId, Store};

use crate::Settings;
use crate::bench::Bench;
use crate::error::Result;
use crate::row::Row;

/// Rows that are measured together.
pub(crate) struct Group {
    pub(crate) rows: &'static [&'static str],
    /// Given the names that are wanted.
    pub(crate) measure: fn(&mut Bench<'_>, &[&str]) -> Result<Vec<Row>>,
    /// Daemon, references and sources together.
    memory_bytes: u64,
    /// A daemon that is there already won't do.
    own_daemon: bool,
}

impl Group {
    /// Why it can't be measured here.
    pub(crate) fn obstacle(&self, settings: &Settings) -> Option<String> {
        if self.own_daemon && settings.socket.is_some() {
            return Some("it needs a daemon of its own, and --socket names another".to_owned());
        }
        if self.memory_bytes > settings.memory_bytes {
            let (needed, allowed) = (self.memory_bytes >> 20, settings.memory_bytes >> 20);
            return Some(format!("it takes {needed} MiB of memory, and --memory allows {allowed} MiB"));
        }
        None
    }
}

/// All of them, in the order they are measured.
pub(crate) const GROUPS: &[Group] = &[
    Group { rows: &["get_hot"], measure: hot_gets::get_hot, memory_bytes: 256 << 20, own_daemon: false },
    Group { rows: &["get_random"], measure: hot_gets::get_random, memory_bytes: 768 << 20, own_daemon: false },
    Group { rows: &["get_two_processes"], measure: two_readers::measure, memory_bytes: 256 << 20, own_daemon: false },
    Group {
        rows: &["get_socket", "create_seal_socket"],
        measure: round_trips::measure,
        memory_bytes: 256 << 20,
        own_daemon: false,
    },
    Group {
        rows: &["put_1k", "put_then_get"],
        measure: small_puts::measure,
        memory_bytes: small_puts::MEMORY_BYTES,
        own_daemon: false,
    },
    Group { rows: &["hand_over"], measure: hand_over::measure, memory_bytes: 256 << 20, own_daemon: false },
    Group {
        rows: &["put_1m", "put_100m", "put_1g"],
        measure: large_puts::measure,
        memory_bytes: large_puts::MEMORY_BYTES,
        own_daemon: true,
    },
    Group {
        rows: &["put_1g_first"],
        measure: first_touch::measure,
        memory_bytes: first_touch::MEMORY_BYTES,
        own_daemon: true,
    },
    Group {
        rows: &["put_overtaking"],
        measure: overtaking::measure,
        memory_bytes: overtaking::MEMORY_BYTES,
        own_daemon: true,
    },
    Group {
        rows: &["copy_sweep"],
        measure: copy_sweep::measure,
        memory_bytes: copy_sweep::MEMORY_BYTES,
        own_daemon: false,
    },
    Group {
        rows: &[
            "spill",
            "restore",
            "restore_random",
            "spill_cached",
            "spill_64k",
            "restore_64k",
            "restore_64k_random",
            "restore_64k_many",
        ],
        measure: spilling::measure,
        memory_bytes: spilling::MEMORY_BYTES,
        own_daemon: true,
    },
    Group { rows: &["zipf_2x"], measure: zipf::measure, memory_bytes: zipf::MEMORY_BYTES, own_daemon: true },
    Group {
        rows: &["gets_while_spilling", "puts_while_spilling"],
        measure: beside_spilling::measure,
        memory_bytes: beside_spilling::MEMORY_BYTES,
        own_daemon: true,
    },
    Group {
        rows: &["delete_spilled"],
        measure: delete_spilled::measure,
        memory_bytes: delete_spilled::MEMORY_BYTES,
        own_daemon: true,
    },
    Group { rows: &["start_16g"], measure: start::measure, memory_bytes: 2 << 30, own_daemon: true },
    Group { rows: &["client_death"], measure: client_death::measure, memory_bytes: 512 << 20, own_daemon: true },
    Group { rows: &["neighbours"], measure: neighbours::measure, memory_bytes: 128 << 20, own_daemon: true },
    Group { rows: &["alloc_fill"], measure: alloc_fill::measure, memory_bytes: 64 << 20, own_daemon: false },
];

/// Measured when it is asked for by name, and in no list.
pub(crate) const CANARY: Group =
    Group { rows: &["canary"], measure: canary::measure, memory_bytes: 0, own_daemon: false };

/// Objects that a measurement made; deleted with this value, however the measurement ends.
struct Made<'a> {
    store: &'a Store,
    ids: Vec<ObjectId>,
}

impl<'a> Made<'a> {
    fn new(store: &'a Store) -> Self {
        Self { store, ids: Vec::with_capacity(IDS_AT_FIRST) }
    }

    fn push(&mut self, id: ObjectId) {
        self.ids.push(id);
    }

    /// Makes so many small objects.
    fn put_small(&mut self, bench: &Bench<'_>, count: usize) -> Result<()> {
        while self.ids.len() < count {
            bench.check()?;
            let objects = vec![&[7u8; 64][..]; ITEMS.min(count - self.ids.len())];
            self.ids.extend(self.store.put_many(&objects, None, &CreateOptions::default())?);
        }
        Ok(())
    }

    /// Deletes all of them, some thousands at a time.
    fn delete(&mut self) -> Result<()> {
        let ids = std::mem::take(&mut self.ids);
        ids.chunks(ITEMS).try_for_each(|ids| self.store.delete(ids).map(drop))?;
        self.ids = ids;
        self.ids.clear();
        Ok(())
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        // Whoever ends early has an error of his own to tell.
        let _ = self.delete();
    }
}

/// Fewer than any request may have.
const ITEMS: usize = 4096;
/// So that growing isn't measured.
const IDS_AT_FIRST: usize = 100_000;
