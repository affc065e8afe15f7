//! Grants: who is handed how much, and how it is taken back.

use std::collections::{BTreeMap, BTreeSet};

use plasmad_core::clients::Ring;
use plasmad_core::{ClientId, Nanos, Refusal, Reply, SlotNumber, WhenFull};
use plasmad_wire::limits::{GRANT_BYTES_MAX, GRANTS_MAX};
use plasmad_wire::{Extent, Handle};

use super::state::{Client, Granted, Model, alignment, reserved};
use super::transcript::Transcript;
use crate::support::{Call, Checked, ensure};

impl Model {
    /// Slots wherever there is room: as many as may be.
    pub(super) fn grant(
        &mut self,
        said: &mut Transcript,
        client: ClientId,
        bytes: u64,
        count: u32,
    ) -> Checked<Result<Reply, Refusal>> {
        if bytes == 0 || bytes > GRANT_BYTES_MAX {
            let what = "bytes of one grant, and at least one,";
            return Ok(Err(Refusal::Limit { what, limit: GRANT_BYTES_MAX }));
        }
        if count > GRANTS_MAX {
            return Ok(Err(Refusal::Limit { what: "grants of one client", limit: GRANTS_MAX.into() }));
        }
        if self.clients[&client].ring != Ring::Read {
            return Ok(Err(Refusal::Malformed("a grant is asked for without a ring to tell of it")));
        }
        let count = self.room_for_grants(said, client, bytes, count.into())?;
        if count == 0 {
            return Ok(Ok(Reply::Done(0)));
        }
        let grants = said.granted(client)?;
        ensure!(grants.len() as u64 == count, "{} grants of {count}", grants.len());
        for grant in grants {
            self.check_placement(grant.extent, Some(bytes), &[])?;
            self.check_vacant(Handle { slot: grant.slot.0, generation: grant.generation })?;
            let (generation, extent) = (grant.generation, grant.extent);
            self.granted.insert(grant.slot.0, Granted { generation, extent, client });
            self.raise_high_water(extent);
        }
        let now = self.now;
        self.clients.entry(client).and_modify(|known| known.busy_at = now);
        self.idle_check.get_or_insert(now + IDLE_NS);
        Ok(Ok(Reply::Done(count as u32)))
    }

    /// How many there is room for: none while anybody waits for room. A cache that has less than a 256th of itself free
    /// makes some.
    fn room_for_grants(&mut self, said: &mut Transcript, client: ClientId, bytes: u64, count: u64) -> Checked<u64> {
        if !self.line().is_empty() {
            return Ok(0);
        }
        let makes_room = self.config.when_full == WhenFull::Evict;
        let droppable = if makes_room { self.config.capacity_bytes / 256 } else { 0 };
        let free = self.config.capacity_bytes - self.used_bytes() - self.granted_bytes();
        let most = count.min(self.grants_allowed(client, bytes, droppable.max(free / 8)));
        let there = most.min(self.pieces(bytes, &[], &[]));
        if there == most || !makes_room {
            return Ok(there);
        }
        self.sweep(said)?;
        let mut placed = said.to_be_granted(client);
        placed.truncate(there as usize);
        if self.pieces(bytes, &placed, &[]) == 0 && self.pieces(bytes, &placed, &self.candidates()) > 0 {
            self.seen.dropped_for_grants += 1;
            let window = said.retracted().unwrap_or_default();
            self.check_dropped_for_pieces(bytes, most - there, &placed, &window)?;
            window.iter().try_for_each(|slot| self.drop_object(said, slot.0))?;
        }
        Ok(most.min(there + self.pieces(bytes, &placed, &[])))
    }

    /// How many extents of these bytes there are holes for, beside some more that are used, and when these slots are gone.
    fn pieces(&self, bytes: u64, used: &[Extent], gone: &[u32]) -> u64 {
        let pieces =
            |(start, end): (u64, u64)| end.saturating_sub(start.next_multiple_of(alignment(bytes))) / reserved(bytes);
        self.holes_between(used, gone).into_iter().map(pieces).sum()
    }

    /// Objects went for so many extents: none that is younger than needed, and none for nothing.
    fn check_dropped_for_pieces(&self, bytes: u64, count: u64, used: &[Extent], window: &[SlotNumber]) -> Checked {
        self.check_droppable(window)?;
        let window: Vec<u32> = window.iter().map(|slot| slot.0).collect();
        let candidates = self.candidates();
        let can_be = |number: usize| self.pieces(bytes, used, &candidates[..number]);
        let wanted = count.min(can_be(candidates.len()));
        ensure!(self.pieces(bytes, used, &window) >= wanted, "{window:?} was dropped, and is not enough for {wanted}");
        let enough = (0..candidates.len()).find(|number| can_be(*number) >= wanted).unwrap_or(candidates.len());
        let oldest = &candidates[..enough];
        ensure!(window.iter().all(|slot| oldest.contains(slot)), "{window:?} was dropped, {oldest:?} are enough");
        for slot in &window {
            let offset = self.objects[slot].record.extent.offset;
            let holes = self.holes_between(used, &window);
            let hole = holes.into_iter().find(|(start, end)| (*start..*end).contains(&offset));
            let serves = hole.is_some_and(|(start, end)| reserved(bytes) <= end - start);
            ensure!(serves, "{slot} was dropped for nothing, with {window:?}");
        }
        Ok(())
    }

    /// A sixteenth of the arena, 16 MiB, so much of what is free or can be made so, and an eighth of the free slots; less
    /// what it has.
    fn grants_allowed(&self, client: ClientId, bytes: u64, share_bytes: u64) -> u64 {
        let its = self.granted_to(client);
        let has: u64 = its.iter().map(|slot| reserved(self.granted[slot].extent.bytes)).sum();
        let room = (self.config.capacity_bytes / 16).min(16 << 20).saturating_sub(has).min(share_bytes);
        let vacancies = u64::from(self.config.slots_max) - (self.objects.len() + self.granted.len()) as u64;
        (room / reserved(bytes)).min(vacancies / 8).min(u64::from(GRANTS_MAX) - its.len() as u64)
    }

    /// All that is handed out and not used.
    pub(super) fn take_back_all(&mut self, said: &mut Transcript) -> Checked {
        let clients: Vec<ClientId> = self.clients.keys().copied().collect();
        clients.into_iter().try_for_each(|client| self.take_back(said, client))
    }

    /// The core marks what a client has, looks for claims, and then reads its ring.
    pub(super) fn take_back(&mut self, said: &mut Transcript, client: ClientId) -> Checked {
        let handed = self.granted_to(client);
        if handed.is_empty() || self.clients[&client].ring != Ring::Read {
            return Ok(());
        }
        let slots: Vec<u32> = said.revoked(client)?.into_iter().map(|slot| slot.0).collect();
        let once: BTreeSet<u32> = slots.iter().copied().collect();
        ensure!(once == handed && slots.len() == handed.len(), "{slots:?} are taken back of {handed:?}");
        self.told_late(false);
        let claimed = self.claimed_grants(&self.clients[&client]);
        self.read_ring(said, client)?;
        for slot in slots {
            if !self.granted.contains_key(&slot) {
                self.seen.told_when_revoked += 1;
            } else if claimed.contains(&slot) || self.writes_unseen(client, slot) {
                self.seen.kept += 1;
                said.call(Call::Keep(SlotNumber(slot)))?;
            } else {
                self.free_grant(said, slot)?;
            }
        }
        Ok(())
    }

    pub(super) fn take_back_from_the_dead(&mut self, said: &mut Transcript, client: ClientId) -> Checked {
        self.rings.remove(&client);
        let mut handed: BTreeSet<u32> =
            self.granted.iter().filter(|(_, granted)| granted.client == client).map(|(slot, _)| *slot).collect();
        self.seen.died_with_grants += u64::from(!handed.is_empty());
        while !handed.is_empty() {
            let Some(Call::Free(slot, _)) = said.next_call().cloned() else {
                return said.free(handed.pop_first().unwrap_or_default()).map(drop);
            };
            ensure!(handed.remove(&slot.0), "{slot:?} was freed, of {handed:?}");
            self.free_grant(said, slot.0)?;
        }
        Ok(())
    }

    /// Who has told nothing for a second gives back what it has.
    pub(super) fn take_back_from_the_idle(&mut self, said: &mut Transcript) -> Checked {
        if self.idle_check.is_none_or(|due| due > self.now) {
            return Ok(());
        }
        let clients: Vec<ClientId> = self.clients.keys().copied().filter(|client| self.may_push(*client)).collect();
        let mut has_any = false;
        for client in clients {
            if self.clients[&client].busy_at + IDLE_NS <= self.now {
                self.seen.idle += u64::from(!self.granted_to(client).is_empty());
                self.take_back(said, client)?;
            }
            has_any |= !self.granted_to(client).is_empty();
        }
        self.idle_check = has_any.then_some(self.now + IDLE_NS);
        Ok(())
    }

    fn free_grant(&mut self, said: &mut Transcript, slot: u32) -> Checked {
        let next_generation = said.free(slot)?;
        let before = self.granted.remove(&slot).map(|granted| granted.generation);
        ensure!(before.is_some_and(|before| before < next_generation), "slot {slot} keeps its generation {before:?}");
        self.generations.insert(slot, next_generation);
        self.let_go.remove(&slot);
        self.room_changed = true;
        Ok(())
    }

    /// What is handed out, and could be taken back at once.
    pub(super) fn unused_grants(&self) -> Vec<u32> {
        let unused = self.granted.iter().filter(|(slot, granted)| {
            let known = self.clients.get(&granted.client);
            known.is_some_and(|known| !self.claimed_grants(known).contains(slot))
                && !self.writes_unseen(granted.client, **slot)
        });
        unused.map(|(slot, _)| *slot).collect()
    }

    /// A client may write there without a claim.
    fn writes_unseen(&self, client: ClientId, slot: u32) -> bool {
        let known = &self.clients[&client];
        known.ring != Ring::Read || known.in_vain.contains(&slot)
    }

    /// Slots that a client was handed, and claims.
    pub(super) fn claimed_grants(&self, known: &Client) -> BTreeSet<u32> {
        known.pins.values().filter(|handle| self.is_granted(**handle)).map(|handle| handle.slot).collect()
    }

    pub(super) fn granted_to(&self, client: ClientId) -> BTreeSet<u32> {
        self.granted.iter().filter(|(_, granted)| granted.client == client).map(|(slot, _)| *slot).collect()
    }

    pub(super) fn granted_bytes(&self) -> u64 {
        self.granted.values().map(|granted| reserved(granted.extent.bytes)).sum()
    }

    /// What is shown as granted, by generation: objects that are created there as well. Nothing is being taken back.
    pub(super) fn granted_slots(&self) -> BTreeMap<SlotNumber, (u64, bool)> {
        let objects = self.objects.iter().filter(|(_, object)| object.was_granted && object.sealed_at.is_none());
        let objects = objects.map(|(slot, object)| (*slot, object.record.generation));
        let granted = self.granted.iter().map(|(slot, granted)| (*slot, granted.generation));
        granted.chain(objects).map(|(slot, generation)| (SlotNumber(slot), (generation, false))).collect()
    }

    pub(super) fn is_granted(&self, handle: Handle) -> bool {
        self.granted.get(&handle.slot).is_some_and(|granted| granted.generation == handle.generation)
    }
}

/// Who has told nothing for so long gives back what it has.
const IDLE_NS: Nanos = 1_000_000_000;
