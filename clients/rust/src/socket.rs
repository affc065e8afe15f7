//! The socket of a connection, in a process whose other code may close it.
//!
//! A program may close all descriptors it doesn't know, and be given the same numbers again for its own files. What is
//! sent here must not end up there. To look at the identity of what has the number is a system call, and not made for
//! each request: before the number is shut down or closed, and before something is sent if that was not done since the
//! coarse clock moved, some milliseconds ago. So that in these milliseconds nobody else gets the number, it is one that is
//! given out late.
//!
//! Invariant: a number that isn't this socket's any more is left alone.

use std::fmt::Display;
use std::io;
use std::net::Shutdown;
use std::ops::Deref;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::fstat;
use plasmad_shm::fd_passing;

use crate::lately::Lately;

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// `None` only while this is dropped.
    stream: Option<UnixStream>,
    /// Device and inode.
    identity: (u64, u64),
    /// When it was last looked whether the number still is this socket's, by the coarse clock.
    looked_at: Lately,
}

impl Socket {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        let stream = UnixStream::from(fd_passing::renumber(stream.into(), least_number()));
        Ok(Self { identity: identity(&stream)?, stream: Some(stream), looked_at: Lately::default() })
    }

    /// The number still is this socket's.
    pub(crate) fn is_there(&self) -> bool {
        identity(self).is_ok_and(|found| found == self.identity)
    }

    /// Sends some bytes.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.looked_at.is_over() && !self.is_there() {
            return Err(Errno::EBADF.into());
        }
        // A daemon that is gone is an error here, not a SIGPIPE that ends the process.
        Ok(send(self.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL)?)
    }

    /// Ends the connection for all who have the socket.
    pub(crate) fn end(&self) {
        if self.is_there() {
            let _ = self.shutdown(Shutdown::Both);
        }
    }

    /// What became of the connection, as something failed for this cause.
    pub(crate) fn loss(&self, cause: &dyn Display) -> String {
        if self.is_there() {
            return format!("the daemon is gone ({cause})");
        }
        "the connection is lost: this process has closed its descriptor".to_owned()
    }
}

impl Deref for Socket {
    type Target = UnixStream;

    fn deref(&self) -> &UnixStream {
        self.stream.as_ref().expect("there until this is dropped")
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_there = self.is_there();
        if let Some(stream) = self.stream.take().filter(|_| !is_there) {
            // Whatever has the number now is somebody else's.
            let _ = stream.into_raw_fd();
        }
    }
}

fn identity(stream: &UnixStream) -> io::Result<(u64, u64)> {
    let found = fstat(stream)?;
    Ok((found.st_dev, found.st_ino))
}

/// Numbers are given out from the lowest. So high that few programs come there within milliseconds, and not so high that
/// the table of descriptors, which each fork copies, takes more than some kilobytes.
fn least_number() -> RawFd {
    let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    (most / 2).min(NUMBER_MIN) as RawFd
}

const NUMBER_MIN: u64 = 1000;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_socket_that_is_there_is_used_and_closed() {
        let (left, mut right) = UnixStream::pair().unwrap();
        let socket = Socket::new(left).unwrap();
        assert!(socket.as_raw_fd() >= least_number());
        assert_eq!(socket.loss(&"the cause"), "the daemon is gone (the cause)");
        assert_eq!(socket.send(b"hello").unwrap(), 5);
        drop(socket);
        let mut heard = String::new();
        right.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
    }

    #[test]
    fn a_number_that_is_another_files_by_now_is_left_alone() {
        let (left, mut right) = UnixStream::pair().unwrap();
        let socket = Socket::new(left).unwrap();
        // What comes of a program that closes what it doesn't know, and gets the number for a socket of its own.
        let (own, mut other) = UnixStream::pair().unwrap();
        let mut number = fd_passing::adopt(socket.as_raw_fd()).unwrap();
        nix::unistd::dup2(own, &mut number).unwrap();
        let mut own = UnixStream::from(number);
        assert_eq!(right.read(&mut [0]).unwrap(), 0, "it is closed");
        assert!(!socket.is_there());
        assert!(socket.loss(&"the cause").contains("this process has closed"));
        assert!(socket.send(b"a frame").is_err());
        socket.end();
        drop(socket);
        own.write_all(b"x").unwrap();
        assert_eq!(other.read(&mut [0; 2]).unwrap(), 1);
    }
}
