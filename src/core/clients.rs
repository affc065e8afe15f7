//! Who holds what: one ledger per client.
//!
//! Invariant: an unsealed object stands in exactly one ledger, its creator's. Pins stand in the client's page;
//! the ledger only counts those the daemon wrote there. Counted references to objects will stand here too.

use alloc::collections::{BTreeMap, BTreeSet};

use plasmad_wire::Role;

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
        self.unsealed.is_empty() && self.pins == 0 && self.waiting.is_empty()
    }
}

/// All ledgers.
#[derive(Debug, Default)]
pub struct Clients {
    ledgers: BTreeMap<ClientId, Ledger>,
}

impl Clients {
    /// Opens a ledger.
    pub fn join(&mut self, client: ClientId, role: Role) {
        let (unsealed, waiting) = (BTreeSet::new(), BTreeMap::new());
        let ledger = Ledger { role, connected: true, unsealed, pins: 0, waiting, waiting_bytes: 0 };
        let before = self.ledgers.insert(client, ledger);
        assert!(before.is_none(), "client {} joined twice", client.0);
    }

    /// Closes a ledger and hands it out.
    pub fn leave(&mut self, client: ClientId) -> Option<Ledger> {
        self.ledgers.remove(&client)
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
