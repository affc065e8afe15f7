//! Objects that come back from disk, for gets.
//!
//! Only a get whose objects are all there, in memory or on disk, has anything fetched: what others wait for may never
//! come. Such a get is *admitted* when its objects fit beside what is pinned, unsealed, and held for those admitted before.
//! From then on what it needs stays in memory as if pinned, until all is there and it pins it, so two gets can't take
//! each other's objects away again and again. It waits for memory before any create does, and never in their line.
//!
//! **No hold and wait.** Held objects belong to nobody: when an admitted get finds no way to room for one more of them, and
//! others are admitted too, it is *parked*: its objects may go, for creates too, and it is looked at again when something
//! changes. After that gets are admitted one by one, oldest first, until one is served. So of a get and a create that both
//! need what the other takes, one is served first and then the other. The only one that is admitted has all of its objects
//! gathered anew, if they fit then; else it is answered from disk (`view`), as is a get whose objects don't fit beside what
//! is pinned and unsealed.

use alloc::vec::Vec;

use plasmad_wire::{Extent, ObjectId};

use super::room::Chosen;
use super::spill::List;
use super::{Store, Turn};
use crate::disk::{ReadOutcome, Restore};
use crate::effect::{Effect, Refusal};
use crate::eviction::Recency;
use crate::queue::{Turned, WaitKey, distinct};
use crate::residence::Residence;
use crate::slot::{Move, SlotNumber, State};
use crate::spill::{Disk, Kept, Reading, ReadingFor};

impl Store {
    /// A get doesn't wait; what it wants of the disk comes into memory all the same, if there is room.
    pub(super) fn ask_for(&mut self, ids: &[ObjectId]) {
        for id in ids {
            let Some(slot) = self.slots.find(*id).filter(|slot| self.is_out_of_reach(*slot)) else {
                continue;
            };
            self.disk.asked.insert(slot);
            self.disk.restores_due = true;
            self.need(slot);
        }
    }

    /// Begins as many restores as may run at a time. After a change of room, everybody is looked at anew.
    pub(super) fn serve_restores<R: Residence>(&mut self, turn: &mut Turn<'_, R>, room_changed: bool) {
        if room_changed {
            self.disk.parked.clear();
        }
        for _ in 0..PARKED_MAX {
            (self.disk.restores_due, self.disk.is_short) = (false, false);
            self.admit(turn);
            self.start_checks(turn);
            match self.start_restores(turn) {
                Some(hopeless) if self.gather(turn, hopeless) => return,
                Some(hopeless) => self.give_way(hopeless),
                // Making room reads rings, so somebody may have come to wait for the disk.
                None if self.disk.restores_due => {}
                None => return,
            }
        }
        // There may be more who were not looked at.
        self.disk.restores_due = true;
    }

    /// A restore is done, or failed.
    pub(super) fn restored<R: Residence>(&mut self, turn: &mut Turn<'_, R>, number: u64, outcome: ReadOutcome) {
        let reading = self.disk.reads.remove(&number).expect("a restore that is done was begun");
        self.disk.restores_due = true;
        if reading.reason == ReadingFor::View {
            return self.checked(turn, &reading, outcome);
        }
        let (slot, place) = (SlotNumber(reading.object.slot), reading.place);
        let (extent, id) = (self.slots[slot].extent, self.slots[slot].id);
        let bytes = self.arena.reserved_bytes(extent);
        self.disk.files.end_read(place.file);
        self.disk.reading_bytes -= bytes;
        self.disk.set_idle(slot);
        if self.slots[slot].state == State::Doomed {
            self.advance(slot, Move::LastRelease);
            return self.take_back_extent(extent);
        }
        match outcome {
            ReadOutcome::Read => {
                self.advance(slot, Move::RestoreDone);
                turn.residence.publish(slot, &self.slots[slot].record());
                self.enlist(slot);
                self.totals.restores += 1;
                self.totals.restored_bytes += bytes;
                for number in self.gets.turned(id, Turned::Restored) {
                    self.answer_get(turn, number, false);
                }
            }
            ReadOutcome::Failed => {
                self.back_to_disk(slot, extent);
                self.refuse_gets(turn, id, &Refusal::RestoreFailed(id));
            }
            // Whoever asks for it is to be told, so it isn't gone before somebody does.
            ReadOutcome::Lost if reading.reason == ReadingFor::Guess => {
                self.back_to_disk(slot, extent);
                self.need(slot);
                if self.is_viewing(slot) {
                    self.want_checked(slot);
                }
            }
            ReadOutcome::Lost => {
                self.back_to_disk(slot, extent);
                self.lose(turn, slot);
            }
        }
    }

    /// What lies on disk for an object isn't what was written.
    pub(super) fn lose_record<R: Residence>(&mut self, turn: &mut Turn<'_, R>, slot: SlotNumber) {
        match self.slots[slot].state {
            State::Spilled => self.lose(turn, slot),
            // In memory it is whole, and has to be written once more.
            State::Sealed => {
                self.delist(slot);
                self.disk.unsettle(slot);
                self.disk.doubt(slot);
                self.enlist(slot);
            }
            // A restore is on its way, and will find out.
            State::Restoring => {}
            State::Free | State::Granted | State::Created | State::Spilling | State::Doomed => {
                unreachable!("what has a record is on disk, or clean")
            }
        }
    }

    /// What gets that were admitted need stays as if pinned.
    pub(super) fn hold(&mut self) {
        for number in &self.disk.admitted {
            let Some(wait) = self.gets.wait(*number) else { continue };
            let readable = wait.ids.iter().filter_map(|id| self.slots.find_readable(*id));
            readable.for_each(|slot| _ = self.pinned.insert(slot));
        }
    }

    /// Admits gets whose objects fit, oldest first.
    fn admit<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        let waiting = self.gets.waiting_for_disk();
        let before = (self.disk.admitted.len(), self.disk.viewing.len());
        self.disk.admitted.retain(|number| waiting.contains(number));
        self.disk.viewing.retain(|number| waiting.contains(number));
        self.sweep_due |= self.disk.viewing.len() < before.1;
        if self.disk.admitted.len() < before.0 {
            self.disk.parked.clear();
            self.disk.one_by_one = false;
        }
        let known = [&self.disk.admitted, &self.disk.viewing, &self.disk.parked];
        let is_new = |number: &u64| known.iter().all(|gets| !gets.contains(number));
        let new: Vec<u64> = waiting.iter().copied().filter(is_new).collect();
        if new.is_empty() {
            return;
        }
        self.pinned.clear();
        turn.residence.pinned(&mut self.pinned);
        let pinned = self.pinned.members().iter().map(|slot| self.slots.pinned_bytes(*slot)).sum::<u64>();
        let held = self.disk.admitted.iter().map(|number| self.bytes_of(*number)).sum::<u64>();
        let beside_pins = self.config.capacity_bytes.saturating_sub(pinned + self.unsealed_bytes);
        let mut budget = beside_pins.saturating_sub(held);
        for number in new {
            let bytes = self.bytes_of(number);
            if bytes > beside_pins {
                self.answer_from_disk(number);
                continue;
            }
            let is_next = !self.disk.one_by_one || self.disk.admitted.is_empty();
            if bytes > budget || !is_next {
                self.disk.parked.insert(number);
                continue;
            }
            budget -= bytes;
            self.disk.admitted.insert(number);
            self.need_all(number);
        }
    }

    /// What a get's objects take that are not pinned already, nor viewed on disk.
    fn bytes_of(&self, number: u64) -> u64 {
        let slots = self.slots_of(number);
        let slots = slots.into_iter().filter(|slot| !self.pinned.contains(*slot) && !self.is_viewed(*slot));
        slots
            .map(|slot| self.arena.reserved_bytes(Extent { bytes: self.bytes_in_memory(slot), ..Extent::default() }))
            .sum()
    }

    /// What an object takes of memory when it is there, rounding aside.
    fn bytes_in_memory(&self, slot: SlotNumber) -> u64 {
        self.slots[slot].data_bytes + u64::from(self.slots[slot].metadata_bytes)
    }

    /// A get's objects, each once.
    pub(super) fn slots_of(&self, number: u64) -> Vec<SlotNumber> {
        let ids = self.gets.wait(number).map_or_else(Vec::new, |wait| distinct(&wait.ids));
        ids.iter().filter_map(|id| self.slots.find(*id)).collect()
    }

    fn need_all(&mut self, number: u64) {
        self.slots_of(number).into_iter().for_each(|slot| self.need(slot));
    }

    fn need(&mut self, slot: SlotNumber) {
        if self.slots[slot].state == State::Restoring {
            self.guess_next(slot);
        }
        let Some(home) = self.disk.home(slot).filter(|_| self.is_out_of_reach(slot)) else { return };
        self.disk.needed.insert((home.place.file, home.place.offset), self.slots.handle(slot));
    }

    /// The next object in the order of the disk that somebody still needs, from where the last one was.
    fn next_needed(&mut self) -> Option<SlotNumber> {
        loop {
            let ahead = self.disk.needed.range(self.disk.head..).next();
            let (place, handle) = ahead.or_else(|| self.disk.needed.first_key_value())?;
            let (place, handle) = (*place, *handle);
            let slot = self.slots.resolve(handle).filter(|slot| self.is_out_of_reach(*slot));
            if let Some(slot) = slot.filter(|slot| self.disk.asked.contains(slot) || self.is_admitted(*slot)) {
                self.disk.head = place;
                return Some(slot);
            }
            self.disk.needed.remove(&place);
            self.disk.asked.remove(&SlotNumber(handle.slot));
        }
    }

    fn is_admitted(&self, slot: SlotNumber) -> bool {
        let waits = self.gets.waiting_for(self.slots[slot].id);
        waits.iter().any(|number| self.disk.admitted.contains(number))
    }

    /// Begins restores; the one for which there is no room and no way to it, if that ends it.
    fn start_restores<R: Residence>(&mut self, turn: &mut Turn<'_, R>) -> Option<SlotNumber> {
        while self.may_restore() {
            let Some(slot) = self.next_needed() else {
                self.start_guessed(turn);
                return None;
            };
            match self.room_for_restore(turn, self.bytes_in_memory(slot)) {
                Room::Found(extent) => {
                    self.guess_next(slot);
                    self.start_restore(turn, slot, extent, ReadingFor::Get);
                }
                Room::Coming => {
                    self.disk.is_short = true;
                    return None;
                }
                Room::Hopeless => return Some(slot),
            }
        }
        None
    }

    fn may_restore(&self) -> bool {
        self.disk.reads.len() < READS_MAX && self.disk.reading_bytes < READING_BYTES_MAX
    }

    /// What lies behind an object that a get has read may come as well.
    fn guess_next(&mut self, slot: SlotNumber) {
        let Some(home) = self.disk.home(slot) else { return };
        let Disk { files, reading_on, guessed, .. } = &mut self.disk;
        let objects = files.kept_behind(home.place).filter(|(_, kept)| matches!(kept, Kept::Object(_)));
        for place in reading_on.wanted(home.place, objects.map(|(place, _)| place)) {
            if let Some(Kept::Object(slot)) = files.kept_at(place) {
                guessed.insert((place.file, place.offset), self.slots.handle(slot));
            }
        }
    }

    /// Begins restores that nobody asked for, while nobody waits for room: only in memory that is free, or taken by what is
    /// on disk as well.
    fn start_guessed<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        if self.is_short_of_room() || self.disk.room.is_some() {
            self.disk.guessed.clear();
        }
        while self.may_restore()
            && let Some((_, handle)) = self.disk.guessed.pop_first()
        {
            let Some(slot) = self.slots.resolve(handle).filter(|slot| self.is_out_of_reach(*slot)) else { continue };
            let bytes = self.bytes_in_memory(slot);
            let mut found = self.arena.allocate(bytes);
            if found.is_none() && self.recency.count() == 0 {
                found = self.drop_for_restores(turn, bytes);
            }
            match found {
                Some(extent) => self.start_restore(turn, slot, extent, ReadingFor::Guess),
                None => self.disk.guessed.clear(),
            }
        }
    }

    fn start_restore<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        slot: SlotNumber,
        into: Extent,
        reason: ReadingFor,
    ) {
        let home = self.disk.home(slot).expect("what is spilled is on disk");
        self.disk.needed.remove(&(home.place.file, home.place.offset));
        self.disk.asked.remove(&slot);
        self.slots.restore_into(slot, into);
        self.disk.set_busy(slot);
        self.disk.reading_bytes += self.arena.reserved_bytes(into);
        self.start_read(turn, slot, Some(into), reason);
    }

    /// Has an object's record read, and its file kept until that is done.
    pub(super) fn start_read<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        slot: SlotNumber,
        into: Option<Extent>,
        reason: ReadingFor,
    ) {
        let home = self.disk.home(slot).expect("what is spilled is on disk");
        self.disk.files.begin_read(home.place.file);
        let number = self.disk.restore_number();
        let object = self.slots.handle(slot);
        self.disk.reads.insert(number, Reading { object, place: home.place, reason });
        let record = self.disk_record(slot, home.sequence);
        let is_guess = reason == ReadingFor::Guess;
        turn.effects.push(Effect::Restore(Restore { number, place: home.place, record, into, is_guess }));
    }

    fn room_for_restore<R: Residence>(&mut self, turn: &mut Turn<'_, R>, bytes: u64) -> Room {
        let mut found = self.arena.allocate(bytes);
        if found.is_none() && self.disk.room.is_none() {
            found = self.drop_for_restores(turn, bytes);
        }
        if found.is_none() {
            let is_coming = self.disk.room.is_some() || self.is_giving_back(turn.now);
            if is_coming || self.order_room(turn, &[bytes]) {
                return Room::Coming;
            }
            if self.take_back_all(turn) {
                found = self.arena.allocate(bytes);
            }
        }
        found.map_or(Room::Hopeless, Room::Found)
    }

    /// Where more is to come back than one object, room is made for more than one, so that not each costs a scan.
    fn drop_for_restores<R: Residence>(&mut self, turn: &mut Turn<'_, R>, bytes: u64) -> Option<Extent> {
        let is_more = self.disk.needed.len() + self.disk.guessed.len() > 1;
        let more = bytes.max(if is_more { self.batch_bytes() } else { 0 });
        let mut dropped = self.drop_for(turn, &[more]);
        if dropped.is_none() && more > bytes {
            dropped = self.drop_for(turn, &[bytes]);
        }
        dropped?.into_iter().for_each(|extent| self.arena.free(extent));
        self.disk.outlived = true;
        [&mut self.clean, &mut self.dirty].into_iter().for_each(Recency::begin_age);
        self.arena.allocate(bytes)
    }

    /// The only get that is admitted holds what leaves no piece large enough for the rest: room is made for all of its
    /// objects together, its own among those that go for it, and all come back at once. `false`: that can't be done.
    fn gather<R: Residence>(&mut self, turn: &mut Turn<'_, R>, slot: SlotNumber) -> bool {
        let mut admitted = self.disk.admitted.iter();
        let (Some(number), None) = (admitted.next().copied(), admitted.next()) else { return false };
        if !self.is_admitted(slot) || !self.disk.may_write() {
            return false;
        }
        let mut own = self.slots_of(number);
        own.retain(|slot| !self.is_viewed(*slot));
        if own.iter().any(|slot| self.slots[*slot].state == State::Restoring) {
            return true;
        }
        // For the choice nothing is held.
        let held = core::mem::take(&mut self.disk.admitted);
        self.scan(turn);
        self.disk.admitted = held;
        // What is neither on disk nor can be written there stays where it is.
        let can_come_back = |slot: SlotNumber| matches!(self.list_of(slot), List::Clean | List::Dirty);
        own.retain(|slot| !self.pinned.contains(*slot) && (self.is_out_of_reach(*slot) || can_come_back(*slot)));
        let sizes: Vec<u64> = own.iter().map(|slot| self.bytes_in_memory(*slot)).collect();
        let readable: Vec<SlotNumber> =
            own.iter().copied().filter(|slot| self.slots[*slot].state.is_readable()).collect();
        if own.len() < 2 || readable.is_empty() {
            return false;
        }
        match self.choose_room(&sizes, &readable) {
            Chosen::Coming => {
                self.disk.is_short = true;
                true
            }
            Chosen::Drop(window) if turn.residence.retract(&window).is_ok() => {
                window.into_iter().for_each(|slot| self.drop_retracted(turn, slot));
                let spilled = own.into_iter().zip(sizes).filter(|(slot, _)| self.is_out_of_reach(*slot));
                for (slot, bytes) in spilled.collect::<Vec<_>>() {
                    let Some(into) = self.arena.allocate(bytes) else { return false };
                    self.start_restore(turn, slot, into, ReadingFor::Get);
                }
                true
            }
            Chosen::Drop(_) | Chosen::Nothing => false,
        }
    }

    /// There is no room for this object, and no way to it. If one get alone is admitted, and needs it, it is answered from
    /// disk. Else all but one wait until something changes: the oldest of those that don't need it goes on, or of those
    /// that do.
    fn give_way(&mut self, slot: SlotNumber) {
        self.disk.asked.remove(&slot);
        let waits = self.gets.waiting_for(self.slots[slot].id);
        let (needing, others): (Vec<u64>, Vec<u64>) =
            self.disk.admitted.iter().partition(|number| waits.contains(number));
        if let ([only], []) = (&needing[..], &others[..]) {
            self.disk.parked.clear();
            return self.answer_from_disk(*only);
        }
        let stays = others.first().or(needing.first()).copied();
        self.disk.parked.extend(needing.into_iter().filter(|number| Some(*number) != stays));
        self.disk.one_by_one = true;
        self.disk.admitted = stays.into_iter().collect();
    }

    /// The object stays where it was.
    fn back_to_disk(&mut self, slot: SlotNumber, extent: Extent) {
        self.totals.disk_errors += 1;
        self.advance(slot, Move::RestoreFailed);
        self.take_back_extent(extent);
    }

    fn take_back_extent(&mut self, extent: Extent) {
        self.arena.free(extent);
        self.room_changed = true;
    }

    /// An object on disk is gone for good.
    pub(super) fn lose<R: Residence>(&mut self, turn: &mut Turn<'_, R>, slot: SlotNumber) {
        let id = self.slots[slot].id;
        self.refuse_gets(turn, id, &Refusal::Lost(id));
        self.delete_one(turn, slot);
        self.sweep_due |= !self.doomed.is_empty();
        self.totals.lost += 1;
    }

    /// Gets that lack nothing but what is on disk, and can't have this.
    pub(super) fn refuse_gets<R: Residence>(&mut self, turn: &mut Turn<'_, R>, id: ObjectId, refusal: &Refusal) {
        let waits = self.gets.waiting_for(id).iter();
        let waits: Vec<u64> = waits.copied().filter(|number| self.gets.waiting_for_disk().contains(number)).collect();
        for number in waits {
            if let Some((client, tag)) = self.stop_waiting(turn, WaitKey::Get(number)) {
                self.answer(turn, client, tag, Err(refusal.clone()));
            }
        }
    }
}

/// Where a restore's memory is.
enum Room {
    /// Here.
    Found(Extent),
    /// Something that is under way makes it.
    Coming,
    /// Nowhere, as things are.
    Hopeless,
}

/// How many restores run at a time, and how much memory they take; one may take more.
pub(super) const READS_MAX: usize = 16;
const READING_BYTES_MAX: u64 = 64 << 20;
/// How often in one event somebody is parked, or looked at anew; the rest has to wait for the next one.
const PARKED_MAX: usize = 8;
