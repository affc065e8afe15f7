//! Answers on their way to one client.
//!
//! Invariant: bytes leave whole and in order; what the socket doesn't take now waits here.

use std::io::{ErrorKind, Result, Write};

/// What waits to be sent: `bytes[sent..]`.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// All bytes the socket ever took.
    taken_total: u64,
}

impl Outbox {
    /// Where frames are appended.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn taken_total(&self) -> u64 {
        self.taken_total
    }

    /// Sends what the socket takes; `true` when nothing waits any more.
    pub(crate) fn flush(&mut self, stream: &mut impl Write) -> Result<bool> {
        while self.waiting_bytes() > 0 {
            match stream.write(&self.bytes[self.sent..]) {
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

    /// Takes a few bytes, then none for a while.
    struct Narrow(Vec<u8>, usize);

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            let taken = bytes.len().min(std::mem::take(&mut self.1));
            self.0.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
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
}
