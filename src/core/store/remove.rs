//! Delete, evict, and what departing clients leave behind.

use alloc::vec::Vec;

use plasmad_wire::ObjectId;

use super::{Store, Turn};
use crate::clients::ClientId;
use crate::effect::{Effect, Refusal, Reply};
use crate::queue::distinct;
use crate::residence::{Pinned, Residence};
use crate::slot::{Move, SlotNumber, State};

impl Store {
    pub(super) fn delete<R: Residence>(&mut self, turn: &mut Turn<'_, R>, ids: &[ObjectId]) -> Result<Reply, Refusal> {
        let slots: Vec<SlotNumber> = distinct(ids).into_iter().filter_map(|id| self.slots.find(id)).collect();
        if let Some(slot) = slots.iter().find(|slot| self.slots[**slot].state == State::Created) {
            return Err(Refusal::NotSealed(self.slots[*slot].id));
        }
        for slot in &slots {
            turn.residence.doom(*slot);
            self.no_longer_sealed(*slot);
            self.advance(*slot, Move::Delete);
            self.doomed.push(*slot);
        }
        self.totals.deletes += slots.len() as u64;
        self.sweep(turn);
        Ok(Reply::Done(slots.len() as u32))
    }

    /// Frees the deleted objects nobody pins any more: one scan for all of them.
    pub(super) fn sweep<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        self.sweep_due = false;
        if self.doomed.is_empty() {
            return;
        }
        self.pinned.clear();
        turn.residence.pinned(&mut self.pinned);
        let doomed = core::mem::take(&mut self.doomed);
        let (kept, freed): (Vec<_>, Vec<_>) = doomed.into_iter().partition(|slot| self.pinned.contains(*slot));
        self.doomed = kept;
        for slot in freed {
            self.advance(slot, Move::LastRelease);
            self.free(turn, slot);
        }
    }

    pub(super) fn evict<R: Residence>(&mut self, turn: &mut Turn<'_, R>, bytes: u64) -> Reply {
        self.sweep(turn);
        self.note_recent(turn);
        self.pinned.clear();
        turn.residence.pinned(&mut self.pinned);
        let (mut freed_bytes, mut dropped) = (0, 0);
        while freed_bytes < bytes {
            let Some(window) = self.oldest_unpinned(bytes - freed_bytes) else { break };
            match turn.residence.retract(&window) {
                Ok(()) => {
                    dropped += window.len() as u64;
                    let before = self.arena.free_bytes();
                    window.into_iter().for_each(|slot| self.drop_retracted(turn, slot));
                    freed_bytes += self.arena.free_bytes() - before;
                }
                Err(Pinned(slots)) => slots.into_iter().for_each(|slot| {
                    self.pinned.insert(slot);
                }),
            }
        }
        Reply::Evicted { asked_bytes: bytes, freed_bytes, dropped, spilled: 0 }
    }

    /// What clients used by themselves counts as used now.
    pub(super) fn note_recent<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        turn.residence.recent(&mut |slot| self.recency.touch(slot));
    }

    /// A release that made no request may have freed what somebody waits for.
    pub(super) fn rung(&mut self) {
        self.sweep_due |= !self.doomed.is_empty();
        self.room_changed = true;
    }

    /// The least recently used objects that give so many bytes, or all there are; `None` if there is none.
    fn oldest_unpinned(&self, bytes: u64) -> Option<Vec<SlotNumber>> {
        let mut window = Vec::new();
        let mut gained = 0;
        for slot in self.recency.oldest_first().filter(|slot| !self.pinned.contains(*slot)) {
            if gained >= bytes {
                break;
            }
            gained += self.arena.reserved_bytes(self.slots[slot].extent);
            window.push(slot);
        }
        (!window.is_empty()).then_some(window)
    }

    /// An object out of everybody's sight goes for good.
    pub(super) fn drop_retracted<R: Residence>(&mut self, turn: &mut Turn<'_, R>, slot: SlotNumber) {
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

    fn no_longer_sealed(&mut self, slot: SlotNumber) {
        let object = &self.slots[slot];
        self.sealed_count -= 1;
        if self.config.when_full.may_drop(object.evictable) {
            self.recency.remove(slot);
            self.droppable_bytes -= object.extent.bytes;
        }
        self.gets.vanished(object.id);
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
