//! What the core did about one event, read by the model from front to back; nothing may be left over.

use std::collections::VecDeque;

use plasmad_core::residence::Grant;
use plasmad_core::{ClientId, Effect, Refusal, Reply, RequestTag, SlotNumber};
use plasmad_wire::Extent;

use crate::support::{Call, Checked, Violation, ensure};

/// The core's effects, and its changes to shared memory.
pub(super) struct Transcript {
    effects: VecDeque<Effect>,
    calls: VecDeque<Call>,
}

impl Transcript {
    /// Of one event.
    pub(super) fn new(effects: Vec<Effect>, calls: Vec<Call>) -> Self {
        Self { effects: effects.into(), calls: calls.into() }
    }

    /// The next effect is this one.
    pub(super) fn effect(&mut self, expected: Effect) -> Checked {
        let found = self.effects.pop_front();
        ensure!(found.as_ref() == Some(&expected), "expected {expected:?}\n   found {found:?}");
        Ok(())
    }

    /// The next effect answers this request; how?
    pub(super) fn reply(&mut self, client: ClientId, tag: RequestTag) -> Checked<Reply> {
        match self.effects.pop_front() {
            Some(Effect::Reply { client: whom, tag: which, reply }) if (whom, which) == (client, tag) => Ok(reply),
            found => Err(Violation(format!("expected an answer for {client:?} {tag:?}\n   found {found:?}"))),
        }
    }

    /// The next effect answers this request.
    pub(super) fn is_next(&self, client: ClientId, tag: RequestTag) -> bool {
        matches!(self.effects.front(), Some(Effect::Reply { client: whom, tag: which, .. }) if (*whom, *which) == (client, tag))
    }

    /// How this create was answered, if it found room. Answers to gets may come before its own.
    pub(super) fn found_room(&self, client: ClientId, tag: RequestTag) -> Option<&Reply> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Reply { client: whom, tag: which, reply } if (*whom, *which) == (client, tag) => {
                let room = matches!(reply, Reply::Created(_) | Reply::Done(_) | Reply::Refused(Refusal::FillFailed(_)));
                room.then_some(reply)
            }
            _ => None,
        })
    }

    /// The next change to shared memory.
    pub(super) fn next_call(&self) -> Option<&Call> {
        self.calls.front()
    }

    /// The next change to shared memory is this one.
    pub(super) fn call(&mut self, expected: Call) -> Checked {
        let found = self.calls.pop_front();
        ensure!(found.as_ref() == Some(&expected), "expected {expected:?}\n   found {found:?}");
        Ok(())
    }

    /// The next change frees this slot; its next generation.
    pub(super) fn free(&mut self, slot: u32) -> Checked<u64> {
        match self.calls.pop_front() {
            Some(Call::Free(freed, generation)) if freed.0 == slot => Ok(generation),
            found => Err(Violation(format!("expected slot {slot} to be freed\n   found {found:?}"))),
        }
    }

    /// The slots taken out of sight, if that is the next change.
    pub(super) fn retracted(&mut self) -> Option<Vec<SlotNumber>> {
        let window = match self.calls.front()? {
            Call::Retract(window) => window.clone(),
            _ => return None,
        };
        self.calls.pop_front();
        Some(window)
    }

    /// The next effect is that this client is to be disconnected.
    pub(super) fn expelled(&mut self, client: ClientId) -> Checked {
        match self.effects.pop_front() {
            Some(Effect::Expel { client: whom, .. }) if whom == client => Ok(()),
            found => Err(Violation(format!("expected {client:?} to be disconnected\n   found {found:?}"))),
        }
    }

    /// The next change marks slots of somebody's as being taken back.
    pub(super) fn takes_back(&self) -> bool {
        matches!(self.calls.front(), Some(Call::Revoke(..)))
    }

    /// The next change marks these slots of a client's.
    pub(super) fn revoked(&mut self, client: ClientId) -> Checked<Vec<SlotNumber>> {
        match self.calls.pop_front() {
            Some(Call::Revoke(whose, slots)) if whose == client => Ok(slots),
            found => Err(Violation(format!("expected grants of {client:?} to be taken back\n   found {found:?}"))),
        }
    }

    /// The next change hands slots to a client.
    pub(super) fn granted(&mut self, client: ClientId) -> Checked<Vec<Grant>> {
        match self.calls.pop_front() {
            Some(Call::Grant(whom, grants)) if whom == client => Ok(grants),
            found => Err(Violation(format!("expected grants for {client:?}\n   found {found:?}"))),
        }
    }

    /// Where the slots lie that a later change hands to a client.
    pub(super) fn to_be_granted(&self, client: ClientId) -> Vec<Extent> {
        let grants = self.calls.iter().find_map(|call| match call {
            Call::Grant(whom, grants) if *whom == client => Some(grants),
            _ => None,
        });
        grants.into_iter().flatten().map(|grant| grant.extent).collect()
    }

    /// How many changes were not read.
    pub(super) fn calls_left(&self) -> usize {
        self.calls.len()
    }

    /// All was read.
    pub(super) fn finish(self) -> Checked {
        ensure!(self.effects.is_empty(), "nobody expected {:?}", self.effects);
        ensure!(self.calls.is_empty(), "nobody expected {:?}", self.calls);
        Ok(())
    }
}
