//! Leases: what children of a fork inherit stays where it is, whatever becomes of the parent's claims.
//!
//! A lease is a client of its own that has a page and nothing else. Invariant: it claims all that its client claimed when
//! it asked, before the answer exists, and until it is gone; so between the parent's claims and the children's there is
//! no moment without one.
//!
//! Children inherit writable memory too. An unsealed object that its creator gives up while a lease claims it is therefore
//! doomed, as a deleted one is: nobody finds it, and its memory stays until the last release.

use alloc::vec::Vec;

use plasmad_wire::Role;

use super::{Store, Turn};
use crate::clients::ClientId;
use crate::effect::{Effect, Refusal, Reply};
use crate::residence::Residence;
use crate::slot::{Move, SlotNumber, State};

impl Store {
    /// Claims for the lease what the client has.
    pub(super) fn lease<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        lease: ClientId,
    ) -> Result<Reply, Refusal> {
        self.claimed.clear();
        turn.residence.pinned_by(client, &mut self.claimed);
        let pinned = self.claimed.members().iter().copied().filter(|slot| self.is_pinnable(*slot));
        let mut slots: Vec<SlotNumber> = pinned.collect();
        let unsealed = self.clients.ledger(client).into_iter().flat_map(|ledger| &ledger.unsealed);
        for slot in unsealed {
            turn.residence.reserve(*slot, self.slots[*slot].generation);
            self.inherited.insert(*slot);
            slots.push(*slot);
        }
        let pin = |slot: &SlotNumber| turn.residence.pin(lease, *slot, self.slots[*slot].generation);
        let pins = slots.iter().map_while(pin).count();
        if pins == 0 || pins < slots.len() {
            turn.residence.leave(lease);
            turn.effects.push(Effect::Forget { client: lease });
        }
        if pins < slots.len() {
            return Err(Refusal::Limit { what: "objects of one lease", limit: pins as u64 });
        }
        if pins > 0 {
            self.clients.join(lease, Role::Reader, false);
            if let Some(ledger) = self.clients.ledger(lease) {
                (ledger.connected, ledger.pins) = (false, pins as u64);
            }
        }
        Ok(Reply::Leased { lease, objects: pins as u32 })
    }

    /// An unsealed object goes that children of a fork may still be writing.
    pub(super) fn abandon(&mut self, slot: SlotNumber) {
        self.advance(slot, Move::Abandon);
        self.doomed.push(slot);
        self.sweep_due = true;
    }

    /// Pages may name any slot, and grants are claimed while they are written: those are nobody's to inherit.
    fn is_pinnable(&self, slot: SlotNumber) -> bool {
        if slot.0 as usize >= self.slots.ever_used_count() {
            return false;
        }
        match self.slots[slot].state {
            State::Sealed | State::Spilling | State::Doomed => true,
            State::Spilled => self.is_at_hand(slot),
            State::Free | State::Granted | State::Created | State::Restoring => false,
        }
    }
}
