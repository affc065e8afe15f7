//! Deadlines are kept, and creates are served in line.

use std::time::{Duration, Instant};

use plasmad_client::testing::Daemon;
use plasmad_client::{Store, id};
use plasmad_wire::error::ErrorCode;
use plasmad_wire::limits::FOREVER;
use plasmad_wire::request::{Delete, Release, Seal};
use plasmad_wire::{Request, Response};

use super::numbers::until_numbers;
use super::raw::{Raw, create, get};
use crate::support::until::DEADLINE;

/// Creates that wait for room are answered when their time is up, each at its own.
#[test]
fn a_waiting_create_is_answered_at_its_deadline_and_not_before() {
    let daemon = start();
    let mut raw = full(&daemon);
    let asked = [5000, 200, 1000].map(|milliseconds| {
        let time = Duration::from_millis(milliseconds);
        let start = Instant::now();
        let id = id::from_name(&format!("{time:?}"));
        (raw.send(&create(id, MIB, time.as_nanos() as u64)), time, start)
    });
    for milliseconds in [200, 1000, 5000] {
        let (number, response) = raw.next().expect("an answer");
        let Response::Error(body) = response else { panic!("{response:?}") };
        assert_eq!(body.code, ErrorCode::StoreFull);
        let (_, time, start) = asked.iter().find(|(asked, ..)| *asked == number).expect("a request of ours");
        assert_eq!(*time, Duration::from_millis(milliseconds), "answered out of turn");
        let waited = start.elapsed();
        println!("a create with {time:?} was answered {:?} late", waited.saturating_sub(*time));
        assert!(waited >= *time, "answered after {waited:?} of {time:?}");
        assert!(waited < *time + DEADLINE);
    }
}

#[test]
fn a_waiting_get_is_answered_at_its_deadline_and_not_before() {
    let daemon = start();
    let mut raw = Raw::writer(&daemon.socket());
    let (time, start) = (Duration::from_millis(150), Instant::now());
    let response = raw.ask(&get(id::from_name("absent"), time.as_nanos() as u64));
    let Response::Got(got) = response else { panic!("{response:?}") };
    assert!(got.timed_out && start.elapsed() >= time);
    println!("a get with {time:?} was answered {:?} late", start.elapsed() - time);
}

#[test]
fn a_delete_serves_waiting_creates_first_come_first_served() {
    let daemon = start();
    let mut raw = full(&daemon);
    let waiting = wait_in_line(&daemon, &mut raw);
    let delete = raw.send(&Request::Delete(Delete { ids: vec![id::from_name("full")] }));
    in_order(&mut raw, &waiting, delete);
}

/// A deleted object that is pinned keeps its memory, so nobody is served before its release.
#[test]
fn a_release_serves_waiting_creates_first_come_first_served() {
    let daemon = start();
    let mut raw = full(&daemon);
    let pin = raw.get(id::from_name("full")).pin;
    let waiting = wait_in_line(&daemon, &mut raw);
    assert!(matches!(
        raw.ask(&Request::Delete(Delete { ids: vec![id::from_name("full")] })),
        Response::Count(count) if count.count == 1
    ));
    let store = Store::connect(daemon.socket()).expect("connect");
    until_numbers(&store, &[("clients/creates_waiting", waiting.len() as u64), ("objects/sealed", 0)]);
    let release = raw.send(&Request::Release(Release { pins: vec![pin] }));
    in_order(&mut raw, &waiting, release);
}

/// A client of a store whose memory is one object named `full`.
fn start() -> Daemon {
    Daemon::with(&["--memory", "64MiB", "--populate", "none", "--no-spill"])
}

fn full(daemon: &Daemon) -> Raw {
    let mut raw = Raw::writer(&daemon.socket());
    let made = raw.create(id::from_name("full"), raw.welcome.capacity_bytes);
    raw.ask(&Request::Seal(Seal { handles: vec![made.handle] }));
    raw
}

/// Creates of different sizes that all wait, though the small ones need least; their numbers.
fn wait_in_line(daemon: &Daemon, raw: &mut Raw) -> Vec<u64> {
    let sizes = [32 * MIB, 1, 16 * MIB, 64, MIB];
    let ask = |(place, bytes): (usize, &u64)| raw.send(&create(id::from_name(&place.to_string()), *bytes, FOREVER));
    let waiting: Vec<u64> = sizes.iter().enumerate().map(ask).collect();
    let store = Store::connect(daemon.socket()).expect("connect");
    until_numbers(&store, &[("clients/creates_waiting", waiting.len() as u64)]);
    waiting
}

/// Takes the answers of those that waited, in the order in which they came; that of the request that made room may
/// come anywhere among them.
fn in_order(raw: &mut Raw, waiting: &[u64], made_room: u64) {
    let mut served = Vec::new();
    for _ in 0..waiting.len() + 1 {
        let (number, response) = raw.next().expect("an answer");
        match response {
            Response::Created(_) => served.push(number),
            Response::Count(_) => assert_eq!(number, made_room),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(served, waiting);
}

const MIB: u64 = 1 << 20;
