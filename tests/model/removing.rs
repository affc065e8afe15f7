//! Delete, evict, and freeing what was deleted.

use plasmad_core::{Refusal, Reply, SlotNumber};
use plasmad_wire::{ChangeKind, ObjectId};

use super::state::{Model, reserved};
use super::transcript::Transcript;
use crate::support::{Call, Checked, ensure};

impl Model {
    pub(super) fn delete(&mut self, said: &mut Transcript, ids: &[ObjectId]) -> Checked<Result<Reply, Refusal>> {
        let mut ids = ids.to_vec();
        ids.sort();
        ids.dedup();
        let found: Vec<(ObjectId, u32)> = ids.iter().filter_map(|id| Some((*id, self.find(*id)?.0))).collect();
        if let Some((id, _)) = found.iter().find(|(id, _)| self.find_sealed(*id).is_none()) {
            return Ok(Err(Refusal::NotSealed(*id)));
        }
        for (_, slot) in &found {
            said.call(Call::Doom(SlotNumber(*slot)))?;
            self.objects.entry(*slot).and_modify(|object| object.doomed = true);
            self.note(ChangeKind::Deleted, *slot);
            self.recency.retain(|other| other != slot);
            self.doomed.push(*slot);
        }
        self.totals.deletes += found.len() as u64;
        self.sweep(said)?;
        self.seen.kept_for_pins += found.iter().filter(|(_, slot)| self.doomed.contains(slot)).count() as u64;
        Ok(Ok(Reply::Done(found.len() as u32)))
    }

    /// The core frees every deleted object nobody pins, oldest deletion first.
    pub(super) fn sweep(&mut self, said: &mut Transcript) -> Checked {
        self.sweep_due = false;
        let pinned = self.pinned();
        for slot in std::mem::take(&mut self.doomed) {
            if pinned.contains(&slot) {
                self.doomed.push(slot);
            } else {
                self.free(said, slot)?;
            }
        }
        Ok(())
    }

    /// Exactly the least recently used that give so many bytes.
    pub(super) fn evict(&mut self, said: &mut Transcript, bytes: u64) -> Checked<Reply> {
        self.sweep(said)?;
        let (mut freed_bytes, mut window) = (0, Vec::new());
        for slot in self.candidates() {
            if freed_bytes >= bytes {
                break;
            }
            freed_bytes += reserved(self.objects[&slot].record.extent.bytes);
            window.push(SlotNumber(slot));
        }
        if !window.is_empty() {
            let dropped = said.retracted().unwrap_or_default();
            self.check_droppable(&dropped)?;
            ensure!(dropped == window, "{dropped:?} was dropped, {window:?} is least recently used");
            window.iter().try_for_each(|slot| self.drop_object(said, slot.0))?;
        }
        Ok(Reply::Evicted { asked_bytes: bytes, freed_bytes, dropped: window.len() as u64, spilled: 0 })
    }

    pub(super) fn drop_object(&mut self, said: &mut Transcript, slot: u32) -> Checked {
        self.totals.evictions += 1;
        self.totals.evicted_bytes += reserved(self.objects[&slot].record.extent.bytes);
        self.recency.retain(|other| *other != slot);
        self.note(ChangeKind::Evicted, slot);
        self.free(said, slot)
    }

    pub(super) fn free(&mut self, said: &mut Transcript, slot: u32) -> Checked {
        let next_generation = said.free(slot)?;
        let object = self.objects.remove(&slot);
        let grown = object.as_ref().is_some_and(|object| object.record.generation < next_generation);
        ensure!(grown, "slot {slot} was freed to generation {next_generation}: {object:?}");
        self.generations.insert(slot, next_generation);
        self.room_changed = true;
        Ok(())
    }
}
