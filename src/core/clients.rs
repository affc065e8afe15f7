//! Who holds what: one ledger per client.
//!
//! Invariant: an unsealed object stands in exactly one ledger, its creator's. Pins stand in the client's page;
//! the ledger only counts those the daemon wrote there. Counted references to objects will stand here too.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound::{Excluded, Unbounded};

use plasmad_wire::{Handle, Role};

use crate::Nanos;
use crate::queue::WaitKey;
use crate::slot::SlotNumber;

/// A process, as the store knows it. Never used twice in one store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u64);

/// What one client has.
#[derive(Debug)]
pub struct Ledger {
    /// What it may do.
    pub role: Role,
    /// It can still be answered.
    pub connected: bool,
    /// What it can tell, and was handed to tell of.
    pub pushing: Pushing,
    /// Objects it created and has not sealed.
    pub unsealed: BTreeSet<SlotNumber>,
    /// Pins the daemon wrote into its page.
    pub pins: u64,
    /// Its requests that wait, by their number.
    pub waiting: BTreeMap<u64, WaitKey>,
    /// What they keep in the daemon's memory.
    pub waiting_bytes: u64,
}

impl Ledger {
    /// Nothing is left that would have to be given back.
    pub fn is_empty(&self) -> bool {
        self.unsealed.is_empty() && self.pins == 0 && self.waiting.is_empty() && self.pushing.granted_count == 0
    }

    /// Something may stand on its ring that means something.
    pub fn may_push(&self) -> bool {
        self.pushing.state == Ring::Read && (self.pushing.granted_count > 0 || !self.unsealed.is_empty())
    }
}

/// What a client has of grants.
#[derive(Debug)]
pub struct Pushing {
    /// Whether its ring is read.
    pub state: Ring,
    /// What it was handed; some of that isn't its any more.
    pub granted: Vec<Handle>,
    /// How many of them still are.
    pub granted_count: u32,
    /// What those take.
    pub granted_bytes: u64,
    /// Those of them in which it creates an object whose id somebody else took. It doesn't know, and writes there
    /// without a claim.
    pub in_vain: BTreeSet<SlotNumber>,
    /// When it was last handed one, or told of one.
    pub busy_at: Nanos,
}

/// A client's ring, as the core treats it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ring {
    /// It has none.
    None,
    /// It is read.
    Read,
    /// What stood there could not be: it isn't read any more, and what the client holds stays until it is gone.
    Distrusted,
}

/// All ledgers.
#[derive(Debug, Default)]
pub struct Clients {
    ledgers: BTreeMap<ClientId, Ledger>,
    /// Those that may push, and some that no longer do.
    pushers: BTreeSet<ClientId>,
}

impl Clients {
    /// Opens a ledger.
    pub fn join(&mut self, client: ClientId, role: Role, pushes: bool) {
        let (unsealed, waiting) = (BTreeSet::new(), BTreeMap::new());
        let state = if pushes { Ring::Read } else { Ring::None };
        let (granted, in_vain) = (Vec::new(), BTreeSet::new());
        let pushing = Pushing { state, granted, granted_count: 0, granted_bytes: 0, in_vain, busy_at: 0 };
        let ledger = Ledger { role, connected: true, pushing, unsealed, pins: 0, waiting, waiting_bytes: 0 };
        let before = self.ledgers.insert(client, ledger);
        assert!(before.is_none(), "client {} joined twice", client.0);
    }

    /// Closes a ledger and hands it out.
    pub fn leave(&mut self, client: ClientId) -> Option<Ledger> {
        self.pushers.remove(&client);
        self.ledgers.remove(&client)
    }

    /// The client's ring is read from now on, as long as it may push.
    pub fn note_pusher(&mut self, client: ClientId) {
        if self.ledgers.get(&client).is_some_and(Ledger::may_push) {
            self.pushers.insert(client);
        }
    }

    /// The first client behind `after` whose ring is to be read. Those that cannot push any more are left out from now on.
    pub fn next_pusher(&mut self, after: Option<ClientId>) -> Option<ClientId> {
        loop {
            let from = after.map_or(Unbounded, Excluded);
            let client = *self.pushers.range((from, Unbounded)).next()?;
            if self.ledgers.get(&client).is_some_and(Ledger::may_push) {
                return Some(client);
            }
            self.pushers.remove(&client);
        }
    }

    /// Somebody may push.
    pub fn has_pushers(&self) -> bool {
        !self.pushers.is_empty()
    }

    /// A client's ledger, while it has one.
    pub fn ledger(&mut self, client: ClientId) -> Option<&mut Ledger> {
        self.ledgers.get_mut(&client)
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &Ledger)> {
        self.ledgers.iter().map(|(client, ledger)| (*client, ledger))
    }
}

#[cfg(test)]
#[path = "clients_fuzz.rs"]
mod fuzz;
