//! Which objects go to disk, and what becomes of a batch.
//!
//! **Watermarks.** What a create could get at once is what is free, what may be dropped (evictable objects, and those that
//! are on disk already), and what is being written. When that is less than a fifth of the arena, the least recently used
//! objects are written until it is three tenths. A fifth is what clients fill in the time a few batches take to write, at
//! the rate of memory against the rate of a disk; a tenth between the marks makes batches of useful length. What was
//! written once counts as free from then on, in memory or not: a set of objects that just fits isn't written again and again.
//!
//! **Age.** Restores take the place of objects that are on disk too. So that others that nobody uses any more don't stay for
//! ever, and all who read share what is left, those that were not used for longer are written then, a batch at a time.
//!
//! An object stays readable while it is written, and is retracted when all of its batch is on disk. If somebody pins it
//! by then it stays in memory, clean: it is dropped later without a write. What could not be written stays as it was.

use alloc::vec::Vec;

use plasmad_wire::Handle;

use super::{Store, Turn};
use crate::disk::{BLOCK_BYTES, DiskRecord, Source, WriteOutcome, record_bytes};
use crate::effect::{Effect, Reply};
use crate::queue::Turned;
use crate::residence::{Pinned, Residence};
use crate::slot::{Move, SlotNumber, State};
use crate::spill::{Cargo, Carried, Draft, Kept, Tombstone, Writing};

impl Store {
    /// Sends to disk what should be there, and tells what that settled. Ends each event.
    pub(super) fn use_disk<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        if !self.disk.exists {
            return;
        }
        self.remove_files(turn);
        self.disk.next_tombstone();
        self.make_room_for_first(turn);
        while self.disk.may_write() && self.disk.batches_in_flight() < BATCHES_MAX {
            let draft = self.draft(turn);
            if draft.is_empty() {
                break;
            }
            self.send(turn, draft);
        }
        self.finish_orders(turn);
        if !self.disk.may_write() {
            self.disk.give_up_waiting();
        }
        for (client, tag, count) in self.disk.take_answerable() {
            self.answer(turn, client, tag, Ok(Reply::Done(count)));
        }
    }

    /// A batch is done, or failed.
    pub(super) fn written<R: Residence>(&mut self, turn: &mut Turn<'_, R>, number: u64, outcome: WriteOutcome) {
        let Writing { file, bytes, carried, moves_from } = self.disk.end(number);
        let is_written = outcome == WriteOutcome::Written;
        self.disk.files.settle(file, bytes, is_written);
        if let Some(from) = moves_from {
            self.disk.files.end_read(from);
        }
        match outcome {
            WriteOutcome::Written => self.disk.note_written(),
            WriteOutcome::NoRoom | WriteOutcome::Failed => {
                self.disk.back_off(turn.now, outcome == WriteOutcome::NoRoom);
                self.abandon_orders();
                if let Some(from) = moves_from.filter(|_| outcome == WriteOutcome::Failed) {
                    self.disk.files.note_stuck(from);
                    self.disk.compacting = None;
                }
            }
            WriteOutcome::SourceLost { .. } => {}
        }
        self.totals.disk_errors += u64::from(!is_written);
        let carried_count = carried.len();
        let (mut window, mut failed) = (Vec::with_capacity(carried_count), Vec::new());
        for (at, Carried { record, place, cargo, .. }) in carried.into_iter().enumerate() {
            match cargo {
                Cargo::Spilled(slot, order) => {
                    self.disk.set_idle(slot);
                    self.spilling_bytes -= self.arena.reserved_bytes(self.slots[slot].extent);
                    match self.slots[slot].state {
                        State::Spilling if is_written => {
                            self.disk.settle_at(slot, place, record.sequence);
                            window.push((slot, order));
                        }
                        State::Spilling => failed.push((slot, order)),
                        // It was deleted meanwhile, and its memory waited for this.
                        _ => {
                            self.sweep_due = true;
                            self.order_went(order, 0);
                        }
                    }
                }
                Cargo::Moved(slot, from) if self.disk.home(slot).is_some_and(|home| home.place == from) => {
                    match outcome {
                        WriteOutcome::Written => self.disk.settle_at(slot, place, record.sequence),
                        WriteOutcome::SourceLost { record } if record as usize == at => self.lose_record(turn, slot),
                        WriteOutcome::SourceLost { .. } | WriteOutcome::NoRoom | WriteOutcome::Failed => {}
                    }
                }
                Cargo::MovedTombstone(from) if is_written && self.disk.files.forget(from.file, from.offset) => {
                    self.disk.files.keep(place, Kept::Tombstone { id: record.id, sequence: record.sequence });
                }
                Cargo::Tombstone if is_written => {
                    self.disk.files.keep(place, Kept::Tombstone { id: record.id, sequence: record.sequence });
                    self.disk.tombstone_done(record.sequence);
                }
                Cargo::Tombstone => {
                    let DiskRecord { sequence, id, sealed_at, .. } = record;
                    self.disk.tombstone_failed(Tombstone { sequence, id, deleted_at: sealed_at });
                }
                // It went meanwhile.
                Cargo::Moved(..) | Cargo::MovedTombstone(_) => {}
            }
        }
        self.not_written(failed);
        self.retract_written(turn, window);
        self.finish_orders(turn);
        self.room_changed = true;
    }

    /// Objects of a batch that failed are as they were, the least recently used first.
    fn not_written(&mut self, failed: Vec<(SlotNumber, Option<u64>)>) {
        for (slot, order) in failed.into_iter().rev() {
            self.disk.doubt(slot);
            self.advance(slot, Move::SpillFailed);
            self.dirty.insert_oldest(slot);
            self.order_went(order, 0);
        }
    }

    /// Takes what is on disk out of memory, but for what somebody pins.
    fn retract_written<R: Residence>(&mut self, turn: &mut Turn<'_, R>, written: Vec<(SlotNumber, Option<u64>)>) {
        self.pinned.clear();
        self.hold();
        let mut window: Vec<SlotNumber> =
            written.iter().map(|it| it.0).filter(|it| !self.pinned.contains(*it)).collect();
        while !window.is_empty() {
            let Err(Pinned(pinned)) = turn.residence.retract(&window) else { break };
            pinned.into_iter().for_each(|slot| _ = self.pinned.insert(slot));
            window.retain(|slot| !self.pinned.contains(*slot));
        }
        for (slot, order) in written {
            if self.pinned.contains(slot) {
                self.advance(slot, Move::SpillFailed);
                self.enlist(slot);
                self.order_went(order, 0);
            } else {
                let bytes = self.unload(turn, slot);
                self.order_went(order, bytes);
            }
        }
    }

    /// An object that is out of sight and on disk leaves memory; how much that gives.
    pub(super) fn unload<R: Residence>(&mut self, turn: &mut Turn<'_, R>, slot: SlotNumber) -> u64 {
        let (extent, id) = (self.slots[slot].extent, self.slots[slot].id);
        let bytes = self.arena.reserved_bytes(extent);
        self.advance(slot, Move::SpillDone);
        turn.residence.free(slot, self.slots[slot].generation);
        self.arena.free(extent);
        self.totals.spills += 1;
        self.totals.spilled_bytes += bytes;
        self.gets.turned(id, Turned::Spilled);
        if self.is_viewing(slot) {
            self.want_checked(slot);
        }
        self.disk.restores_due |= !self.gets.waiting_for_disk().is_empty();
        self.room_changed = true;
        bytes
    }

    /// Files in which nothing is wanted go, before anybody hears of what was in them.
    fn remove_files<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        let emptied = self.disk.files.take_emptied();
        turn.effects.extend(emptied.into_iter().map(Effect::RemoveFile));
        if self.disk.files.take_freed() {
            self.disk.note_freed(turn.now);
        }
    }

    /// The next batch: what somebody waits for, else what memory is short of, else what a file is to be rid of. Tombstones
    /// go with any, and alone when nothing else is being written.
    fn draft<R: Residence>(&mut self, turn: &mut Turn<'_, R>) -> Draft {
        let mut draft = Draft::default();
        self.draft_ordered(&mut draft);
        if draft.is_empty() {
            self.draft_ahead(turn, &mut draft);
        }
        if draft.is_empty() {
            self.draft_outlived(turn, &mut draft);
        }
        if draft.is_empty() {
            self.draft_moves(&mut draft);
        }
        if !draft.is_empty() || self.disk.batches_in_flight() == 0 {
            self.draft_tombstones(&mut draft);
        }
        draft
    }

    fn send<R: Residence>(&mut self, turn: &mut Turn<'_, R>, draft: Draft) {
        let bytes = draft.bytes();
        let (file, offset) = self.disk.files.allot(bytes, draft.oldest());
        let number = self.disk.batch_number();
        let (batch, carried) = draft.finish(number, file, offset);
        let moves_from = carried.iter().find_map(|it| match it.cargo {
            Cargo::Moved(_, from) | Cargo::MovedTombstone(from) => Some(from.file),
            Cargo::Spilled(..) | Cargo::Tombstone => None,
        });
        if let Some(from) = moves_from {
            self.disk.files.begin_read(from);
        }
        self.disk.begin(number, Writing { file, bytes, carried, moves_from });
        turn.effects.push(Effect::Write(batch));
    }

    /// The least recently used objects, while memory is short.
    fn draft_ahead<R: Residence>(&mut self, turn: &mut Turn<'_, R>, draft: &mut Draft) {
        let wanted = self.bytes_short();
        if wanted == 0 || self.disk.next_look().is_some() {
            return;
        }
        self.scan(turn);
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        let aim = wanted.min(self.batch_bytes());
        for slot in self.writable() {
            if bytes >= aim {
                break;
            }
            bytes += self.arena.reserved_bytes(self.slots[slot].extent);
            chosen.push(slot);
        }
        let added = chosen.into_iter().take_while(|slot| self.draft_object(draft, *slot, None)).count();
        if added == 0 && self.dirty.count() > 0 {
            self.disk.look_at = Some(turn.now + LOOK_NS);
        }
    }

    /// Objects that were not used for longer than all that are on disk too, when such were dropped for restores.
    fn draft_outlived<R: Residence>(&mut self, turn: &mut Turn<'_, R>, draft: &mut Draft) {
        if !self.disk.outlived || self.disk.batches_in_flight() > 0 {
            return;
        }
        self.disk.outlived = false;
        let bound = self.clean.oldest_age().unwrap_or(u32::MAX);
        if self.dirty.oldest_age().is_none_or(|oldest| oldest >= bound) {
            return;
        }
        self.scan(turn);
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        for slot in self.writable().take_while(|slot| self.dirty.age_of(*slot) < bound) {
            bytes += self.arena.reserved_bytes(self.slots[slot].extent);
            chosen.push(slot);
            if bytes >= self.batch_bytes() {
                break;
            }
        }
        chosen.into_iter().take_while(|slot| self.draft_object(draft, *slot, None)).for_each(drop);
    }

    /// Objects that may be written as things are, the least recently used first. One that is too large for what is left of
    /// the disk keeps no other from going there.
    pub(super) fn writable(&self) -> impl Iterator<Item = SlotNumber> {
        let room_bytes = self.disk.room_bytes(false);
        let unpinned = self.dirty.oldest_first().filter(|slot| !self.pinned.contains(*slot));
        unpinned.filter(move |slot| self.batch_bytes_of(*slot) <= room_bytes)
    }

    /// How long a batch with nothing but this object is.
    pub(super) fn batch_bytes_of(&self, slot: SlotNumber) -> u64 {
        let object = &self.slots[slot];
        record_bytes(object.data_bytes, object.metadata_bytes).next_multiple_of(BLOCK_BYTES)
    }

    /// How much more should leave memory.
    fn bytes_short(&mut self) -> u64 {
        let capacity = self.config.capacity_bytes;
        let to_be_had = self.free_bytes() + self.droppable_bytes + self.clean_bytes + self.spilling_bytes;
        if to_be_had < capacity / 10 * LOW_TENTHS {
            self.disk.ahead = true;
        }
        let short = (capacity / 10 * HIGH_TENTHS).saturating_sub(to_be_had);
        self.disk.ahead &= short > 0;
        if self.disk.ahead { short } else { 0 }
    }

    /// Puts an object into a batch, if there is room in it.
    pub(super) fn draft_object(&mut self, draft: &mut Draft, slot: SlotNumber, order: Option<u64>) -> bool {
        let bytes_max = self.disk.room_bytes(false);
        let sequence = self.disk.sequence();
        let (record, extent) = (self.disk_record(slot, sequence), self.slots[slot].extent);
        let cargo = Cargo::Spilled(slot, order);
        if !draft.push(record, Source::Memory(extent), cargo, self.batch_bytes(), bytes_max) {
            return false;
        }
        self.delist(slot);
        self.advance(slot, Move::SpillStart);
        self.disk.set_busy(slot);
        self.spilling_bytes += self.arena.reserved_bytes(extent);
        true
    }

    fn draft_tombstones(&mut self, draft: &mut Draft) {
        let bytes_max = self.disk.room_bytes(true);
        while let Some(Tombstone { sequence, id, deleted_at }) = self.disk.next_tombstone() {
            let record = tombstone(sequence, id, deleted_at);
            if !draft.push(record, Source::Nothing, Cargo::Tombstone, BATCH_BYTES, bytes_max) {
                if draft.is_empty() {
                    self.disk.give_up_waiting();
                }
                return;
            }
            self.disk.take_tombstone();
        }
    }

    /// May an object be sent to disk, that was chosen for it some time ago?
    pub(super) fn is_dirty(&self, handle: Handle) -> Option<SlotNumber> {
        let slot = self.slots.resolve(handle)?;
        let is_dirty = self.slots[slot].state == State::Sealed && self.list_of(slot) == List::Dirty;
        is_dirty.then_some(slot)
    }

    /// What the disk is told of an object.
    pub(super) fn disk_record(&self, slot: SlotNumber, sequence: u64) -> DiskRecord {
        let object = &self.slots[slot];
        DiskRecord {
            sequence,
            id: object.id,
            tombstone: false,
            data_bytes: object.data_bytes,
            metadata_bytes: object.metadata_bytes,
            format: object.format,
            evictable: object.evictable,
            created_at: object.created_at,
            sealed_at: object.sealed_at.unwrap_or(object.created_at),
        }
    }

    /// How long a batch gets: in a small arena not more than a small part of it is on its way at a time.
    pub(super) fn batch_bytes(&self) -> u64 {
        (self.config.capacity_bytes / BATCH_SHARE).clamp(BATCH_BYTES_MIN, BATCH_BYTES)
    }

    /// Where a sealed object in memory stands, so that room can be made.
    pub(super) fn list_of(&self, slot: SlotNumber) -> List {
        let object = &self.slots[slot];
        if self.disk.home(slot).is_some() {
            List::Clean
        } else if self.config.when_full.may_drop(object.evictable) {
            List::Droppable
        } else if self.disk.exists && object.extent.bytes > 0 {
            List::Dirty
        } else {
            List::Kept
        }
    }

    /// An object in memory is where room may be made, used just now.
    pub(super) fn enlist(&mut self, slot: SlotNumber) {
        let extent = self.slots[slot].extent;
        match self.list_of(slot) {
            List::Droppable => {
                self.recency.insert(slot);
                self.droppable_bytes += extent.bytes;
            }
            List::Clean => {
                self.clean.insert(slot);
                self.clean_bytes += self.arena.reserved_bytes(extent);
            }
            List::Dirty => self.dirty.insert(slot),
            List::Kept => return,
        }
        self.room_changed = true;
    }

    /// It isn't any more.
    pub(super) fn delist(&mut self, slot: SlotNumber) {
        let extent = self.slots[slot].extent;
        match self.list_of(slot) {
            List::Droppable => {
                self.recency.remove(slot);
                self.droppable_bytes -= extent.bytes;
            }
            List::Clean => {
                self.clean.remove(slot);
                self.clean_bytes -= self.arena.reserved_bytes(extent);
            }
            List::Dirty => self.dirty.remove(slot),
            List::Kept => {}
        }
    }

    /// Which objects are pinned, or held for gets, as of now.
    pub(super) fn scan<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        self.note_recent(turn);
        self.pinned.clear();
        turn.residence.pinned(&mut self.pinned);
        self.hold();
    }
}

/// What can be done about a sealed object in memory, to make room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum List {
    /// It may be dropped for good.
    Droppable,
    /// It is on disk, and may be dropped from memory.
    Clean,
    /// It has to be written first.
    Dirty,
    /// Nothing; or nothing would be gained.
    Kept,
}

/// A record that tells of a deletion.
pub(super) fn tombstone(sequence: u64, id: plasmad_wire::ObjectId, deleted_at: crate::Nanos) -> DiskRecord {
    DiskRecord {
        sequence,
        id,
        tombstone: true,
        data_bytes: 0,
        metadata_bytes: 0,
        format: plasmad_wire::Format::Raw,
        evictable: false,
        created_at: deleted_at,
        sealed_at: deleted_at,
    }
}

/// Tenths of the arena below which objects are written ahead of need, and up to which.
const LOW_TENTHS: u64 = 2;
const HIGH_TENTHS: u64 = 3;
/// How long a batch gets, but for one object that is longer.
const BATCH_BYTES: u64 = 8 << 20;
const BATCH_BYTES_MIN: u64 = 64 << 10;
/// The part of the arena that one batch may be.
const BATCH_SHARE: u64 = 32;
/// How many are being written at a time: some for the disk to order, and few enough that each is done soon.
const BATCHES_MAX: usize = 4;
/// When nothing could be written, for all was pinned or the disk full, how long until the next look.
const LOOK_NS: crate::Nanos = 250_000_000;
