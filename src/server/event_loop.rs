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
//!
//! | module | what is in it |
//! |---|---|
//! | `arrivals` | who comes: connections accepted, handshakes answered |
//! | `intake` | what they say: bytes received, frames taken |
//! | `delivery` | what they hear: effects carried out, answers sent, connections closed |
//! | `lives` | whose claims end though nobody says so |

mod arrivals;
mod delivery;
mod intake;
mod lives;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use lives::Lives;
use mio::net::UnixListener;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use plasmad_core::{ClientId, Config as CoreConfig, Effect, Event, Store};
use plasmad_shm::peer;
use signal_hook::consts::{SIGINT, SIGTERM};
use slab::Slab;

use super::clients::Clients;
use super::clock::Clock;
use super::connection::Connection;
use super::limits::{self as bounds, Overdue};
use super::refusals;
use crate::config::Config;
use crate::keeper::Handover;
use crate::memory::{self, Arena, Errand, Errands, SharedMemory};
use crate::spill::folder::Claim;
use crate::spill::{Disk, Left};

/// Everything the engine has.
pub(crate) struct Engine {
    config: Config,
    poll: Poll,
    listener: UnixListener,
    connections: Slab<Connection>,
    clients: Clients,
    store: Store,
    memory: SharedMemory,
    errands: Errands,
    /// Where objects are spilled to; nothing if they aren't.
    disk: Option<Disk>,
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
    /// Clients whose processes have ended, and who were not buried yet.
    ended: VecDeque<ClientId>,
    /// Clients whose life files are looked at from time to time.
    lives: Lives,
    /// Connections with something to send.
    unsent: Vec<usize>,
    /// Connections of clients whose rings told what cannot be.
    expelled: Vec<(usize, &'static str)>,
    /// Held open so that the poll goes on watching them.
    _watched: Vec<OwnedFd>,
}

impl Engine {
    /// Takes over what the keeper made.
    pub(crate) fn new(handover: Handover, keeper: OwnedFd) -> io::Result<Self> {
        let Handover { config, listener, arena, folder } = handover;
        let random = random_bytes()?;
        let word = |at: usize| u64::from_le_bytes(random[at..at + 8].try_into().expect("8 bytes"));
        let (store_id, hash_seed) = (random[..16].try_into().expect("16 bytes"), [word(16), word(24)]);
        listener.set_nonblocking(true)?;
        let mut listener = UnixListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), THREADS)?);
        let files = arena.try_clone()?;
        let arena = Arc::new(Arena::from(arena));
        let memory = SharedMemory::new(arena.clone(), config.objects_max, store_id, hash_seed)?;
        let index = memory.index().try_clone_to_owned()?;
        let errands = Errands::start(files, index, config.huge_pages, waker.clone())?;
        let (disk, left) = open_disk(&config, folder, arena.clone(), waker)?.unzip();
        let core = CoreConfig {
            capacity_bytes: config.memory_bytes,
            slots_max: config.objects_max,
            hash_seed,
            when_full: config.when_full.into(),
            upkeep: memory::upkeep(config.populate, config.huge_pages),
            spill: left.as_ref().map(|left: &Left| left.config),
        };
        let watched = watch_for_stop(&poll, &config, keeper)?;
        let mut engine = Self {
            poll,
            listener,
            connections: Slab::new(),
            clients: Clients::default(),
            store: Store::new(core),
            memory,
            errands,
            disk,
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
            ended: VecDeque::new(),
            lives: Lives::default(),
            unsent: Vec::new(),
            expelled: Vec::new(),
            _watched: watched,
            config,
        };
        if let Some(left) = left {
            engine.tell(Event::Adopted(left.records));
        }
        Ok(engine)
    }

    /// Serves until it is told to stop.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        // The first errand: memory is made present before anybody comes.
        self.tell(Event::Tick);
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
                    Source::Threads => self.hear_of_threads(),
                    Source::Process(client) => self.ended.push_back(client),
                    Source::Connection(key) => {
                        if let Some(connection) = self.connections.get_mut(key) {
                            connection.ends |= event.is_read_closed();
                            // Not whoever speaks and will be answered: others may be told first of what it does.
                            if event.is_writable() && connection.outbox.waiting_bytes() > 0 {
                                self.unsent.push(key);
                            }
                        }
                        let speaks = event.is_readable() || event.is_read_closed() || event.is_error();
                        if speaks {
                            self.hear(key);
                        }
                    }
                }
            }
            self.settle();
            let end = self.clock.now() + bounds::BUSY_TIME_PER_TURN.as_nanos() as u64;
            self.bury(end);
            self.serve_busy(end);
            self.accept(end);
            self.tick();
            self.settle();
            if stop {
                return self.drain();
            }
        }
    }

    /// Carries out what was decided so far, and sends the answers.
    fn settle(&mut self) {
        self.carry_out();
        while let Some((key, why)) = self.expelled.pop() {
            self.refuse(key, 0, refusals::malformed(why));
            self.carry_out();
        }
        self.wake_subscribers();
        self.flush();
    }

    fn until_next_turn(&self) -> Option<Duration> {
        // Closing a connection in a flush may have served those who wait.
        let nothing_is_due =
            self.busy.is_empty() && self.ended.is_empty() && self.unsent.is_empty() && self.effects.is_empty();
        if !nothing_is_due || self.more_to_accept {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.store.next_deadline(),
            self.greeting.next_deadline(),
            self.unread.next_deadline(),
            self.next_look_at_lives(),
        ];
        let deadline = deadlines.into_iter().flatten().min()?;
        // The poll counts in milliseconds and rounds up, so a deadline has always passed when it returns.
        Some(Duration::from_nanos(deadline.saturating_sub(self.clock.now())))
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        if self.store.wants_tick() || self.store.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.tell(Event::Tick);
        }
        while let Some(piece) = self.memory.next_index_piece() {
            self.errands.send(Errand::Index(piece));
        }
        self.close_silent(now);
        self.close_deaf(now);
        self.look_at_lives(now);
    }

    fn hear_of_threads(&mut self) {
        if let Some(succeeded) = self.errands.done() {
            self.tell(Event::ErrandDone { succeeded });
        }
        for event in self.disk.as_ref().map(Disk::done).unwrap_or_default() {
            self.tell(event);
        }
    }

    fn tell(&mut self, event: Event) {
        let now = self.clock.now();
        self.store.handle(now, event, &mut self.memory, &mut self.effects);
    }

    /// Refuses what waits, sends what can be sent, and ends.
    fn drain(&mut self) -> io::Result<()> {
        tracing::info!("stopping: {} connections are closed", self.connections.len());
        // What stands on rings is heard, and told to those who listen.
        self.tell(Event::Tick);
        self.settle();
        let keys: Vec<usize> = self.connections.iter().map(|(key, _)| key).collect();
        for key in &keys {
            // The last frame: nothing that subscribers have not heard comes behind it.
            self.send_off(*key, 0, refusals::stopping());
        }
        let give_up = Instant::now() + DRAIN_TIME_MAX;
        self.flush();
        while self.connections.iter().any(|(_, it)| it.outbox.waiting_bytes() > 0) && Instant::now() < give_up {
            let mut events = Events::with_capacity(1024);
            self.poll.poll(&mut events, Some(Duration::from_millis(10)))?;
            self.unsent.extend(&keys);
            self.flush();
        }
        if let Some(disk) = self.disk.take() {
            disk.close();
        }
        Ok(())
    }
}

/// The disk and what is on it, where objects are to be spilled and there is a folder for that.
fn open_disk(
    config: &Config,
    folder: Option<Result<(Claim, OwnedFd), String>>,
    arena: Arc<Arena>,
    waker: Arc<Waker>,
) -> io::Result<Option<(Disk, Left)>> {
    let (Some(folder), Some(spill)) = (folder, &config.spill) else { return Ok(None) };
    let (claim, lock) = match folder {
        Ok(folder) => folder,
        Err(why) => {
            tracing::warn!("objects stay in memory: {why}");
            return Ok(None);
        }
    };
    // If the poll is gone, the engine ends.
    let wake = move || drop(waker.wake());
    Disk::open(claim, lock, spill.most, arena, Arc::new(wake)).map(Some)
}

/// What a token stands for.
enum Source {
    Listener,
    Stop,
    Threads,
    Connection(usize),
    Process(ClientId),
}

impl Source {
    fn of(token: Token) -> Self {
        match token {
            LISTENER => Self::Listener,
            STOP => Self::Stop,
            THREADS => Self::Threads,
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
/// The thread that looks after memory is back from an errand, or those of the disk have done something.
const THREADS: Token = Token(2);
/// Connections have even numbers from here on, by their key; processes odd ones, by their client's number.
const FIRST_TOKEN: usize = 4;
const HELLO: u16 = 1;
/// For clients that don't take the answer that plasmad is stopping.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);
