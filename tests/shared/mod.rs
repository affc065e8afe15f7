//! Gets without the daemon, against a real one: what they pin stays, what they release is noticed, and a client that
//! ruins its own page ruins nothing else. And memory that goes back, under objects that stay.

mod forks;
mod hostile;
mod interrupts;
mod lives;
mod puts;
mod upkeep;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Error, ObjectId, Options, Store, Timeout};
use plasmad_shm::fd_passing;
use plasmad_shm::words::Words;
use plasmad_wire::features::SHARED_GETS;
use plasmad_wire::request::Hello;
use plasmad_wire::{Request, Role};

use crate::it::raw::hello;
use crate::support::until::until;

#[test]
fn a_get_of_what_is_there_asks_nobody() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    let options = CreateOptions { metadata: b"beside it".to_vec(), ..CreateOptions::default() };
    let id = store.put(b"the data", &options).unwrap();
    let buffer = store.get(id, Timeout::NO_WAIT).unwrap();
    assert_eq!((&buffer[..], buffer.metadata()), (&b"the data"[..], &b"beside it"[..]));
    let reader = store.reader().unwrap();
    let view = reader.get(id, Timeout::NO_WAIT).unwrap();
    assert_eq!((&view[..], view.metadata()), (&b"the data"[..], &b"beside it"[..]));
    assert_eq!(store.get_many(&[id, id], Timeout::NO_WAIT).unwrap().len(), 2);
    let stats = stats(&store);
    assert_eq!((&stats["totals"]["gets_shared"], &stats["totals"]["gets_socket"]), (&4.into(), &0.into()));
    assert_eq!(stats["clients"]["fast"], 1);
    assert_eq!(store.stat(id).unwrap().pins, 2);
    drop((buffer, view));
    assert_eq!(store.stat(id).unwrap().pins, 0);
}

#[test]
fn a_client_that_keeps_to_the_socket_gets_the_same() {
    let daemon = Daemon::start();
    let store = Options::new().socket(daemon.socket()).fast(false).connect().unwrap();
    let id = store.put(b"the data", &CreateOptions::default()).unwrap();
    let buffer = store.get(id, Timeout::NO_WAIT).unwrap();
    assert_eq!(&buffer[..], b"the data");
    assert_eq!(store.reader().unwrap().get(id, Timeout::NO_WAIT).unwrap().len(), 8);
    let stats = stats(&store);
    assert_eq!((&stats["totals"]["gets_shared"], &stats["totals"]["gets_socket"]), (&0.into(), &2.into()));
    assert_eq!(stats["clients"]["fast"], 0);
}

#[test]
fn what_is_absent_or_unsealed_is_asked_for() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    let writer = store.create(3, &CreateOptions::default()).unwrap();
    let unsealed = writer.id();
    for id in [unsealed, ObjectId::from_slice(b"nothing").unwrap()] {
        assert!(matches!(store.get(id, Timeout::NO_WAIT), Err(Error::Timeout { .. })));
        assert!(!store.contains(id).unwrap());
        assert!(store.get_without_asking(id).unwrap().is_none());
    }
    drop(writer);
}

#[test]
fn what_a_client_pins_by_itself_is_not_evicted_and_its_release_is_heard() {
    let daemon = Daemon::with(&["--memory", "1MiB", "--when-full", "evict", "--populate", "none"]);
    let store = Store::connect(daemon.socket()).unwrap();
    let id = store.put(&[7; 600 << 10], &CreateOptions::default()).unwrap();
    let buffer = store.get(id, Timeout::NO_WAIT).unwrap();
    let no_wait = CreateOptions { timeout: Timeout::NO_WAIT, ..CreateOptions::default() };
    match store.put(&[8; 600 << 10], &no_wait) {
        Err(Error::Full { numbers, .. }) => assert_eq!(numbers.pinned_by_asker, 600 << 10),
        other => panic!("the pinned object was evicted: {other:?}"),
    }
    // A create that waits is served by a release that makes no request of its own.
    let waiting = {
        let store = Store::connect(daemon.socket()).unwrap();
        std::thread::spawn(move || store.put(&[9; 600 << 10], &CreateOptions::default()).map(|_| ()))
    };
    eventually("a create waits", || stats(&store)["clients"]["creates_waiting"] == 1);
    assert!(buffer.iter().all(|byte| *byte == 7));
    drop(buffer);
    waiting.join().unwrap().unwrap();
    assert!(!store.contains(id).unwrap());
}

#[test]
fn what_is_deleted_under_a_clients_own_pin_stays_until_it_is_released() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    let id = store.put(&[7; 100_000], &CreateOptions::default()).unwrap();
    let buffer = store.get(id, Timeout::NO_WAIT).unwrap();
    assert_eq!(store.delete(&[id]).unwrap(), 1);
    assert!(store.get_without_asking(id).unwrap().is_none());
    for _ in 0..100 {
        store.put(&[8; 100_000], &CreateOptions::default()).unwrap();
    }
    assert!(buffer.iter().all(|byte| *byte == 7));
    let used = || stats(&store)["memory"]["used_bytes"].as_u64().unwrap();
    let before = used();
    drop(buffer);
    assert!(used() < before);
}

#[test]
fn what_is_used_lately_is_evicted_last() {
    let daemon = Daemon::with(&["--memory", "1MiB", "--when-full", "evict", "--populate", "none"]);
    let store = Store::connect(daemon.socket()).unwrap();
    let put = |byte: u8| store.put(&vec![byte; 250 << 10], &CreateOptions::default()).unwrap();
    let made: Vec<ObjectId> = (1..=4).map(put).collect();
    drop(store.get(made[0], Timeout::NO_WAIT).unwrap());
    put(5);
    let left: Vec<bool> = store.contains_many(&made).unwrap();
    assert_eq!(left, [true, false, true, true]);
}

#[test]
fn more_buffers_than_a_page_has_cells_go_on_over_the_socket() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    let data = |number: u64| number.to_le_bytes().repeat(8);
    let ids: Vec<_> = (0..BUFFERS).map(|number| store.put(&data(number), &CreateOptions::default()).unwrap()).collect();
    let (one_by_one, at_once) = ids.split_at(8192);
    let mut buffers: Vec<_> = one_by_one.iter().map(|id| store.get(*id, Timeout::NO_WAIT).unwrap()).collect();
    buffers.extend(at_once.chunks(8192).flat_map(|ids| store.get_many(ids, Timeout::NO_WAIT).unwrap()));
    // And those that are held twice.
    buffers.extend(one_by_one.iter().map(|id| store.get(*id, Timeout::NO_WAIT).unwrap()));
    assert!((0..BUFFERS).chain(0..8192).zip(&buffers).all(|(number, buffer)| buffer[..] == data(number)));
    let pins = || store.list(None).unwrap().objects.iter().map(|object| u64::from(object.pins)).sum::<u64>();
    assert_eq!((pins(), stats(&store)["memory"]["pinned_bytes"].as_u64()), (BUFFERS + 8192, Some(64 * BUFFERS)));
    let totals = stats(&store)["totals"].clone();
    assert!(totals["gets_shared"].as_u64() > Some(1000) && totals["gets_socket"].as_u64() > Some(190_000), "{totals}");
    drop(buffers);
    assert_eq!((pins(), stats(&store)["memory"]["pinned_bytes"].as_u64()), (0, Some(0)));
    // There are cells again.
    assert!(store.get_without_asking(ids[9]).unwrap().is_some());
}

#[test]
fn a_dead_clients_own_pins_end_with_it() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    let id = store.put(b"held", &CreateOptions::default()).unwrap();
    let mut command = Command::new("/proc/self/exe");
    command.args(["--include-ignored", "--exact", "shared::holder", "--nocapture"]);
    command.env(HOLDER, format!("{} {id}", daemon.socket().display())).stdout(Stdio::null());
    let mut holder = command.spawn().unwrap();
    eventually("the other process pins", || store.stat(id).unwrap().pins == 1);
    assert_eq!(stats(&store)["totals"]["gets_shared"], 1);
    holder.kill().unwrap();
    holder.wait().unwrap();
    eventually("its pin ends", || store.stat(id).unwrap().pins == 0);
    // What it had pinned is counted on.
    assert_eq!(stats(&store)["totals"]["gets_shared"], 1);
}

/// The process that [`a_dead_clients_own_pins_end_with_it`] kills; does nothing unless it is told.
#[test]
#[ignore = "a part in another test"]
fn holder() {
    let Ok(told) = std::env::var(HOLDER) else { return };
    let (socket, id) = told.split_once(' ').unwrap();
    let store = Store::connect(socket).unwrap();
    let _buffer = store.get(ObjectId::from_hex(id).unwrap(), Timeout::NO_WAIT).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_ruined_page_ruins_nobody_elses_work() {
    let daemon = Daemon::with(&["--memory", "4MiB", "--when-full", "evict", "--populate", "none"]);
    let page = handed_out_page(&daemon);
    let file = std::fs::File::from(page.1.try_clone().unwrap());
    let bytes = file.metadata().unwrap().len();
    assert!(file.set_len(0).is_err(), "a page can't be cut off");
    assert!(nix::fcntl::fcntl(&page.1, nix::fcntl::FcntlArg::F_ADD_SEALS(nix::fcntl::SealFlag::F_SEAL_WRITE)).is_err());
    let words = Words::new(&page.1, bytes).unwrap();
    let store = Store::connect(daemon.socket()).unwrap();
    let mut random = crate::support::Random(7);
    for round in 0..200u32 {
        // Claims on slots that exist and on those that don't, absurd counts, recency of anything.
        for _ in 0..2000 {
            let offset = random.below(bytes / 8) * 8;
            let value = if random.percent(50) { random.below(1 << 33) } else { random.bits() };
            words.u64_at(offset).store(value, std::sync::atomic::Ordering::Relaxed);
        }
        let id = store.put(&round.to_le_bytes().repeat(20_000), &CreateOptions::default()).unwrap();
        let found = store.get(id, Timeout::NO_WAIT).unwrap();
        assert!(found.chunks_exact(4).all(|word| word == round.to_le_bytes()));
        // It may keep what it claims in place, and what it claims is not more than everything.
        let memory = stats(&store)["memory"].clone();
        assert!(memory["pinned_bytes"].as_u64() <= memory["capacity_bytes"].as_u64(), "{memory}");
        drop(found);
        // Or all is claimed, and nothing can ever be put: deleting is the others' way out.
        store.delete(&[id]).unwrap();
    }
    drop((page, words));
}

/// A connection with shared gets and its page, without the library that would use it well.
fn handed_out_page(daemon: &Daemon) -> (UnixStream, OwnedFd) {
    let stream = UnixStream::connect(daemon.socket()).unwrap();
    let hello = Hello { features: SHARED_GETS, ..hello(Role::Reader) };
    let mut frame = Vec::new();
    Request::Hello(hello).append(&mut frame, 0, 0);
    fd_passing::send(stream.as_fd(), &frame, &[]).unwrap();
    let mut received = fd_passing::receive(&stream, &mut [0; 4096]).unwrap();
    assert_eq!(received.fds.len(), 3, "arena, index, page");
    let page = received.fds.pop().unwrap();
    assert!(Words::new(received.fds.pop().unwrap(), 4096).is_err(), "the index can't be written");
    (stream, page)
}

fn stats(store: &Store) -> serde_json::Value {
    serde_json::from_str(&store.stats_json().unwrap()).unwrap()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(()));
}

const BUFFERS: u64 = 200_000;
const HOLDER: &str = "PLASMAD_TEST_HOLDER";
