//! Frames on their way to the daemon.
//!
//! Invariant: frames leave whole and in order. A thread that may not wait any longer leaves the rest of its frame
//! here, and whoever sends next sends that first; so the stream never breaks inside a frame.

use std::io::{self, ErrorKind};

use plasmad_wire::Request;

use crate::socket::Socket;

/// What was asked for and not yet sent: `bytes[sent..]`.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    /// All bytes ever appended, so that a frame's end has a number.
    appended_total: u64,
}

impl Outgoing {
    /// Appends a frame; returns the number of its end, for [`Self::is_sent`].
    pub(crate) fn append(&mut self, request: &Request, flags: u16, number: u64) -> u64 {
        let before = self.bytes.len();
        request.append(&mut self.bytes, flags, number);
        self.appended_total += (self.bytes.len() - before) as u64;
        self.appended_total
    }

    /// Everything up to this end has left.
    pub(crate) fn is_sent(&self, end: u64) -> bool {
        end <= self.appended_total - self.waiting_bytes() as u64
    }

    /// What waits to be sent.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Sends what waits. `false`: the socket took no more within its send timeout, or a signal came.
    pub(crate) fn flush(&mut self, socket: &Socket) -> io::Result<bool> {
        while self.waiting_bytes() > 0 {
            match socket.send(&self.bytes[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.sent = 0;
        Ok(true)
    }
}
