//! Room for whoever is next in line: a restore before all creates, else the first create.
//!
//! What has to leave memory for it is chosen once, all or nothing, and written batch by batch; who is next is looked at
//! again when that is done. While it goes on nobody else's needs choose anything, and who passes the first create takes nothing
//! of the stretch that is gathered, so two never take from each other. A
//! create that can't be served by any choice spills nothing.

use alloc::vec::Vec;
use core::ops::Range;

use plasmad_wire::Extent;

use super::make::sizes;
use super::spill::List;
use super::{Store, Turn};
use crate::clients::ClientId;
use crate::effect::Reply;
use crate::event::RequestTag;
use crate::eviction::{Plan, plan};
use crate::residence::{Pinned, Residence};
use crate::slot::{SlotNumber, State};
use crate::spill::{Cargo, Draft, Evicting, Order};

impl Store {
    /// The first create in line gets what it needs, in time, if anything can. What it waits for may be there already, and
    /// kept for those who want little until what is being written is done.
    pub(super) fn make_room_for_first<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        let due = core::mem::take(&mut self.disk.room_due);
        if !due || self.disk.room.is_some() || self.disk.is_short {
            return;
        }
        let Some((_, wait)) = self.creates.first() else { return };
        let sizes = sizes(&wait.objects);
        let is_kept_waiting = self.bytes_for(wait.asked_bytes) < wait.asked_bytes;
        if is_kept_waiting && plan(&self.arena, &sizes, core::iter::empty()) == Plan::Fits {
            return;
        }
        if !self.order_room(turn, &sizes) && self.take_back_all(turn) {
            // It is looked at again soon.
            self.disk.restores_due = true;
        }
    }

    /// Chooses what has to leave memory so that extents of these sizes fit. `false`: nothing would make them fit.
    pub(super) fn order_room<R: Residence>(&mut self, turn: &mut Turn<'_, R>, sizes: &[u64]) -> bool {
        if !self.disk.may_write() {
            return false;
        }
        self.scan(turn);
        match self.choose_room(sizes, &[]) {
            Chosen::Coming => true,
            // What may be dropped was looked at before, and wasn't enough just then.
            Chosen::Drop(_) | Chosen::Nothing => false,
        }
    }

    /// Chooses among what nobody pinned at the last scan, beginning with `first`. What has to be written is ordered.
    pub(super) fn choose_room(&mut self, sizes: &[u64], first: &[SlotNumber]) -> Chosen {
        let leaving = self.disk.carried().filter_map(|carried| match carried.cargo {
            Cargo::Spilled(slot, _) => Some(slot).filter(|slot| self.slots[*slot].state == State::Spilling),
            Cargo::Moved(..) | Cargo::Tombstone | Cargo::MovedTombstone(_) => None,
        });
        let slots = leaving.chain(self.recency.oldest_first()).chain(self.clean.oldest_first());
        let slots = slots.filter(|slot| !self.pinned.contains(*slot)).chain(self.writable());
        let slots = first.iter().copied().chain(slots.filter(|slot| !first.contains(slot)));
        let candidates = slots.map(|slot| (slot, self.slots[slot].extent));
        let Plan::Drop(victims) = plan(&self.arena, sizes, candidates) else { return Chosen::Nothing };
        let is_dirty =
            |slot: &SlotNumber| self.slots[*slot].state == State::Sealed && self.list_of(*slot) == List::Dirty;
        let dirty: Vec<SlotNumber> = victims.iter().copied().filter(is_dirty).collect();
        let written = dirty.iter().map(|slot| self.batch_bytes_of(*slot)).sum::<u64>();
        if written > self.disk.room_bytes(false) {
            return Chosen::Nothing;
        }
        if !dirty.is_empty() {
            let todo = dirty.iter().map(|slot| self.slots.handle(*slot)).collect();
            let gathered = self.stretch_of(&victims);
            self.disk.room = Some(Order { number: self.disk.order_number(), todo, in_flight: 0, gathered });
            return Chosen::Coming;
        }
        if victims.iter().any(|slot| self.slots[*slot].state == State::Spilling) {
            return Chosen::Coming;
        }
        Chosen::Drop(victims)
    }

    /// From the first of these to the last, with the holes beside them.
    fn stretch_of(&self, victims: &[SlotNumber]) -> Range<u64> {
        let stretches = victims.iter().map(|slot| {
            let Extent { offset, .. } = self.slots[*slot].extent;
            let end = offset + self.arena.reserved_bytes(self.slots[*slot].extent);
            let before = self.arena.block_before(offset).filter(|block| block.is_hole);
            let behind = self.arena.block_at(end).filter(|block| block.is_hole);
            before.map_or(offset, |hole| hole.offset)..behind.map_or(end, |hole| hole.end())
        });
        stretches.reduce(|all, one| all.start.min(one.start)..all.end.max(one.end)).unwrap_or_default()
    }

    /// Is this a part of what is being gathered for who is next in line?
    pub(super) fn is_gathered(&self, extent: Extent) -> bool {
        let gathered = self.disk.room.as_ref().map_or(&(0..0), |order| &order.gathered);
        extent.bytes > 0 && extent.offset < gathered.end && extent.offset + extent.bytes > gathered.start
    }

    /// Objects that somebody waits for to go.
    pub(super) fn draft_ordered(&mut self, draft: &mut Draft) {
        if let Some(mut order) = self.disk.room.take() {
            self.draft_order(draft, &mut order);
            self.disk.room = Some(order);
        }
        let mut evicting = core::mem::take(&mut self.disk.evicting);
        evicting.values_mut().for_each(|it| self.draft_order(draft, &mut it.order));
        self.disk.evicting = evicting;
    }

    fn draft_order(&mut self, draft: &mut Draft, order: &mut Order) {
        while let Some(handle) = order.todo.front().copied() {
            if let Some(slot) = self.is_dirty(handle) {
                if !self.draft_object(draft, slot, Some(order.number)) {
                    // The disk is full, unless only the batch is.
                    if draft.is_empty() {
                        order.todo.clear();
                    }
                    return;
                }
                order.in_flight += 1;
            }
            order.todo.pop_front();
        }
    }

    /// An object of an order has left memory and given so much; with 0 it stayed, or went by itself.
    pub(super) fn order_went(&mut self, number: Option<u64>, bytes: u64) {
        let Some(number) = number else { return };
        if let Some(order) = self.disk.room.as_mut().filter(|order| order.number == number) {
            order.in_flight -= 1;
        }
        if let Some(evicting) = self.disk.evicting.get_mut(&number) {
            evicting.order.in_flight -= 1;
            evicting.freed_bytes += bytes;
            evicting.spilled += u64::from(bytes > 0);
        }
    }

    /// Nothing can be written for a while: nobody is to wait for that.
    pub(super) fn abandon_orders(&mut self) {
        self.disk.room = None;
        self.disk.evicting.values_mut().for_each(|it| it.order.todo.clear());
    }

    /// Orders of which nothing is left.
    pub(super) fn finish_orders<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        if self.disk.room.as_ref().is_some_and(Order::is_done) {
            self.disk.room = None;
            // Who it was for is looked at again.
            (self.room_changed, self.disk.restores_due) = (true, true);
        }
        let done = |it: &Evicting| it.order.is_done() || !it.is_heard;
        let done: Vec<u64> = self.disk.evicting.iter().filter(|(_, it)| done(it)).map(|(number, _)| *number).collect();
        for number in done {
            let Some(evicting) = self.disk.evicting.remove(&number) else { continue };
            if evicting.is_heard {
                self.answer(turn, evicting.client, evicting.tag, Ok(evicted(&evicting)));
            }
        }
    }

    /// Frees so much memory, if that can be: what may be dropped at once, what has to be written in time.
    pub(super) fn evict<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        tag: RequestTag,
        bytes: u64,
    ) {
        self.sweep(turn);
        self.scan(turn);
        let order = Order { number: self.disk.order_number(), todo: Default::default(), in_flight: 0, gathered: 0..0 };
        let (freed_bytes, dropped, spilled, is_heard) = (0, 0, 0, true);
        let mut evicting = Evicting { order, client, tag, is_heard, asked_bytes: bytes, freed_bytes, dropped, spilled };
        while evicting.freed_bytes < bytes {
            let Some(window) = self.oldest_unpinned(bytes - evicting.freed_bytes) else { break };
            match turn.residence.retract(&window) {
                Ok(()) => window.into_iter().for_each(|slot| {
                    let is_clean = self.list_of(slot) == List::Clean;
                    evicting.dropped += u64::from(!is_clean);
                    evicting.spilled += u64::from(is_clean);
                    let before = self.arena.free_bytes();
                    self.drop_retracted(turn, slot);
                    evicting.freed_bytes += self.arena.free_bytes() - before;
                }),
                Err(Pinned(slots)) => slots.into_iter().for_each(|slot| {
                    self.pinned.insert(slot);
                }),
            }
        }
        if self.disk.may_write() {
            let mut left = bytes.saturating_sub(evicting.freed_bytes);
            let mut chosen = Vec::new();
            for slot in self.writable() {
                if left == 0 {
                    break;
                }
                left = left.saturating_sub(self.arena.reserved_bytes(self.slots[slot].extent));
                chosen.push(self.slots.handle(slot));
            }
            evicting.order.todo.extend(chosen);
        }
        if evicting.order.is_done() {
            return self.answer(turn, client, tag, Ok(evicted(&evicting)));
        }
        self.disk.evicting.insert(evicting.order.number, evicting);
    }

    /// Who asked for room and takes that back is told what came of it so far. A delete can't be taken back: it is done, and
    /// answered soon.
    pub(super) fn stop_evicting<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId, number: u64) {
        let its = |it: &&mut Evicting| it.is_heard && (it.client, it.tag.number) == (client, number);
        let Some(evicting) = self.disk.evicting.values_mut().find(its) else { return };
        evicting.is_heard = false;
        let (tag, reply) = (evicting.tag, evicted(evicting));
        self.answer(turn, client, tag, Ok(reply));
    }
}

/// How room can be made.
pub(super) enum Chosen {
    /// It is under way.
    Coming,
    /// These may be dropped, and that is enough.
    Drop(Vec<SlotNumber>),
    /// Nothing is enough.
    Nothing,
}

fn evicted(evicting: &Evicting) -> Reply {
    let Evicting { asked_bytes, freed_bytes, dropped, spilled, .. } = *evicting;
    Reply::Evicted { asked_bytes, freed_bytes, dropped, spilled }
}
