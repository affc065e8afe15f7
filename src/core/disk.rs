//! Disk as the core sees it: where records lie, and what it asks of the shell.
//!
//! The core decides where every record goes, so it can account for dead space and the simulator can lie about what a
//! disk does. The shell moves bytes: it fills a record's header, computes and checks checksums, and never chooses.
//!
//! ```text
//! file      batch  batch  batch …                 each batch starts on a multiple of BLOCK_BYTES
//! batch     record record … zeros                 as long as its records, rounded up to BLOCK_BYTES
//! record    header, (zeros,) data, metadata, zeros
//! ```

use alloc::vec::Vec;

use plasmad_wire::{Extent, Format, ObjectId};

use crate::Nanos;

/// A spill file. Numbers are never used again, not by the next engine either.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FileNumber(pub u32);

/// Where a record lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskPlace {
    /// In which file.
    pub file: FileNumber,
    /// Where its header starts.
    pub offset: u64,
    /// Its length, header and padding included: [`record_bytes`].
    pub bytes: u64,
}

/// What a record's header tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskRecord {
    /// Grows with every record of a store; of two with one id the higher one counts.
    pub sequence: u64,
    /// The object's id.
    pub id: ObjectId,
    /// It tells that the object was deleted, and has neither data nor metadata.
    pub tombstone: bool,
    /// Length of the data.
    pub data_bytes: u64,
    /// Length of the metadata.
    pub metadata_bytes: u32,
    /// How the data is encoded.
    pub format: Format,
    /// May be dropped when memory is short.
    pub evictable: bool,
    /// When the object was created.
    pub created_at: Nanos,
    /// When it was sealed.
    pub sealed_at: Nanos,
}

/// Where a record's data and metadata come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// From memory: the object is being spilled.
    Memory(Extent),
    /// From a record that is moved, checksum first.
    Disk(DiskPlace),
    /// From nowhere: a tombstone.
    Nothing,
}

/// Records that are written in one go, one behind the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Told again when it is done; never used again.
    pub number: u64,
    /// In which file; it comes to be with its first batch.
    pub file: FileNumber,
    /// Where; a multiple of [`BLOCK_BYTES`].
    pub offset: u64,
    /// What, in order; each starts at the next place that [`record_start`] allows.
    pub records: Vec<(DiskRecord, Source)>,
}

/// A record is to be read: its bytes are wanted in memory, or it is only to be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restore {
    /// Told again when it is done; never used again.
    pub number: u64,
    /// Where it lies.
    pub place: DiskPlace,
    /// What is expected there.
    pub record: DiskRecord,
    /// Where data and metadata go; nowhere, when all that is wanted is whether they are what was written.
    pub into: Option<Extent>,
    /// Nobody has asked for it yet: what others wait for goes before it.
    pub is_guess: bool,
}

/// How a store uses its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpillConfig {
    /// What its files may take, those that are being written included.
    pub max_bytes: u64,
    /// The first file's number: behind all that were ever used in this folder.
    pub next_file: FileNumber,
    /// The first record's number: behind all that were ever used in this folder, and at least 1.
    pub next_sequence: u64,
}

/// What became of a batch. Nothing of it counts unless all of it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteOutcome {
    /// Every record is there.
    Written,
    /// None of them counts; why is in the log. The disk or the folder is full.
    NoRoom,
    /// None of them counts; why is in the log.
    Failed,
    /// None of them counts: what lies at the source of this one of them, by its place in the batch, isn't what was written
    /// there, or nothing is.
    SourceLost {
        /// Which.
        record: u32,
    },
}

/// What became of a restore.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadOutcome {
    /// The bytes are what was written, and in memory if they were wanted there.
    Read,
    /// What lies there is not what was written, or nothing is there: the object is lost.
    Lost,
    /// The disk couldn't be read just now; it may be tried again.
    Failed,
}

/// A record starts on a multiple of this; a large one on one of [`BLOCK_BYTES`], and its data on the next.
pub const RECORD_ALIGNMENT: u64 = 64;
/// What direct input and output is done in.
pub const BLOCK_BYTES: u64 = 4096;
/// A header's length.
pub const RECORD_HEADER_BYTES: u64 = 128;
/// Data of this length lies on a block boundary.
pub const LARGE_DATA_BYTES: u64 = 1 << 20;

/// Where a record may start that comes behind `offset`.
pub const fn record_start(offset: u64, data_bytes: u64) -> u64 {
    offset.next_multiple_of(if data_bytes >= LARGE_DATA_BYTES { BLOCK_BYTES } else { RECORD_ALIGNMENT })
}

/// How far behind a record's start its data lies.
pub const fn data_start(data_bytes: u64) -> u64 {
    if data_bytes >= LARGE_DATA_BYTES { BLOCK_BYTES } else { RECORD_HEADER_BYTES }
}

/// A record's length.
pub const fn record_bytes(data_bytes: u64, metadata_bytes: u32) -> u64 {
    (data_start(data_bytes) + data_bytes + metadata_bytes as u64).next_multiple_of(RECORD_ALIGNMENT)
}
