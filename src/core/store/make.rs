//! Create, seal and abort.

use alloc::vec::Vec;

use plasmad_wire::limits::METADATA_BYTES_MAX;
use plasmad_wire::{Extent, Handle, ObjectId};

use super::{Store, Turn};
use crate::Nanos;
use crate::arena::Allocator;
use crate::clients::ClientId;
use crate::effect::{Refusal, Reply, Shortage};
use crate::event::{RequestTag, Wanted};
use crate::eviction::{Candidate, Plan, plan};
use crate::queue::{CreateWait, Turned, WaitKey, deadline};
use crate::residence::{Pinned, Residence};
use crate::slot::{Move, SlotNumber, State};

impl Store {
    pub(super) fn create<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        tag: RequestTag,
        timeout_ns: u64,
        objects: Vec<Wanted>,
    ) {
        // What became free just now is for those that were here before.
        if self.room_changed && !self.creates.is_empty() {
            self.serve_waiting(turn);
        }
        if let Err(refusal) = self.check_new(turn, &objects) {
            return self.answer(turn, client, tag, Err(refusal));
        }
        let timeout_ns = self.create_timeout_ns(turn.now, timeout_ns);
        let answer = match self.creates.is_empty() {
            true if !self.disk.is_short => self.try_create(turn, client, &objects, timeout_ns == 0),
            false if self.may_newcomer_pass(client, tag) => self.try_to_pass(turn, client, &objects),
            _ => None,
        };
        if let Some(answer) = answer {
            return self.answer(turn, client, tag, answer);
        }
        if timeout_ns == 0 {
            let shortage = self.shortage(turn, client, &objects);
            return self.answer(turn, client, tag, Err(Refusal::Full(shortage)));
        }
        let deadline = deadline(turn.now, timeout_ns);
        let asked_bytes = asked_bytes(&objects);
        let wait = CreateWait { client, tag, objects, asked_bytes, since: turn.now, deadline };
        let bytes = wait.bytes();
        if let Err(refusal) = self.may_wait(client, tag, bytes) {
            return self.answer(turn, client, tag, Err(refusal));
        }
        let place = self.creates.push(wait);
        self.disk.room_due |= self.creates.count() == 1;
        self.note_waiting(client, tag, bytes, deadline, WaitKey::Create(place));
        self.ask_for_releases(turn);
    }

    /// What can be refused without looking for room.
    pub(super) fn check_new<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        objects: &[Wanted],
    ) -> Result<(), Refusal> {
        let (mut asked, mut needed): (u64, u64) = (0, 0);
        for wanted in objects {
            if wanted.metadata_bytes > METADATA_BYTES_MAX {
                return Err(Refusal::Limit { what: "bytes of metadata", limit: METADATA_BYTES_MAX.into() });
            }
            self.check_id(wanted)?;
            let bytes = wanted.bytes().unwrap_or(u64::MAX);
            asked = asked.saturating_add(bytes);
            needed = needed.saturating_add(self.arena.reserved_bytes(Extent { bytes, ..Extent::default() }));
        }
        let ids: Vec<ObjectId> = objects.iter().map(|wanted| wanted.id).collect();
        if let Some(id) = repeated(ids) {
            return Err(Refusal::Exists(id));
        }
        if needed > self.config.capacity_bytes {
            return Err(Refusal::Full(Shortage { asked, ..self.shortage_without_pins() }));
        }
        if objects.len() > self.slots.vacancies() {
            self.take_back_all(turn);
            objects.iter().try_for_each(|wanted| self.check_id(wanted))?;
        }
        if !self.can_have_slots(turn, objects.len()) {
            return Err(Refusal::TableFull { objects_max: self.config.slots_max });
        }
        Ok(())
    }

    /// There are so many slots, or will be when some of those objects go that may be dropped.
    fn can_have_slots<R: Residence>(&mut self, turn: &mut Turn<'_, R>, count: usize) -> bool {
        if count > self.slots.vacancies() {
            self.sweep(turn);
        }
        if count > self.slots.vacancies() && self.recency.count() > 0 {
            self.scan(turn);
        }
        let missing = count.saturating_sub(self.slots.vacancies());
        missing <= self.recency.count() && self.droppable().take(missing).count() == missing
    }

    /// Drops objects until there are so many slots, and some more, so that not each create has to.
    fn drop_for_slots<R: Residence>(&mut self, turn: &mut Turn<'_, R>, count: usize) -> bool {
        for _ in 0..RETRACT_TRIES_MAX {
            let missing = count.saturating_sub(self.slots.vacancies());
            if missing == 0 {
                return true;
            }
            let more = (self.config.slots_max / SHARE_OF_SLOTS).min(SLOTS_DROPPED_MAX) as usize;
            let window: Vec<SlotNumber> = self.droppable().take(missing.max(more)).collect();
            if window.len() < missing {
                return false;
            }
            match turn.residence.retract(&window) {
                Ok(()) => window.iter().for_each(|slot| self.drop_retracted(turn, *slot)),
                Err(Pinned(slots)) => slots.into_iter().for_each(|slot| _ = self.pinned.insert(slot)),
            }
        }
        false
    }

    /// What may be dropped for good and was not pinned at the last look, least recently used first.
    fn droppable(&self) -> impl Iterator<Item = SlotNumber> {
        self.recency.oldest_first().filter(|slot| !self.pinned.contains(*slot))
    }

    /// Nobody has this id. Taking grants back reads rings, so who looked before that looks again behind it.
    pub(super) fn check_id(&self, wanted: &Wanted) -> Result<(), Refusal> {
        self.slots.find(wanted.id).map_or(Ok(()), |_| Err(Refusal::Exists(wanted.id)))
    }

    /// Makes the objects if there is, or can be made, room for all of them; `None` if not. Where the disk may make room in
    /// time nobody's grants are taken back for it, unless this is the last look.
    pub(super) fn try_create<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        objects: &[Wanted],
        is_last_look: bool,
    ) -> Option<Result<Reply, Refusal>> {
        let sizes = sizes(objects);
        // What there is may be kept for those who want little.
        let asked = asked_bytes(objects);
        if !is_last_look && self.bytes_for(asked) < asked {
            return None;
        }
        let mut extents = self.allocate_all(&sizes);
        let takes_back = is_last_look || !self.disk.may_write();
        if extents.is_none() && takes_back && self.take_back_all(turn) {
            if let Err(refusal) = objects.iter().try_for_each(|wanted| self.check_id(wanted)) {
                return Some(Err(refusal));
            }
            extents = self.allocate_all(&sizes);
        }
        let extents = match extents {
            Some(extents) => extents,
            // What is under way for whoever is next would be in vain if others went as well.
            None if self.disk.room.is_some() => return None,
            None => self.drop_for(turn, &sizes)?,
        };
        // Not before there is room as well: who can't be served drops nothing.
        if !self.drop_for_slots(turn, objects.len()) {
            extents.into_iter().for_each(|extent| self.arena.free(extent));
            return Some(Err(Refusal::TableFull { objects_max: self.config.slots_max }));
        }
        Some(self.place(turn, client, objects, extents))
    }

    /// Makes objects at these places.
    pub(super) fn place<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        objects: &[Wanted],
        extents: Vec<Extent>,
    ) -> Result<Reply, Refusal> {
        let slots: Vec<SlotNumber> = objects
            .iter()
            .zip(&extents)
            .map(|(wanted, extent)| self.occupy(turn.now, client, wanted, *extent))
            .collect();
        let inline = objects.iter().all(|wanted| wanted.payload.is_some());
        if inline && !objects.is_empty() {
            return self.fill_and_seal(turn, client, objects, &slots);
        }
        Ok(Reply::Created(slots.into_iter().zip(extents).map(|(slot, it)| (self.slots.handle(slot), it)).collect()))
    }

    fn occupy(&mut self, now: Nanos, client: ClientId, wanted: &Wanted, extent: Extent) -> SlotNumber {
        let slot = self.slots.occupy(&wanted.named(), extent, client, now);
        self.note_unsealed(client, slot);
        self.totals.creates += 1;
        slot
    }

    pub(super) fn note_unsealed(&mut self, client: ClientId, slot: SlotNumber) {
        self.unsealed_bytes += self.slots[slot].extent.bytes;
        if let Some(ledger) = self.clients.ledger(client) {
            ledger.unsealed.insert(slot);
        }
        self.clients.note_pusher(client);
    }

    fn fill_and_seal<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        objects: &[Wanted],
        slots: &[SlotNumber],
    ) -> Result<Reply, Refusal> {
        for (wanted, slot) in objects.iter().zip(slots) {
            let Some(payload) = &wanted.payload else { continue };
            if turn.residence.fill(self.slots[*slot].extent, &payload.data, &payload.metadata).is_err() {
                slots.iter().for_each(|slot| self.give_up(turn, client, *slot));
                return Err(Refusal::FillFailed(wanted.id));
            }
        }
        slots.iter().for_each(|slot| self.seal_one(turn, client, *slot));
        Ok(Reply::Done(slots.len() as u32))
    }

    /// Extents of these sizes, dropping objects for them only where that is enough.
    pub(super) fn drop_for<R: Residence>(&mut self, turn: &mut Turn<'_, R>, sizes: &[u64]) -> Option<Vec<Extent>> {
        if !self.make_room(turn, |arena, candidates| plan(arena, sizes, candidates)) {
            return None;
        }
        let extents = self.allocate_all(sizes);
        assert!(extents.is_some(), "the plan made no room");
        extents
    }

    /// Drops what a plan says, as long as nobody pins it meanwhile; `false` if there is no room.
    pub(super) fn make_room<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        plan: impl Fn(&Allocator, &mut dyn Iterator<Item = Candidate>) -> Plan,
    ) -> bool {
        if self.is_giving_back(turn.now) {
            return false;
        }
        self.sweep(turn);
        self.scan(turn);
        for _ in 0..RETRACT_TRIES_MAX {
            let planned = plan(&self.arena, &mut self.candidates());
            match planned {
                Plan::Fits => return true,
                Plan::Impossible => return false,
                Plan::Drop(window) => match turn.residence.retract(&window) {
                    Ok(()) => {
                        window.iter().for_each(|slot| self.drop_retracted(turn, *slot));
                        return true;
                    }
                    Err(Pinned(slots)) => slots.into_iter().for_each(|slot| {
                        self.pinned.insert(slot);
                    }),
                },
            }
        }
        false
    }

    /// What may be dropped and was not pinned at the last look, least recently used first.
    fn candidates(&self) -> impl Iterator<Item = Candidate> {
        let all = self.recency.oldest_first().chain(self.clean.oldest_first());
        let unpinned = all.filter(|slot| !self.pinned.contains(*slot));
        unpinned.map(|slot| (slot, self.slots[slot].extent))
    }

    pub(super) fn allocate_all(&mut self, sizes: &[u64]) -> Option<Vec<Extent>> {
        let mut extents = Vec::with_capacity(sizes.len());
        for bytes in sizes {
            match self.arena.allocate(*bytes) {
                Some(extent) => extents.push(extent),
                None => {
                    extents.into_iter().for_each(|extent| self.arena.free(extent));
                    return None;
                }
            }
        }
        Some(extents)
    }

    pub(super) fn seal<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        handles: &[Handle],
    ) -> Result<Reply, Refusal> {
        let slots = self.own_unsealed(client, handles)?;
        slots.iter().for_each(|slot| self.seal_one(turn, client, *slot));
        Ok(Reply::Done(slots.len() as u32))
    }

    pub(super) fn abort<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        handles: &[Handle],
    ) -> Result<Reply, Refusal> {
        let slots = self.own_unsealed(client, handles)?;
        slots.iter().for_each(|slot| self.give_up(turn, client, *slot));
        Ok(Reply::Done(slots.len() as u32))
    }

    /// The slots behind handles of unsealed objects of this client's, each named once.
    fn own_unsealed(&mut self, client: ClientId, handles: &[Handle]) -> Result<Vec<SlotNumber>, Refusal> {
        let mut slots = Vec::with_capacity(handles.len());
        for handle in handles {
            let slot = self.slots.resolve(*handle).ok_or(Refusal::NotHeld(*handle))?;
            let object = &self.slots[slot];
            if object.state != State::Created || object.creator != client {
                return Err(Refusal::NotHeld(*handle));
            }
            slots.push(slot);
        }
        match repeated(slots.clone()) {
            Some(slot) => Err(Refusal::NotHeld(self.slots.handle(slot))),
            None => Ok(slots),
        }
    }

    pub(super) fn seal_one<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId, slot: SlotNumber) {
        self.no_longer_unsealed(client, slot);
        self.appears(turn, slot);
    }

    /// A created object is sealed: everybody may see it.
    pub(super) fn appears<R: Residence>(&mut self, turn: &mut Turn<'_, R>, slot: SlotNumber) {
        self.sealed_count += 1;
        self.totals.seals += 1;
        self.slots.note_sealed(slot, turn.now, self.totals.seals);
        self.advance(slot, Move::Seal);
        turn.residence.publish(slot, &self.slots[slot].record());
        self.enlist(slot);
        for number in self.gets.turned(self.slots[slot].id, Turned::Sealed) {
            self.answer_get(turn, number, false);
        }
        self.disk.restores_due |= !self.gets.waiting_for_disk().is_empty();
    }

    /// An unsealed object goes, by its creator's will or its death.
    pub(super) fn give_up<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId, slot: SlotNumber) {
        self.totals.aborts += 1;
        if self.no_longer_unsealed(client, slot) {
            return self.abandon(slot);
        }
        self.advance(slot, Move::Abort);
        let object = &self.slots[slot];
        if object.was_granted {
            turn.residence.free(slot, object.generation);
        }
        self.arena.free(object.extent);
        self.room_changed = true;
    }

    /// `true`: children of a fork may be writing it too.
    fn no_longer_unsealed(&mut self, client: ClientId, slot: SlotNumber) -> bool {
        self.unsealed_bytes -= self.slots[slot].extent.bytes;
        if let Some(ledger) = self.clients.ledger(client) {
            ledger.unsealed.remove(&slot);
        }
        self.inherited.remove(&slot)
    }
}

/// How long each of these objects is.
pub(super) fn sizes(objects: &[Wanted]) -> Vec<u64> {
    objects.iter().map(|wanted| wanted.bytes().unwrap_or(u64::MAX)).collect()
}

/// How long they are together.
pub(super) fn asked_bytes(objects: &[Wanted]) -> u64 {
    sizes(objects).into_iter().fold(0, u64::saturating_add)
}

fn repeated<T: Ord + Copy>(mut items: Vec<T>) -> Option<T> {
    items.sort_unstable();
    items.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// The part of all slots that become free at once when there are none, and how many at the most.
const SHARE_OF_SLOTS: u32 = 256;
const SLOTS_DROPPED_MAX: u32 = 64;
/// Windows tried before a create goes on waiting: each failure means that somebody pinned in between.
const RETRACT_TRIES_MAX: usize = 8;
