//! A client's page: every claim of the client on a slot is a word here.
//!
//! Invariant: the daemon believes nothing it reads here but the words themselves, and how far to look only within
//! bounds of its own. A client that scribbles over its page can only lie about its own claims.
//!
//! ```text
//!       0  header: magic, layout version, client; own cells used (at 64), recency was written (at 128),
//!          ring tail (192), ring head (256), grants tail (320): each in a line of its own
//!    4096  recency: 2,048 words of 4 bytes, slot + 1 of an object used lately; lossy on purpose
//!   12288  own cells, 4,096 of 16 bytes: a claim the client makes by itself, and how often the cell was used
//!   77824  words for gets over the socket, 262,144 of 8 bytes, written by the daemon
//! 2174976  grants: the last 8,192 slots the daemon handed out, as claims of 8 bytes; 0 where the client took one
//! 2240512  ring: 4,096 entries of 64 bytes, written by the client
//!
//! a claim: 0 free, else low 32 bits of the generation | slot + 1
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | `daemon` | the daemon's side: its own words, and the scan of all |
//! | `own` | the client's side: claims without the daemon |
//! | `entry` | what a client tells on its ring |
//! | `ring` | both ends of the ring |
//! | `grants` | both ends of the queue of slots handed out |

mod daemon;
mod entry;
mod grants;
mod own;
mod ring;

pub use daemon::{ClientPage, fence_before_scan};
pub use entry::{Entry, EntryKind};
pub use grants::Grant;
pub use own::OwnPage;
pub use ring::Overrun;

fn claim(slot: u32, generation: u64) -> u64 {
    generation << 32 | u64::from(slot + 1)
}

/// How many claims the daemon can write for one client: 2 MiB of words.
pub const PIN_WORDS: u32 = 262_144;
/// How many claims a client can make by itself; more go over the socket.
pub const OWN_CELLS: u32 = 4096;
/// How many objects used lately a page can name.
pub const RECENCY_WORDS: u32 = 2048;

/// How many entries the ring takes that the daemon has not read.
pub const RING_ENTRIES: u64 = if cfg!(loom) { 2 } else { 4096 };
/// How many slots handed out the queue remembers.
pub const GRANTS_QUEUED: u64 = if cfg!(loom) { 8 } else { 8192 };

/// "PLSMPAG\0".
const MAGIC: u64 = u64::from_le_bytes(*b"PLSMPAG\0");
const LAYOUT_VERSION: u32 = 2;
const OWN_USED_OFFSET: u64 = 64;
/// Not 0 when the recency table was written since the daemon looked last; so it reads the tables of busy clients only.
const RECENCY_WRITTEN_OFFSET: u64 = 128;
const RECENCY_OFFSET: u64 = 4096;
const OWN_OFFSET: u64 = RECENCY_OFFSET + 4 * RECENCY_WORDS as u64;
const OWN_CELL_BYTES: u64 = 16;
const WORDS_OFFSET: u64 = OWN_OFFSET + OWN_CELL_BYTES * OWN_CELLS as u64;
const RING_TAIL_OFFSET: u64 = 192;
const RING_HEAD_OFFSET: u64 = 256;
const GRANTS_TAIL_OFFSET: u64 = 320;
const GRANTS_OFFSET: u64 = WORDS_OFFSET + 8 * PIN_WORDS as u64;
const RING_OFFSET: u64 = GRANTS_OFFSET + 8 * GRANTS_QUEUED;
const ENTRY_BYTES: u64 = 64;
const PAGE_BYTES: u64 = RING_OFFSET + ENTRY_BYTES * RING_ENTRIES;

const _: () = assert!(OWN_OFFSET == 12_288 && WORDS_OFFSET == 77_824 && GRANTS_OFFSET == 2_174_976);
const _: () = assert!(cfg!(loom) || RING_OFFSET == 2_240_512 && PAGE_BYTES.is_multiple_of(4096));
