//! Requests and changes on one connection, as a client in another language might do it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use plasmad_client::testing::Daemon;
use plasmad_client::{Format, ObjectId};
use plasmad_wire::codec::Blob;
use plasmad_wire::limits::CHANGES_MAX;
use plasmad_wire::request::{Cancel, InlineObject, Ping, Put, Subscribe};
use plasmad_wire::{ErrorCode, Header, Request, Response, Role};

use super::{PATIENCE, connect, put, put_many};
use crate::it::raw::hello;

/// A connection without a library.
struct Raw(UnixStream);

impl Raw {
    fn greet(daemon: &Daemon) -> Self {
        let stream = UnixStream::connect(daemon.socket()).expect("the daemon serves");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time is given");
        let mut raw = Self(stream);
        raw.send(0, Request::Hello(hello(Role::Writer)));
        assert!(matches!(raw.receive(), (0, Response::Welcome(_))));
        raw
    }

    fn send(&mut self, number: u64, request: Request) {
        let mut frame = Vec::new();
        request.append(&mut frame, 0, number);
        self.0.write_all(&frame).expect("the daemon reads");
    }

    fn receive(&mut self) -> (u64, Response) {
        let mut header = [0; Header::BYTES];
        self.0.read_exact(&mut header).expect("an answer");
        let header = Header::parse(&header).expect("a frame").expect("16 bytes");
        let mut body = vec![0; header.body_bytes as usize];
        self.0.read_exact(&mut body).expect("a whole answer");
        (header.request, Response::decode(header.kind, &body).expect("an answer").expect("well formed"))
    }

    /// Receives changes until another answer comes; how many came, and how many were lost.
    fn receive_behind_changes(&mut self) -> (u64, u64, Response) {
        let (mut heard, mut lost) = (0, 0);
        loop {
            match self.receive() {
                (SUBSCRIPTION, Response::Changes(answer)) => {
                    assert!(answer.changes.len() <= CHANGES_MAX as usize);
                    assert!(!answer.changes.is_empty(), "only the first answer is empty");
                    heard += answer.changes.len() as u64;
                    lost += answer.lost;
                }
                (_, response) => return (heard, lost, response),
            }
        }
    }
}

#[test]
fn unread_changes_do_not_keep_a_connections_requests_waiting() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let mut raw = Raw::greet(&daemon);
    raw.send(SUBSCRIPTION, Request::Subscribe(Subscribe { existing: false, queue_max: 65_536 }));
    let (number, first) = raw.receive();
    assert_eq!(number, SUBSCRIPTION);
    assert!(matches!(first, Response::Changes(answer) if answer.changes.is_empty() && answer.lost == 0));

    put_many(&store, 60_000);
    // Its socket is full of changes, and what it asks is done.
    let id = ObjectId::new([3; 28]);
    let (metadata, data) = (Blob(Vec::new()), Blob(b"raw".to_vec()));
    let object = InlineObject { id, format: Format::Raw, evictable: false, metadata, data };
    raw.send(8, Request::Put(Put { timeout_ns: 0, objects: vec![object] }));
    assert_eq!(&store.get(id, PATIENCE).unwrap()[..], b"raw");

    let (before, lost, answer) = raw.receive_behind_changes();
    assert!(matches!(answer, Response::Count(_)), "{answer:?}");
    assert_eq!(lost, 0);
    raw.send(9, Request::Cancel(Cancel { target: SUBSCRIPTION }));
    let (heard, lost, answer) = raw.receive_behind_changes();
    assert!(matches!(answer, Response::Error(body) if body.code == ErrorCode::Cancelled));
    // The answer to the put did not stand behind all of them, and what was queued at the cancel is dropped.
    assert!(lost == 0 && before < 60_000 && before + heard <= 60_001, "{before} and {heard} heard, {lost} lost");

    put(&store, 1);
    raw.send(10, Request::Ping(Ping {}));
    assert!(matches!(raw.receive(), (10, Response::Pong(_))));
}

#[test]
fn nothing_comes_behind_the_last_words_of_a_daemon_that_stops() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let mut raw = Raw::greet(&daemon);
    raw.send(SUBSCRIPTION, Request::Subscribe(Subscribe { existing: false, queue_max: 65_536 }));
    raw.receive();
    put_many(&store, 20_000);
    let mut reading = raw.0.try_clone().unwrap();
    let stopped = std::thread::spawn(move || drop(daemon));
    let (_, _, answer) = raw.receive_behind_changes();
    assert!(matches!(answer, Response::Error(body) if body.code == ErrorCode::ShuttingDown));
    let mut rest = Vec::new();
    reading.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "{} bytes came behind", rest.len());
    stopped.join().unwrap();
}

const SUBSCRIPTION: u64 = 7;
