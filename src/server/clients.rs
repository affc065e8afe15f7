//! The processes behind the connections, as the shell knows them.
//!
//! Invariant: a client is here from its handshake until the core forgets it, with or without a connection: a closed
//! socket is not a dead process.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use plasmad_core::ClientId;
use plasmad_core::effect::Holding;
use plasmad_shm::life::LifeFile;
use plasmad_wire::error::Holder;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    clients: HashMap<ClientId, Client>,
    joined_total: u64,
    /// How many of them are leases.
    leases: usize,
    /// Connections closed because of what they sent, or didn't take.
    pub(crate) dropped_total: u64,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its key among the connections, while it has one.
    pub(crate) connection: Option<usize>,
    /// It maps the index and its page.
    pub(crate) is_fast: bool,
    /// Turns readable when the process ends. Watched by the poll under the client's number. `None` for a lease: children
    /// of a fork use it, and nobody knows which.
    pub(crate) process: Option<OwnedFd>,
    /// Mapped by the process as long as it may use what it holds, if it knows of that.
    pub(crate) life: Option<LifeFile>,
    /// 0 in another pid namespace.
    pub(crate) pid: u32,
    /// What it calls itself.
    pub(crate) label: String,
}

impl Clients {
    /// A number never used before.
    pub(crate) fn next_id(&mut self) -> ClientId {
        self.joined_total += 1;
        ClientId(self.joined_total)
    }

    pub(crate) fn insert(&mut self, id: ClientId, client: Client) {
        self.leases += usize::from(client.process.is_none());
        self.clients.insert(id, client);
    }

    pub(crate) fn remove(&mut self, id: ClientId) -> Option<Client> {
        let client = self.clients.remove(&id)?;
        self.leases -= usize::from(client.process.is_none());
        Some(client)
    }

    pub(crate) fn get(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(&id)
    }

    /// How many leases there are.
    pub(crate) fn leases(&self) -> usize {
        self.leases
    }

    /// How many are connected that map the index and their page.
    pub(crate) fn fast(&self) -> usize {
        self.clients.values().filter(|client| client.is_fast && client.connection.is_some()).count()
    }

    /// Who holds something, with the names only the shell knows.
    pub(crate) fn holder(&self, holding: &Holding) -> Holder {
        let client = self.get(holding.client);
        Holder {
            client: holding.client.0,
            pid: client.map_or(0, |client| client.pid),
            label: client.map_or_else(String::new, |client| client.label.clone()),
            pins: holding.pins,
            bytes: holding.bytes,
        }
    }
}
