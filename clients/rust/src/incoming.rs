//! Bytes from the daemon, cut into answers.
//!
//! Invariant: nothing is believed before it is checked: a frame longer than any may be is refused before memory is
//! reserved for it, and a body is decoded whole or not at all.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use plasmad_shm::fd_passing;
use plasmad_wire::response::Leased;
use plasmad_wire::{Header, Response};

/// What was received and not yet decoded: `bytes[start..end]`.
#[derive(Debug)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Descriptors of answers that were not taken yet, in their order.
    descriptors: VecDeque<OwnedFd>,
}

/// One answer, and the request it belongs to.
pub(crate) type Answer = (u64, Response);

impl Incoming {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; BYTES_AT_FIRST], start: 0, end: 0, descriptors: VecDeque::new() }
    }

    /// Takes bytes that were received elsewhere.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// The next whole answer; `None` while bytes are missing; else a sentence about what is wrong with it.
    pub(crate) fn next_answer(&mut self) -> Result<Option<Answer>, String> {
        let received = &self.bytes[self.start..self.end];
        let header = Header::parse(received).map_err(|long| {
            format!("the daemon sent a frame of {} bytes, more than any may have", long.header.body_bytes)
        })?;
        let Some(header) = header else {
            return Ok(None);
        };
        let Some(frame) = received.get(..header.frame_bytes()) else {
            return Ok(None);
        };
        let response = match Response::decode(header.kind, &frame[Header::BYTES..]) {
            Some(Ok(response)) => response,
            Some(Err(error)) => return Err(format!("an answer of kind {:#06x} makes no sense: {error}", header.kind)),
            None => return Err(format!("the daemon sent a frame of kind {:#06x}, which is no answer", header.kind)),
        };
        self.start += header.frame_bytes();
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        Ok(Some((header.request, response)))
    }

    /// The descriptor that came with an answer just taken.
    pub(crate) fn descriptor_of(&mut self, response: &Response) -> Option<OwnedFd> {
        match response {
            Response::Leased(Leased { objects: 1.. }) | Response::Viewed(_) => self.descriptors.pop_front(),
            _ => None,
        }
    }

    /// Receives what is there, waiting up to the socket's receive timeout. 0 is the end of the stream.
    pub(crate) fn receive(&mut self, stream: &UnixStream) -> io::Result<usize> {
        // `next_answer` checked the header, so this is at most one frame.
        let missing = match Header::parse(&self.bytes[self.start..self.end]) {
            Ok(Some(header)) => header.frame_bytes() - (self.end - self.start),
            _ => Header::BYTES,
        };
        self.reserve(missing);
        let received = fd_passing::receive(stream, &mut self.bytes[self.end..])?;
        self.end += received.bytes;
        self.descriptors.extend(received.fds);
        if self.descriptors.len() > DESCRIPTORS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors came that nobody asked for"));
        }
        Ok(received.bytes)
    }

    /// Makes room for so many bytes behind the end, moving what is there to the front if it must.
    fn reserve(&mut self, bytes: usize) {
        if self.bytes.len() - self.end >= bytes {
            return;
        }
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.bytes.len() - self.end < bytes {
            self.bytes.resize(self.end + bytes, 0);
        }
    }
}

/// Answers are taken as they come, and the daemon sends few that bring one before it waits for this client to read.
const DESCRIPTORS_MAX: usize = 64;
/// Room for some thousand small answers; grows to the largest frame that came.
const BYTES_AT_FIRST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use plasmad_wire::codec::Blob;
    use plasmad_wire::frame::{self, RESPONSE};
    use plasmad_wire::response::{Count, StatsDocument};

    use super::*;

    #[test]
    fn answers_come_out_whole_whatever_the_pieces() {
        let mut stream = Vec::new();
        let large = Response::Stats(StatsDocument { json: Blob(vec![b' '; 200_000]) });
        Response::Count(Count { count: 7 }).append(&mut stream, 6, 1);
        large.append(&mut stream, 16, 2);
        let mut incoming = Incoming::new();
        let mut answers = Vec::new();
        for piece in stream.chunks(3) {
            incoming.push(piece);
            while let Some(answer) = incoming.next_answer().unwrap() {
                answers.push(answer);
            }
        }
        assert_eq!(answers, [(1, Response::Count(Count { count: 7 })), (2, large)]);
    }

    #[test]
    fn a_frame_that_is_no_answer_is_refused() {
        for kind in [6, RESPONSE | 999] {
            let mut stream = Vec::new();
            frame::append(&mut stream, kind, 0, 1, |_| ());
            let mut incoming = Incoming::new();
            incoming.push(&stream);
            assert!(incoming.next_answer().unwrap_err().contains("is no answer"));
        }
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_by_its_header() {
        let mut incoming = Incoming::new();
        incoming.push(&[0xFF; 16]);
        assert!(incoming.next_answer().unwrap_err().contains("more than any may have"));
    }
}
