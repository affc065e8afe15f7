//! Answers on their way to one client.
//!
//! Invariant: bytes leave whole and in order, and a descriptor with the first byte of its answer; what the socket doesn't
//! take now waits here.

use std::collections::VecDeque;
use std::io::{ErrorKind, Result, Write};
use std::os::fd::{AsFd, OwnedFd};

use mio::net::UnixStream;
use plasmad_shm::fd_passing;

use super::limits::{OUTBOX_BYTES_MAX, OUTBOX_DESCRIPTORS_MAX};

/// What waits to be sent: `bytes[sent..]`.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// All bytes the socket ever took.
    taken_total: u64,
    /// Descriptors, and how many bytes go before each.
    descriptors: VecDeque<(u64, OwnedFd)>,
}

/// Where answers go.
pub(crate) trait Socket {
    /// Takes some bytes, and the descriptor with the first of them.
    fn send(&mut self, bytes: &[u8], descriptor: Option<&OwnedFd>) -> Result<usize>;
}

impl Socket for UnixStream {
    fn send(&mut self, bytes: &[u8], descriptor: Option<&OwnedFd>) -> Result<usize> {
        match descriptor {
            None => self.write(bytes),
            Some(descriptor) => fd_passing::send(&*self, bytes, &[descriptor.as_fd()]),
        }
    }
}

impl Outbox {
    /// Where frames are appended.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// A descriptor goes with the frame that is appended next.
    pub(crate) fn attach(&mut self, descriptor: OwnedFd) {
        self.descriptors.push_back((self.taken_total + self.waiting_bytes() as u64, descriptor));
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// So much waits that nothing more is taken from whoever doesn't take it.
    pub(crate) fn is_long(&self) -> bool {
        self.waiting_bytes() > OUTBOX_BYTES_MAX || self.descriptors.len() >= OUTBOX_DESCRIPTORS_MAX
    }

    pub(crate) fn taken_total(&self) -> u64 {
        self.taken_total
    }

    /// Sends what the socket takes; `true` when nothing waits any more.
    pub(crate) fn flush(&mut self, stream: &mut impl Socket) -> Result<bool> {
        while self.waiting_bytes() > 0 {
            match self.send_piece(stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.sent += bytes;
                    self.taken_total += bytes as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.forget_sent();
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        Ok(true)
    }

    /// Sends up to the next descriptor, with the one that is due.
    fn send_piece(&mut self, stream: &mut impl Socket) -> Result<usize> {
        let waiting = &self.bytes[self.sent..];
        let Some((place, descriptor)) = self.descriptors.front() else { return stream.send(waiting, None) };
        let before = (place - self.taken_total) as usize;
        if before > 0 {
            return stream.send(&waiting[..before], None);
        }
        let end = self.descriptors.get(1).map_or(waiting.len(), |(place, _)| (place - self.taken_total) as usize);
        let sent = stream.send(&waiting[..end], Some(descriptor))?;
        self.descriptors.pop_front();
        Ok(sent)
    }

    /// A client that is always a little behind must not make this grow.
    fn forget_sent(&mut self) {
        if self.sent > FORGET_BYTES {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

/// Moving what waits costs less than this is worth.
const FORGET_BYTES: usize = 256 * 1024;
/// A quiet client's outbox takes no more than this.
const KEPT_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes, then none for a while. A descriptor is a star.
    struct Narrow(Vec<u8>, usize);

    impl Socket for Narrow {
        fn send(&mut self, bytes: &[u8], descriptor: Option<&OwnedFd>) -> Result<usize> {
            let taken = bytes.len().min(std::mem::take(&mut self.1));
            if taken == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.0.extend(descriptor.map(|_| b'*'));
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
    }

    #[test]
    fn what_the_socket_does_not_take_waits_in_order() {
        let mut outbox = Outbox::default();
        let mut socket = Narrow(Vec::new(), 3);
        outbox.bytes().extend_from_slice(b"hello ");
        assert!(!outbox.flush(&mut socket).unwrap());
        assert_eq!(outbox.waiting_bytes(), 3);
        outbox.bytes().extend_from_slice(b"world");
        socket.1 = 100;
        assert!(outbox.flush(&mut socket).unwrap());
        assert_eq!(socket.0, b"hello world");
    }

    #[test]
    fn a_descriptor_goes_with_the_first_byte_of_its_answer() {
        let descriptor = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        for narrow in 1..=9 {
            let mut outbox = Outbox::default();
            let mut socket = Narrow(Vec::new(), 0);
            let mut flush = |outbox: &mut Outbox| {
                socket.1 = narrow;
                outbox.flush(&mut socket).unwrap()
            };
            outbox.bytes().extend_from_slice(b"ab");
            flush(&mut outbox);
            for answer in [b"cd", b"ef"] {
                outbox.attach(descriptor());
                outbox.bytes().extend_from_slice(answer);
            }
            outbox.bytes().extend_from_slice(b"gh");
            while !flush(&mut outbox) {}
            outbox.attach(descriptor());
            outbox.bytes().extend_from_slice(b"ij");
            while !flush(&mut outbox) {}
            assert_eq!(socket.0, b"ab*cd*efgh*ij", "{narrow} bytes at a time");
        }
    }
}
