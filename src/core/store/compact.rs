//! Files that are mostly dead are rewritten, and so go.
//!
//! What is wanted in such a file is copied to the end of the growing one, batch by batch, one at a time, when there is
//! nothing else to write. A record that moves gets a new number, above that of all tombstones before; a tombstone that
//! moves keeps its own, so that it never buries what came behind it. The old file goes when nothing in it is wanted and
//! nobody reads there.

use alloc::vec::Vec;

use super::Store;
use super::spill::tombstone;
use crate::disk::{DiskPlace, Source};
use crate::slot::State;
use crate::spill::{Cargo, Draft, Kept};

impl Store {
    /// The next records of a file that is worth rewriting.
    pub(super) fn draft_moves(&mut self, draft: &mut Draft) {
        if self.disk.is_moving() {
            return;
        }
        let unfinished = self.disk.compacting.filter(|file| self.disk.files.kept_in(*file).next().is_some());
        self.disk.compacting = unfinished.or_else(|| self.disk.files.take_for_compaction());
        let Some(file) = self.disk.compacting else { return };
        let (aim_bytes, bytes_max) = (self.batch_bytes(), self.disk.room_bytes(true));
        let mut left = aim_bytes;
        let is_first = |(place, _): &(DiskPlace, Kept)| {
            let fits = left > 0;
            left = left.saturating_sub(place.bytes);
            fits
        };
        // What comes back just now is found out about by whoever reads it; what is viewed is read where it is.
        let rests = |(_, kept): &(DiskPlace, Kept)| match kept {
            Kept::Object(slot) => self.slots[*slot].state != State::Restoring && !self.is_viewed(*slot),
            Kept::Tombstone { .. } => true,
        };
        let kept = self.disk.files.kept_in(file).filter(rests).take_while(is_first);
        let kept: Vec<(DiskPlace, Kept)> = kept.collect();
        let is_waiting = |(_, kept): (DiskPlace, Kept)| matches!(kept, Kept::Object(slot) if self.is_viewed(slot));
        if kept.is_empty() && self.disk.files.kept_in(file).any(is_waiting) {
            self.disk.files.note_stuck(file);
        }
        for (place, kept) in kept {
            let (record, source, cargo) = match kept {
                Kept::Object(slot) => {
                    let sequence = self.disk.sequence();
                    (self.disk_record(slot, sequence), Source::Disk(place), Cargo::Moved(slot, place))
                }
                Kept::Tombstone { id, sequence } => {
                    (tombstone(sequence, id, 0), Source::Nothing, Cargo::MovedTombstone(place))
                }
            };
            if !draft.push(record, source, cargo, aim_bytes, bytes_max) {
                break;
            }
        }
        if draft.is_empty() {
            // There is no room for it now, or nothing that rests.
            self.disk.compacting = None;
        }
    }
}
