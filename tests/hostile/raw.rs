//! A socket and frames, with no library that would keep a client from misbehaving.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use plasmad_client::testing::Daemon;
use plasmad_shm::fd_passing;
use plasmad_wire::error::ErrorBody;
use plasmad_wire::{Header, Request, Response, Role};

use crate::it::raw::hello;
use crate::support::until::DEADLINE;

/// One end of a connection.
pub(super) struct Raw {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Raw {
    /// A connection on which nothing was said.
    pub(super) fn connect(daemon: &Daemon) -> Self {
        let stream = UnixStream::connect(daemon.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// A connection after a valid handshake.
    pub(super) fn admitted(daemon: &Daemon) -> Self {
        let mut raw = Self::connect(daemon);
        raw.request(&Request::Hello(hello(Role::Writer)), 0);
        assert!(matches!(raw.answer(), (0, Response::Welcome(_))));
        raw
    }

    /// Sends bytes; a daemon that has closed the connection is no failure.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(super) fn send_with(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        let _ = fd_passing::send(&self.stream, bytes, fds);
    }

    pub(super) fn request(&mut self, request: &Request, number: u64) {
        assert!(self.try_request(request, number), "the daemon takes no request");
    }

    /// `false`: the daemon has closed the connection, or takes nothing any more.
    pub(super) fn try_request(&mut self, request: &Request, number: u64) -> bool {
        let mut frame = Vec::new();
        request.append(&mut frame, 0, number);
        self.stream.write_all(&frame).is_ok()
    }

    /// Throws away what has come so far.
    pub(super) fn skim(&mut self) {
        self.stream.set_nonblocking(true).unwrap();
        while matches!(self.stream.read(&mut [0; 65_536]), Ok(1..)) {}
        self.stream.set_nonblocking(false).unwrap();
    }

    /// The next answer, with its number.
    pub(super) fn answer(&mut self) -> (u64, Response) {
        loop {
            if let Some(header) = Header::parse(&self.received).unwrap()
                && self.received.len() >= header.frame_bytes()
            {
                let frame: Vec<u8> = self.received.drain(..header.frame_bytes()).collect();
                let response = Response::decode(header.kind, &frame[Header::BYTES..]);
                return (header.request, response.expect("a known kind").expect("a whole body"));
            }
            let mut bytes = [0; 65_536];
            let received = self.stream.read(&mut bytes).expect("an answer in time");
            assert!(received > 0, "the daemon closed the connection without a word");
            self.received.extend_from_slice(&bytes[..received]);
        }
    }

    /// The next answer, which is a refusal.
    pub(super) fn refusal(&mut self) -> ErrorBody {
        match self.answer().1 {
            Response::Error(body) => body,
            other => panic!("no refusal: {other:?}"),
        }
    }

    /// Waits for the daemon to close the connection.
    pub(super) fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}
