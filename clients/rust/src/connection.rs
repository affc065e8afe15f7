//! One socket, many threads, no thread of its own.
//!
//! Invariant: at most one thread reads at a time, the leader: whoever waits and finds the `incoming` buffer at its
//! place takes it. It files answers for others under their number and wakes them, and when it has its own it puts
//! the buffer back and wakes one of those who wait, to lead. A thread alone therefore pays one send and one receive.
//!
//! ```text
//! Waiting --answer--> Answered --its thread looks--> gone
//!    |
//!    +--its thread gives up--> Abandoned --answer, undone by the leader--> gone
//! ```

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plasmad_shm::fork::process_token;
use plasmad_wire::frame::NO_REPLY;
use plasmad_wire::request::{Abort, Cancel, Release};
use plasmad_wire::response::GotObject;
use plasmad_wire::value::{GetStatus, Handle, Pin};
use plasmad_wire::{ErrorBody, ErrorCode, Request, Response};

use crate::error::{Error, Outcome, Result};
use crate::incoming::Incoming;
use crate::interrupt::{Interrupt, TICK};
use crate::outgoing::Outgoing;
use crate::socket::Socket;

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    /// The process that connected. In a forked child the socket is the parent's: nothing may be sent there.
    process: u64,
    lost: AtomicBool,
    next_request: AtomicU64,
    outgoing: Mutex<Outgoing>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` while a thread leads.
    incoming: Option<Incoming>,
    flights: HashMap<u64, Flight>,
    loss: Option<Loss>,
    /// What the daemon said to nobody in particular: why it closes, if it does.
    last_words: Option<ErrorBody>,
    /// Descriptors that came with answers, by their requests.
    descriptors: HashMap<u64, OwnedFd>,
}

/// A request that was sent.
#[derive(Debug)]
enum Flight {
    /// Not answered; the thread, if it sleeps.
    Waiting(Option<Thread>),
    /// Answered; its thread hasn't looked yet.
    Answered(Response),
    /// Nobody waits any more; what the answer grants is given back.
    Abandoned(OnStop),
}

/// What to do with an answer that comes after the wait was interrupted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnStop {
    /// Forget it.
    Drop,
    /// Return it: what was done stays done.
    Keep,
    /// Give the pins back.
    Release,
    /// Abort the objects.
    Abort,
}

#[derive(Clone, Debug)]
enum Loss {
    /// The daemon closed the socket, this process did, or it failed.
    Gone(String),
    /// The daemon broke the protocol.
    Protocol(String),
}

enum Turn {
    Answered(Response),
    Lead(Incoming),
    Follow,
}

impl Connection {
    /// Takes over a socket whose receive and send timeouts are one [`TICK`], and what came behind the handshake.
    pub(crate) fn new(socket: Socket, incoming: Incoming) -> Self {
        let (flights, descriptors) = (HashMap::new(), HashMap::new());
        let state = State { incoming: Some(incoming), flights, loss: None, last_words: None, descriptors };
        Self {
            socket,
            process: process_token(),
            lost: AtomicBool::new(false),
            // Number 0 is the handshake's.
            next_request: AtomicU64::new(1),
            outgoing: Mutex::default(),
            state: Mutex::new(state),
        }
    }

    /// Sends a request and waits for its answer; a refusal is an error.
    pub(crate) fn call(&self, request: &Request, on_stop: OnStop, interrupt: &Interrupt) -> Result<Response> {
        self.call_as(self.next_number(), request, on_stop, interrupt)
    }

    /// The same for an answer that may bring a descriptor.
    pub(crate) fn call_for_descriptor(
        &self,
        request: &Request,
        interrupt: &Interrupt,
    ) -> Result<(Response, Option<OwnedFd>)> {
        let number = self.next_number();
        let response = self.call_as(number, request, OnStop::Drop, interrupt);
        let descriptor = self.lock().descriptors.remove(&number);
        Ok((response?, descriptor))
    }

    fn call_as(&self, number: u64, request: &Request, on_stop: OnStop, interrupt: &Interrupt) -> Result<Response> {
        if !self.is_own() {
            return Err(Error::wrong_state("this was made before a fork and belongs to the parent process"));
        }
        self.register(number)?;
        let stopped = match self.send(request, number, interrupt) {
            Ok(stopped) => stopped,
            Err(error) => {
                self.lock().flights.remove(&number);
                return Err(error);
            }
        };
        match self.wait(number, on_stop, interrupt, stopped)? {
            Response::Error(body) => Err(body.into()),
            response => Ok(response),
        }
    }

    /// Sends a request that is not answered. A daemon that takes nothing for some seconds gets it later, before
    /// the next request; a daemon that is gone needs none.
    pub(crate) fn tell(&self, request: &Request) {
        if !self.is_own() || self.is_lost() {
            return;
        }
        let give_up = Instant::now() + TELL_TIMEOUT;
        let mut outgoing = lock(&self.outgoing);
        outgoing.append(request, NO_REPLY, self.next_number());
        loop {
            match outgoing.flush(&self.socket) {
                Ok(false) if Instant::now() < give_up => (),
                Ok(_) => return,
                Err(error) => {
                    drop(outgoing);
                    return self.lose_to(&error);
                }
            }
        }
    }

    /// The daemon can't be reached over this connection any more.
    #[inline]
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Notices a daemon that closed the connection, without reading from it.
    #[cold]
    pub(crate) fn look_for_the_end(&self) {
        let ends = PollFlags::POLLHUP | PollFlags::POLLERR;
        let mut socket = [PollFd::new(self.socket.as_fd(), PollFlags::empty())];
        let is_told = poll(&mut socket, PollTimeout::ZERO).is_ok_and(|told| told > 0);
        let has_ended = is_told && socket[0].revents().is_some_and(|seen| seen.intersects(ends));
        if has_ended || !self.socket.is_there() {
            self.lose_to(&"the daemon closed the connection");
        }
    }

    /// This process made the connection; a forked child didn't.
    #[inline]
    pub(crate) fn is_own(&self) -> bool {
        self.process == process_token()
    }

    /// Ends the connection because the daemon said something that makes no sense.
    pub(crate) fn refuse(&self, sentence: &str) -> Error {
        self.lose(Loss::Protocol(sentence.to_owned()));
        Error::protocol(sentence)
    }

    fn next_number(&self) -> u64 {
        self.next_request.fetch_add(1, Ordering::Relaxed)
    }

    fn register(&self, number: u64) -> Result<()> {
        let mut state = self.lock();
        match &state.loss {
            Some(loss) => Err(loss.error(Outcome::NotDone, &state.last_words)),
            None => {
                state.flights.insert(number, Flight::Waiting(None));
                Ok(())
            }
        }
    }

    /// Returns why the caller should stop waiting, if that came up while the socket was full.
    fn send(&self, request: &Request, number: u64, interrupt: &Interrupt) -> Result<Option<Error>> {
        let mut outgoing = lock(&self.outgoing);
        if outgoing.waiting_bytes() > WAITING_BYTES_MAX {
            return Err(Error::not_done("the daemon doesn't read its socket: it is stopped, or stuck"));
        }
        let end = outgoing.append(request, 0, number);
        loop {
            let flushed = outgoing.flush(&self.socket);
            let sent = outgoing.is_sent(end);
            drop(outgoing);
            match flushed {
                _ if sent => return Ok(None),
                // Not all of the frame has left, so the daemon can't act on it.
                Err(error) => {
                    self.lose_to(&error);
                    let state = self.lock();
                    let loss = state.loss.as_ref().expect("the connection was just lost");
                    return Err(loss.error(Outcome::NotDone, &state.last_words));
                }
                Ok(_) => {
                    if let Some(reason) = interrupt.reason() {
                        return Ok(Some(reason));
                    }
                }
            }
            outgoing = lock(&self.outgoing);
        }
    }

    fn wait(&self, number: u64, on_stop: OnStop, interrupt: &Interrupt, stopped: Option<Error>) -> Result<Response> {
        let mut stop = stopped.map(|reason| self.cancel(number, reason));
        loop {
            let answer = match self.turn(number)? {
                Turn::Answered(response) => Some(response),
                Turn::Lead(incoming) => self.lead(incoming, number),
                Turn::Follow => {
                    std::thread::park_timeout(TICK);
                    None
                }
            };
            match (answer, &stop) {
                (Some(response), None) => return Ok(response),
                (Some(Response::Error(_)), Some((reason, _))) => return Err(reason.clone()),
                (Some(response), Some(_)) if on_stop == OnStop::Keep => return Ok(response),
                (Some(response), Some((reason, _))) => {
                    self.undo(on_stop, response);
                    return Err(reason.clone());
                }
                (None, Some((reason, give_up))) if Instant::now() >= *give_up => {
                    self.abandon(number, on_stop);
                    return Err(reason.clone());
                }
                (None, Some(_)) => (),
                (None, None) => stop = interrupt.reason().map(|reason| self.cancel(number, reason)),
            }
        }
    }

    /// Takes a request back; its answer is waited for a little longer, since it comes in any case.
    fn cancel(&self, number: u64, reason: Error) -> (Error, Instant) {
        let mut outgoing = lock(&self.outgoing);
        let cancel = Request::Cancel(Cancel { target: number });
        outgoing.append(&cancel, NO_REPLY, self.next_number());
        // A full socket keeps it for later; a broken one shows when the answer is read.
        let _ = outgoing.flush(&self.socket);
        (reason, Instant::now() + CANCEL_TIMEOUT)
    }

    fn turn(&self, number: u64) -> Result<Turn> {
        let mut state = self.lock();
        if let Some(Flight::Answered(_)) = state.flights.get(&number) {
            let Some(Flight::Answered(response)) = state.flights.remove(&number) else { unreachable!("just seen") };
            return Ok(Turn::Answered(response));
        }
        if let Some(loss) = &state.loss {
            let error = loss.error(Outcome::Unknown, &state.last_words);
            state.flights.remove(&number);
            return Err(error);
        }
        let (turn, flight) = match state.incoming.take() {
            Some(incoming) => (Turn::Lead(incoming), Flight::Waiting(None)),
            None => (Turn::Follow, Flight::Waiting(Some(std::thread::current()))),
        };
        state.flights.insert(number, flight);
        Ok(turn)
    }

    /// Reads until the answer is there, a tick has passed, or the connection is lost.
    fn lead(&self, mut incoming: Incoming, number: u64) -> Option<Response> {
        let mut own = None;
        loop {
            match incoming.next_answer() {
                Ok(Some((request, response))) => {
                    if let Some(descriptor) = incoming.descriptor_of(&response) {
                        self.lock().descriptors.insert(request, descriptor);
                    }
                    if request == number {
                        own = Some(response);
                    } else {
                        self.deliver(request, response);
                    }
                }
                Ok(None) if own.is_some() => break,
                Ok(None) => match incoming.receive(&self.socket) {
                    Ok(0) => break self.lose_to(&"the daemon closed the connection"),
                    Ok(_) => (),
                    // Nothing came in a while: what is read from next is still to be this socket.
                    Err(error) if is_pause(&error) && self.socket.is_there() => break,
                    Err(error) => break self.lose_to(&error),
                },
                Err(sentence) => break self.lose(Loss::Protocol(sentence)),
            }
        }
        let next = {
            let mut state = self.lock();
            state.incoming = Some(incoming);
            if own.is_some() {
                state.flights.remove(&number);
            }
            state.flights.values().find_map(Flight::sleeper).cloned()
        };
        if let Some(thread) = next {
            thread.unpark();
        }
        own
    }

    /// Files an answer that isn't the leader's.
    fn deliver(&self, number: u64, response: Response) {
        let mut state = self.lock();
        match (state.flights.remove(&number), response) {
            (Some(Flight::Waiting(thread)), response) => {
                state.flights.insert(number, Flight::Answered(response));
                drop(state);
                if let Some(thread) = thread {
                    thread.unpark();
                }
            }
            (Some(Flight::Abandoned(on_stop)), response) => {
                state.descriptors.remove(&number);
                drop(state);
                self.undo(on_stop, response);
            }
            (_, Response::Error(body)) => state.last_words = Some(body),
            (_, _) => {
                drop(state);
                self.lose(Loss::Protocol(format!("the daemon answered request {number}, which nobody asked")));
            }
        }
    }

    fn abandon(&self, number: u64, on_stop: OnStop) {
        let mut state = self.lock();
        match state.flights.insert(number, Flight::Abandoned(on_stop)) {
            Some(Flight::Answered(response)) => {
                state.flights.remove(&number);
                drop(state);
                self.undo(on_stop, response);
            }
            Some(Flight::Waiting(_) | Flight::Abandoned(_)) | None => (),
        }
    }

    /// Gives back what an unwanted answer grants.
    fn undo(&self, on_stop: OnStop, response: Response) {
        match (on_stop, response) {
            (OnStop::Release, Response::Got(got)) => {
                self.release(&got.objects);
            }
            (OnStop::Abort, Response::Created(created)) => {
                let handles: Vec<Handle> = created.objects.iter().map(|object| object.handle).collect();
                self.tell(&Request::Abort(Abort { handles }));
            }
            (OnStop::Drop | OnStop::Keep | OnStop::Release | OnStop::Abort, _) => (),
        }
    }

    /// Gives back the pins of an answer that nobody has use for.
    pub(crate) fn release(&self, objects: &[GotObject]) {
        let is_pinned = |object: &&GotObject| matches!(object.status, GetStatus::Pinned | GetStatus::OnDisk);
        let pins: Vec<Pin> = objects.iter().filter(is_pinned).map(|object| object.pin).collect();
        if !pins.is_empty() {
            self.tell(&Request::Release(Release { pins }));
        }
    }

    fn lose_to(&self, cause: &dyn Display) {
        self.lose(Loss::Gone(self.socket.loss(cause)));
    }

    /// Ends the connection for everybody; answers that came before are still handed out.
    fn lose(&self, loss: Loss) {
        let sleepers: Vec<Thread> = {
            let mut state = self.lock();
            state.loss.get_or_insert(loss);
            self.lost.store(true, Ordering::Release);
            state.flights.values().filter_map(Flight::sleeper).cloned().collect()
        };
        // The leader may sit in a read; it can't hear of this otherwise.
        self.socket.end();
        sleepers.iter().for_each(Thread::unpark);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Flight {
    fn sleeper(&self) -> Option<&Thread> {
        match self {
            Self::Waiting(thread) => thread.as_ref(),
            Self::Answered(_) | Self::Abandoned(_) => None,
        }
    }
}

impl Loss {
    fn error(&self, outcome: Outcome, last_words: &Option<ErrorBody>) -> Error {
        // A daemon that stops has answered all that it did; it says so behind those answers.
        let is_stopping = last_words.as_ref().is_some_and(|words| words.code == ErrorCode::ShuttingDown);
        let outcome = if is_stopping { Outcome::NotDone } else { outcome };
        let what = match outcome {
            Outcome::NotDone => "the request was not done",
            Outcome::Unknown => "whether the request was done is not known",
        };
        match (self, last_words) {
            (Self::Protocol(sentence), _) => Error::protocol(sentence.clone()),
            (Self::Gone(_), Some(words)) if is_stopping => {
                Error::Connection { outcome, message: words.message.clone() }
            }
            (Self::Gone(loss), None) => Error::Connection { outcome, message: format!("{loss}; {what}") },
            (Self::Gone(_), Some(words)) => {
                Error::Connection { outcome, message: format!("the daemon is gone ({}); {what}", words.message) }
            }
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// A thread that panicked under a lock left the state whole: every change under these locks is one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long an interrupted wait stays for its answer: a daemon that lives answers within a millisecond.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a release or an abort waits for room in the socket.
const TELL_TIMEOUT: Duration = Duration::from_secs(2);
/// A daemon that left this much unread gets nothing more.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
