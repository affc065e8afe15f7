//! Forked children of a client: each is a client of its own from its first verb on; what it inherited is the parent's to
//! seal and to give back, and stays in place as long as the child may look at it.
//!
//! Every test forks in a process of its own, where no other test holds a lock.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;
use plasmad_client::testing::Daemon;
use plasmad_client::{Buffer, CreateOptions, Error, ObjectId, Options, Store, Timeout, Writer, id};
use plasmad_shm::fork::testing::fork;
use plasmad_shm::life::Life;
use plasmad_wire::request::Lease;
use plasmad_wire::response::Leased;
use plasmad_wire::{Request, Response};

use super::eventually;
use crate::it::helpers::{Reaped, part, told};
use crate::it::numbers::number;
use crate::it::raw::Raw;
use crate::support::until::DEADLINE;

/// Plays a part to its end, beside a daemon; what it complained of.
fn plays(name: &str, daemon: &Daemon) -> String {
    let played = part(&format!("shared::forks::{name}"), &daemon.socket()).output().expect("a process");
    let (said, complained) = (String::from_utf8_lossy(&played.stdout), String::from_utf8_lossy(&played.stderr));
    assert!(played.status.success() && said.contains("1 passed"), "{:?}\n{said}\n{complained}", played.status);
    complained.into_owned()
}

#[test]
fn a_child_and_its_parent_put_and_get_at_the_same_time() {
    plays("parent_and_child_at_once", &Daemon::start());
}

#[test]
#[ignore = "a part in another test"]
fn parent_and_child_at_once() {
    let Some(socket) = told() else { return };
    let store = Store::connect(socket).unwrap();
    let shared = store.put(b"from before", &CreateOptions::default()).unwrap();
    let works = |letter: u8| {
        // Puts by ring and objects larger than any grant; all of them are asked for again.
        for round in 0..2000usize {
            let data = vec![letter; if round % 100 == 0 { 100_000 } else { round }];
            let id = store.put(&data, &CreateOptions::default()).unwrap();
            assert_eq!(store.get(id, Timeout::NO_WAIT).unwrap()[..], data);
            assert_eq!(&store.get(shared, Timeout::NO_WAIT).unwrap()[..], b"from before");
            assert_eq!(store.delete(&[id]).unwrap(), 1);
        }
    };
    let client = store.welcome().unwrap().client;
    let children = [b'b', b'c'].map(|letter| {
        fork(|| {
            works(letter);
            assert_ne!(store.welcome().unwrap().client, client);
        })
    });
    works(b'a');
    assert_eq!(store.welcome().unwrap().client, client);
    assert!(children.into_iter().all(|child| child.wait()));
    assert_eq!(store.list(None).unwrap().total, 1);
}

#[test]
fn a_child_can_neither_seal_nor_abort_what_its_parent_creates() {
    plays("parent_of_an_unsealed_object", &Daemon::start());
}

#[test]
#[ignore = "a part in another test"]
fn parent_of_an_unsealed_object() {
    let Some(socket) = told() else { return };
    let store = Store::connect(socket).unwrap();
    // The first is told of on the ring, the second is asked for.
    for bytes in [6, 1 << 20] {
        let mut writer = Some(store.create(bytes, &CreateOptions::default()).unwrap());
        for ends in [Ends::Seal, Ends::Abort, Ends::Drop] {
            let child = fork(|| {
                let writer = writer.take().unwrap();
                match ends {
                    Ends::Seal => assert!(matches!(writer.seal(), Err(Error::WrongState { .. }))),
                    Ends::Abort => assert!(matches!(writer.abort(), Err(Error::WrongState { .. }))),
                    Ends::Drop => drop(writer),
                }
            });
            assert!(child.wait(), "{ends:?} of {bytes}");
        }
        let mut writer = writer.take().unwrap();
        writer.copy_from(0, b"intact");
        let id = writer.seal().unwrap();
        assert_eq!(&store.get(id, Timeout::NO_WAIT).unwrap()[..6], b"intact");
    }
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Seal,
    Abort,
    Drop,
}

#[test]
fn what_a_child_inherited_stays_when_the_parent_drops_it() {
    plays("parent_that_lets_go", &small());
}

#[test]
#[ignore = "a part in another test"]
fn parent_that_lets_go() {
    let Some(socket) = told() else { return };
    let other = Store::connect(&socket).unwrap();
    for fast in [true, false] {
        let store = Options::new().socket(&socket).label("the parent").fast(fast).connect().unwrap();
        let id = put_named(&store, "inherited", 300_000);
        let mut buffer = Some(store.get(id, Timeout::NO_WAIT).unwrap());
        let child = fork(|| {
            wait_for(&store, "look");
            assert_pattern(buffer.as_ref().unwrap(), id);
            buffer = None;
            // The other buffers of this store are its own, and what it inherited is given back while it lives.
            put_named(&store, "let go", 1);
            wait_for(&store, "end");
        });
        let holders = || {
            let holders = other.stat(id).unwrap().pinned_by;
            holders.into_iter().map(|holder| (holder.label, holder.pins)).collect::<Vec<_>>()
        };
        assert_eq!(holders(), [("the parent".to_owned(), 1), ("fork of the parent".to_owned(), 1)]);
        drop(buffer);
        eventually("the parent's pin is given back", || holders() == [("fork of the parent".to_owned(), 1)]);
        assert_eq!(number(&other, "memory/pinned_bytes"), 300_000);
        churn(&other);
        assert!(other.contains(id).unwrap(), "it was evicted under the child");
        other.delete(&[id]).unwrap();
        churn(&other);
        put_named(&other, "look", 1);
        wait_for(&other, "let go");
        eventually("the lease ends", || number(&other, "memory/pinned_bytes") == 0);
        put_named(&other, "end", 1);
        assert!(child.wait());
        other.delete(&["look", "let go", "end"].map(id::from_name)).unwrap();
    }
}

#[test]
fn what_a_child_inherited_stays_when_the_parent_died() {
    let daemon = small();
    let store = Store::connect(daemon.socket()).unwrap();
    let mut parent = Reaped(part("shared::forks::parent_that_dies", &daemon.socket()).spawn().unwrap());
    parent.0.wait().unwrap();
    let id = id::from_name("inherited");
    eventually("the parent's pin is given back", || store.stat(id).unwrap().pins == 1);
    churn(&store);
    assert!(store.contains(id).unwrap(), "it was evicted under the child");
    // Nobody may have been given the memory that the child writes to now.
    let others: Vec<ObjectId> = churn(&store);
    put_named(&store, "write", 1);
    wait_for(&store, "written");
    let found: Vec<_> = others.into_iter().filter_map(|id| Some((id, store.get(id, Timeout::NO_WAIT).ok()?))).collect();
    assert!(found.len() > 10, "{} are left", found.len());
    found.iter().for_each(|(id, buffer)| assert_pattern(buffer, *id));
    drop(found);
    put_named(&store, "end", 1);
    // All that the child held can be had by others.
    let whole = CreateOptions { evictable: true, ..CreateOptions::default() };
    store.put(&vec![0; store.welcome().unwrap().capacity_bytes as usize], &whole).unwrap();
}

#[test]
#[ignore = "a part in another test"]
fn parent_that_dies() {
    let Some(socket) = told() else { return };
    let store = Store::connect(socket).unwrap();
    let id = put_named(&store, "inherited", 300_000);
    let buffer = store.get(id, Timeout::NO_WAIT).unwrap();
    let mut writers: Vec<Writer> =
        [50_000, 200_000].map(|bytes| store.create(bytes, &CreateOptions::default()).unwrap()).into();
    let _child = fork(|| {
        wait_for(&store, "write");
        assert_pattern(&buffer, id);
        writers.iter_mut().for_each(|writer| writer.fill(0xEE));
        put_named(&store, "written", 1);
        wait_for(&store, "end");
    });
    raise(Signal::SIGKILL).unwrap();
}

#[test]
fn grandchildren_keep_what_their_grandparent_pinned() {
    plays("grandparent", &small());
}

#[test]
#[ignore = "a part in another test"]
fn grandparent() {
    let Some(socket) = told() else { return };
    let store = Store::connect(&socket).unwrap();
    let id = put_named(&store, "inherited", 300_000);
    let buffer = store.get(id, Timeout::NO_WAIT).unwrap();
    let child = fork(|| {
        // A client of its own, which holds something itself when it forks.
        let own = store.get(id, Timeout::NO_WAIT).unwrap();
        let _grandchild = fork(|| {
            wait_for(&store, "look");
            assert_pattern(&buffer, id);
            assert_pattern(&own, id);
            put_named(&store, "seen", 1);
        });
        assert_pattern(&own, id);
    });
    assert!(child.wait());
    drop(buffer);
    churn(&store);
    assert!(store.contains(id).unwrap(), "it was evicted under the grandchild");
    put_named(&store, "look", 1);
    wait_for(&store, "seen");
    eventually("both leases end", || store.stat(id).unwrap().pins == 0);
}

#[test]
fn children_of_busy_threads_find_every_lock_free_and_every_buffer_whole() {
    plays("parent_of_busy_threads", &small());
}

#[test]
#[ignore = "a part in another test"]
fn parent_of_busy_threads() {
    let Some(socket) = told() else { return };
    let store = Store::connect(&socket).unwrap();
    let is_over = AtomicBool::new(false);
    // What the threads pinned last; a child may find it locked, and then leaves it alone.
    let shown: [Mutex<Option<(ObjectId, Buffer)>>; 2] = Default::default();
    std::thread::scope(|threads| {
        for (number, shown) in shown.iter().enumerate() {
            let (store, is_over) = (&store, &is_over);
            threads.spawn(move || {
                let by_socket = Options::new().socket(store.socket()).fast(number == 0).connect().unwrap();
                for round in 0.. {
                    let options = CreateOptions { evictable: true, ..CreateOptions::default() };
                    let id = put(store, &options, 1000 * (round % 50 + 1));
                    // By the time it is asked for, the others may have driven it out.
                    let Ok(buffer) = by_socket.get(id, Timeout::NO_WAIT) else { continue };
                    *shown.lock().unwrap() = Some((id, buffer));
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        // However this ends, the threads do.
        let _over = Sets(&is_over);
        let other = Store::connect(&socket).unwrap();
        for round in 0..20u32 {
            let name = format!("churned {round}");
            let child = fork(|| {
                let seen: Vec<_> = shown.iter().filter_map(|shown| shown.try_lock().ok()).collect();
                wait_for(&store, &name);
                for (id, buffer) in seen.iter().filter_map(|shown| shown.as_ref()) {
                    assert_pattern(buffer, *id);
                }
            });
            churn(&other);
            put_named(&other, &name, 1);
            assert!(child.wait(), "in round {round}");
        }
    });
}

/// Becomes true when this is dropped.
struct Sets<'a>(&'a AtomicBool);

impl Drop for Sets<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_fork_of_one_that_holds_nothing_asks_nobody() {
    assert_eq!(plays("idle_parent", &Daemon::start()), "");
}

#[test]
#[ignore = "a part in another test"]
fn idle_parent() {
    let Some(socket) = told() else { return };
    let stores = [true, false].map(|fast| Options::new().socket(&socket).fast(fast).connect().unwrap());
    for store in &stores {
        let id = put(store, &CreateOptions::default(), 10);
        drop(store.get(id, Timeout::NO_WAIT).unwrap());
        drop(store.create(10, &CreateOptions::default()).unwrap());
    }
    // Had a fork anything to ask, it would wait, and say that nobody answers.
    let _stopped = Stopped::engine_of(&stores[0]);
    assert!((0..3).all(|_| fork(|| ()).wait()));
}

#[test]
fn a_fork_goes_on_without_a_daemon_that_does_not_answer_and_says_so_once() {
    let said = plays("parent_without_a_daemon", &Daemon::start());
    let lines: Vec<&str> = said.lines().collect();
    assert!(matches!(lines[..], [line] if line.contains("not protected: the daemon didn't answer")), "{said}");
}

#[test]
#[ignore = "a part in another test"]
fn parent_without_a_daemon() {
    let Some(socket) = told() else { return };
    let store = Store::connect(&socket).unwrap();
    let id = put(&store, &CreateOptions::default(), 10);
    let buffer = store.get(id, Timeout::NO_WAIT).unwrap();
    let _stopped = Stopped::engine_of(&store);
    assert!((0..2).all(|_| fork(|| assert_pattern(&buffer, id)).wait()));
}

#[test]
fn a_lease_that_nobody_maps_ends_and_one_of_nothing_is_none() {
    let daemon = small();
    let store = Store::connect(daemon.socket()).unwrap();
    let mut raw = Raw::reader(&daemon.socket());
    assert_eq!(raw.ask(&Request::Lease(Lease {})), Response::Leased(Leased { objects: 0 }));
    let id = put_named(&store, "pinned", 300_000);
    let pin = raw.get(id).pin;
    assert_eq!(raw.ask(&Request::Lease(Lease {})), Response::Leased(Leased { objects: 1 }));
    let mut silent = Vec::new();
    Request::Lease(Lease {}).append(&mut silent, plasmad_wire::frame::NO_REPLY, 77);
    raw.send_bytes(&silent);
    eventually("both leases are there", || store.stat(id).unwrap().pins == 3);
    raw.release(pin);
    eventually("only the leases hold it, and end", || store.stat(id).unwrap().pins == 0);
}

#[test]
fn more_leases_than_the_daemon_has_descriptors_for_are_refused() {
    // 64 descriptors are the daemon's own, five go to a connection and half a lease: 10 connections, 5 leases.
    let daemon = Daemon::with_descriptors(114, &["--memory", "16MiB", "--populate", "none"]);
    let mut raw = Raw::writer(&daemon.socket());
    let id = id::from_name("pinned");
    raw.put(id, b"pinned");
    raw.get(id);
    let lives: Vec<Life> = (0..5).map(|_| Life::of_this_process(raw.lease()).unwrap()).collect();
    assert_eq!(raw.refused(&Request::Lease(Lease {})), plasmad_wire::ErrorCode::LimitExceeded);
    // Those that are over by then make room at once.
    drop(lives);
    raw.lease();
}

#[test]
fn a_program_that_a_child_becomes_holds_nothing() {
    plays("parent_of_a_program", &Daemon::start());
}

#[test]
#[ignore = "a part in another test"]
fn parent_of_a_program() {
    let Some(socket) = told() else { return };
    let store = Store::connect(&socket).unwrap();
    let id = put_named(&store, "inherited", 10);
    let buffer = store.get(id, Timeout::NO_WAIT).unwrap();
    let (input, mut output) = std::io::pipe().unwrap();
    let mut input = Some(input);
    let child = fork(|| panic!("{}", Command::new("cat").stdin(Stdio::from(input.take().unwrap())).exec()));
    drop(buffer);
    eventually("the lease ends", || store.stat(id).unwrap().pins == 0);
    output.write_all(b"still there\n").unwrap();
    drop(output);
    assert!(child.wait());
}

/// An engine that does nothing until this is dropped.
pub(super) struct Stopped(Pid);

impl Stopped {
    pub(super) fn engine_of(store: &Store) -> Self {
        let engine = Pid::from_raw(number(store, "engine_pid") as i32);
        kill(engine, Signal::SIGSTOP).unwrap();
        Self(engine)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// A store where objects have to go soon.
pub(super) fn small() -> Daemon {
    Daemon::with(&["--memory", "2MiB", "--when-full", "evict", "--populate", "none"])
}

/// Puts more than twice what the store holds; nothing stays that is not pinned.
pub(super) fn churn(store: &Store) -> Vec<ObjectId> {
    (0..90).map(|_| put(store, &CreateOptions::default(), 50_000)).collect()
}

pub(super) fn put_named(store: &Store, name: &str, bytes: usize) -> ObjectId {
    put(store, &CreateOptions { id: Some(id::from_name(name)), ..CreateOptions::default() }, bytes)
}

/// Puts an object whose bytes tell its id.
fn put(store: &Store, options: &CreateOptions, bytes: usize) -> ObjectId {
    let id = options.id.unwrap_or_else(|| store.next_id().unwrap());
    let data: Vec<u8> = id.as_bytes().iter().copied().cycle().take(bytes).collect();
    store.put(&data, &CreateOptions { id: Some(id), ..options.clone() }).unwrap()
}

pub(super) fn assert_pattern(buffer: &[u8], id: ObjectId) {
    let mut bytes = buffer.iter().zip(id.as_bytes().iter().cycle());
    assert_eq!(bytes.position(|(found, expected)| found != expected), None, "of {} bytes of {id}", buffer.len());
}

fn wait_for(store: &Store, name: &str) {
    let there = store.wait(&[id::from_name(name)], 1, Timeout::After(DEADLINE)).unwrap();
    assert_eq!(there, [true], "still waiting for {name}");
}
