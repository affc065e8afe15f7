//! Claims that end with the memory they were made in: nobody says goodbye, and the process lives on.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::unistd::close;
use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Error, Options, Store, SubscribeOptions, Timeout, id};
use plasmad_shm::life::Life;
use plasmad_wire::Role;
use plasmad_wire::features::LIFE_FILE;
use plasmad_wire::request::Hello;

use super::eventually;
use super::forks::{assert_pattern, churn, put_named, small};
use crate::it::helpers::{Reaped, part, told};
use crate::it::numbers::number;
use crate::it::raw::{Raw, hello};
use crate::support::until::until;

#[test]
fn what_a_process_held_comes_back_when_it_becomes_another_program() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    let id = store.put(b"pinned", &named(PINNED)).unwrap();
    let mut command = part("shared::lives::one_that_execs", &daemon.socket());
    let mut process = Reaped(command.stdin(Stdio::piped()).spawn().unwrap());
    eventually("it holds one of everything", || {
        store.stat(id).unwrap().pins == 2 && number(&store, "memory/unsealed_bytes") == 100
    });
    process.0.stdin.as_mut().unwrap().write_all(b"exec\n").unwrap();
    eventually("its pins are given back", || store.stat(id).unwrap().pins == 0);
    assert_eq!(number(&store, "memory/unsealed_bytes"), 0);
    assert_eq!(number(&store, "clients/connected"), 1);
    let program = std::fs::read_to_string(format!("/proc/{}/comm", process.0.id())).unwrap();
    assert_eq!((program.trim(), process.0.try_wait().unwrap()), ("cat", None));
}

#[test]
#[ignore = "a part in another test"]
fn one_that_execs() {
    let Some(socket) = told() else { return };
    let store = Store::connect(&socket).unwrap();
    let by_socket = Options::new().socket(socket).fast(false).connect().unwrap();
    let _pinned = [&store, &by_socket].map(|store| store.get(id::from_name(PINNED), Timeout::NO_WAIT).unwrap());
    let _unsealed = store.create(100, &CreateOptions::default()).unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    panic!("{}", Command::new("cat").exec());
}

#[test]
fn a_closed_connection_ends_no_claim_while_the_life_file_is_mapped() {
    let daemon = Daemon::with(&["--memory", "1MiB", "--when-full", "evict", "--populate", "none"]);
    let store = Store::connect(daemon.socket()).unwrap();
    let id = store.put(&[7; 600 << 10], &CreateOptions::default()).unwrap();
    let hello = Hello { features: LIFE_FILE, ..hello(Role::Reader) };
    let mut raw = Raw::join(&daemon.socket(), &hello).unwrap_or_else(|refusal| panic!("{}", refusal.message));
    assert_eq!((raw.welcome.features, raw.fds.len()), (LIFE_FILE, 2), "arena, life file");
    let life = Life::of_this_process(raw.fds.pop().unwrap()).unwrap();
    raw.get(id);
    raw.stream.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(raw.stream.read(&mut [0]).unwrap(), 0);
    eventually("the daemon sees the end of the connection", || number(&store, "clients/connected") == 1);
    // While somebody waits for room the daemon looks again and again.
    let some_looks = Timeout::After(Duration::from_millis(300));
    let options = CreateOptions { timeout: some_looks, ..CreateOptions::default() };
    let refused = store.put(&[8; 600 << 10], &options);
    assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
    assert_eq!(store.stat(id).unwrap().pins, 1);
    drop(life);
    store.put(&[8; 600 << 10], &CreateOptions::default()).unwrap();
    assert!(!store.contains(id).unwrap());
}

#[test]
fn a_client_that_maps_no_life_file_is_gone_with_its_connection() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    let id = store.put(b"pinned", &CreateOptions::default()).unwrap();
    let hello = Hello { features: LIFE_FILE, ..hello(Role::Reader) };
    let mut raw = Raw::join(&daemon.socket(), &hello).unwrap_or_else(|refusal| panic!("{}", refusal.message));
    raw.get(id);
    assert_eq!(store.stat(id).unwrap().pins, 1);
    let life = raw.fds.pop().unwrap();
    drop(raw);
    eventually("its pin is given back", || store.stat(id).unwrap().pins == 0);
    assert!(Life::of_this_process(life).is_err(), "it comes too late");
}

#[test]
fn a_process_that_closes_all_descriptors_keeps_its_views_and_writes_to_nobody_elses() {
    let daemon = small();
    let store = Store::connect(daemon.socket()).unwrap();
    let id = put_named(&store, PINNED, 300_000);
    let mut command = part("shared::lives::one_that_closes_everything", &daemon.socket());
    let mut process = Reaped(command.stdin(Stdio::piped()).spawn().unwrap());
    eventually("its connections are closed", || {
        store.stat(id).unwrap().pins == 2 && number(&store, "clients/connected") == 1
    });
    churn(&store);
    assert_eq!(store.stat(id).unwrap().pins, 2);
    process.0.stdin.as_mut().unwrap().write_all(b"look\n").unwrap();
    let ended = until("it ends", || process.0.try_wait().unwrap());
    let mut complained = String::new();
    process.0.stderr.as_mut().unwrap().read_to_string(&mut complained).unwrap();
    assert!(ended.success(), "{complained}");
    eventually("its pins are given back", || store.stat(id).unwrap().pins == 0);
}

#[test]
#[ignore = "a part in another test"]
fn one_that_closes_everything() {
    let Some(socket) = told() else { return };
    let stores = [true, false].map(|fast| Options::new().socket(&socket).fast(fast).connect().unwrap());
    let id = id::from_name(PINNED);
    let buffers = [0, 1].map(|at| stores[at].get(id, Timeout::NO_WAIT).unwrap());
    let subscription = stores[0].subscribe(SubscribeOptions::default()).unwrap();
    stores[0].put(b"so that there are grants", &CreateOptions::default()).unwrap();
    let writer = stores[0].create(5, &CreateOptions::default()).unwrap();
    let listed = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let open: Vec<(i32, bool)> = listed
        .map(|path| {
            let is_socket = std::fs::read_link(&path).is_ok_and(|link| link.to_string_lossy().starts_with("socket:"));
            (path.file_name().unwrap().to_str().unwrap().parse().unwrap(), is_socket)
        })
        .collect();
    open.iter().filter(|(number, _)| *number > 2).for_each(|(number, _)| _ = close(*number));
    // All numbers are given out again, for sockets on which a frame would be noticed.
    let connections: Vec<i32> = open.iter().filter(|(_, is_socket)| *is_socket).map(|(number, _)| *number).collect();
    let mut taken = BTreeSet::new();
    let mut own = Vec::new();
    while !(connections.len() == 3 && connections.iter().all(|number| taken.contains(number))) {
        let (left, right) = UnixStream::pair().unwrap();
        taken.extend([left.as_raw_fd(), right.as_raw_fd()]);
        own.push((left, right));
    }
    std::io::stdin().read_line(&mut String::new()).unwrap();
    buffers.iter().for_each(|buffer| assert_pattern(buffer, id));
    for result in [writer.seal().map(drop), subscription.next(Timeout::None).map(drop), stores[1].stat(id).map(drop)] {
        let error = result.unwrap_err();
        assert!(error.to_string().contains("this process has closed its descriptor"), "{error}");
    }
    for store in &stores {
        let id = store.put(b"over a new connection", &CreateOptions::default()).unwrap();
        assert_eq!(&store.get(id, Timeout::NO_WAIT).unwrap()[..], b"over a new connection");
    }
    drop((buffers, subscription, stores));
    for (left, right) in own {
        for (mut from, mut to) in [(&left, &right), (&right, &left)] {
            to.set_nonblocking(true).unwrap();
            assert_eq!(to.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "nothing came, and it is open");
            from.write_all(b"x").unwrap();
            assert_eq!(to.read(&mut [0; 2]).unwrap(), 1);
        }
    }
}

fn named(name: &str) -> CreateOptions {
    CreateOptions { id: Some(id::from_name(name)), ..CreateOptions::default() }
}

const PINNED: &str = "pinned";
