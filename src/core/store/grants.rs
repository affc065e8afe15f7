//! Grants: memory handed to clients ahead, and what they tell of it on their rings.
//!
//! Invariant: rings are read before an event is handled, so what a client had told when it happened is known. A slot is
//! taken back in this order, and no other: mark it, look for a claim on it, read its client's ring. What was neither
//! claimed nor told by then never will be.
//!
//! ```text
//! granted --told: put----------------> sealed
//!    |    --told: create--> created --told: seal--> sealed
//!    |                              --told: abort-> free
//!    +--taken back, neither claimed nor told------> free
//! ```

use alloc::vec::Vec;

use plasmad_wire::limits::{GRANT_BYTES_MAX, GRANTS_MAX, METADATA_BYTES_MAX};
use plasmad_wire::{Extent, Handle};

use super::{Store, Turn};
use crate::Nanos;
use crate::arena::window::largest_hole_without;
use crate::clients::{ClientId, Ledger, Ring};
use crate::effect::{Effect, Refusal, Reply};
use crate::eviction::{WhenFull, plan_pieces};
use crate::residence::{Entry, Grant, Named, Residence};
use crate::slot::{Move, SlotNumber, SlotTable, State};

impl Store {
    /// Reads what clients have told until now.
    pub(super) fn drain<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        self.drained_at = turn.now;
        let mut client = self.clients.next_pusher(None);
        while let Some(this) = client {
            self.drain_one(turn, this);
            client = self.clients.next_pusher(Some(this));
        }
    }

    /// Hands out slots of one size; fewer when memory is short, and then maybe none.
    pub(super) fn grant<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        bytes: u64,
        count: u32,
    ) -> Result<Reply, Refusal> {
        if bytes == 0 || bytes > GRANT_BYTES_MAX {
            return Err(Refusal::Limit { what: "bytes of one grant, and at least one,", limit: GRANT_BYTES_MAX });
        }
        if count > GRANTS_MAX {
            return Err(Refusal::Limit { what: "grants of one client", limit: GRANTS_MAX.into() });
        }
        let Some(ledger) = self.clients.ledger(client) else { return Err(Refusal::Cancelled) };
        if ledger.pushing.state != Ring::Read {
            return Err(Refusal::Malformed("a grant is asked for without a ring to tell of it"));
        }
        let extents = self.room_for_grants(turn, client, bytes, count);
        if extents.is_empty() {
            return Ok(Reply::Done(0));
        }
        let mut grants = core::mem::take(&mut self.grants);
        grants.extend(extents.into_iter().map(|extent| {
            let slot = self.slots.grant(extent, client, turn.now);
            Grant { slot, generation: self.slots[slot].generation, extent }
        }));
        turn.residence.grant(client, &grants);
        self.note_granted(turn.now, client, &grants);
        let answer = Reply::Done(grants.len() as u32);
        grants.clear();
        self.grants = grants;
        Ok(answer)
    }

    /// Takes back what clients were handed and have not used; tells whether that freed anything.
    pub(super) fn take_back_all<R: Residence>(&mut self, turn: &mut Turn<'_, R>) -> bool {
        let before = self.granted_bytes;
        let mut client = self.clients.next_pusher(None);
        while let Some(this) = client {
            self.take_back(turn, this);
            client = self.clients.next_pusher(Some(this));
        }
        self.granted_bytes < before
    }

    /// The same for one client, unless it isn't trusted: then it may write there without a claim.
    pub(super) fn take_back<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId) {
        let Some(ledger) = self.clients.ledger(client) else { return };
        if ledger.pushing.granted_count == 0 || ledger.pushing.state != Ring::Read {
            return;
        }
        let slots: Vec<SlotNumber> = granted_slots(&self.slots, ledger).collect();
        self.claimed.clear();
        turn.residence.revoke(client, &slots, &mut self.claimed);
        self.drain_one(turn, client);
        for slot in slots {
            // What it told of in the meantime is an object now.
            if self.slots[slot].state != State::Granted {
                continue;
            }
            if self.claimed.contains(slot) || self.writes_unseen(client, slot) {
                turn.residence.keep(slot);
            } else {
                self.take_back_one(turn, client, slot);
            }
        }
        if let Some(ledger) = self.clients.ledger(client) {
            ledger.pushing.granted.retain(|handle| still_granted(&self.slots, *handle).is_some());
        }
    }

    /// A client may write into a granted slot that it doesn't claim.
    fn writes_unseen(&mut self, client: ClientId, slot: SlotNumber) -> bool {
        let pushing = self.clients.ledger(client).map(|ledger| &ledger.pushing);
        pushing.is_some_and(|pushing| pushing.state != Ring::Read || pushing.in_vain.contains(&slot))
    }

    /// A client is gone: nobody writes into its grants any more.
    pub(super) fn take_back_from_the_dead<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        handed: &[Handle],
    ) {
        for handle in handed {
            if let Some(slot) = self.still_granted(*handle) {
                self.take_back_one(turn, client, slot);
            }
        }
    }

    /// Clients that have told nothing for a while give back what they have: a ring that is read costs everybody time.
    pub(super) fn take_back_from_the_idle<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        if self.idle_check.is_none_or(|due| due > turn.now) {
            return;
        }
        let mut client = self.clients.next_pusher(None);
        let mut any_left = false;
        while let Some(this) = client {
            if self.clients.ledger(this).is_some_and(|ledger| ledger.pushing.busy_at + IDLE_NS <= turn.now) {
                self.take_back(turn, this);
            }
            any_left |= self.clients.ledger(this).is_some_and(|ledger| ledger.pushing.granted_count > 0);
            client = self.clients.next_pusher(Some(this));
        }
        self.idle_check = any_left.then_some(turn.now + IDLE_NS);
    }

    /// When rings are to be read though nobody asks anything.
    pub(super) fn next_look_at_rings(&self) -> Option<Nanos> {
        let listened_to = !self.subscriptions.is_empty() && self.clients.has_pushers();
        let for_subscribers = listened_to.then_some(self.drained_at + LISTENED_NS);
        [for_subscribers, self.idle_check].into_iter().flatten().min()
    }

    /// Extents to hand out, from what is free: side by side, or else wherever there are some. A cache drops objects for the
    /// rest, those that it would drop for the puts they are for, and so does a store that has them on disk.
    fn room_for_grants<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        bytes: u64,
        count: u32,
    ) -> Vec<Extent> {
        if self.disk.is_short {
            return Vec::new();
        }
        if !self.creates.is_empty() {
            return self.room_to_pass(client, bytes, count);
        }
        let makes_room = self.config.when_full == WhenFull::Evict || self.clean.count() > 0;
        let droppable = if makes_room { self.config.capacity_bytes / SHARE_DROPPED_FOR } else { 0 };
        let share = droppable.max(self.arena.free_bytes() / SHARE_OF_FREE).min(self.bytes_for(bytes));
        let allowed = count.min(self.grants_allowed(client, bytes, share)) as usize;
        if let Some(run) = self.arena.allocate_run(bytes, allowed as u32) {
            return run.collect();
        }
        let mut extents = Vec::new();
        self.allocate_pieces(bytes, allowed, &mut extents);
        let missing = (allowed - extents.len()) as u64;
        if makes_room
            && missing > 0
            && self.make_room(turn, |arena, candidates| plan_pieces(arena, bytes, missing, candidates))
        {
            self.allocate_pieces(bytes, allowed, &mut extents);
        }
        extents
    }

    /// Extents of what is free, as many as may go before the first create in line, if the disk may make room for that.
    fn room_to_pass(&mut self, client: ClientId, bytes: u64, count: u32) -> Vec<Extent> {
        if !self.disk.may_write() || !self.creates.may_pass(0) {
            return Vec::new();
        }
        let share = self.creates.bytes_to_pass().min(self.bytes_for(bytes));
        let share = share.min(self.arena.free_bytes() / SHARE_OF_FREE);
        let allowed = count.min(self.grants_allowed(client, bytes, share)) as usize;
        let mut extents: Vec<Extent> = self.arena.allocate_run(bytes, allowed as u32).into_iter().flatten().collect();
        self.allocate_pieces(bytes, allowed, &mut extents);
        let (gathered, free): (Vec<_>, Vec<_>) = extents.into_iter().partition(|extent| self.is_gathered(*extent));
        gathered.into_iter().for_each(|extent| self.arena.free(extent));
        let taken = free.iter().map(|extent| self.arena.reserved_bytes(*extent)).sum();
        if taken > 0 {
            self.creates.note_passed(taken);
        }
        free
    }

    /// As many as there are holes for.
    fn allocate_pieces(&mut self, bytes: u64, count: usize, extents: &mut Vec<Extent>) {
        let missing = extents.len()..count;
        extents.extend(missing.map_while(|_| self.arena.allocate(bytes)));
    }

    /// How many more a client may be handed: memory that lies ready for one is not there for the others.
    fn grants_allowed(&mut self, client: ClientId, bytes: u64, share_bytes: u64) -> u32 {
        let vacancies = self.slots.vacancies() / SHARE_OF_FREE as usize;
        let Some(ledger) = self.clients.ledger(client) else { return 0 };
        let most = (self.config.capacity_bytes / SHARE_OF_ALL).min(CLIENT_BYTES_MAX);
        let bytes_left = most.saturating_sub(ledger.pushing.granted_bytes).min(share_bytes);
        let each = self.arena.reserved_bytes(Extent { bytes, ..Extent::default() });
        let count = (bytes_left / each).min(vacancies as u64);
        (count as u32).min(GRANTS_MAX - ledger.pushing.granted_count)
    }

    fn note_granted(&mut self, now: Nanos, client: ClientId, grants: &[Grant]) {
        let bytes = grants.iter().map(|grant| self.arena.reserved_bytes(grant.extent)).sum::<u64>();
        self.granted_bytes += bytes;
        self.granted_count += grants.len() as u64;
        self.idle_check.get_or_insert(now + IDLE_NS);
        let Some(ledger) = self.clients.ledger(client) else { return };
        let pushing = &mut ledger.pushing;
        pushing.granted_count += grants.len() as u32;
        pushing.granted_bytes += bytes;
        pushing.busy_at = now;
        if pushing.granted.len() > 2 * pushing.granted_count as usize {
            let slots = &self.slots;
            pushing.granted.retain(|handle| still_granted(slots, *handle).is_some());
        }
        let handle = |grant: &Grant| Handle { slot: grant.slot.0, generation: grant.generation };
        pushing.granted.extend(grants.iter().map(handle));
        self.clients.note_pusher(client);
    }

    fn drain_one<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId) {
        let mut entries = core::mem::take(&mut self.entries);
        turn.residence.drain(client, &mut entries);
        if !entries.is_empty() {
            if let Some(ledger) = self.clients.ledger(client) {
                ledger.pushing.busy_at = turn.now;
            }
            let told = entries.drain(..).try_for_each(|entry| self.told(turn, client, entry));
            if let Err(why) = told {
                self.distrust(turn, client, why);
            }
        }
        entries.clear();
        self.entries = entries;
    }

    /// One entry. An error says that no library that keeps the protocol could have told this.
    fn told<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        entry: Entry,
    ) -> Result<(), &'static str> {
        match entry {
            Entry::Put(handle, named) => {
                let slot = self.granted_slot(client, handle)?;
                if self.name(turn.now, client, slot, &named)? {
                    self.totals.puts_by_ring += 1;
                    self.appears(turn, slot);
                }
            }
            Entry::Create(handle, named) => {
                let slot = self.granted_slot(client, handle)?;
                if self.name(turn.now, client, slot, &named)? {
                    self.note_unsealed(client, slot);
                } else if let Some(ledger) = self.clients.ledger(client) {
                    ledger.pushing.in_vain.insert(slot);
                }
            }
            Entry::Seal(handle) | Entry::Abort(handle) if self.was_in_vain(client, handle) => self.room_changed = true,
            Entry::Seal(handle) => {
                let slot = self.created_slot(client, handle)?;
                self.totals.puts_by_ring += 1;
                self.seal_one(turn, client, slot);
            }
            Entry::Abort(handle) => {
                let slot = self.created_slot(client, handle)?;
                self.give_up(turn, client, slot);
            }
            Entry::Unreadable(why) => return Err(why),
        }
        Ok(())
    }

    fn granted_slot(&self, client: ClientId, handle: Handle) -> Result<SlotNumber, &'static str> {
        let slot = self.still_granted(handle).filter(|slot| self.slots[*slot].creator == client);
        slot.ok_or("its ring tells of a slot that it was not granted")
    }

    /// A client is finished with an object that never was one: from here on its slot is like any that it was granted.
    fn was_in_vain(&mut self, client: ClientId, handle: Handle) -> bool {
        let slot = self.still_granted(handle);
        let ledger = self.clients.ledger(client);
        slot.zip(ledger).is_some_and(|(slot, ledger)| ledger.pushing.in_vain.remove(&slot))
    }

    fn created_slot(&self, client: ClientId, handle: Handle) -> Result<SlotNumber, &'static str> {
        let is_its_own =
            |slot: &SlotNumber| self.slots[*slot].state == State::Created && self.slots[*slot].creator == client;
        let slot = self.slots.resolve(handle).filter(is_its_own);
        slot.ok_or("its ring tells of an object that it has not created")
    }

    /// The slot of a grant that was neither used nor taken back.
    pub(super) fn still_granted(&self, handle: Handle) -> Option<SlotNumber> {
        still_granted(&self.slots, handle)
    }

    /// Makes an object of a granted slot, and gives back what it doesn't fill. `false` if somebody else took its id: there
    /// is nobody to tell, and since its client knows nothing of it, the slot stays granted until it is taken back.
    fn name(&mut self, now: Nanos, client: ClientId, slot: SlotNumber, named: &Named) -> Result<bool, &'static str> {
        if named.id.as_bytes()[..8] != client.0.to_le_bytes() {
            return Err("its ring tells of an id that doesn't begin with its number");
        }
        let granted = self.slots[slot].extent;
        let bytes = named.data_bytes.checked_add(named.metadata_bytes.into());
        let bytes = bytes.filter(|bytes| *bytes <= granted.bytes && named.metadata_bytes <= METADATA_BYTES_MAX);
        let bytes = bytes.ok_or("its ring tells of an object longer than its grant")?;
        if self.slots.find(named.id).is_some() {
            return Ok(false);
        }
        self.no_longer_granted(client, granted);
        let extent = self.shorten(granted, bytes);
        self.slots.name(slot, named, extent, now);
        self.totals.creates += 1;
        // The first in line may wait for what it leaves, or to be told that this id is taken.
        self.room_changed |= !self.creates.is_empty();
        Ok(true)
    }

    fn shorten(&mut self, granted: Extent, bytes: u64) -> Extent {
        let needed = self.arena.reserved_bytes(Extent { bytes, ..granted });
        if bytes == 0 {
            self.arena.free(granted);
            return Extent::default();
        }
        if needed < self.arena.reserved_bytes(granted) {
            let (_, rest) = self.arena.split(granted, needed);
            self.arena.free(rest);
        }
        Extent { bytes, ..granted }
    }

    fn take_back_one<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId, slot: SlotNumber) {
        let extent = self.slots[slot].extent;
        self.no_longer_granted(client, extent);
        self.advance(slot, Move::TakeBack);
        turn.residence.free(slot, self.slots[slot].generation);
        self.arena.free(extent);
        self.room_changed = true;
    }

    fn no_longer_granted(&mut self, client: ClientId, extent: Extent) {
        let bytes = self.arena.reserved_bytes(extent);
        self.granted_bytes -= bytes;
        self.granted_count -= 1;
        if let Some(ledger) = self.clients.ledger(client) {
            ledger.pushing.granted_bytes -= bytes;
            ledger.pushing.granted_count -= 1;
        }
    }

    /// Whoever told what cannot be may write anywhere it was ever handed: all of that stays until it is gone.
    fn distrust<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId, why: &'static str) {
        if let Some(ledger) = self.clients.ledger(client) {
            ledger.pushing.state = Ring::Distrusted;
        }
        turn.effects.push(Effect::Expel { client, why });
    }

    /// The largest hole there would be if all grants were taken back.
    pub(super) fn largest_hole_bytes(&self) -> u64 {
        let granted = self.clients.iter().flat_map(|(_, ledger)| granted_slots(&self.slots, ledger));
        largest_hole_without(&self.arena, granted.map(|slot| self.slots[slot].extent))
    }
}

fn granted_slots(slots: &SlotTable, ledger: &Ledger) -> impl Iterator<Item = SlotNumber> {
    ledger.pushing.granted.iter().filter_map(|handle| still_granted(slots, *handle))
}

fn still_granted(slots: &SlotTable, handle: Handle) -> Option<SlotNumber> {
    slots.resolve(handle).filter(|slot| slots[*slot].state == State::Granted)
}

/// What one client may be handed at a time.
const CLIENT_BYTES_MAX: u64 = 16 << 20;
/// The part of the arena that one client may be handed.
const SHARE_OF_ALL: u64 = 16;
/// The part of the arena that a cache drops at once, so that a client can be handed something.
const SHARE_DROPPED_FOR: u64 = 256;
/// The part of what is free, in bytes and in slots, that one client may be handed.
const SHARE_OF_FREE: u64 = 8;
/// Who has told nothing for so long gives back what it was handed.
const IDLE_NS: Nanos = 1_000_000_000;
/// How long what stands on a ring may be news to subscribers.
const LISTENED_NS: Nanos = 10_000_000;
