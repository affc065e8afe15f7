//! Who comes: connections accepted, handshakes answered.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

use mio::net::UnixStream;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use plasmad_core::{ClientId, Event, Nanos, Residence};
use plasmad_shm::life::LifeFile;
use plasmad_shm::{fd_passing, page};
use plasmad_wire::error::ErrorCode;
use plasmad_wire::features::{LIFE_FILE, SHARED_GETS, SHARED_PUTS};
use plasmad_wire::request::Hello;
use plasmad_wire::response::Welcome;
use plasmad_wire::{Response, Role, limits};

use super::{Engine, FIRST_TOKEN, HELLO, INTEREST};
use crate::server::clients::Client;
use crate::server::connection::{Connection, Phase, Serial};
use crate::server::dispatch::EPOCH;
use crate::server::handshake::{self, Admitted};
use crate::server::{limits as bounds, refusals};

impl Engine {
    /// Accepts as many as there is time for; those who come when all places are taken are told so.
    pub(super) fn accept(&mut self, end: Nanos) {
        while self.more_to_accept {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => {
                    self.more_to_accept = false;
                    if error.kind() != ErrorKind::WouldBlock {
                        tracing::warn!("a connection can't be accepted: {error}");
                    }
                }
            }
            if self.clock.now() >= end {
                return;
            }
        }
    }

    pub(super) fn admit(&mut self, mut stream: UnixStream) {
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let token = Token(FIRST_TOKEN + 2 * key);
        if let Err(error) = self.poll.registry().register(&mut stream, token, INTEREST) {
            return tracing::warn!("a connection can't be watched: {error}");
        }
        self.connections_total += 1;
        let serial = Serial(self.connections_total);
        entry.insert(Connection::new(serial, stream));
        self.greeting.push(self.clock.now(), key, serial, ());
        if self.connections.len() > self.connections_max {
            self.refuse(key, 0, refusals::crowded(self.connections_max));
        }
    }

    /// The first frame of a connection.
    pub(super) fn greet(&mut self, key: usize, number: u64, hello: Option<Hello>) {
        let connection = &mut self.connections[key];
        let Phase::Greeting(fds) = &mut connection.phase else { return };
        let fds = std::mem::take(fds);
        let Some(hello) = hello else {
            let what = "the first frame of a connection must be a handshake";
            return self.refuse(key, number, refusals::malformed(what));
        };
        let admitted = handshake::admit(&hello, fds, &connection.stream, &self.config.access, self.own_uid);
        let welcomed = admitted.and_then(|admitted| {
            self.welcome(key, number, admitted).map_err(|error| {
                let what = format!("plasmad has no descriptors or memory left for another client: {error}");
                handshake::refusal(ErrorCode::Internal, what)
            })
        });
        if let Err(body) = welcomed {
            self.refuse(key, number, Response::Error(*body));
        }
    }

    pub(super) fn welcome(&mut self, key: usize, number: u64, admitted: Admitted) -> io::Result<()> {
        let Admitted { role, features, pid, label, process } = admitted;
        let client = self.clients.next_id();
        let mut frame = Vec::new();
        self.welcome_message(client, role, features).append(&mut frame, HELLO, number);
        let life = (features & LIFE_FILE != 0).then(LifeFile::create).transpose()?;
        self.memory.join(client)?;
        let token = Token(FIRST_TOKEN + 2 * client.0 as usize + 1);
        let watched = self.poll.registry().register(&mut SourceFd(&process.as_raw_fd()), token, Interest::READABLE);
        let connection = &mut self.connections[key];
        let mut fds = self.memory.descriptors(client, role == Role::Writer, features & SHARED_GETS != 0);
        fds.extend(life.as_ref().map(LifeFile::fd));
        let sent = watched.and_then(|()| fd_passing::send(&connection.stream, &frame, &fds));
        match sent {
            Ok(bytes) => connection.outbox.bytes().extend_from_slice(&frame[bytes..]),
            Err(error) => {
                self.memory.leave(client);
                return Err(error);
            }
        }
        connection.phase = Phase::Serving(client);
        tracing::debug!("client {} is process {pid} {label:?}, {role:?}", client.0);
        let is_fast = features & SHARED_GETS != 0;
        self.clients
            .insert(client, Client { connection: Some(key), is_fast, process: Some(process), life, pid, label });
        self.tell(Event::ClientJoined { client, role, pushes: features & SHARED_PUTS != 0 });
        Ok(())
    }

    pub(super) fn welcome_message(&self, client: ClientId, role: Role, features: u64) -> Response {
        Response::Welcome(Welcome {
            version: limits::PROTOCOL_VERSION,
            role,
            segments: 1,
            features,
            store_id: self.store_id,
            epoch: EPOCH,
            client: client.0,
            capacity_bytes: self.config.memory_bytes,
            frame_body_bytes_max: limits::FRAME_BODY_BYTES_MAX,
            items_max: limits::ITEMS_MAX,
            metadata_bytes_max: limits::METADATA_BYTES_MAX,
            pins_max: page::PIN_WORDS,
            put_inline_bytes_max: limits::PUT_INLINE_BYTES_MAX,
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// Connections whose handshake took too long.
    pub(super) fn close_silent(&mut self, now: Nanos) {
        while let Some((key, serial, ())) = self.greeting.pop_due(now) {
            let connection = self.connections.get(key).filter(|connection| connection.serial == serial);
            if connection.is_some_and(|connection| matches!(connection.phase, Phase::Greeting(_))) {
                let seconds = bounds::GREETING_TIME_MAX.as_secs();
                self.refuse(key, 0, refusals::silent(seconds));
            }
        }
    }
}
