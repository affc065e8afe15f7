//! What they hear: effects carried out, answers sent, connections closed.

use std::io;
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use plasmad_core::arena::PAGE_BYTES;
use plasmad_core::disk::FileNumber;
use plasmad_core::{ClientId, Effect, Event, Nanos, Reply};
use plasmad_shm::populate::HUGE_PAGE_BYTES;
use plasmad_wire::Response;

use super::Engine;
use crate::config::HugePages;
use crate::memory::Errand;
use crate::server::connection::Phase;
use crate::server::report::{Surroundings, document};
use crate::server::{dispatch, refusals, subscriptions};
use crate::spill::Disk;

impl Engine {
    /// Performs what the core decided, in its order.
    pub(super) fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Reply { client, tag, reply } => {
                    let Some(key) = self.clients.get(client).and_then(|client| client.connection) else { continue };
                    if tag.silent {
                        continue;
                    }
                    if let Reply::Leased { lease, objects: 1.. } = reply
                        && let Err(error) = self.attach_life(key, lease)
                    {
                        self.answer(key, tag.kind, tag.number, false, refusals::no_lease(&error));
                        continue;
                    }
                    if let Reply::Viewed { file, .. } = reply
                        && let Err(error) = self.attach_spill_file(key, file)
                    {
                        let refusal = refusals::no_view(&self.disk().path(file), &error);
                        self.answer(key, tag.kind, tag.number, false, refusal);
                        continue;
                    }
                    let stats = |snapshot: &_| self.stats(snapshot);
                    let path_of = |file| self.disk().path(file);
                    let response = dispatch::response(reply, &self.clients, stats, path_of);
                    self.answer(key, tag.kind, tag.number, false, response);
                }
                Effect::Expel { client, why } => {
                    if let Some(key) = self.clients.get(client).and_then(|client| client.connection) {
                        self.expelled.push((key, why));
                    }
                }
                Effect::Populate(stretch) => self.errands.send(Errand::Populate(stretch)),
                Effect::GiveBack(extent) => self.errands.send(Errand::GiveBack(extent)),
                Effect::Write(batch) => self.disk().write(batch),
                Effect::Restore(restore) => self.disk().restore(restore),
                Effect::RemoveFile(file) => self.disk().remove(file),
                Effect::Forget { client } => {
                    if let Some(process) = self.clients.remove(client).and_then(|client| client.process) {
                        let _ = self.poll.registry().deregister(&mut SourceFd(&process.as_raw_fd()));
                    }
                }
            }
        }
        self.effects = effects;
    }

    /// Where the core asks for something of a disk, it was given one.
    fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("the core knows whether there is a disk")
    }

    /// The next answer on a connection brings a spill file, to be read.
    fn attach_spill_file(&mut self, key: usize, file: FileNumber) -> io::Result<()> {
        let descriptor = self.disk().open_read_only(file)?;
        if let Some(connection) = self.connections.get_mut(key) {
            connection.outbox.attach(descriptor);
        }
        Ok(())
    }

    pub(super) fn stats(&self, snapshot: &plasmad_core::stats::Snapshot) -> Vec<u8> {
        let present_bytes = self.memory.present_bytes().unwrap_or(0);
        let (page_bytes, huge_bytes) = match self.config.huge_pages {
            HugePages::Always => (HUGE_PAGE_BYTES as u64, present_bytes),
            HugePages::Auto | HugePages::Never => (PAGE_BYTES, self.errands.huge_bytes()),
        };
        let around = Surroundings {
            socket: &self.config.socket,
            uptime_seconds: self.clock.uptime_seconds(),
            disk: self.disk.as_ref().map(Disk::figures),
            keeper_pid: self.keeper_pid,
            present_bytes,
            page_bytes,
            huge_bytes,
            population_done: self.store.is_populated(),
            dropped_total: self.clients.dropped_total,
            fast: self.clients.fast(),
            gets_shared: self.memory.own_pins_total(),
        };
        document(snapshot, &around).to_string().into_bytes()
    }

    pub(super) fn answer(&mut self, key: usize, kind: u16, number: u64, silent: bool, response: Response) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if silent || matches!(connection.phase, Phase::Closing) {
            return;
        }
        response.append(connection.outbox.bytes(), kind, number);
        self.unsent.push(key);
    }

    /// Answers, and closes behind it.
    pub(super) fn refuse(&mut self, key: usize, number: u64, response: Response) {
        if let Response::Error(body) = &response {
            self.note_dropped(key, &body.message);
        }
        self.send_off(key, number, response);
    }

    /// The last frame of a connection.
    pub(super) fn send_off(&mut self, key: usize, number: u64, response: Response) {
        self.answer(key, 0, number, false, response);
        let Some(connection) = self.connections.get_mut(key) else { return };
        if let Phase::Serving(client) = std::mem::replace(&mut connection.phase, Phase::Closing) {
            self.part(client);
        }
    }

    /// Logs why a connection is closed, once: whatever it does after that is not heard any more.
    pub(super) fn note_dropped(&mut self, key: usize, why: &str) {
        self.clients.dropped_total += 1;
        match self.connections.get(key).map(|connection| &connection.phase) {
            Some(Phase::Serving(client)) => {
                let (pid, label) = self.clients.get(*client).map_or((0, ""), |it| (it.pid, it.label.as_str()));
                tracing::warn!("client {}, process {pid} {label:?}, is disconnected: {why}", client.0);
            }
            Some(Phase::Greeting(_)) => tracing::info!("a connection is refused: {why}"),
            Some(Phase::Closing) | None => (),
        }
    }

    pub(super) fn wake_subscribers(&mut self) {
        let fresh = self.store.take_fresh_subscribers();
        self.unsent.extend(fresh.into_iter().filter_map(|client| self.clients.get(client)?.connection));
    }

    /// Sends what the sockets take. What subscribers have not heard follows as long as there is room for it.
    pub(super) fn flush(&mut self) {
        let mut unsent = std::mem::take(&mut self.unsent);
        for key in unsent.drain(..) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            if let Phase::Serving(client) = connection.phase {
                subscriptions::refill(&mut connection.outbox, &mut self.store, client);
            }
            match connection.outbox.flush(&mut connection.stream) {
                Ok(true) if matches!(connection.phase, Phase::Closing) => self.close(key),
                Ok(done) => {
                    if connection.outbox.is_long() && !connection.is_overfull {
                        connection.is_overfull = true;
                        let (serial, taken) = (connection.serial, connection.outbox.taken_total());
                        self.unread.push(self.clock.now(), key, serial, taken);
                    }
                    self.note_full(key, !done);
                    self.go_on_with_changes(key, done);
                }
                Err(_) => self.close(key),
            }
        }
        unsent.append(&mut self.unsent);
        self.unsent = unsent;
    }

    /// A subscriber that reads as fast as it is told has its next turn after the others.
    pub(super) fn go_on_with_changes(&mut self, key: usize, drained: bool) {
        let Some(Phase::Serving(client)) = self.connections.get(key).map(|connection| &connection.phase) else {
            return;
        };
        if drained && self.store.has_changes(*client) && !self.unsent.contains(&key) {
            self.unsent.push(key);
        }
    }

    pub(super) fn note_full(&mut self, key: usize, is_full: bool) {
        let was_full = std::mem::replace(&mut self.connections[key].is_full, is_full);
        if was_full && !is_full {
            // It may have been held back while its answers waited.
            self.serve_later(key);
        }
    }

    pub(super) fn close(&mut self, key: usize) {
        let Some(connection) = self.connections.try_remove(key) else { return };
        self.inbox_bytes_extra -= connection.inbox_bytes_extra();
        // Its descriptors may be what somebody in the listener waits for.
        self.more_to_accept = true;
        if let Phase::Serving(client) = connection.phase {
            self.part(client);
        }
    }

    /// A client has no connection any more.
    pub(super) fn part(&mut self, client: ClientId) {
        if let Some(found) = self.clients.get_mut(client) {
            found.connection = None;
            self.tell(Event::ConnectionClosed { client });
            self.look_at_life(client);
        }
    }

    /// Clients that have taken nothing of too much for too long.
    pub(super) fn close_deaf(&mut self, now: Nanos) {
        while let Some((key, serial, taken_before)) = self.unread.pop_due(now) {
            let connection = self.connections.get_mut(key).filter(|connection| connection.serial == serial);
            let Some(connection) = connection else { continue };
            connection.is_overfull = false;
            if connection.outbox.taken_total() > taken_before {
                self.unsent.push(key);
            } else {
                // It can't be told: what it would read first is still in its way.
                self.note_dropped(key, "it doesn't take its answers");
                self.close(key);
            }
        }
    }
}
