//! What a former store left on disk.

use alloc::vec::Vec;

use hashbrown::{DefaultHashBuilder, HashMap};
use plasmad_wire::ObjectId;

use super::Store;
use crate::disk::{DiskPlace, DiskRecord};
use crate::spill::Kept;

impl Store {
    /// Of all records with one id that with the highest number counts; two with one number are copies. A tombstone that
    /// counts buries the others, and stays as long as it has to.
    pub(super) fn adopt(&mut self, records: Vec<(DiskRecord, DiskPlace)>) {
        if !self.disk.exists {
            return;
        }
        let mut best: HashMap<ObjectId, usize, DefaultHashBuilder> = HashMap::default();
        for (at, (record, place)) in records.iter().enumerate() {
            self.disk.files.adopt(*place, (!record.tombstone).then_some(record.sequence));
            let is_better = |other: &usize| records[*other].0.sequence < record.sequence;
            if best.get(&record.id).is_none_or(is_better) {
                best.insert(record.id, at);
            }
        }
        // In their order, so that a seed replays a run.
        for (at, (record, place)) in records.iter().enumerate() {
            if best.get(&record.id) != Some(&at) {
                continue;
            }
            if record.tombstone {
                let (id, sequence) = (record.id, record.sequence);
                self.disk.files.keep(*place, Kept::Tombstone { id, sequence });
            } else if self.slots.vacancies() > 0 && self.slots.find(record.id).is_none() {
                let slot = self.slots.adopt(record);
                self.sealed_count += 1;
                self.disk.settle_at(slot, *place, record.sequence);
            } else {
                self.totals.lost += 1;
            }
        }
    }
}
