//! Get, release, wait and contains.

use alloc::vec::Vec;

use plasmad_wire::value::GetStatus;
use plasmad_wire::{ObjectId, Pin};

use super::{Store, Turn};
use crate::clients::ClientId;
use crate::effect::{Got, Refusal, Reply};
use crate::event::RequestTag;
use crate::queue::{GetWait, Purpose, WaitKey, deadline, distinct};
use crate::residence::Residence;
use crate::slot::State;

impl Store {
    pub(super) fn get<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        tag: RequestTag,
        timeout_ns: u64,
        partial: bool,
        ids: Vec<ObjectId>,
    ) {
        self.await_objects(turn, client, tag, timeout_ns, ids, Purpose::Pin { partial });
    }

    pub(super) fn wait<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        tag: RequestTag,
        timeout_ns: u64,
        count: u32,
        ids: Vec<ObjectId>,
    ) {
        if distinct(&ids).len() != ids.len() {
            return self.answer(turn, client, tag, Err(Refusal::Malformed("an id is repeated in a wait")));
        }
        let Some(missing_max) = ids.len().checked_sub(count as usize).filter(|_| count > 0) else {
            return self.answer(turn, client, tag, Err(Refusal::Malformed("a wait counts from 1 to its ids")));
        };
        self.await_objects(turn, client, tag, timeout_ns, ids, Purpose::Look { missing_max });
    }

    fn await_objects<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        tag: RequestTag,
        timeout_ns: u64,
        ids: Vec<ObjectId>,
        purpose: Purpose,
    ) {
        let each = distinct(&ids);
        let missing = each.iter().filter(|id| self.find_at_hand(**id).is_none()).count();
        let absent = each.iter().filter(|id| !self.is_sealed(**id)).count();
        let deadline = deadline(turn.now, timeout_ns);
        let wait = GetWait { client, tag, ids, purpose, absent, missing, since: turn.now, deadline };
        if wait.is_satisfied() || timeout_ns == 0 {
            if !wait.is_satisfied() {
                self.ask_for(&each);
            }
            let answer = self.get_now(turn, &wait);
            return self.answer(turn, client, tag, answer);
        }
        let bytes = wait.bytes();
        if let Err(refusal) = self.may_wait(client, tag, bytes) {
            return self.answer(turn, client, tag, Err(refusal));
        }
        self.disk.restores_due |= wait.waits_for_disk();
        let expected = each;
        let number = self.gets.push(wait);
        self.note_waiting(client, tag, bytes, deadline, WaitKey::Get(number));
        turn.residence.expect(&expected, true);
        // Whoever put one of them just before that has made no sound.
        self.drain(turn);
    }

    /// A wait can be answered as it was asked, unless an earlier answer took away what it needed.
    pub(super) fn answer_get<R: Residence>(&mut self, turn: &mut Turn<'_, R>, number: u64, expired: bool) {
        let Some(wait) = self.gets.wait(number) else { return };
        if !expired && !wait.is_satisfied() {
            return;
        }
        let wait = wait.clone();
        self.stop_waiting(turn, WaitKey::Get(number));
        let answer = self.get_now(turn, &wait);
        self.answer(turn, wait.client, wait.tag, answer);
    }

    pub(super) fn expire_get<R: Residence>(&mut self, turn: &mut Turn<'_, R>, number: u64) {
        self.answer_get(turn, number, true);
    }

    /// The answer to a get or wait as things are now.
    fn get_now<R: Residence>(&mut self, turn: &mut Turn<'_, R>, wait: &GetWait) -> Result<Reply, Refusal> {
        match wait.purpose {
            Purpose::Look { .. } => Ok(self.present(&wait.ids)),
            Purpose::Pin { partial } if wait.missing == 0 || partial => {
                let objects = self.pin_readable(turn, wait.client, &wait.ids)?;
                Ok(Reply::Got { timed_out: wait.missing > 0, objects })
            }
            Purpose::Pin { .. } => {
                let objects = wait.ids.iter().map(|id| Got::Not(self.status(*id))).collect();
                Ok(Reply::Got { timed_out: true, objects })
            }
        }
    }

    /// Pins what can be read, in memory or on disk; all of it, or nothing when the client's page is full.
    fn pin_readable<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        ids: &[ObjectId],
    ) -> Result<Vec<Got>, Refusal> {
        let mut objects = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(slot) = self.find_at_hand(*id) else {
                objects.push(Got::Not(self.status(*id)));
                continue;
            };
            let handle = self.slots.handle(slot);
            let viewed = self.disk.views.get(&slot).copied();
            match turn.residence.pin(client, slot, handle.generation).map(|word| Pin { word, handle }) {
                Some(pin) => objects.push(match viewed {
                    Some(place) => Got::OnDisk(pin, place, self.location_in(place, slot)),
                    None => Got::Pinned(pin, self.slots[slot].location()),
                }),
                None => {
                    let pins = objects.iter().filter_map(pin_of);
                    pins.for_each(|pin| assert!(turn.residence.unpin(client, pin), "a pin just made is gone"));
                    let limit = self.clients.ledger(client).map_or(0, |ledger| ledger.pins);
                    return Err(Refusal::Limit { what: "pins of one client", limit });
                }
            }
        }
        let pins = objects.iter().filter_map(pin_of).count() as u64;
        self.totals.gets += pins;
        if let Some(ledger) = self.clients.ledger(client) {
            ledger.pins += pins;
        }
        objects.iter().filter_map(pin_of).for_each(|pin| self.touch(crate::SlotNumber(pin.handle.slot)));
        Ok(objects)
    }

    pub(super) fn release<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        pins: &[Pin],
    ) -> Result<Reply, Refusal> {
        let mut not_held = None;
        let mut released = 0;
        for pin in pins {
            if !turn.residence.unpin(client, *pin) {
                not_held.get_or_insert(Refusal::NotHeld(pin.handle));
                continue;
            }
            released += 1;
            let slot = self.slots.resolve(pin.handle);
            self.sweep_due |= slot.is_some_and(|slot| matches!(self.slots[slot].state, State::Doomed | State::Spilled));
        }
        self.room_changed |= released > 0;
        if let Some(ledger) = self.clients.ledger(client) {
            // Pins the client made by itself are given back here too, and were never counted.
            ledger.pins = ledger.pins.saturating_sub(u64::from(released));
        }
        self.forget_if_finished(turn, client);
        not_held.map_or(Ok(Reply::Done(released)), Err)
    }

    /// Sealed or not, for each.
    pub(super) fn present(&self, ids: &[ObjectId]) -> Reply {
        Reply::Present(ids.iter().map(|id| self.is_sealed(*id)).collect())
    }

    /// In memory or on disk.
    fn is_sealed(&self, id: ObjectId) -> bool {
        match self.slots.find(id).map(|slot| self.slots[slot].state) {
            Some(State::Sealed | State::Spilling | State::Spilled | State::Restoring) => true,
            None | Some(State::Free | State::Granted | State::Created | State::Doomed) => false,
        }
    }

    /// What is under an id, for somebody who doesn't get it.
    fn status(&self, id: ObjectId) -> GetStatus {
        if self.find_at_hand(id).is_some() {
            return GetStatus::Present;
        }
        match self.slots.find(id).map(|slot| self.slots[slot].state) {
            None | Some(State::Free | State::Granted | State::Doomed) => GetStatus::Absent,
            Some(State::Created) => GetStatus::Unsealed,
            Some(State::Sealed | State::Spilling) => GetStatus::Present,
            Some(State::Spilled | State::Restoring) => GetStatus::Restoring,
        }
    }
}

fn pin_of(object: &Got) -> Option<Pin> {
    match object {
        Got::Pinned(pin, _) | Got::OnDisk(pin, ..) => Some(*pin),
        Got::Not(_) => None,
    }
}
