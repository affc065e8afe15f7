//! The loop: poll, read, decide, answer.
//!
//! Invariant: shared memory is changed before an answer leaves, and what a dead client sent before its death is heard
//! before its death is. Work for one connection is bounded in each turn, so that nobody waits for a busy neighbour.
//!
//! ```text
//! poll until the next deadline
//! each ready connection   receive once, take some frames, ask the core
//! each dead process       hear its last frames, then tell the core
//! each effect             into an outbox
//! each subscriber         some of what it has not heard, into its outbox
//! each outbox             into its socket, as far as that takes it
//! ```

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use mio::net::{UnixListener, UnixStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use plasmad_core::{ClientId, Config as CoreConfig, Effect, Event, RequestTag, Store};
use plasmad_shm::{fd_passing, page, peer};
use plasmad_wire::codec::decode_all;
use plasmad_wire::error::ErrorCode;
use plasmad_wire::features::SHARED_GETS;
use plasmad_wire::request::Hello;
use plasmad_wire::response::Welcome;
use plasmad_wire::{Request, Response, Role, limits};
use signal_hook::consts::{SIGINT, SIGTERM};
use slab::Slab;

use super::clients::{Client, Clients};
use super::clock::Clock;
use super::connection::{Connection, Phase, Received, Serial};
use super::dispatch::{self, EPOCH, Meaning};
use super::handshake::{self, Admitted};
use super::limits::{self as bounds, Overdue};
use super::refusals;
use super::report::{Surroundings, document};
use super::subscriptions;
use crate::config::Config;
use crate::memory::{Population, SharedMemory};

/// Everything the engine has.
pub(crate) struct Engine {
    config: Config,
    poll: Poll,
    listener: UnixListener,
    connections: Slab<Connection>,
    clients: Clients,
    store: Store,
    memory: SharedMemory,
    population: Population,
    clock: Clock,
    store_id: [u8; 16],
    own_uid: u32,
    keeper_pid: u32,
    effects: Vec<Effect>,
    /// Connections whose handshake isn't finished.
    greeting: Overdue<()>,
    /// Connections that have more than enough unread, and what they had taken by then.
    unread: Overdue<u64>,
    connections_max: usize,
    connections_total: u64,
    /// Connections may wait in the listener, of which poll has told already.
    more_to_accept: bool,
    /// What the inboxes of all connections take beyond what each has.
    inbox_bytes_extra: usize,
    /// Connections that have more to read than one turn took, in the order of their turns.
    busy: VecDeque<usize>,
    /// Connections with something to send.
    unsent: Vec<usize>,
    /// Held open so that the poll goes on watching them.
    _watched: Vec<OwnedFd>,
}

impl Engine {
    /// Takes over what the keeper made.
    pub(crate) fn new(
        config: Config,
        listener: std::os::unix::net::UnixListener,
        arena: OwnedFd,
        keeper: OwnedFd,
    ) -> io::Result<Self> {
        let random = random_bytes()?;
        let word = |at: usize| u64::from_le_bytes(random[at..at + 8].try_into().expect("8 bytes"));
        let (store_id, hash_seed) = (random[..16].try_into().expect("16 bytes"), [word(16), word(24)]);
        let core = CoreConfig {
            capacity_bytes: config.memory_bytes,
            slots_max: config.objects_max,
            hash_seed,
            when_full: config.when_full.into(),
        };
        listener.set_nonblocking(true)?;
        let mut listener = UnixListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let population = Population::start(config.populate, arena.try_clone()?, config.memory_bytes)?;
        let watched = watch_for_stop(&poll, &config, keeper)?;
        Ok(Self {
            poll,
            listener,
            connections: Slab::new(),
            clients: Clients::default(),
            store: Store::new(core),
            memory: SharedMemory::new(arena, config.objects_max, store_id, hash_seed)?,
            population,
            clock: Clock::start(),
            store_id,
            own_uid: nix::unistd::geteuid().as_raw(),
            keeper_pid: nix::unistd::getppid().as_raw() as u32,
            effects: Vec::new(),
            greeting: Overdue::after(bounds::GREETING_TIME_MAX),
            unread: Overdue::after(bounds::UNREAD_TIME_MAX),
            connections_max: bounds::connections_max(),
            connections_total: 0,
            more_to_accept: false,
            inbox_bytes_extra: 0,
            busy: VecDeque::new(),
            unsent: Vec::new(),
            _watched: watched,
            config,
        })
    }

    /// Serves until it is told to stop.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = self.until_next_turn();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => (),
            }
            let mut stop = false;
            for event in &events {
                match Source::of(event.token()) {
                    Source::Listener => self.more_to_accept = true,
                    Source::Stop => stop = true,
                    Source::Process(client) => self.process_ended(client),
                    Source::Connection(key) => {
                        if event.is_writable() {
                            self.unsent.push(key);
                        }
                        if event.is_read_closed()
                            && let Some(connection) = self.connections.get_mut(key)
                        {
                            connection.ends = true;
                        }
                        let speaks = event.is_readable() || event.is_read_closed() || event.is_error();
                        // Whoever had more than its share waits in line, behind those who speak up now.
                        if speaks && self.connections.get(key).is_some_and(|connection| !connection.is_busy) {
                            self.serve(key);
                        }
                    }
                }
            }
            self.settle();
            self.serve_busy();
            self.accept();
            self.tick();
            self.settle();
            self.population.keep_ahead(self.store.high_water_bytes(), self.config.memory_bytes);
            if stop {
                return self.drain();
            }
        }
    }

    /// Carries out what was decided so far, and sends the answers.
    fn settle(&mut self) {
        self.carry_out();
        self.wake_subscribers();
        self.flush();
    }

    fn until_next_turn(&self) -> Option<Duration> {
        // Closing a connection in a flush may have served those who wait.
        let nothing_is_due = self.busy.is_empty() && self.unsent.is_empty() && self.effects.is_empty();
        if !nothing_is_due || self.more_to_accept {
            return Some(Duration::ZERO);
        }
        let deadlines = [self.store.next_deadline(), self.greeting.next_deadline(), self.unread.next_deadline()];
        let deadline = deadlines.into_iter().flatten().min()?;
        // The poll counts in milliseconds and rounds up, so a deadline has always passed when it returns.
        Some(Duration::from_nanos(deadline.saturating_sub(self.clock.now())))
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        if self.store.wants_tick() || self.store.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.tell(Event::Tick);
        }
        while let Some((key, serial, ())) = self.greeting.pop_due(now) {
            let connection = self.connections.get(key).filter(|connection| connection.serial == serial);
            if connection.is_some_and(|connection| matches!(connection.phase, Phase::Greeting(_))) {
                let seconds = bounds::GREETING_TIME_MAX.as_secs();
                self.refuse(key, 0, refusals::silent(seconds));
            }
        }
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

    /// Accepts some; those who come when all places are taken are told so.
    fn accept(&mut self) {
        for _ in 0..bounds::ACCEPTS_PER_TURN {
            if !self.more_to_accept {
                return;
            }
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
        }
    }

    fn admit(&mut self, mut stream: UnixStream) {
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

    /// Gives some of those who had more than their share another turn.
    fn serve_busy(&mut self) {
        for _ in 0..self.busy.len().min(bounds::BUSY_PER_TURN) {
            let Some(key) = self.busy.pop_front() else { return };
            if let Some(connection) = self.connections.get_mut(key) {
                connection.is_busy = false;
                self.serve(key);
            }
        }
    }

    /// One turn of a connection: receives once, takes a bounded number of frames.
    fn serve(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.outbox.waiting_bytes() > bounds::OUTBOX_BYTES_MAX {
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
    fn receive(&mut self, key: usize) -> io::Result<Received> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(Received::Ended) };
        let before = connection.inbox_bytes_extra();
        let received = connection.receive();
        self.inbox_bytes_extra += connection.inbox_bytes_extra();
        self.inbox_bytes_extra -= before;
        received
    }

    fn has_too_much_unread(&self, key: usize) -> bool {
        self.connections.get(key).is_some_and(|it| it.outbox.waiting_bytes() > bounds::OUTBOX_BYTES_MAX)
    }

    fn serve_later(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !std::mem::replace(&mut connection.is_busy, true) {
            self.busy.push_back(key);
        }
    }

    /// Frames that have begun and don't end fill the memory for them: the one that began first goes.
    fn close_longest_half(&mut self) {
        let halves = self.connections.iter().filter(|(_, connection)| connection.inbox_bytes_extra() > 0);
        let halves = halves.filter_map(|(key, connection)| Some((connection.half_since?, key)));
        if let Some((_, key)) = halves.min() {
            self.refuse(key, 0, refusals::unfinished(bounds::INBOX_BYTES_MAX));
        }
    }

    /// Takes one frame off a connection's inbox; `false` when there is none.
    fn take_frame(&mut self, key: usize) -> bool {
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

    fn ask(&mut self, key: usize, client: ClientId, tag: RequestTag, request: Request) {
        match dispatch::meaning(request) {
            Meaning::Verb(verb) => {
                self.tell(Event::Asked { client, tag, verb });
                // An answer that needs no core, or the end of the connection, must not overtake this one's.
                self.carry_out();
            }
            Meaning::Cancel(number) => self.tell(Event::Cancelled { client, number }),
            Meaning::Rung => self.tell(Event::Rung),
            Meaning::Goodbye => {
                self.tell(Event::ClientGone { client });
                self.close(key);
            }
            Meaning::Answer(response) => self.answer(key, tag.kind, tag.number, tag.silent, response),
        }
    }

    /// The first frame of a connection.
    fn greet(&mut self, key: usize, number: u64, hello: Option<Hello>) {
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

    fn welcome(&mut self, key: usize, number: u64, admitted: Admitted) -> io::Result<()> {
        let Admitted { role, features, pid, label, process } = admitted;
        let client = self.clients.next_id();
        let mut frame = Vec::new();
        self.welcome_message(client, role, features).append(&mut frame, HELLO, number);
        self.memory.join(client)?;
        let token = Token(FIRST_TOKEN + 2 * client.0 as usize + 1);
        let watched = self.poll.registry().register(&mut SourceFd(&process.as_raw_fd()), token, Interest::READABLE);
        let connection = &mut self.connections[key];
        let fds = self.memory.descriptors(client, role == Role::Writer, features & SHARED_GETS != 0);
        let sent = watched.and_then(|()| fd_passing::send(&connection.stream, &frame, &fds));
        match sent {
            Ok(bytes) => connection.outbox.bytes().extend_from_slice(&frame[bytes..]),
            Err(error) => {
                use plasmad_core::Residence as _;
                self.memory.leave(client);
                return Err(error);
            }
        }
        connection.phase = Phase::Serving(client);
        tracing::debug!("client {} is process {pid} {label:?}, {role:?}", client.0);
        let is_fast = features & SHARED_GETS != 0;
        self.clients.insert(client, Client { connection: Some(key), is_fast, process, pid, label });
        self.tell(Event::ClientJoined { client, role });
        Ok(())
    }

    fn welcome_message(&self, client: ClientId, role: Role, features: u64) -> Response {
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

    /// A client's process is dead: what it still sent is heard first.
    fn process_ended(&mut self, client: ClientId) {
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
    fn hear_out(&mut self, key: usize) {
        for _ in 0..LAST_RECEIVES_MAX {
            let received = self.receive(key);
            while self.take_frame(key) {}
            if !matches!(received, Ok(Received::More)) {
                return;
            }
        }
    }

    fn tell(&mut self, event: Event) {
        let now = self.clock.now();
        self.store.handle(now, event, &mut self.memory, &mut self.effects);
    }

    /// Performs what the core decided, in its order.
    fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Reply { client, tag, reply } => {
                    let Some(key) = self.clients.get(client).and_then(|client| client.connection) else { continue };
                    if tag.silent {
                        continue;
                    }
                    let stats = |snapshot: &_| self.stats(snapshot);
                    let response = dispatch::response(reply, &self.clients, &self.clock, stats);
                    self.answer(key, tag.kind, tag.number, false, response);
                }
                Effect::Forget { client } => {
                    if let Some(client) = self.clients.remove(client) {
                        let _ = self.poll.registry().deregister(&mut SourceFd(&client.process.as_raw_fd()));
                    }
                }
            }
        }
        self.effects = effects;
    }

    fn stats(&self, snapshot: &plasmad_core::stats::Snapshot) -> Vec<u8> {
        let around = Surroundings {
            socket: &self.config.socket,
            uptime_seconds: self.clock.now() as f64 / 1e9,
            keeper_pid: self.keeper_pid,
            present_bytes: self.memory.present_bytes().unwrap_or(0),
            population_done: self.population.is_done(),
            dropped_total: self.clients.dropped_total,
            fast: self.clients.fast(),
            gets_shared: self.memory.own_pins_total(),
        };
        document(snapshot, &around).to_string().into_bytes()
    }

    fn answer(&mut self, key: usize, kind: u16, number: u64, silent: bool, response: Response) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if silent || matches!(connection.phase, Phase::Closing) {
            return;
        }
        response.append(connection.outbox.bytes(), kind, number);
        self.unsent.push(key);
    }

    /// Answers, and closes behind it.
    fn refuse(&mut self, key: usize, number: u64, response: Response) {
        if let Response::Error(body) = &response {
            self.note_dropped(key, &body.message);
        }
        self.answer(key, 0, number, false, response);
        let Some(connection) = self.connections.get_mut(key) else { return };
        if let Phase::Serving(client) = std::mem::replace(&mut connection.phase, Phase::Closing) {
            self.part(client);
        }
    }

    /// Logs why a connection is closed, once: whatever it does after that is not heard any more.
    fn note_dropped(&mut self, key: usize, why: &str) {
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

    fn wake_subscribers(&mut self) {
        let fresh = self.store.take_fresh_subscribers();
        self.unsent.extend(fresh.into_iter().filter_map(|client| self.clients.get(client)?.connection));
    }

    /// Sends what the sockets take. What subscribers have not heard follows as long as there is room for it.
    fn flush(&mut self) {
        let mut unsent = std::mem::take(&mut self.unsent);
        for key in unsent.drain(..) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            if let Phase::Serving(client) = connection.phase {
                subscriptions::refill(&mut connection.outbox, &mut self.store, client);
            }
            match connection.outbox.flush(&mut connection.stream) {
                Ok(true) if matches!(connection.phase, Phase::Closing) => self.close(key),
                Ok(done) => {
                    if connection.outbox.waiting_bytes() > bounds::OUTBOX_BYTES_MAX && !connection.is_overfull {
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
    fn go_on_with_changes(&mut self, key: usize, drained: bool) {
        let Some(Phase::Serving(client)) = self.connections.get(key).map(|connection| &connection.phase) else {
            return;
        };
        if drained && self.store.has_changes(*client) && !self.unsent.contains(&key) {
            self.unsent.push(key);
        }
    }

    fn note_full(&mut self, key: usize, is_full: bool) {
        let was_full = std::mem::replace(&mut self.connections[key].is_full, is_full);
        if was_full && !is_full {
            // It may have been held back while its answers waited.
            self.serve_later(key);
        }
    }

    fn close(&mut self, key: usize) {
        let Some(connection) = self.connections.try_remove(key) else { return };
        self.inbox_bytes_extra -= connection.inbox_bytes_extra();
        // Its descriptors may be what somebody in the listener waits for.
        self.more_to_accept = true;
        if let Phase::Serving(client) = connection.phase {
            self.part(client);
        }
    }

    /// A client has no connection any more.
    fn part(&mut self, client: ClientId) {
        if let Some(found) = self.clients.get_mut(client) {
            found.connection = None;
            self.tell(Event::ConnectionClosed { client });
        }
    }

    /// Refuses what waits, sends what can be sent, and ends.
    fn drain(&mut self) -> io::Result<()> {
        tracing::info!("stopping: {} connections are closed", self.connections.len());
        let keys: Vec<usize> = self.connections.iter().map(|(key, _)| key).collect();
        for key in &keys {
            // The last frame: nothing that subscribers have not heard comes behind it.
            self.refuse(*key, 0, refusals::stopping());
        }
        let give_up = Instant::now() + DRAIN_TIME_MAX;
        self.flush();
        while self.connections.iter().any(|(_, it)| it.outbox.waiting_bytes() > 0) && Instant::now() < give_up {
            let mut events = Events::with_capacity(1024);
            self.poll.poll(&mut events, Some(Duration::from_millis(10)))?;
            self.unsent.extend(&keys);
            self.flush();
        }
        Ok(())
    }
}

/// What a token stands for.
enum Source {
    Listener,
    Stop,
    Connection(usize),
    Process(ClientId),
}

impl Source {
    fn of(token: Token) -> Self {
        match token {
            LISTENER => Self::Listener,
            STOP => Self::Stop,
            Token(number) => match (number - FIRST_TOKEN) % 2 {
                0 => Self::Connection((number - FIRST_TOKEN) / 2),
                _ => Self::Process(ClientId(((number - FIRST_TOKEN) / 2) as u64)),
            },
        }
    }
}

/// Lets the poll tell when a signal asks to stop, the keeper is gone, or the process is that was named.
fn watch_for_stop(poll: &Poll, config: &Config, keeper: OwnedFd) -> io::Result<Vec<OwnedFd>> {
    let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, writer)?;
    // Ctrl-C reaches the whole group; the keeper turns it into one SIGTERM.
    signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false)))?;
    let mut watched = vec![keeper, OwnedFd::from(reader)];
    watched.extend(config.exit_with_pid.map(peer::pidfd_of).transpose()?);
    for fd in &watched {
        poll.registry().register(&mut SourceFd(&fd.as_fd().as_raw_fd()), STOP, Interest::READABLE)?;
    }
    Ok(watched)
}

fn random_bytes() -> io::Result<[u8; 32]> {
    use std::io::Read;

    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Room in a socket is watched for all the time, not only when one is full. The poll tells of changes alone, so it also
/// wakes the loop each time a client has taken an answer: a client that asks again at once then finds it awake, or
/// nearly. That is what a thread gets that sleeps in a plain read; without it, a round trip takes 6 us more.
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);
const LISTENER: Token = Token(0);
const STOP: Token = Token(1);
/// Connections have even numbers from here on, by their key; processes odd ones, by their client's number.
const FIRST_TOKEN: usize = 2;
const HELLO: u16 = 1;
/// More than any socket buffer holds.
const LAST_RECEIVES_MAX: usize = 1024;
/// For clients that don't take the answer that plasmad is stopping.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);
