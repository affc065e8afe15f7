//! What a killed client held comes back.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Store, Timeout, id};
use plasmad_shm::peer;
use plasmad_wire::limits::FOREVER;

use super::helpers::{Reaped, part, told};
use super::numbers::{median_and_max, number, until_numbers};
use super::raw::{Raw, create, get};

#[test]
fn what_a_killed_client_held_comes_back() {
    let holds = [("clients/gets_waiting", 1), ("memory/unsealed_bytes", MIB), ("memory/pinned_bytes", MIB)];
    report("a killed client", died("it::client_death::holder", &holds, DEATHS));
}

#[test]
fn what_a_killed_client_held_comes_back_though_its_child_has_the_socket() {
    let holds = [
        ("clients/gets_waiting", 1),
        ("clients/creates_waiting", 1),
        ("memory/unsealed_bytes", MIB),
        ("memory/pinned_bytes", MIB),
    ];
    report("a killed client whose child has the socket", died("it::client_death::holder_with_child", &holds, DEATHS));
}

/// From the moment a killed client's pidfd turns readable until nothing of it is left, for each of so many deaths.
fn died(client: &str, holds: &[(&str, u64)], deaths: usize) -> Vec<Duration> {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).expect("connect");
    store.put(&vec![1; MIB as usize], &named(PINNED)).expect("put");
    let used_bytes = number(&store, "memory/used_bytes");
    let nothing = holds.iter().map(|(name, _)| (*name, 0));
    let nothing: Vec<_> = nothing.chain([("clients/connected", 1), ("memory/used_bytes", used_bytes)]).collect();
    let times = (0..deaths).map(|_| {
        let mut client = Reaped(part(client, &daemon.socket()).stdin(Stdio::piped()).spawn().expect("a client"));
        until_numbers(&store, holds);
        let process = peer::pidfd_of(client.0.id()).expect("a pidfd");
        kill(Pid::from_raw(client.0.id() as i32), Signal::SIGKILL).expect("kill");
        poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).expect("poll");
        let start = Instant::now();
        until_numbers(&store, &nothing);
        let time = start.elapsed();
        // What outlives the client sees the end of this and ends too.
        drop(client.0.stdin.take());
        time
    });
    times.collect()
}

fn report(what: &str, times: Vec<Duration>) {
    let milliseconds = times.iter().map(|time| 1e3 * time.as_secs_f64()).collect();
    let (median, max) = median_and_max(milliseconds);
    println!("{what}: everything was back after {median:.2} ms (median of {}), {max:.2} ms at most", times.len());
}

/// The part of a client that holds one of everything, through the library.
#[test]
#[ignore = "a part in another test"]
fn holder() {
    let Some(socket) = told() else { return };
    let store = Store::connect(socket).expect("connect");
    let _pinned = store.get(id::from_name(PINNED), Timeout::NO_WAIT).expect("get");
    let _unsealed = store.create(MIB, &CreateOptions::default()).expect("create");
    let never = store.get(id::from_name(ABSENT), Timeout::None);
    panic!("{never:?}");
}

/// The same with a child that keeps the connection open.
#[test]
#[ignore = "a part in another test"]
#[expect(clippy::zombie_processes, reason = "this process is killed, and its child is to outlive it")]
fn holder_with_child() {
    let Some(socket) = told() else { return };
    let mut raw = Raw::writer(&socket);
    let output = OwnedFd::from(raw.stream.try_clone().expect("a descriptor"));
    // It writes nothing to the socket: its input stays empty, and ends with the test.
    let _child = Command::new("cat").stdin(Stdio::inherit()).stdout(Stdio::from(output)).spawn().expect("a child");
    raw.get(id::from_name(PINNED));
    raw.create(id::from_name("unsealed"), MIB);
    raw.send(&create(id::from_name("waiting"), raw.welcome.capacity_bytes, FOREVER));
    raw.send(&get(id::from_name(ABSENT), FOREVER));
    raw.stream.set_read_timeout(None).expect("no timeout");
    let never = raw.stream.read(&mut [0]);
    panic!("{never:?}");
}

fn named(name: &str) -> CreateOptions {
    CreateOptions { id: Some(id::from_name(name)), ..CreateOptions::default() }
}

const DEATHS: usize = 100;
const MIB: u64 = 1 << 20;
const PINNED: &str = "pinned";
const ABSENT: &str = "absent";
