//! Hearing what happens to objects.
//!
//! Invariant: a subscription has a connection of its own, so what is not taken from it never stands before the answers
//! of the store. One thread reads that at a time; others that wait sleep until it has read something.

use std::collections::VecDeque;
use std::fmt;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plasmad_shm::fork::process_token;
use plasmad_wire::frame::NO_REPLY;
use plasmad_wire::limits::CHANGES_QUEUED_MAX;
use plasmad_wire::request::{Goodbye, Subscribe};
use plasmad_wire::response::Changes;
use plasmad_wire::{Change, Request, Response, Role};

use crate::connection::lock;
use crate::error::{Error, Outcome, Result};
use crate::handshake::{Joined, join};
use crate::incoming::Incoming;
use crate::interrupt::{Interrupt, TICK};
use crate::options::{Options, SubscribeOptions};
use crate::outgoing::Outgoing;
use crate::socket::Socket;
use crate::store::Store;
use crate::timeout::Timeout;

/// What a subscriber hears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Something happened to an object.
    Change(Change),
    /// So many events between the one before and the next were dropped: they were not taken in time.
    Overflow(u64),
}

/// What happens to objects, in the order in which the store does it. Made by [`Store::subscribe`]; threads may share
/// it, and each event goes to one of them.
pub struct Subscription {
    socket: Socket,
    /// The process that subscribed; a forked child has no part in it.
    process: u64,
    interrupt: Interrupt,
    closed: AtomicBool,
    state: Mutex<State>,
    /// The thread that read has put back what it read.
    was_read: Condvar,
}

struct State {
    ready: VecDeque<Event>,
    /// `None` while a thread reads.
    incoming: Option<Incoming>,
    loss: Option<Error>,
}

impl Store {
    /// Begins to hear what happens to sealed objects. Readers may.
    ///
    /// Nobody waits for a subscriber: events that are not taken are queued by the daemon, and beyond
    /// [`SubscribeOptions::queue_max`] the oldest are lost, which is told as [`Event::Overflow`].
    ///
    /// ```
    /// # fn main() -> plasmad_client::Result<()> {
    /// # let daemon = plasmad_client::testing::Daemon::start();
    /// # let path = daemon.socket();
    /// use plasmad_client::{ChangeKind, CreateOptions, Event, Store, SubscribeOptions, Timeout};
    ///
    /// let store = Store::connect(path)?;
    /// let subscription = store.subscribe(SubscribeOptions::default())?;
    /// let id = store.put(b"hello", &CreateOptions::default())?;
    /// let Event::Change(change) = subscription.next(Timeout::None)? else { panic!("nothing can be lost yet") };
    /// assert_eq!((change.kind, change.id, change.data_bytes), (ChangeKind::Sealed, id, 5));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Limit`] if the queue is to be longer than 1,048,576, [`Error::Invalid`] if it is to have no length.
    pub fn subscribe(&self, options: SubscribeOptions) -> Result<Subscription> {
        let queue_max = options.queue_max;
        if queue_max == 0 {
            return Err(Error::invalid("a subscription's queue has room for 1 event at least"));
        }
        if queue_max > CHANGES_QUEUED_MAX {
            let sentence =
                format!("a subscription's queue of {queue_max} is too long: the limit is {CHANGES_QUEUED_MAX}");
            return Err(Error::limit(sentence));
        }
        let (origin, interrupt) = self.origin()?;
        Subscription::open(origin, interrupt, options)
    }
}

impl Subscription {
    fn open(origin: &Options, interrupt: &Interrupt, wanted: SubscribeOptions) -> Result<Self> {
        // To listen needs no right to write.
        let origin = Options { role: Role::Reader, ..origin.clone() };
        let Joined { socket, incoming, .. } = join(&origin, interrupt)?;
        let state = State { ready: VecDeque::new(), incoming: Some(incoming), loss: None };
        let subscription = Self {
            socket,
            process: process_token(),
            interrupt: interrupt.clone(),
            closed: AtomicBool::new(false),
            state: Mutex::new(state),
            was_read: Condvar::new(),
        };
        subscription.begin(wanted)?;
        Ok(subscription)
    }

    /// Asks, and waits for the first answer: from there on nothing is missed.
    fn begin(&self, wanted: SubscribeOptions) -> Result<()> {
        let request = Request::Subscribe(Subscribe { existing: wanted.existing, queue_max: wanted.queue_max });
        let mut outgoing = Outgoing::default();
        outgoing.append(&request, 0, SUBSCRIBE_REQUEST);
        // An empty socket takes a small frame whole.
        outgoing.flush(&self.socket).map_err(|error| gone(&self.socket, &error, Outcome::NotDone))?;
        let mut incoming = lock(&self.state).incoming.take().expect("nobody else knows this subscription");
        loop {
            match incoming.next_answer().map_err(Error::protocol)? {
                Some((SUBSCRIBE_REQUEST, Response::Changes(changes))) => {
                    let mut state = lock(&self.state);
                    state.ready.extend(events(changes));
                    state.incoming = Some(incoming);
                    return Ok(());
                }
                Some((_, Response::Error(body))) => return Err(body.into()),
                Some(_) => return Err(Error::protocol("the daemon answered a subscription with something else")),
                None => receive(&mut incoming, &self.socket, TICK)?,
            }
            if let Some(reason) = self.interrupt.reason() {
                return Err(reason);
            }
        }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the time is up; [`Error::Closed`] when this or its store was closed;
    /// [`Error::Connection`] when the daemon is gone: then subscribe again, and look at what is there, since events
    /// were missed.
    pub fn next(&self, timeout: impl Into<Timeout>) -> Result<Event> {
        if self.process != process_token() {
            return Err(Error::wrong_state("this was made before a fork and belongs to the parent process"));
        }
        let deadline = timeout.into().deadline();
        loop {
            if self.is_closed() {
                return Err(Error::Closed);
            }
            if let Some(event) = lock(&self.state).ready.pop_front() {
                return Ok(event);
            }
            // Asked also while events come without a pause.
            if let Some(reason) = self.interrupt.reason() {
                return Err(reason);
            }
            let left = deadline.map_or(TICK, |deadline| deadline.saturating_duration_since(Instant::now()));
            match self.look(left.min(TICK)) {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => (),
                // Closing ends the connection under whoever waits there.
                Err(_) if self.is_closed() => return Err(Error::Closed),
                Err(error) => return Err(error),
            }
            if left.is_zero() {
                return Err(Error::Timeout { pending: Vec::new() });
            }
        }
    }

    /// Ends the subscription; who waits for an event gets [`Error::Closed`]. Closing twice is no error.
    pub fn close(&self) {
        if self.process != process_token() || self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut outgoing = Outgoing::default();
        outgoing.append(&Request::Goodbye(Goodbye {}), NO_REPLY, SUBSCRIBE_REQUEST + 1);
        // A daemon that doesn't take it sees the end of the stream.
        let _ = outgoing.flush(&self.socket);
        self.socket.end();
    }

    /// It was closed, or its store was.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) || self.interrupt.is_closed()
    }

    /// The next event, if it is there or comes within so much time.
    fn look(&self, time: Duration) -> Result<Option<Event>> {
        let mut state = lock(&self.state);
        if let Some(event) = state.ready.pop_front() {
            return Ok(Some(event));
        }
        if let Some(loss) = &state.loss {
            return Err(loss.clone());
        }
        let Some(mut incoming) = state.incoming.take() else {
            let waited = self.was_read.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner);
            return Ok({ waited.0 }.ready.pop_front());
        };
        drop(state);
        let mut read = Vec::new();
        let result = self.read(&mut incoming, time, &mut read);
        let mut state = lock(&self.state);
        state.incoming = Some(incoming);
        state.ready.extend(read);
        state.loss = result.err();
        self.was_read.notify_all();
        Ok(state.ready.pop_front())
    }

    fn read(&self, incoming: &mut Incoming, time: Duration, read: &mut Vec<Event>) -> Result<()> {
        // Answers that came together with the first are there already.
        decode(incoming, read)?;
        if read.is_empty() {
            receive(incoming, &self.socket, time)?;
            decode(incoming, read)?;
        }
        Ok(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Subscription").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// Takes all whole answers; those before one that makes no sense are kept.
fn decode(incoming: &mut Incoming, read: &mut Vec<Event>) -> Result<()> {
    while let Some((number, response)) = incoming.next_answer().map_err(Error::protocol)? {
        match response {
            Response::Changes(changes) if number == SUBSCRIBE_REQUEST => read.extend(events(changes)),
            // The daemon says why it will close the connection.
            Response::Error(body) => return Err(body.into()),
            _ => return Err(Error::protocol("the daemon answered a subscription with something else")),
        }
    }
    Ok(())
}

/// What is lost happened before the rest.
fn events(answer: Changes) -> impl Iterator<Item = Event> {
    let gap = (answer.lost > 0).then_some(Event::Overflow(answer.lost));
    gap.into_iter().chain(answer.changes.into_iter().map(Event::Change))
}

/// Receives once, if something is there or comes within so much time.
fn receive(incoming: &mut Incoming, socket: &Socket, time: Duration) -> Result<()> {
    if !socket.is_there() {
        return Err(gone(socket, &"it is closed", Outcome::Unknown));
    }
    let mut watched = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    // Milliseconds rounded up, so that what is left of a time is not spent turning round.
    let milliseconds = PollTimeout::try_from(time + Duration::from_micros(999)).unwrap_or(PollTimeout::ZERO);
    if !poll(&mut watched, milliseconds).is_ok_and(|ready| ready > 0) {
        return Ok(());
    }
    match incoming.receive(socket) {
        Ok(0) => Err(gone(socket, &"it closed the connection", Outcome::Unknown)),
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
        Err(error) => Err(gone(socket, &error, Outcome::Unknown)),
    }
}

fn gone(socket: &Socket, cause: &dyn fmt::Display, outcome: Outcome) -> Error {
    Error::Connection { outcome, message: format!("{}: the subscription has ended", socket.loss(cause)) }
}

/// Number 0 is the handshake's.
const SUBSCRIBE_REQUEST: u64 = 1;
