//! A batch that is being put together: which records, and where each will lie.
//!
//! Places are relative to the batch's start, which is a multiple of [`BLOCK_BYTES`], so that [`record_start`] allows the same
//! ones in the file.

use alloc::vec::Vec;

use crate::disk::{BLOCK_BYTES, Batch, DiskPlace, DiskRecord, FileNumber, Source, record_bytes, record_start};
use crate::slot::SlotNumber;

/// Why a record is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cargo {
    /// An object leaves memory, for whoever has this order.
    Spilled(SlotNumber, Option<u64>),
    /// An object's record moves from a file that is to go.
    Moved(SlotNumber, DiskPlace),
    /// An object was deleted.
    Tombstone,
    /// The same, from a file that is to go.
    MovedTombstone(DiskPlace),
}

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// What it tells.
    pub record: DiskRecord,
    /// Where it comes to lie; in a draft, behind its start.
    pub place: DiskPlace,
    /// What for.
    pub cargo: Cargo,
    source: Source,
}

/// Records for one batch.
#[derive(Debug, Default)]
pub struct Draft {
    carried: Vec<Carried>,
    bytes: u64,
}

impl Draft {
    /// Adds a record, unless the batch would be longer than so many bytes. The first one may be as long as it is, as long
    /// as there are so many at all.
    pub fn push(&mut self, record: DiskRecord, source: Source, cargo: Cargo, aim_bytes: u64, bytes_max: u64) -> bool {
        let offset = record_start(self.bytes, record.data_bytes);
        let bytes = record_bytes(record.data_bytes, record.metadata_bytes);
        let end = (offset + bytes).next_multiple_of(BLOCK_BYTES);
        if end > bytes_max || (end > aim_bytes && !self.is_empty()) {
            return false;
        }
        let place = DiskPlace { file: FileNumber(0), offset, bytes };
        self.carried.push(Carried { record, place, cargo, source });
        self.bytes = offset + bytes;
        true
    }

    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.carried.is_empty()
    }

    /// How long the batch will be.
    pub fn bytes(&self) -> u64 {
        self.bytes.next_multiple_of(BLOCK_BYTES)
    }

    /// The lowest number of an object's record in it.
    pub fn oldest(&self) -> Option<u64> {
        let objects = self.carried.iter().filter(|carried| !carried.record.tombstone);
        objects.map(|carried| carried.record.sequence).min()
    }

    /// The batch, at its place.
    pub fn finish(self, number: u64, file: FileNumber, offset: u64) -> (Batch, Vec<Carried>) {
        let records = self.carried.iter().map(|carried| (carried.record, carried.source)).collect();
        let place = |place: DiskPlace| DiskPlace { file, offset: offset + place.offset, ..place };
        let carried = self.carried.into_iter().map(|it| Carried { place: place(it.place), ..it }).collect();
        (Batch { number, file, offset, records }, carried)
    }
}
