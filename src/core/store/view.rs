//! Gets that are answered from disk: their objects are pinned, and read, where they lie in spill files.
//!
//! Where memory has no room for a get's objects, and none can be made before somebody lets go of what it pins (`restore` tells
//! when that is so), the get doesn't wait for that. What it lacks is looked at on disk, checksum included, and then
//! it pins all of its objects: those in memory there, the others as *views*. What was looked at for one get is there for all.
//!
//! Invariant: an object is viewed, in one place, from when it was looked at until nobody pins it and no such get is about to.
//! Until then it isn't restored, and the view counts as a read in its file: the file stays, and its bytes count. Claims
//! on views are those on the slot's generation, as of objects in memory. A deleted object that is viewed is doomed without
//! an extent. Nothing waits for views but files, so nobody has to ring.

use alloc::vec::Vec;

use plasmad_wire::{Location, ObjectId, Pin};

use super::restore::READS_MAX;
use super::{Store, Turn};
use crate::clients::ClientId;
use crate::disk::{DiskPlace, ReadOutcome, data_start};
use crate::effect::{Refusal, Reply};
use crate::queue::Turned;
use crate::residence::Residence;
use crate::slot::{SlotNumber, State};
use crate::spill::{Reading, ReadingFor};

impl Store {
    /// Where the bytes are that a client has pinned on disk.
    pub(super) fn view<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        pin: Pin,
    ) -> Result<Reply, Refusal> {
        let slot = self.slots.resolve(pin.handle);
        let viewed = slot.and_then(|slot| Some((slot, *self.disk.views.get(&slot)?)));
        match viewed.filter(|_| turn.residence.holds(client, pin)) {
            Some((slot, place)) => Ok(Reply::Viewed { file: place.file, location: self.location_in(place, slot) }),
            None => Err(Refusal::NotHeld(pin.handle)),
        }
    }

    /// The object's bytes can be read now, in memory or on disk.
    pub(super) fn is_at_hand(&self, slot: SlotNumber) -> bool {
        match self.slots[slot].state {
            State::Spilled => self.is_viewed(slot),
            state => state.is_readable(),
        }
    }

    /// The object of this id whose bytes can be read now.
    pub(super) fn find_at_hand(&self, id: ObjectId) -> Option<SlotNumber> {
        self.slots.find(id).filter(|slot| self.is_at_hand(*slot))
    }

    /// The object is on disk, and neither viewed there nor on its way back.
    pub(super) fn is_out_of_reach(&self, slot: SlotNumber) -> bool {
        self.slots[slot].state == State::Spilled && !self.is_viewed(slot)
    }

    pub(super) fn is_viewed(&self, slot: SlotNumber) -> bool {
        self.disk.views.contains_key(&slot)
    }

    /// Where an object's bytes are in the file that its record lies in.
    pub(super) fn location_in(&self, place: DiskPlace, slot: SlotNumber) -> Location {
        let data_bytes = self.slots[slot].data_bytes;
        Location { segment: 0, offset: place.offset + data_start(data_bytes), ..self.slots[slot].location() }
    }

    /// A get waits for no room: it is answered when what it lacks was looked at.
    pub(super) fn answer_from_disk(&mut self, number: u64) {
        self.disk.admitted.remove(&number);
        self.disk.viewing.insert(number);
        self.slots_of(number).into_iter().for_each(|slot| self.want_checked(slot));
    }

    /// Some get that is answered from disk wants this object.
    pub(super) fn is_viewing(&self, slot: SlotNumber) -> bool {
        let waits = self.gets.waiting_for(self.slots[slot].id);
        waits.iter().any(|number| self.disk.viewing.contains(number))
    }

    /// The object is to be looked at where it lies, unless it is at hand.
    pub(super) fn want_checked(&mut self, slot: SlotNumber) {
        let Some(home) = self.disk.home(slot).filter(|_| self.is_out_of_reach(slot)) else { return };
        self.disk.unchecked.insert((home.place.file, home.place.offset), self.slots.handle(slot));
    }

    /// Has as many looked at as may be at a time.
    pub(super) fn start_checks<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        while self.disk.reads.len() < READS_MAX {
            let Some((_, object)) = self.disk.unchecked.pop_first() else { return };
            let is_under_way = self.disk.reads.values().any(|reading| reading.object == object);
            let slot = self.slots.resolve(object).filter(|slot| self.is_out_of_reach(*slot) && self.is_viewing(*slot));
            if let Some(slot) = slot.filter(|_| !is_under_way) {
                self.start_read(turn, slot, None, ReadingFor::View);
            }
        }
    }

    /// An object was looked at. If it is whole, and still wanted, the read goes on as its view.
    pub(super) fn checked<R: Residence>(&mut self, turn: &mut Turn<'_, R>, reading: &Reading, outcome: ReadOutcome) {
        let place = reading.place;
        let slot = self.slots.resolve(reading.object).filter(|slot| self.is_out_of_reach(*slot));
        let wanted = slot.filter(|slot| self.is_viewing(*slot));
        if let Some(slot) = wanted.filter(|_| outcome == ReadOutcome::Read) {
            turn.residence.reserve(slot, self.slots[slot].generation);
            self.disk.views.insert(slot, place);
            for number in self.gets.turned(self.slots[slot].id, Turned::Restored) {
                self.answer_get(turn, number, false);
            }
            return;
        }
        self.disk.files.end_read(place.file);
        self.totals.disk_errors += u64::from(outcome != ReadOutcome::Read);
        let is_there = |slot: &SlotNumber| self.disk.home(*slot).is_some_and(|home| home.place == place);
        match (outcome, slot) {
            (ReadOutcome::Lost, Some(slot)) if is_there(&slot) => self.lose(turn, slot),
            // It was moved meanwhile, and was whole then.
            (ReadOutcome::Lost, _) => wanted.into_iter().for_each(|slot| self.want_checked(slot)),
            (ReadOutcome::Failed, _) => {
                let refused = wanted.map(|slot| self.slots[slot].id);
                refused.into_iter().for_each(|id| self.refuse_gets(turn, id, &Refusal::RestoreFailed(id)));
            }
            (ReadOutcome::Read, _) => {}
        }
    }

    /// Objects that nobody reads on disk any more may come into memory again. What is pinned was just looked at.
    pub(super) fn end_views(&mut self) {
        let is_over = |slot: &SlotNumber| {
            self.slots[*slot].state == State::Spilled && !self.pinned.contains(*slot) && !self.is_viewing(*slot)
        };
        let over: Vec<SlotNumber> = self.disk.views.keys().copied().filter(is_over).collect();
        for slot in over {
            self.disk.end_view(slot);
            self.gets.turned(self.slots[slot].id, Turned::Spilled);
            self.disk.restores_due |= !self.gets.waiting_for_disk().is_empty();
        }
    }
}
