//! A client's page: every claim of the client on a slot is a word here.
//!
//! Invariant: the daemon believes nothing it reads here but the words themselves, and how far to look only within
//! bounds of its own. A client that scribbles over its page can only lie about its own claims.
//!
//! ```text
//!       0  header: magic, layout version, client; own cells used (at 64), recency was written (at 128)
//!    4096  recency: 2,048 words of 4 bytes, slot + 1 of an object used lately; lossy on purpose
//!   12288  own cells, 4,096 of 16 bytes: a claim the client makes by itself, and how often the cell was used
//!   77824  words for gets over the socket, 262,144 of 8 bytes, written by the daemon
//!
//! a claim: 0 free, else low 32 bits of the generation | slot + 1
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | `daemon` | the daemon's side: its own words, and the scan of all |
//! | `own` | the client's side: claims without the daemon |

mod daemon;
mod own;

pub use daemon::{ClientPage, fence_before_scan};
pub use own::OwnPins;

fn claim(slot: u32, generation: u64) -> u64 {
    generation << 32 | u64::from(slot + 1)
}

/// How many claims the daemon can write for one client: 2 MiB of words.
pub const PIN_WORDS: u32 = 262_144;
/// How many claims a client can make by itself; more go over the socket.
pub const OWN_CELLS: u32 = 4096;
/// How many objects used lately a page can name.
pub const RECENCY_WORDS: u32 = 2048;

/// "PLSMPAG\0".
const MAGIC: u64 = u64::from_le_bytes(*b"PLSMPAG\0");
const LAYOUT_VERSION: u32 = 1;
const OWN_USED_OFFSET: u64 = 64;
/// Not 0 when the recency table was written since the daemon looked last; so it reads the tables of busy clients only.
const RECENCY_WRITTEN_OFFSET: u64 = 128;
const RECENCY_OFFSET: u64 = 4096;
const OWN_OFFSET: u64 = RECENCY_OFFSET + 4 * RECENCY_WORDS as u64;
const OWN_CELL_BYTES: u64 = 16;
const WORDS_OFFSET: u64 = OWN_OFFSET + OWN_CELL_BYTES * OWN_CELLS as u64;
const PAGE_BYTES: u64 = WORDS_OFFSET + 8 * PIN_WORDS as u64;

const _: () = assert!(OWN_OFFSET == 12_288 && WORDS_OFFSET == 77_824 && PAGE_BYTES.is_multiple_of(4096));
