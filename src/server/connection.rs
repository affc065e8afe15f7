//! One socket: bytes in, frames out of them.
//!
//! ```text
//! Greeting --Hello admitted--> Serving --end of stream, goodbye, error--> gone
//!    +--refused--> Closing (the refusal is flushed) ----------------------> gone
//! ```

use std::io::{ErrorKind, Result};
use std::os::fd::OwnedFd;

use mio::net::UnixStream;
use plasmad_core::{ClientId, Nanos};
use plasmad_shm::fd_passing;
use plasmad_wire::frame::{FrameTooLong, Header};

use super::outbox::Outbox;

/// A client's socket.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) serial: Serial,
    pub(crate) stream: UnixStream,
    pub(crate) phase: Phase,
    pub(crate) outbox: Outbox,
    /// The socket took no more; the poll tells when it does again.
    pub(crate) is_full: bool,
    /// Stands in the line of those with more waiting than one turn takes.
    pub(crate) is_busy: bool,
    /// Until then it is taken for one that wants more than its share.
    pub(crate) greedy_until: Nanos,
    /// Has more than enough unread, and its time to take it runs.
    pub(crate) is_overfull: bool,
    /// The poll has told that nothing more will be sent.
    pub(crate) ends: bool,
    /// Since when a frame has begun and not ended.
    pub(crate) half_since: Option<Nanos>,
    /// What came and wasn't taken yet: `inbox[start..end]`.
    inbox: Vec<u8>,
    start: usize,
    end: usize,
}

/// Tells a connection from a later one under the same key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Serial(pub(crate) u64);

/// Where a connection is in its life.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing but a `Hello` makes sense; descriptors are kept that came with it.
    Greeting(Vec<OwnedFd>),
    /// Requests of this client.
    Serving(ClientId),
    /// Nothing more is read; closed when the outbox is empty.
    Closing,
}

/// What a receive found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// All there was; the poll tells when something comes.
    All,
    /// Some bytes; there is more, or may be.
    More,
    /// Nothing more will come.
    Ended,
}

/// A request's frame, taken off the inbox.
pub(crate) struct Frame<'a> {
    pub(crate) header: Header,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) fn new(serial: Serial, stream: UnixStream) -> Self {
        Self {
            serial,
            stream,
            phase: Phase::Greeting(Vec::new()),
            outbox: Outbox::default(),
            is_full: false,
            is_busy: false,
            greedy_until: 0,
            is_overfull: false,
            ends: false,
            half_since: None,
            inbox: vec![0; INBOX_BYTES],
            start: 0,
            end: 0,
        }
    }

    /// Receives once.
    ///
    /// The poll tells of everything once, so more must be asked for wherever a receive may have left something: when
    /// the buffer was filled, behind descriptors, which end a receive early, and before an end that was told already.
    pub(crate) fn receive(&mut self) -> Result<Received> {
        self.make_room();
        let room = &mut self.inbox[self.end..];
        let wanted = room.len();
        let received = match &mut self.phase {
            Phase::Greeting(fds) => fd_passing::receive(&self.stream, room).map(|mut received| {
                fds.append(&mut received.fds);
                // A handshake brings one; whoever sends more is refused for it, and may not fill this process.
                fds.truncate(GREETING_FDS_KEPT);
                received.bytes
            }),
            Phase::Serving(_) => fd_passing::receive_bytes(&self.stream, room),
            Phase::Closing => return Ok(Received::Ended),
        };
        let is_last = |bytes| bytes < wanted && !self.ends && matches!(self.phase, Phase::Serving(_));
        match received {
            Ok(0) => Ok(Received::Ended),
            Ok(bytes) => {
                self.end += bytes;
                Ok(if is_last(bytes) { Received::All } else { Received::More })
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Received::All),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Received::More),
            Err(error) => Err(error),
        }
    }

    /// The next whole frame, if it is there.
    pub(crate) fn next_frame(&mut self) -> std::result::Result<Option<Frame<'_>>, FrameTooLong> {
        let waiting = &self.inbox[self.start..self.end];
        let Some(header) = Header::parse(waiting)? else { return Ok(None) };
        let Some(frame) = waiting.get(..header.frame_bytes()) else { return Ok(None) };
        self.start += frame.len();
        Ok(Some(Frame { header, body: &frame[Header::BYTES..] }))
    }

    /// What the inbox takes beyond what every connection has.
    pub(crate) fn inbox_bytes_extra(&self) -> usize {
        self.inbox.len().saturating_sub(INBOX_BYTES)
    }

    /// A frame has begun and not ended.
    pub(crate) fn is_half(&self) -> bool {
        self.start < self.end && !self.has_frame()
    }

    /// Has a whole frame that can be taken without receiving.
    pub(crate) fn has_frame(&self) -> bool {
        let waiting = &self.inbox[self.start..self.end];
        match Header::parse(waiting) {
            Ok(Some(header)) => waiting.len() >= header.frame_bytes(),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// Moves what waits to the front; grows up to the frame that is coming, shrinks when nothing waits.
    fn make_room(&mut self) {
        self.inbox.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let wanted = match Header::parse(&self.inbox[..self.end]) {
            Ok(Some(header)) => header.frame_bytes().min(self.end + RECEIVE_BYTES_MAX),
            _ => INBOX_BYTES,
        };
        let wanted = wanted.max(INBOX_BYTES).max(self.end + 1);
        if wanted > self.inbox.len() {
            self.inbox.resize(wanted, 0);
        } else if self.end == 0 && self.inbox.len() > INBOX_BYTES {
            self.inbox.truncate(INBOX_BYTES);
            self.inbox.shrink_to_fit();
        }
    }
}

/// Some dozens of small requests; a thousand idle connections take 8 MiB.
const INBOX_BYTES: usize = 8 * 1024;
/// One more than a handshake may bring, so that too many can be told from enough.
const GREETING_FDS_KEPT: usize = 2;
/// So that one client's large frame doesn't keep the others waiting.
const RECEIVE_BYTES_MAX: usize = 256 * 1024;
