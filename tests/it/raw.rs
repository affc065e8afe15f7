//! A client made of a bare socket and frames: it can do what the library never would.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use plasmad_shm::fd_passing;
use plasmad_wire::error::{ErrorBody, ErrorCode};
use plasmad_wire::limits::{MAGIC, PROTOCOL_VERSION};
use plasmad_wire::request::{Get, Hello, InlineObject, Lease, NewObject, Put, Release};
use plasmad_wire::response::{Count, CreatedObject, GotObject, Welcome};
use plasmad_wire::value::{GetStatus, Pin};
use plasmad_wire::{Format, Header, ObjectId, Request, Response, Role};

use crate::support::until::DEADLINE;

/// A connection after its handshake.
pub(crate) struct Raw {
    pub(crate) stream: UnixStream,
    pub(crate) welcome: Welcome,
    /// What came with the welcome.
    pub(crate) fds: Vec<OwnedFd>,
    received: Vec<u8>,
    last_number: u64,
}

impl Raw {
    pub(crate) fn writer(socket: &Path) -> Self {
        Self::join(socket, &hello(Role::Writer)).unwrap_or_else(|refusal| panic!("{}", refusal.message))
    }

    pub(crate) fn reader(socket: &Path) -> Self {
        Self::join(socket, &hello(Role::Reader)).unwrap_or_else(|refusal| panic!("{}", refusal.message))
    }

    /// Shakes hands, or is refused.
    pub(crate) fn join(socket: &Path, hello: &Hello) -> Result<Self, Box<ErrorBody>> {
        let stream = connect(socket);
        (&stream).write_all(&frame(&Request::Hello(hello.clone()), 0)).expect("a handshake");
        Self::welcomed(stream)
    }

    /// Takes the answer to a handshake.
    pub(crate) fn welcomed(stream: UnixStream) -> Result<Self, Box<ErrorBody>> {
        let (mut received, mut fds) = (Vec::new(), Vec::new());
        loop {
            if let Some((_, response)) = take(&mut received) {
                return match response {
                    Response::Welcome(welcome) => Ok(Self { stream, welcome, fds, received, last_number: 0 }),
                    Response::Error(body) => Err(Box::new(body)),
                    other => panic!("a handshake was answered with {other:?}"),
                };
            }
            let mut bytes = [0; 4096];
            let mut more = fd_passing::receive(&stream, &mut bytes).expect("the daemon answers a handshake");
            assert!(more.bytes > 0, "the daemon closed the connection without a word");
            received.extend_from_slice(&bytes[..more.bytes]);
            fds.append(&mut more.fds);
        }
    }

    /// Sends a request; its number.
    pub(crate) fn send(&mut self, request: &Request) -> u64 {
        self.last_number += 1;
        self.send_bytes(&frame(request, self.last_number));
        self.last_number
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the daemon reads");
    }

    /// The next answer and its request's number; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<(u64, Response)> {
        loop {
            if let Some(answer) = take(&mut self.received) {
                return Some(answer);
            }
            let mut bytes = vec![0; 64 * 1024];
            let more = self.stream.read(&mut bytes).expect("an answer within the deadline");
            if more == 0 {
                assert!(self.received.is_empty(), "the stream ended inside an answer");
                return None;
            }
            self.received.extend_from_slice(&bytes[..more]);
        }
    }

    /// Asks, and takes the next answer, which must be this request's.
    pub(crate) fn ask(&mut self, request: &Request) -> Response {
        let number = self.send(request);
        let (answered, response) = self.next().expect("an answer");
        assert_eq!(answered, number, "{response:?}");
        response
    }

    /// Asks for what must be refused; why it was.
    pub(crate) fn refused(&mut self, request: &Request) -> ErrorCode {
        match self.ask(request) {
            Response::Error(body) => body.code,
            other => panic!("{request:?} was done: {other:?}"),
        }
    }

    /// Takes the last answer, which is a refusal, and the end of the stream behind it.
    pub(crate) fn last_refusal(&mut self) -> ErrorBody {
        let answer = self.next();
        let Some((_, Response::Error(body))) = answer else { panic!("no refusal: {answer:?}") };
        assert_eq!(self.next(), None);
        body
    }

    /// Puts a few bytes.
    pub(crate) fn put(&mut self, id: ObjectId, data: &[u8]) {
        assert!(matches!(self.ask(&put(id, data)), Response::Count(_)));
    }

    /// Creates an object that is there at once.
    pub(crate) fn create(&mut self, id: ObjectId, data_bytes: u64) -> CreatedObject {
        match self.ask(&create(id, data_bytes, 0)) {
            Response::Created(created) => created.objects[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Gives a pin back.
    pub(crate) fn release(&mut self, pin: Pin) {
        assert_eq!(self.ask(&Request::Release(Release { pins: vec![pin] })), Response::Count(Count { count: 1 }));
    }

    /// Has what it holds leased; the lease's life file.
    pub(crate) fn lease(&mut self) -> OwnedFd {
        let (answer, life) = self.ask_for_descriptor(&Request::Lease(Lease {}));
        assert!(matches!(answer, Response::Leased(_)), "{answer:?}");
        life.expect("a life file")
    }

    /// Asks for what may bring a descriptor.
    pub(crate) fn ask_for_descriptor(&mut self, request: &Request) -> (Response, Option<OwnedFd>) {
        let number = self.send(request);
        let mut bytes = [0; 4096];
        let mut answer = fd_passing::receive(&self.stream, &mut bytes).expect("an answer within the deadline");
        self.received.extend_from_slice(&bytes[..answer.bytes]);
        let (answered, response) = self.next().expect("an answer");
        assert_eq!(answered, number, "{response:?}");
        (response, answer.fds.pop())
    }

    /// Pins an object that is there.
    pub(crate) fn get(&mut self, id: ObjectId) -> GotObject {
        match self.ask(&get(id, 0)) {
            Response::Got(got) if got.objects[0].status == GetStatus::Pinned => got.objects[0].clone(),
            other => panic!("{other:?}"),
        }
    }
}

/// A socket that never waits for ever.
pub(crate) fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("a daemon");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
    stream
}

pub(crate) fn hello(role: Role) -> Hello {
    let (pid, label) = (std::process::id(), "raw".to_owned());
    Hello { magic: MAGIC, version: PROTOCOL_VERSION, role, has_pidfd: false, features: 0, pid, label }
}

pub(crate) fn frame(request: &Request, number: u64) -> Vec<u8> {
    let mut frame = Vec::new();
    request.append(&mut frame, 0, number);
    frame
}

/// Sends bytes with some descriptors that are nobody's business.
pub(crate) fn send_with_fds(stream: &UnixStream, bytes: &[u8], fds: usize) -> io::Result<()> {
    let file = std::fs::File::open("/dev/null").expect("/dev/null");
    let sent = fd_passing::send(stream, bytes, &vec![file.as_fd(); fds])?;
    assert_eq!(sent, bytes.len());
    Ok(())
}

pub(crate) fn put(id: ObjectId, data: &[u8]) -> Request {
    let (metadata, data) = (plasmad_wire::codec::Blob(Vec::new()), plasmad_wire::codec::Blob(data.to_vec()));
    let object = InlineObject { id, format: Format::Raw, evictable: false, metadata, data };
    Request::Put(Put { timeout_ns: 0, objects: vec![object] })
}

pub(crate) fn create(id: ObjectId, data_bytes: u64, timeout_ns: u64) -> Request {
    let object = NewObject { id, data_bytes, metadata_bytes: 0, format: Format::Raw, evictable: false };
    Request::Create(plasmad_wire::request::Create { timeout_ns, objects: vec![object] })
}

pub(crate) fn get(id: ObjectId, timeout_ns: u64) -> Request {
    Request::Get(Get { timeout_ns, partial: false, ids: vec![id] })
}

/// The first whole answer of what was received.
fn take(received: &mut Vec<u8>) -> Option<(u64, Response)> {
    let header = Header::parse(received).expect("no frame is too long")?;
    let body = received.get(Header::BYTES..header.frame_bytes())?;
    let response = Response::decode(header.kind, body).expect("a known kind").expect("a body that makes sense");
    received.drain(..header.frame_bytes());
    Some((header.request, response))
}
