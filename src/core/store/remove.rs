//! Delete, and what departing clients leave behind.

use alloc::vec::Vec;

use plasmad_wire::ObjectId;

use super::{Store, Turn};
use crate::clients::ClientId;
use crate::effect::{Effect, Refusal, Reply};
use crate::event::RequestTag;
use crate::queue::{Turned, distinct};
use crate::residence::Residence;
use crate::slot::{Move, SlotNumber, State};

impl Store {
    /// What is deleted is gone from here on. It is answered when it can't come back from disk either.
    pub(super) fn delete<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        tag: RequestTag,
        ids: &[ObjectId],
    ) {
        let slots: Vec<SlotNumber> = distinct(ids).into_iter().filter_map(|id| self.slots.find(id)).collect();
        if let Some(slot) = slots.iter().find(|slot| self.slots[**slot].state == State::Created) {
            let refusal = Refusal::NotSealed(self.slots[*slot].id);
            return self.answer(turn, client, tag, Err(refusal));
        }
        let mut last_tombstone = None;
        for slot in &slots {
            last_tombstone = self.delete_one(turn, *slot).or(last_tombstone);
        }
        let count = slots.len() as u32;
        self.totals.deletes += u64::from(count);
        self.sweep(turn);
        match last_tombstone {
            Some(last) => self.disk.defer(client, tag, count, last),
            None => self.answer(turn, client, tag, Ok(Reply::Done(count))),
        }
    }

    /// An object is out of everybody's sight for good; the number of its tombstone, if it needs one.
    pub(super) fn delete_one<R: Residence>(&mut self, turn: &mut Turn<'_, R>, slot: SlotNumber) -> Option<u64> {
        let (id, state) = (self.slots[slot].id, self.slots[slot].state);
        let (in_memory, at_hand) = (state.is_readable(), self.is_at_hand(slot));
        if in_memory {
            turn.residence.doom(slot);
        }
        self.no_longer_sealed(slot);
        let tombstone = self.disk.bury(slot, id, turn.now);
        self.advance(slot, if at_hand && !in_memory { Move::DeleteViewed } else { Move::Delete });
        if at_hand {
            self.doomed.push(slot);
        }
        tombstone
    }

    /// Frees the deleted objects nobody pins or writes to disk any more, and ends views: one scan for all of them.
    pub(super) fn sweep<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        self.sweep_due = false;
        if self.doomed.is_empty() && self.disk.views.is_empty() {
            return;
        }
        self.pinned.clear();
        turn.residence.pinned(&mut self.pinned);
        self.end_views();
        let doomed = core::mem::take(&mut self.doomed);
        let stays = |slot: &SlotNumber| self.pinned.contains(*slot) || self.disk.is_busy(*slot);
        let (kept, freed): (Vec<_>, Vec<_>) = doomed.into_iter().partition(stays);
        self.doomed = kept;
        for slot in freed {
            self.note_left(slot);
            self.advance(slot, Move::LastRelease);
            self.free(turn, slot);
            self.disk.end_view(slot);
        }
    }

    /// What clients used by themselves counts as used now.
    pub(super) fn note_recent<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        turn.residence.recent(&mut |slot| self.touch(slot));
    }

    /// An object was used just now.
    pub(super) fn touch(&mut self, slot: SlotNumber) {
        [&mut self.recency, &mut self.clean, &mut self.dirty].into_iter().for_each(|order| order.touch(slot));
    }

    /// A release that made no request may have freed what somebody waits for.
    pub(super) fn rung(&mut self) {
        self.sweep_due |= !self.doomed.is_empty();
        self.room_changed = true;
    }

    /// The least recently used objects that may be dropped and give so many bytes, or all there are; those that are on disk
    /// too only behind the others. `None` if there is none.
    pub(super) fn oldest_unpinned(&self, bytes: u64) -> Option<Vec<SlotNumber>> {
        let mut window = Vec::new();
        let mut gained = 0;
        let slots = self.recency.oldest_first().chain(self.clean.oldest_first());
        for slot in slots.filter(|slot| !self.pinned.contains(*slot)) {
            if gained >= bytes {
                break;
            }
            gained += self.arena.reserved_bytes(self.slots[slot].extent);
            window.push(slot);
        }
        (!window.is_empty()).then_some(window)
    }

    /// An object out of everybody's sight goes: for good, or from memory alone if it is on disk.
    pub(super) fn drop_retracted<R: Residence>(&mut self, turn: &mut Turn<'_, R>, slot: SlotNumber) {
        if self.disk.home(slot).is_some() {
            self.delist(slot);
            self.advance(slot, Move::SpillStart);
            self.unload(turn, slot);
            return;
        }
        self.no_longer_sealed(slot);
        self.totals.evictions += 1;
        self.totals.evicted_bytes += self.arena.reserved_bytes(self.slots[slot].extent);
        self.advance(slot, Move::Evict);
        self.free(turn, slot);
    }

    fn free<R: Residence>(&mut self, turn: &mut Turn<'_, R>, slot: SlotNumber) {
        let object = &self.slots[slot];
        turn.residence.free(slot, object.generation);
        self.arena.free(object.extent);
        self.room_changed = true;
    }

    /// An object is about to go for good, from memory or from disk.
    pub(super) fn no_longer_sealed(&mut self, slot: SlotNumber) {
        let (state, id) = (self.slots[slot].state, self.slots[slot].id);
        self.sealed_count -= 1;
        if state == State::Sealed {
            self.delist(slot);
        }
        self.gets.turned(id, if self.is_at_hand(slot) { Turned::Gone } else { Turned::GoneFromDisk });
    }

    pub(super) fn connection_closed<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId) {
        self.drop_waits(turn, client);
        if let Some(ledger) = self.clients.ledger(client) {
            ledger.connected = false;
        }
        self.take_back(turn, client);
        self.forget_if_finished(turn, client);
    }

    pub(super) fn client_gone<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId) {
        self.drop_waits(turn, client);
        let Some(ledger) = self.clients.leave(client) else { return };
        ledger.unsealed.iter().for_each(|slot| self.give_up(turn, client, *slot));
        self.take_back_from_the_dead(turn, client, &ledger.pushing.granted);
        turn.residence.leave(client);
        self.sweep(turn);
        self.room_changed = true;
        turn.effects.push(Effect::Forget { client });
    }

    /// A client whose socket is closed and that holds nothing will never be heard of again.
    pub(super) fn forget_if_finished<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId) {
        let finished = self.clients.ledger(client).is_some_and(|it| !it.connected && it.is_empty());
        // The ledger doesn't count the pins a client makes by itself; only its page tells.
        if finished && !claims_anything(turn, client) {
            self.client_gone(turn, client);
        }
    }

    fn drop_waits<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId) {
        self.subscriptions.end(client);
        self.disk.drop_client(client);
        let Some(ledger) = self.clients.ledger(client) else { return };
        for key in core::mem::take(&mut ledger.waiting).into_values() {
            self.stop_waiting(turn, key);
        }
    }
}

fn claims_anything<R: Residence>(turn: &mut Turn<'_, R>, client: ClientId) -> bool {
    let mut found = false;
    turn.residence.holders(&mut |holder, _| found |= holder == client);
    found
}
