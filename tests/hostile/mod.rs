//! Clients that misbehave in every way a socket allows: each is told why where it can be told, disconnected, and
//! logged once; nobody else notices, and the daemon keeps nothing of it.

mod crowd;
mod raw;

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Instant;

use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Store, Timeout};
use plasmad_wire::error::ErrorCode;
use plasmad_wire::request::{Get, Lease, List, Ping};
use plasmad_wire::{ObjectId, Request, Response};

use self::raw::Raw;
use crate::support::until::{DEADLINE, until};

#[test]
fn a_handshake_that_is_never_finished_is_closed_by_name() {
    let daemon = Daemon::start();
    let mut silent = Raw::connect(&daemon);
    let mut half = Raw::connect(&daemon);
    half.send(&[1, 0, 0]);
    for raw in [&mut silent, &mut half] {
        let refusal = raw.refusal();
        assert_eq!(refusal.code, ErrorCode::LimitExceeded);
        assert!(refusal.message.contains("within 5 seconds"), "{}", refusal.message);
        assert!(raw.is_closed());
    }
    good_client_works(&daemon);
}

#[test]
fn bytes_that_are_no_protocol_are_answered_by_name_and_closed() {
    let daemon = Daemon::start();
    let frame = |body_bytes: u32, kind: u16| {
        [&body_bytes.to_le_bytes()[..], &kind.to_le_bytes(), &[0; 2], &7u64.to_le_bytes()].concat()
    };
    let attacks: Vec<(&str, Vec<u8>)> = vec![
        ("a frame of 4 GiB", frame(u32::MAX, 4)),
        ("a frame above the limit", frame(2 * 1024 * 1024 + 1, 5)),
        ("a body shorter than its message", frame(0, 9)),
        ("a body longer than its message", [frame(3, 4), vec![1, 2, 3]].concat()),
        ("a list that claims 4 billion ids", [frame(13, 9), vec![0; 9], vec![0xFF; 4]].concat()),
        ("text of another protocol", b"GET / HTTP/1.1\r\nHost: plasmad\r\n\r\n".to_vec()),
    ];
    for (name, bytes) in &attacks {
        for admitted in [false, true] {
            let mut raw = if admitted { Raw::admitted(&daemon) } else { Raw::connect(&daemon) };
            raw.send(bytes);
            let refusal = raw.refusal();
            assert_eq!(refusal.code, ErrorCode::Malformed, "{name}, admitted: {admitted}");
            assert!(raw.is_closed(), "{name}, admitted: {admitted}");
        }
    }
    assert_eq!(dropped_total(&daemon), 2 * attacks.len() as u64);
    good_client_works(&daemon);
}

#[test]
fn an_unknown_request_is_answered_by_name_and_the_connection_stays() {
    let daemon = Daemon::start();
    let mut raw = Raw::admitted(&daemon);
    raw.send(&[&0u32.to_le_bytes()[..], &999u16.to_le_bytes(), &[0; 2], &7u64.to_le_bytes()].concat());
    assert_eq!(raw.refusal().code, ErrorCode::UnknownRequest);
    raw.request(&Request::Ping(Ping {}), 8);
    assert!(matches!(raw.answer(), (8, Response::Pong(_))));
}

#[test]
fn a_client_that_takes_no_answers_is_cut() {
    let daemon = Daemon::start();
    let good = Store::connect(daemon.socket()).unwrap();
    for _ in 0..2000 {
        good.put(b"something to list", &CreateOptions::default()).unwrap();
    }
    let mut deaf = Raw::admitted(&daemon);
    let patience = Instant::now() + DEADLINE;
    // Each answer describes 1,024 objects: some 100 KB.
    while deaf.try_request(&Request::List(List { cursor: 0, limit: 1024 }), 1) {
        assert!(Instant::now() < patience, "it may send for ever");
    }
    eventually("the deaf client is dropped", || dropped_total(&daemon) == 1);
    good_client_works(&daemon);
}

#[test]
fn a_client_that_takes_its_answers_late_but_takes_them_is_not_cut() {
    let daemon = Daemon::start();
    let good = Store::connect(daemon.socket()).unwrap();
    for _ in 0..2000 {
        good.put(b"something to list", &CreateOptions::default()).unwrap();
    }
    let mut slow = Raw::admitted(&daemon);
    for number in 0..40 {
        slow.request(&Request::List(List { cursor: 0, limit: 1024 }), number);
    }
    for number in 0..40 {
        assert!(matches!(slow.answer(), (found, Response::Listed(_)) if found == number));
    }
    assert_eq!(dropped_total(&daemon), 0);
}

#[test]
fn a_client_that_asks_for_leases_and_takes_none_takes_no_descriptors() {
    let daemon = Daemon::start();
    let id = Store::connect(daemon.socket()).unwrap().put(b"held", &CreateOptions::default()).unwrap();
    let mut greedy = Raw::admitted(&daemon);
    let before = descriptors(&daemon);
    greedy.request(&Request::Get(Get { timeout_ns: 0, partial: false, ids: vec![id] }), 1);
    let mut asked = 0;
    while asked < 20_000 && greedy.try_request(&Request::Lease(Lease {}), 2 + asked) {
        asked += 1;
    }
    assert!(asked > 100, "it was let ask");
    let taken = descriptors(&daemon) - before;
    assert!(taken < 2000, "{taken} descriptors for {asked} leases");
    good_client_works(&daemon);
    drop(greedy);
    eventually("they are given back", || descriptors(&daemon) <= before);
}

#[test]
fn frames_that_never_end_fill_a_bounded_amount_of_memory() {
    let daemon = Daemon::start();
    let before = memory_bytes(&daemon);
    // 100 x 1.9 MiB, where 64 MiB are allowed.
    let mut halves = Vec::new();
    for number in 0..100 {
        let mut raw = Raw::admitted(&daemon);
        let header = [&(2u32 << 20).to_le_bytes()[..], &8u16.to_le_bytes(), &[0; 10]].concat();
        raw.send(&header);
        raw.send(&vec![number; 1_900_000]);
        halves.push(raw);
    }
    eventually("some are dropped", || dropped_total(&daemon) > 0);
    let grown = memory_bytes(&daemon).saturating_sub(before);
    assert!(grown < 96 << 20, "the daemon grew by {grown} bytes");
    // The one that began first goes first, and is told why.
    let refusal = halves[0].refusal();
    assert!(refusal.message.contains("unfinished frames"), "{}", refusal.message);
    good_client_works(&daemon);
}

#[test]
fn descriptors_nobody_asked_for_are_closed() {
    let daemon = Daemon::start();
    let file = File::open("/dev/null").unwrap();
    good_client_works(&daemon);
    let before = descriptors(&daemon);
    let mut greeting = Raw::connect(&daemon);
    let mut admitted = Raw::admitted(&daemon);
    for _ in 0..100 {
        greeting.send_with(&[0], &vec![file.as_fd(); 253]);
        admitted.send_with(&[0], &vec![file.as_fd(); 253]);
    }
    for raw in [&mut greeting, &mut admitted] {
        assert_eq!(raw.refusal().code, ErrorCode::Malformed);
        assert!(raw.is_closed());
    }
    eventually("their descriptors are closed", || descriptors(&daemon) <= before);
    good_client_works(&daemon);
}

#[test]
fn a_good_client_is_served_right_in_a_flood_of_requests_and_connections() {
    let daemon = Daemon::start();
    let good = Store::connect(daemon.socket()).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let is_over = || stop.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut floods: Vec<Raw> = (0..20).map(|_| Raw::admitted(&daemon)).collect();
            let id = ObjectId::from_slice(b"nothing").unwrap();
            while !is_over() {
                for flood in &mut floods {
                    let request = Request::Get(Get { timeout_ns: 0, partial: true, ids: vec![id; 100] });
                    flood.try_request(&request, 1);
                    flood.skim();
                }
            }
        });
        scope.spawn(|| {
            while !is_over() {
                Raw::connect(&daemon).send(&[0xFF; 64]);
            }
        });
        for round in 0..500u32 {
            let id = good.put(&round.to_le_bytes(), &CreateOptions::default()).unwrap();
            assert_eq!(&good.get(id, Timeout::NO_WAIT).unwrap()[..], round.to_le_bytes());
            assert_eq!(good.delete(&[id]).unwrap(), 1);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn when_all_places_are_taken_a_newcomer_is_told_the_limit() {
    // 64 descriptors are the daemon's own, five go to each connection: 20 connections.
    let daemon = Daemon::with_descriptors(164, &["--memory", "16MiB", "--populate", "none"]);
    let mut held: Vec<Raw> = (0..20).map(|_| Raw::admitted(&daemon)).collect();
    let mut late = Raw::connect(&daemon);
    let refusal = late.refusal();
    assert_eq!(refusal.code, ErrorCode::LimitExceeded);
    assert!(refusal.message.contains("all 20 connections"), "{}", refusal.message);
    // Whoever leaves makes room.
    held.truncate(10);
    eventually("a place is free", || Store::connect(daemon.socket()).is_ok());
}

fn good_client_works(daemon: &Daemon) {
    let store = Store::connect(daemon.socket()).unwrap();
    let id = store.put(b"good", &CreateOptions::default()).unwrap();
    assert_eq!(&store.get(id, Timeout::NO_WAIT).unwrap()[..], b"good");
    assert_eq!(store.delete(&[id]).unwrap(), 1);
}

fn stats(daemon: &Daemon) -> serde_json::Value {
    let store = Store::connect(daemon.socket()).unwrap();
    serde_json::from_str(&store.stats_json().unwrap()).unwrap()
}

fn dropped_total(daemon: &Daemon) -> u64 {
    stats(daemon)["clients"]["dropped_total"].as_u64().unwrap()
}

fn engine_pid(daemon: &Daemon) -> u64 {
    stats(daemon)["engine_pid"].as_u64().unwrap()
}

fn descriptors(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", engine_pid(daemon))).unwrap().count()
}

/// What the engine takes of the machine's memory, the arena aside.
fn memory_bytes(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", engine_pid(daemon))).unwrap();
    let kilobytes = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    // The engine keeps no mapping of the arena, so what it shares is index and client pages.
    1024 * (kilobytes("RssAnon:") + kilobytes("RssShmem:"))
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(()));
}
