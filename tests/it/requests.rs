//! Requests in pieces, in heaps, in the wrong form: each is answered by name or ends its own connection, and nobody
//! else notices.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use plasmad_client::testing::Daemon;
use plasmad_client::{Store, id};
use plasmad_wire::error::ErrorCode;
use plasmad_wire::frame::{self, NO_REPLY};
use plasmad_wire::limits::{FRAME_BODY_BYTES_MAX, LABEL_BYTES_MAX};
use plasmad_wire::request::{Cancel, Contains, Hello, Ping, Stat, Stats};
use plasmad_wire::{Request, Response, Role};

use super::numbers::until_numbers;
use super::raw::{Raw, connect, create, frame, get, hello, put, send_with_fds};
use crate::support::until::until;

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let daemon = Daemon::start();
    let mut raw = Raw::writer(&daemon.socket());
    // More than one turn of the daemon's loop takes.
    for round in 0..300u32 {
        let name = id::from_name(&round.to_string());
        raw.send(&put(name, &round.to_le_bytes()));
        raw.send(&Request::Contains(Contains { ids: vec![name] }));
        raw.send(&Request::Stat(Stat { id: id::from_name("absent") }));
        raw.send(&Request::Ping(Ping {}));
    }
    for number in 1..=1200 {
        let (answered, response) = raw.next().expect("an answer");
        assert_eq!(answered, number);
        match (number % 4, response) {
            (1, Response::Count(count)) => assert_eq!(count.count, 1),
            (2, Response::Present(present)) => assert_eq!(present.sealed, [true]),
            (3, Response::Error(body)) => assert_eq!(body.code, ErrorCode::ObjectNotFound),
            (0, Response::Pong(_)) => (),
            (_, other) => panic!("{number}: {other:?}"),
        }
    }
}

/// The pidfd with a handshake must not hide what was sent behind it.
#[test]
fn requests_sent_right_behind_a_handshake_are_answered() {
    let daemon = Daemon::start();
    for _ in 0..20 {
        let stream = connect(&daemon.socket());
        let own = plasmad_shm::peer::pidfd_of(std::process::id()).expect("a pidfd");
        let greeting = frame(&Request::Hello(Hello { has_pidfd: true, ..hello(Role::Writer) }), 0);
        let fds = [std::os::fd::AsFd::as_fd(&own)];
        plasmad_shm::fd_passing::send(&stream, &greeting, &fds).expect("the daemon reads");
        (&stream).write_all(&frame(&Request::Ping(Ping {}), 7)).expect("the daemon reads");
        let mut raw = Raw::welcomed(stream).unwrap_or_else(|refusal| panic!("{}", refusal.message));
        assert!(matches!(raw.next(), Some((7, Response::Pong(_)))));
    }
}

#[test]
fn descriptors_nobody_asked_for_are_closed_and_end_the_connection() {
    let daemon = Daemon::start();
    let mut raw = Raw::writer(&daemon.socket());
    let store = Store::connect(daemon.socket()).expect("connect");
    let engine = super::numbers::number(&store, "engine_pid");
    let descriptors = || std::fs::read_dir(format!("/proc/{engine}/fd")).expect("descriptors").count();
    let before = descriptors();
    for number in 1..=50 {
        if send_with_fds(&raw.stream, &frame(&Request::Ping(Ping {}), number), 200).is_err() {
            // The daemon has closed the connection already.
            break;
        }
    }
    match raw.next() {
        Some((_, Response::Error(refusal))) => assert_eq!(refusal.code, ErrorCode::Malformed),
        other => panic!("no refusal: {other:?}"),
    }
    drop(raw);
    until("the descriptors are closed", || (descriptors() < before).then_some(()));
    let before = descriptors();
    let mut crowded = connect(&daemon.socket());
    send_with_fds(&crowded, &frame(&Request::Hello(hello(Role::Writer)), 0), 3).expect("the daemon reads");
    let refusal = Raw::welcomed(crowded.try_clone().expect("a copy")).map(|_| "welcome").unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Malformed);
    assert!(refusal.message.contains("announced 0 pidfds"), "{}", refusal.message);
    assert_eq!(crowded.read(&mut [0]).expect("the end"), 0);
    drop(crowded);
    until("these too", || (descriptors() <= before).then_some(()));
}

/// Whatever the moment at which the daemon looks: with the last request, or behind it.
#[test]
fn a_connection_closed_behind_a_request_is_noticed() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).expect("connect");
    for _ in 0..200 {
        let mut raw = Raw::writer(&daemon.socket());
        let mut bytes = Vec::new();
        Request::Ping(Ping {}).append(&mut bytes, NO_REPLY, 1);
        raw.send_bytes(&bytes);
    }
    until_numbers(&store, &[("clients/connected", 1)]);
}

/// As a script would do it: everything in, then the end, then all answers out.
#[test]
fn a_client_that_will_send_nothing_more_still_gets_its_answers() {
    let daemon = Daemon::start();
    for _ in 0..50 {
        let mut raw = Raw::writer(&daemon.socket());
        let mut bytes = Vec::new();
        (1..=200).for_each(|number| bytes.extend(frame(&Request::Ping(Ping {}), number)));
        raw.send_bytes(&bytes);
        raw.stream.shutdown(Shutdown::Write).expect("shutdown");
        for number in 1..=200 {
            assert!(matches!(raw.next(), Some((answered, Response::Pong(_))) if answered == number));
        }
        assert_eq!(raw.next(), None);
    }
}

#[test]
fn a_client_that_sends_four_bytes_at_a_time_delays_nobody() {
    let daemon = Daemon::start();
    let (mut slow, mut other) = (Raw::writer(&daemon.socket()), Raw::writer(&daemon.socket()));
    for (number, piece) in frame(&put(id::from_name("slow"), &[7; 400]), 9).chunks(4).enumerate() {
        slow.send_bytes(piece);
        other.put(id::from_name(&format!("other {number}")), b"x");
    }
    assert!(matches!(slow.next(), Some((9, Response::Count(_)))));
    let mut handshake = connect(&daemon.socket());
    for piece in frame(&Request::Hello(hello(Role::Reader)), 0).chunks(4) {
        handshake.write_all(piece).expect("the daemon reads");
        assert!(matches!(other.ask(&Request::Ping(Ping {})), Response::Pong(_)));
    }
    assert!(Raw::welcomed(handshake).is_ok());
}

#[test]
fn a_client_that_does_not_take_its_answers_delays_nobody_and_loses_none() {
    let daemon = Daemon::start();
    let (mut stuck, sent) = stuck(&daemon.socket());
    let mut other = Raw::writer(&daemon.socket());
    for number in 0..100 {
        other.put(id::from_name(&number.to_string()), b"x");
    }
    for number in 1..=sent {
        assert!(matches!(stuck.next(), Some((answered, Response::Stats(_))) if answered == number), "{number}");
    }
    assert!(matches!(stuck.ask_as(sent + 1), Response::Pong(_)));
}

#[test]
fn another_version_is_refused_by_name() {
    let refusal = refused_handshake(&Hello { version: 2, ..hello(Role::Writer) });
    assert_eq!(refusal.0, ErrorCode::UnsupportedVersion);
    assert!(refusal.1.contains("protocol 2"), "{}", refusal.1);
}

#[test]
fn a_handshake_that_makes_no_sense_is_refused_by_name() {
    let magic = refused_handshake(&Hello { magic: 7, ..hello(Role::Writer) });
    assert_eq!(magic.0, ErrorCode::Malformed);
    let label = "x".repeat(LABEL_BYTES_MAX + 1);
    let long = refused_handshake(&Hello { label, ..hello(Role::Writer) });
    assert_eq!(long.0, ErrorCode::LimitExceeded);
    assert!(long.1.contains("64"), "{}", long.1);
    let without = refused_handshake(&Hello { has_pidfd: true, ..hello(Role::Writer) });
    assert_eq!(without.0, ErrorCode::Malformed);
}

#[test]
fn a_connection_that_starts_with_another_request_is_refused() {
    let daemon = Daemon::start();
    for first in [frame(&Request::Ping(Ping {}), 3), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), vec![0; 16]] {
        let mut stream = connect(&daemon.socket());
        stream.write_all(&first).expect("the daemon reads");
        let refusal = Raw::welcomed(stream.try_clone().expect("a copy")).map(|_| "welcome").unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Malformed, "{}", refusal.message);
        assert_end(&mut stream);
    }
    undisturbed(&daemon);
}

#[test]
fn a_second_handshake_is_refused_and_an_unknown_kind_is_too() {
    let daemon = Daemon::start();
    let mut raw = Raw::writer(&daemon.socket());
    raw.send_bytes(&bytes_of_kind(999, b"body"));
    let answer = raw.next();
    let Some((1, Response::Error(body))) = answer else { panic!("{answer:?}") };
    assert_eq!(body.code, ErrorCode::UnknownRequest);
    assert!(body.message.contains("999"), "{}", body.message);
    assert!(matches!(raw.ask_as(2), Response::Pong(_)), "the connection stays");
    assert_eq!(raw.refused(&Request::Hello(hello(Role::Writer))), ErrorCode::Malformed);
}

#[test]
fn a_body_that_is_too_short_or_too_long_is_refused_by_its_kind() {
    let daemon = Daemon::start();
    for (kind, body) in [(14, vec![1; 27]), (14, vec![1; 29]), (12, vec![0xFF; 8]), (14, vec![0; 28])] {
        let mut raw = Raw::writer(&daemon.socket());
        raw.send_bytes(&bytes_of_kind(kind, &body));
        let refusal = raw.last_refusal();
        assert_eq!(refusal.code, ErrorCode::Malformed);
        assert!(refusal.message.contains(&format!("kind {kind}")), "{}", refusal.message);
    }
    undisturbed(&daemon);
}

#[test]
fn a_frame_of_4_gib_is_refused_by_its_header() {
    let daemon = Daemon::start();
    for body_bytes in [u32::MAX, FRAME_BODY_BYTES_MAX + 1] {
        let mut raw = Raw::writer(&daemon.socket());
        let mut header = bytes_of_kind(4, b"");
        header[..4].copy_from_slice(&body_bytes.to_le_bytes());
        raw.send_bytes(&header);
        let refusal = raw.last_refusal();
        assert_eq!(refusal.code, ErrorCode::Malformed);
        assert!(refusal.message.contains(&body_bytes.to_string()), "{}", refusal.message);
    }
    undisturbed(&daemon);
}

/// A frame that never becomes whole holds nothing: its connection's end is its end.
#[test]
fn a_truncated_frame_ends_with_its_connection() {
    let daemon = Daemon::start();
    let whole = frame(&put(id::from_name("half"), &[1; 1000]), 1);
    for end in [1, 15, 16, 100, whole.len() - 1] {
        let mut raw = Raw::writer(&daemon.socket());
        raw.send_bytes(&whole[..end]);
        raw.stream.shutdown(Shutdown::Write).expect("shutdown");
        assert_eq!(raw.next(), None);
    }
    let store = Store::connect(daemon.socket()).expect("connect");
    until_numbers(&store, &[("clients/connected", 1), ("objects/sealed", 0), ("objects/created", 0)]);
    undisturbed(&daemon);
}

#[test]
fn a_request_without_reply_is_done_and_not_answered_even_if_it_is_refused() {
    let daemon = Daemon::start();
    let mut raw = Raw::writer(&daemon.socket());
    let mut bytes = Vec::new();
    put(id::from_name("x"), b"x").append(&mut bytes, NO_REPLY, 1);
    put(id::from_name("x"), b"x").append(&mut bytes, NO_REPLY, 2);
    frame::append(&mut bytes, 999, NO_REPLY, 3, |_| ());
    Request::Contains(Contains { ids: vec![id::from_name("x")] }).append(&mut bytes, 0, 4);
    raw.send_bytes(&bytes);
    assert!(matches!(raw.next(), Some((4, Response::Present(present))) if present.sealed == [true]));
}

#[test]
fn a_waiting_request_can_be_taken_back_and_one_that_is_done_cannot() {
    let daemon = Daemon::start();
    let mut raw = Raw::writer(&daemon.socket());
    let waiting = raw.send(&get(id::from_name("absent"), u64::MAX));
    raw.send(&Request::Cancel(Cancel { target: waiting }));
    let answer = raw.next();
    assert!(matches!(&answer, Some((1, Response::Error(body))) if body.code == ErrorCode::Cancelled), "{answer:?}");
    raw.send(&Request::Cancel(Cancel { target: waiting }));
    assert!(matches!(raw.ask(&Request::Ping(Ping {})), Response::Pong(_)));
}

#[test]
fn more_than_1024_waiting_requests_of_one_client_are_refused() {
    let daemon = Daemon::start();
    let mut raw = Raw::writer(&daemon.socket());
    for number in 0..1024u32 {
        raw.send(&get(id::from_name(&number.to_string()), u64::MAX));
    }
    let answer = raw.ask(&create(id::from_name("x"), 1, 0));
    assert!(matches!(answer, Response::Created(_)), "{answer:?}");
    assert_eq!(raw.refused(&get(id::from_name("one more"), u64::MAX)), ErrorCode::LimitExceeded);
    undisturbed(&daemon);
}

/// A client whose answers fill its socket and more, and how many requests it sent, each for the stats.
pub(crate) fn stuck(socket: &Path) -> (Raw, u64) {
    let raw = Raw::writer(socket);
    raw.stream.set_nonblocking(true).expect("a mode");
    let mut sent = 0;
    // The daemon stops reading when a megabyte waits to be taken; then the socket fills up the other way.
    let full = loop {
        match (&raw.stream).write(&frame(&Request::Stats(Stats {}), sent + 1)) {
            Ok(16) => sent += 1,
            other => break other,
        }
        if sent > 100_000 {
            panic!("the daemon takes any number of requests whose answers nobody reads");
        }
    };
    assert!(matches!(&full, Err(error) if error.kind() == ErrorKind::WouldBlock), "{full:?}");
    raw.stream.set_nonblocking(false).expect("a mode");
    (raw, sent)
}

impl Raw {
    /// Asks for a pong under a number of the test's own.
    fn ask_as(&mut self, number: u64) -> Response {
        self.send_bytes(&frame(&Request::Ping(Ping {}), number));
        let (answered, response) = self.next().expect("an answer");
        assert_eq!(answered, number);
        response
    }
}

fn bytes_of_kind(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::append(&mut bytes, kind, 0, 1, |out| out.extend_from_slice(body));
    bytes
}

fn refused_handshake(hello: &Hello) -> (ErrorCode, String) {
    let daemon = Daemon::start();
    let refusal = Raw::join(&daemon.socket(), hello).map(|_| "welcome").unwrap_err();
    undisturbed(&daemon);
    (refusal.code, refusal.message)
}

/// The daemon serves others as if nothing had been.
fn undisturbed(daemon: &Daemon) {
    let mut raw = Raw::writer(&daemon.socket());
    raw.put(plasmad_client::id::random(), b"x");
}

/// Nothing more comes. A peer that closes before it has read everything resets the connection.
fn assert_end(stream: &mut UnixStream) {
    let end = stream.read(&mut [0]);
    assert!(matches!(&end, Ok(0)) || end.as_ref().is_err_and(|it| it.kind() == ErrorKind::ConnectionReset), "{end:?}");
}
