//! The index of sealed objects: written by the daemon alone, read by every client that maps it.
//!
//! Invariant: a slot that can be reached from its bucket holds a whole record, and its commit word says last what
//! the record says first.
//!
//! ```text
//! header, 4096 bytes | bucket heads, 4 bytes each | slots, 64 bytes each, on a page
//!                      0: empty, else slot + 1
//!
//! slot:   0 commit word (8 bits of state, 56 of generation)    8 id, 28 bytes
//!        36 next in the chain (0: last, else slot + 1)         40 place (16 bits of segment, 48 of offset)
//!        48 sizes (17 bits of metadata, 47 of data)            56 format, 2 bytes    60 CRC-32C of bytes 8..36, 40..58
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | `writer` | the daemon's side: publish, change a state, unlink |
//! | `reader` | a client's side: find, pin, look again |
//! | `record` | a slot's fields and how they lie in its words |

mod reader;
mod record;
mod writer;

pub use reader::{AttachError, Found, Granted, IndexReader, Missed};
pub use record::{Place, SlotFields, SlotState};
pub use writer::IndexWriter;

/// "PLSMIDX\0".
const MAGIC: u64 = u64::from_le_bytes(*b"PLSMIDX\0");
const LAYOUT_VERSION: u32 = 2;
const HEADER_BYTES: u64 = 4096;
const SLOT_BYTES: u64 = 64;
/// The daemon lacks memory and wants to be told of every release; a line of its own, since every release reads it.
const WANTED_OFFSET: u64 = 128;
/// Ids that somebody waits for, a bit for all whose hash ends alike: whoever puts one of them rings.
const WAITERS_OFFSET: u64 = 256;
/// A reader gives up here and asks over the socket: a chain may change under its feet.
const HOPS_MAX: usize = 64;

/// Where a hash's bit stands among those of the waiters: the offset of its word, and the bit in it.
///
/// The high bits of the hash choose it: the low ones choose the bucket.
fn waiter_bit(hash: u64) -> (u64, u64) {
    let number = waiter_number(hash) as u64;
    (WAITERS_OFFSET + 8 * (number / 64), 1 << (number % 64))
}

/// Which bit of the waiters an id with this hash has; below [`WAITERS`].
pub fn waiter_number(hash: u64) -> usize {
    (hash >> (64 - WAITERS.ilog2())) as usize
}

/// How many bits the waiters have.
pub const WAITERS: usize = 2048;
