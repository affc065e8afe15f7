//! Spill files: what of each is wanted, and where the next batch goes.
//!
//! Invariant: each byte of a file is wanted (a record's that is kept), in flight (a batch's that isn't done), or dead.
//! A file goes when nothing in it is wanted and nobody writes or reads there.
//!
//! **Tombstones.** One is wanted as long as *another* file holds records of objects that are older than it: one of them may
//! be of its id. Older records in its own file go with it. So tombstones need no list of what they bury; they live
//! longer than they must while some old file does, at 128 bytes each, and when compaction has rewritten the old files,
//! with new numbers, they are dead.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use plasmad_wire::ObjectId;

use crate::disk::{BLOCK_BYTES, DiskPlace, FileNumber};
use crate::slot::SlotNumber;

/// All files of a store.
#[derive(Debug)]
pub struct Files {
    files: BTreeMap<FileNumber, File>,
    /// The one that takes the next batch.
    growing: Option<FileNumber>,
    next: FileNumber,
    /// How long a file gets, but for its last batch.
    file_bytes: u64,
    bytes: u64,
    live_bytes: u64,
    in_flight_bytes: u64,
    /// Something happened that may leave a file empty.
    any_emptied: bool,
    /// Something happened that may make a file worth rewriting.
    any_worth: bool,
    /// A file went that something was written to.
    any_freed: bool,
}

#[derive(Debug, Default)]
struct File {
    bytes: u64,
    live_bytes: u64,
    in_flight_bytes: u64,
    /// Batches being written there, and reads.
    uses: u32,
    /// The lowest number of an object's record that is or was there, or may be.
    oldest: Option<u64>,
    /// By their offsets.
    kept: BTreeMap<u64, (Kept, u64)>,
    /// By their numbers; where they lie.
    tombstones: BTreeSet<(u64, u64)>,
    /// Its records couldn't be moved.
    stuck: bool,
    /// A batch was written there whole: the file takes room on the disk.
    was_written: bool,
}

/// A record that is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// An object's.
    Object(SlotNumber),
    /// It tells that an object is deleted.
    Tombstone {
        /// Which.
        id: ObjectId,
        /// Its number, which it keeps when it is moved.
        sequence: u64,
    },
}

impl Files {
    /// None yet.
    pub fn new(next: FileNumber, file_bytes: u64) -> Self {
        Self {
            files: BTreeMap::new(),
            growing: None,
            next,
            file_bytes,
            bytes: 0,
            live_bytes: 0,
            in_flight_bytes: 0,
            any_emptied: false,
            any_worth: false,
            any_freed: false,
        }
    }

    /// A place for a batch of so many bytes, whose oldest object's record has this number.
    pub fn allot(&mut self, bytes: u64, oldest: Option<u64>) -> (FileNumber, u64) {
        let number = self.growing.unwrap_or_else(|| {
            let number = self.next;
            self.next.0 += 1;
            number
        });
        let file = self.files.entry(number).or_default();
        let offset = file.bytes;
        file.bytes += bytes;
        file.in_flight_bytes += bytes;
        file.uses += 1;
        file.oldest = [file.oldest, oldest].into_iter().flatten().min();
        self.bytes += bytes;
        self.in_flight_bytes += bytes;
        self.growing = (file.bytes < self.file_bytes).then_some(number);
        (number, offset)
    }

    /// A batch is done. What of it counts is kept after this; the rest, and all of one that failed, is dead.
    pub fn settle(&mut self, number: FileNumber, bytes: u64, written: bool) {
        let file = self.files.get_mut(&number).expect("a batch's file stays until it is done");
        file.in_flight_bytes -= bytes;
        file.uses -= 1;
        file.was_written |= written;
        self.in_flight_bytes -= bytes;
        (self.any_emptied, self.any_worth) = (true, true);
        if !written && self.growing == Some(number) {
            self.growing = None;
        }
    }

    /// A record is wanted.
    pub fn keep(&mut self, place: DiskPlace, kept: Kept) {
        let file = self.files.get_mut(&place.file).expect("a record's file is there");
        file.live_bytes += place.bytes;
        self.live_bytes += place.bytes;
        if let Kept::Tombstone { sequence, .. } = kept {
            file.tombstones.insert((sequence, place.offset));
        }
        let before = file.kept.insert(place.offset, (kept, place.bytes));
        assert!(before.is_none(), "two records at {place:?}");
    }

    /// A record isn't wanted any more. `false`: it wasn't.
    pub fn forget(&mut self, number: FileNumber, offset: u64) -> bool {
        let Some(file) = self.files.get_mut(&number) else { return false };
        let Some((kept, bytes)) = file.kept.remove(&offset) else { return false };
        if let Kept::Tombstone { sequence, .. } = kept {
            file.tombstones.remove(&(sequence, offset));
        }
        file.live_bytes -= bytes;
        self.live_bytes -= bytes;
        // Those that couldn't be moved may be others than those that are left.
        file.stuck = false;
        self.any_emptied |= file.kept.is_empty();
        self.any_worth = true;
        true
    }

    /// Somebody reads in a file.
    pub fn begin_read(&mut self, number: FileNumber) {
        self.files.get_mut(&number).expect("what is read is there").uses += 1;
    }

    /// And doesn't any more.
    pub fn end_read(&mut self, number: FileNumber) {
        let file = self.files.get_mut(&number).expect("a file stays while it is read");
        file.uses -= 1;
        self.any_emptied |= file.uses == 0 && file.kept.is_empty();
    }

    /// A file that a former store left, and a record in it, wanted or not. `oldest` as for [`Self::allot`].
    pub fn adopt(&mut self, place: DiskPlace, oldest: Option<u64>) {
        let file = self.files.entry(place.file).or_default();
        let end = (place.offset + place.bytes).next_multiple_of(BLOCK_BYTES).max(file.bytes);
        self.bytes += end - file.bytes;
        file.bytes = end;
        file.was_written = true;
        file.oldest = [file.oldest, oldest].into_iter().flatten().min();
        (self.any_emptied, self.any_worth) = (true, true);
    }

    /// Takes out the files in which nothing is wanted.
    pub fn take_emptied(&mut self) -> Vec<FileNumber> {
        let mut taken = Vec::new();
        while core::mem::take(&mut self.any_emptied) {
            self.forget_tombstones();
            let empty = |file: &File| file.kept.is_empty() && file.uses == 0;
            let emptied = self.files.iter().filter(|(_, file)| empty(file)).map(|(number, _)| *number);
            for number in emptied.collect::<Vec<_>>() {
                let file = self.files.remove(&number).expect("it was just seen");
                self.bytes -= file.bytes;
                self.any_freed |= file.was_written;
                self.growing = self.growing.filter(|growing| *growing != number);
                // What was buried by tombstones elsewhere may have been there.
                self.any_emptied = true;
                taken.push(number);
            }
        }
        taken
    }

    /// Did files go that gave something back, since this was last asked?
    pub fn take_freed(&mut self) -> bool {
        core::mem::take(&mut self.any_freed)
    }

    /// Somewhere may be an older record than a tombstone with this number, which is to be written.
    pub fn needs_tombstone(&self, sequence: u64) -> bool {
        self.files.values().any(|file| file.oldest.is_some_and(|oldest| oldest < sequence))
    }

    /// Forgets tombstones under which nothing can be buried any more.
    fn forget_tombstones(&mut self) {
        let oldest = || self.files.iter().filter_map(|(number, file)| Some((file.oldest?, *number)));
        let first = oldest().min();
        let second = oldest().filter(|it| Some(*it) != first).min();
        let (first_owner, first) = (first.map(|it| it.1), first.map_or(u64::MAX, |it| it.0));
        let second = second.map_or(u64::MAX, |it| it.0);
        for (number, file) in &mut self.files {
            // The oldest record in any other file.
            let bound = if Some(*number) == first_owner { second } else { first };
            while let Some((sequence, offset)) = file.tombstones.first().copied().filter(|it| it.0 < bound) {
                file.tombstones.remove(&(sequence, offset));
                if let Some((_, bytes)) = file.kept.remove(&offset) {
                    file.live_bytes -= bytes;
                    self.live_bytes -= bytes;
                }
            }
        }
    }

    /// The file that is worth rewriting most: more than half of it would be gained, blocks counted whole. It takes no
    /// more batches.
    pub fn take_for_compaction(&mut self) -> Option<FileNumber> {
        if !self.any_worth {
            return None;
        }
        let idle =
            self.files.iter().filter(|(_, file)| file.in_flight_bytes == 0 && !file.stuck && !file.kept.is_empty());
        let gain = |file: &File| file.bytes - file.live_bytes.next_multiple_of(BLOCK_BYTES).min(file.bytes);
        let worth = idle.filter(|(_, file)| 2 * gain(file) > file.bytes);
        let number = worth.max_by_key(|(_, file)| gain(file)).map(|(number, _)| *number);
        self.any_worth = number.is_some();
        let number = number?;
        self.growing = self.growing.filter(|growing| *growing != number);
        Some(number)
    }

    /// Its records couldn't be moved, and don't become better for trying again and again; or they are read where they are.
    pub fn note_stuck(&mut self, number: FileNumber) {
        if let Some(file) = self.files.get_mut(&number) {
            file.stuck = true;
        }
    }

    /// They can be moved now.
    pub fn note_movable(&mut self, number: FileNumber) {
        if let Some(file) = self.files.get_mut(&number) {
            (file.stuck, self.any_worth) = (false, true);
        }
    }

    /// What is wanted in a file, by its place.
    pub fn kept_in(&self, number: FileNumber) -> impl Iterator<Item = (DiskPlace, Kept)> {
        let kept = self.files.get(&number).into_iter().flat_map(|file| &file.kept);
        kept.map(move |(offset, (kept, bytes))| (DiskPlace { file: number, offset: *offset, bytes: *bytes }, *kept))
    }

    /// What is wanted in a file behind a place.
    pub fn kept_behind(&self, place: DiskPlace) -> impl Iterator<Item = (DiskPlace, Kept)> {
        let kept = self.files.get(&place.file).into_iter().flat_map(move |file| file.kept.range(place.offset + 1..));
        kept.map(move |(offset, (kept, bytes))| (DiskPlace { offset: *offset, bytes: *bytes, ..place }, *kept))
    }

    /// What is wanted at a place.
    pub fn kept_at(&self, place: DiskPlace) -> Option<Kept> {
        self.files.get(&place.file)?.kept.get(&place.offset).map(|(kept, _)| *kept)
    }

    /// Somebody reads or writes there.
    #[cfg(debug_assertions)]
    pub fn is_used(&self, number: FileNumber) -> bool {
        self.files.get(&number).is_some_and(|file| file.uses > 0)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// What they take, batches in flight included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What of that is wanted.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// What of that is being written.
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    /// What of that is dead.
    pub fn dead_bytes(&self) -> u64 {
        self.bytes - self.live_bytes - self.in_flight_bytes
    }
}

#[cfg(test)]
#[path = "files_fuzz.rs"]
mod fuzz;
