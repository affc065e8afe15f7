//! The values that both sides of the socket, and the daemon's core, speak of.

use core::fmt;

use crate::codec::{code, message};

/// The name of an object: 28 opaque bytes. Shorter foreign ids are padded with zeros on the right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ObjectId([u8; ObjectId::BYTES]);

impl ObjectId {
    /// Width of an id in bytes; 56 hex digits when printed.
    pub const BYTES: usize = 28;

    /// An id from exactly 28 bytes.
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// An id from 1 to 28 bytes, zero-padded on the right; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > Self::BYTES {
            return None;
        }
        let mut padded = [0; Self::BYTES];
        padded[..bytes.len()].copy_from_slice(bytes);
        Some(Self(padded))
    }

    /// An id from exactly 56 hex digits of either case.
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 2 * Self::BYTES {
            return None;
        }
        let digit = |byte: u8| (byte as char).to_digit(16).map(|value| value as u8);
        let mut bytes = [0; Self::BYTES];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// The 28 bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The all-zero id names nothing and is refused everywhere.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; Self::BYTES]
    }

    /// The hash that places an id in the shared index: the same in every process that knows the seed.
    ///
    /// Two rounds of folded 64 x 64 multiplication over the id's words, keyed by the store's secret seed so
    /// that a client that doesn't know it cannot aim all its ids at one bucket. The low four bits of the second word,
    /// which is the counter of ids that a library makes, are left out of that and added at the end: sixteen ids made in a
    /// row have sixteen hashes in a row, and so share a cache line of any table of buckets.
    #[inline]
    pub fn hash(&self, seed: [u64; 2]) -> u64 {
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&self.0[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let tail = u32::from_le_bytes([self.0[24], self.0[25], self.0[26], self.0[27]]);
        let (row, in_row) = (word(8) & !15, word(8) & 15);
        let low = fold(word(0) ^ seed[0], row ^ seed[1]);
        // The last word is bytes 20..28: four of the one before are used twice, and none is left out.
        let last = word(16) >> 32 | u64::from(tail) << 32;
        let high = fold(word(16) ^ seed[1], last ^ seed[0].rotate_left(32));
        fold(low ^ seed[0], high ^ 0x9e37_79b9_7f4a_7c15) ^ in_row
    }
}

#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

impl fmt::Display for ObjectId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ObjectId({self})")
    }
}

/// A piece of the arena: `bytes` bytes at `offset` of one segment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Extent {
    /// Which memfd of the arena.
    pub segment: u16,
    /// Where it starts, in bytes from the segment's start.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
}

message! {
    /// An object as one client may name it: its slot, and the generation that makes a stale name harmless.
    ///
    /// The store is the connection's. Encoded in 12 bytes.
    pub struct Handle {
        /// The object's place in the index.
        pub slot: u32,
        /// Which use of that slot is meant; 56 bits.
        pub generation: u64,
    }
}

impl Copy for Handle {}

message! {
    /// One claim on one object, as told by `Get` and given back by `Release`. Encoded in 16 bytes.
    pub struct Pin {
        /// Which word of the client's page holds the claim.
        pub word: u32,
        /// The object it claims.
        pub handle: Handle,
    }
}

impl Copy for Pin {}

message! {
    /// Where a sealed object's bytes are and how they are to be read. The metadata follows the data directly.
    pub struct Location {
        /// Which memfd of the arena.
        pub segment: u16,
        /// How the data is encoded.
        pub format: Format,
        /// Length of the metadata.
        pub metadata_bytes: u32,
        /// Where the data starts in the segment.
        pub offset: u64,
        /// Length of the data.
        pub data_bytes: u64,
    }
}

impl Copy for Location {}

code! {
    /// How an object's data is encoded; the store itself never looks inside.
    pub enum Format: u16 {
        /// Bytes that mean what their writer says.
        Raw = 0,
        /// A pickle of protocol 5 with its out-of-band buffers (layout in SPEC.md).
        Pickle5 = 1,
        /// An Arrow IPC stream.
        Arrow = 2,
    }
}

message! {
    /// Something that happened to an object, as subscribers hear it. Encoded in 41 bytes.
    pub struct Change {
        /// What happened.
        pub kind: ChangeKind,
        /// To which object.
        pub id: ObjectId,
        /// Length of its data.
        pub data_bytes: u64,
        /// Length of its metadata.
        pub metadata_bytes: u32,
    }
}

impl Copy for Change {}

code! {
    /// What can happen to an object that others can see.
    pub enum ChangeKind: u8 {
        /// Its creator published it; or it was there already when the subscription began.
        Sealed = 0,
        /// Somebody deleted it.
        Deleted = 1,
        /// The store dropped it to make room.
        Evicted = 2,
        /// It is on disk and its memory is taken back.
        Spilled = 3,
        /// It is in memory again.
        Restored = 4,
    }
}

code! {
    /// What a connection may do.
    pub enum Role: u8 {
        /// Every verb.
        Writer = 0,
        /// Get, release and the verbs that only look.
        Reader = 1,
    }
}

code! {
    /// Where an object is in its life, as `Stat` and `List` tell it.
    pub enum ObjectState: u8 {
        /// Being written by its creator; nobody else sees it.
        Created = 0,
        /// Immutable, in memory.
        Sealed = 1,
        /// Being written to disk, still readable.
        Spilling = 2,
        /// On disk only.
        Spilled = 3,
        /// Coming back from disk.
        Restoring = 4,
    }
}

code! {
    /// What `Get` found under one id.
    pub enum GetStatus: u8 {
        /// Sealed, in memory, and pinned for the asker.
        Pinned = 0,
        /// Nothing has this id: never made, aborted, deleted or evicted.
        Absent = 1,
        /// Created, not sealed yet.
        Unsealed = 2,
        /// On its way back from disk.
        Restoring = 3,
        /// There, but not pinned, because something else was missing when the time was up.
        Present = 4,
        /// Sealed, and pinned for the asker where it lies on disk: `View` gives its file.
        OnDisk = 5,
    }
}
