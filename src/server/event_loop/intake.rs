//! What they say: bytes received, frames taken, in turns that nobody's flood makes long.

use std::io::{self, ErrorKind};

use plasmad_core::{ClientId, Event, Nanos, RequestTag};
use plasmad_wire::codec::decode_all;
use plasmad_wire::request::Hello;
use plasmad_wire::{Request, limits};

use super::{Engine, HELLO};
use crate::server::connection::{Phase, Received};
use crate::server::dispatch::{self, Meaning};
use crate::server::{limits as bounds, refusals};

impl Engine {
    /// Somebody speaks up. Newcomers, those who had more than their share lately, and those who leave wait in line
    /// behind the others.
    pub(super) fn hear(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        let is_new = matches!(connection.phase, Phase::Greeting(_));
        if is_new || connection.ends || connection.greedy_until > self.clock.now() {
            self.stand_in_line(key);
        } else {
            self.serve(key);
        }
    }

    /// Gives those who stand in line another turn, as long as this one may take.
    pub(super) fn serve_busy(&mut self, end: Nanos) {
        while self.clock.now() < end {
            let Some(key) = self.busy.pop_front() else { return };
            if let Some(connection) = self.connections.get_mut(key) {
                connection.is_busy = false;
                self.serve(key);
            }
        }
    }

    /// One turn of a connection: receives once, takes a bounded number of frames.
    pub(super) fn serve(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.outbox.is_long() {
            // It doesn't take its answers, so it is asked for no more; it goes on when it has read them.
            if !connection.is_full {
                self.serve_later(key);
            }
            return;
        }
        if matches!(connection.phase, Phase::Closing) {
            return;
        }
        let received = self.receive(key);
        let mut frames = 0;
        while frames < bounds::FRAMES_PER_TURN && !self.has_too_much_unread(key) && self.take_frame(key) {
            frames += 1;
        }
        let now = self.clock.now();
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.half_since =
            connection.is_half().then(|| connection.half_since.filter(|_| frames == 0).unwrap_or(now));
        match received {
            _ if connection.has_frame() => self.serve_later(key),
            Ok(Received::More) => self.serve_later(key),
            Ok(Received::All) => (),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                self.refuse(key, 0, refusals::malformed(&error.to_string()));
            }
            // It may still take the answers to what it sent before: first they are sent.
            Ok(Received::Ended) if connection.is_full => (),
            Ok(Received::Ended) if frames > 0 || connection.outbox.waiting_bytes() > 0 => self.serve_later(key),
            Ok(Received::Ended) | Err(_) => self.close(key),
        }
        if self.inbox_bytes_extra > bounds::INBOX_BYTES_MAX {
            self.close_longest_half();
        }
    }

    /// Receives once, and keeps count of what inboxes take.
    pub(super) fn receive(&mut self, key: usize) -> io::Result<Received> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(Received::Ended) };
        let before = connection.inbox_bytes_extra();
        let received = connection.receive();
        self.inbox_bytes_extra += connection.inbox_bytes_extra();
        self.inbox_bytes_extra -= before;
        received
    }

    pub(super) fn has_too_much_unread(&self, key: usize) -> bool {
        self.connections.get(key).is_some_and(|it| it.outbox.is_long())
    }

    /// There is more than one turn takes.
    pub(super) fn serve_later(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.greedy_until = self.clock.now() + bounds::GREEDY_TIME.as_nanos() as Nanos;
        self.stand_in_line(key);
    }

    fn stand_in_line(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !std::mem::replace(&mut connection.is_busy, true) {
            self.busy.push_back(key);
        }
    }

    /// Frames that have begun and don't end fill the memory for them: the one that began first goes.
    pub(super) fn close_longest_half(&mut self) {
        let halves = self.connections.iter().filter(|(_, connection)| connection.inbox_bytes_extra() > 0);
        let halves = halves.filter_map(|(key, connection)| Some((connection.half_since?, key)));
        if let Some((_, key)) = halves.min() {
            self.refuse(key, 0, refusals::unfinished(bounds::INBOX_BYTES_MAX));
        }
    }

    /// Takes one frame off a connection's inbox; `false` when there is none.
    pub(super) fn take_frame(&mut self, key: usize) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return false };
        let client = match &connection.phase {
            Phase::Greeting(_) => None,
            Phase::Serving(client) => Some(*client),
            Phase::Closing => return false,
        };
        let (header, decoded) = match connection.next_frame() {
            Ok(None) => return false,
            Ok(Some(frame)) if client.is_none() => {
                let hello = (frame.header.kind == HELLO).then(|| decode_all::<Hello>(frame.body));
                let hello = hello.and_then(Result::ok);
                let number = frame.header.request;
                self.greet(key, number, hello);
                return true;
            }
            Ok(Some(frame)) => (frame.header, Request::decode(frame.header.kind, frame.body)),
            Err(long) => {
                let (bytes, max) = (long.header.body_bytes, limits::FRAME_BODY_BYTES_MAX);
                let what = format!("a frame claims {bytes} bytes; at most {max} are allowed");
                self.refuse(key, long.header.request, refusals::malformed(&what));
                return false;
            }
        };
        let Some(client) = client else { return false };
        match decoded {
            None => self.answer(key, header.kind, header.request, header.no_reply(), refusals::unknown(header.kind)),
            Some(Err(error)) => {
                let what = format!("request kind {} can't be read: {error}", header.kind);
                self.refuse(key, header.request, refusals::malformed(&what));
            }
            Some(Ok(request)) => {
                let tag = RequestTag { number: header.request, kind: header.kind, silent: header.no_reply() };
                self.ask(key, client, tag, request);
            }
        }
        true
    }

    pub(super) fn ask(&mut self, key: usize, client: ClientId, tag: RequestTag, request: Request) {
        match dispatch::meaning(request) {
            Meaning::Verb(verb) => {
                self.tell(Event::Asked { client, tag, verb });
                // An answer that needs no core, or the end of the connection, must not overtake this one's.
                self.carry_out();
            }
            Meaning::Cancel(number) => self.tell(Event::Cancelled { client, number }),
            Meaning::Rung => self.tell(Event::Rung),
            Meaning::Lease => self.lease(key, client, tag),
            Meaning::Goodbye => {
                self.tell(Event::ClientGone { client });
                self.close(key);
            }
            Meaning::Answer(response) => self.answer(key, tag.kind, tag.number, tag.silent, response),
        }
    }

    /// Clients whose processes have ended, at least one, and as many as there is time for.
    pub(super) fn bury(&mut self, end: Nanos) {
        while let Some(client) = self.ended.pop_front() {
            self.process_ended(client);
            if self.clock.now() >= end {
                return;
            }
        }
    }

    /// A client's process is dead: what it still sent is heard first.
    pub(super) fn process_ended(&mut self, client: ClientId) {
        let Some(found) = self.clients.get(client) else { return };
        let connection = found.connection;
        tracing::debug!("client {}, process {}, has ended", client.0, found.pid);
        if let Some(key) = connection {
            self.hear_out(key);
        }
        self.tell(Event::ClientGone { client });
        if let Some(key) = self.clients.get(client).and_then(|client| client.connection) {
            self.close(key);
        }
    }

    /// Takes all that a dead process left in its socket; a forked child that still writes there is not waited for.
    pub(super) fn hear_out(&mut self, key: usize) {
        for _ in 0..LAST_RECEIVES_MAX {
            let received = self.receive(key);
            while self.take_frame(key) {}
            if !matches!(received, Ok(Received::More)) {
                return;
            }
        }
    }
}

/// More than any socket buffer holds.
const LAST_RECEIVES_MAX: usize = 1024;
