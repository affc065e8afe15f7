//! Whose claims end though nobody says so: clients without a connection whose process lives, and may have nothing left
//! of the memory it was a client in; and leases, which children of a fork use that nobody knows.
//!
//! Their life files tell, and have to be asked. That is done once a second for each, and more often while somebody waits
//! for the room that they may take; so many in a turn, so that a crowd of them delays nobody.

use std::collections::VecDeque;
use std::io;

use plasmad_core::{ClientId, Event, Nanos, RequestTag};
use plasmad_shm::life::LifeFile;

use super::Engine;
use crate::server::clients::Client;
use crate::server::{dispatch, limits as bounds, refusals};

/// Clients to look at, those first that were looked at longest ago, and when that was.
#[derive(Debug, Default)]
pub(super) struct Lives {
    line: VecDeque<(Nanos, ClientId)>,
}

impl Engine {
    /// A client is about to fork: what it holds is claimed by a lease too, whose life file goes with the answer. One that
    /// never arrives there, or isn't mapped, is found to be over.
    pub(super) fn lease(&mut self, key: usize, client: ClientId, tag: RequestTag) {
        let leases_max = bounds::leases_max(self.connections_max);
        if self.clients.leases() >= leases_max {
            // Some of them may be over by now.
            (0..self.lives.line.len().min(LOOKS_WHEN_CROWDED)).for_each(|_| self.look_at_next_life());
            self.carry_out();
        }
        if self.clients.leases() >= leases_max {
            let response = refusals::limit("leases that this daemon's descriptors allow", leases_max as u64);
            return self.answer(key, tag.kind, tag.number, tag.silent, response);
        }
        let lease = match self.make_lease(client) {
            Ok(lease) => lease,
            Err(error) => {
                return self.answer(key, tag.kind, tag.number, tag.silent, refusals::no_lease(&error));
            }
        };
        self.tell(Event::Asked { client, tag, verb: dispatch::lease(lease) });
        self.carry_out();
        if self.clients.get(lease).is_some() {
            self.lives.line.push_back((self.clock.now(), lease));
        }
    }

    fn make_lease(&mut self, client: ClientId) -> io::Result<ClientId> {
        let life = Some(LifeFile::create()?);
        let lease = self.clients.next_id();
        self.memory.join(lease)?;
        let (pid, label) = self.clients.get(client).map_or((0, ""), |client| (client.pid, client.label.as_str()));
        let label = if label.is_empty() { "fork".to_owned() } else { format!("fork of {label}") };
        self.clients.insert(lease, Client { connection: None, is_fast: false, process: None, life, pid, label });
        Ok(lease)
    }

    /// The next answer on a connection brings a lease's life file.
    pub(super) fn attach_life(&mut self, key: usize, lease: ClientId) -> io::Result<()> {
        let Some(life) = self.clients.get(lease).and_then(|lease| lease.life.as_ref()) else { return Ok(()) };
        let fd = life.fd().try_clone_to_owned()?;
        if let Some(connection) = self.connections.get_mut(key) {
            connection.outbox.attach(fd);
        }
        Ok(())
    }

    /// Looks whether a client is gone; if not, again from time to time. One without a life file ends with its process.
    pub(super) fn look_at_life(&mut self, client: ClientId) {
        let Some(life) = self.clients.get(client).and_then(|client| client.life.as_ref()) else { return };
        if life.is_over() {
            tracing::debug!("client {} has let go of its memory", client.0);
            self.tell(Event::ClientGone { client });
        } else {
            self.lives.line.push_back((self.clock.now(), client));
        }
    }

    /// Looks at those whose turn it is.
    pub(super) fn look_at_lives(&mut self, now: Nanos) {
        for _ in 0..LOOKS_PER_TURN {
            if self.next_look_at_lives().is_none_or(|due| due > now) {
                return;
            }
            self.look_at_next_life();
        }
    }

    pub(super) fn next_look_at_lives(&self) -> Option<Nanos> {
        let pause = if self.store.is_short_of_room() { PAUSE_WHEN_SHORT_NS } else { PAUSE_NS };
        self.lives.line.front().map(|(looked, _)| looked + pause)
    }

    fn look_at_next_life(&mut self) {
        if let Some((_, client)) = self.lives.line.pop_front() {
            self.look_at_life(client);
        }
    }
}

/// Between two looks at one client.
const PAUSE_NS: Nanos = 1_000_000_000;
/// The same while somebody waits for room.
const PAUSE_WHEN_SHORT_NS: Nanos = 20_000_000;
/// A look is a system call of some hundred nanoseconds.
const LOOKS_PER_TURN: usize = 64;
const LOOKS_WHEN_CROWDED: usize = 1024;
