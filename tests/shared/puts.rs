//! Puts without the daemon, against a real one: what returned is there for everybody, whatever becomes of its client,
//! and memory that was granted is nobody's loss.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Error, Event, ObjectId, Options, Pending, Store, SubscribeOptions, Timeout};

use super::{eventually, stats};
use crate::it::helpers::{Reaped, part, told};
use crate::it::numbers::number;

#[test]
fn a_put_that_returned_is_there_for_everybody() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    let others = [true, false].map(|fast| Options::new().socket(daemon.socket()).fast(fast).connect().unwrap());
    for round in 0..300u64 {
        let options = CreateOptions { metadata: b"beside".to_vec(), ..CreateOptions::default() };
        let id = store.put(&round.to_le_bytes(), &options).unwrap();
        for other in &others {
            match round % 4 {
                0 => assert!(other.contains(id).unwrap()),
                1 => assert_eq!(other.stat(id).unwrap().data_bytes, 8),
                2 => assert_eq!(other.list(None).unwrap().total, round + 1),
                _ => assert_eq!(number(other, "objects/sealed"), round + 1),
            }
            let buffer = other.get(id, Timeout::NO_WAIT).unwrap();
            assert_eq!((&buffer[..], buffer.metadata()), (&round.to_le_bytes()[..], &b"beside"[..]));
        }
    }
    assert_eq!(number(&store, "totals/puts_ring"), 300);
    assert_eq!(number(&store, "memory/used_bytes"), 300 * 64);
}

#[test]
fn its_own_client_gets_it_before_the_daemon_has_heard_of_it() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    for round in 0..100u64 {
        let id = store.put(&round.to_le_bytes().repeat(9), &CreateOptions::default()).unwrap();
        let buffer = store.get_without_asking(id).unwrap().expect("it is this client's own");
        assert_eq!(&buffer[..], round.to_le_bytes().repeat(9));
    }
    let mut writer = store.create(3, &CreateOptions::default()).unwrap();
    let id = writer.id();
    assert!(store.get_without_asking(id).unwrap().is_none());
    writer.copy_from(0, b"abc");
    writer.seal().unwrap();
    let buffer = store.get_without_asking(id).unwrap().expect("it is sealed");
    assert_eq!(&buffer[..], b"abc");
    // Deleted by somebody else, it is gone for its client too.
    assert_eq!(Store::connect(daemon.socket()).unwrap().delete(&[id]).unwrap(), 1);
    assert!(store.get_without_asking(id).unwrap().is_none());
    assert_eq!(&buffer[..], b"abc");
}

#[test]
fn what_is_created_without_the_daemon_is_known_to_it_when_somebody_asks() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    let other = Store::connect(daemon.socket()).unwrap();
    store.put(b"so that there are grants", &CreateOptions::default()).unwrap();
    let writer = store.create(100, &CreateOptions::default()).unwrap();
    let id = writer.id();
    match other.get(id, Timeout::NO_WAIT) {
        Err(Error::Timeout { pending }) => assert_eq!(pending, [(id, Pending::Unsealed)]),
        other => panic!("{other:?}"),
    }
    assert!(matches!(other.delete(&[id]), Err(Error::NotSealed { .. })));
    assert_eq!(number(&other, "memory/unsealed_bytes"), 100);
    writer.abort().unwrap();
    assert!(
        matches!(other.get(id, Timeout::NO_WAIT), Err(Error::Timeout { pending }) if pending[0].1 == Pending::Absent)
    );
    drop(store.create(100, &CreateOptions::default()).unwrap());
    eventually("what is dropped is aborted", || stats(&other)["memory"]["unsealed_bytes"] == 0);
    assert_eq!(number(&other, "memory/used_bytes"), 64);
}

#[test]
fn a_get_that_waits_hears_of_a_put_without_the_daemon() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    for _ in 0..50 {
        let mut writer = store.create(8, &CreateOptions::default()).unwrap();
        let (id, other) = (writer.id(), Store::connect(daemon.socket()).unwrap());
        let waiting = std::thread::spawn(move || other.get(id, Timeout::None).map(|buffer| buffer.to_vec()));
        eventually("it waits", || stats(&store)["clients"]["gets_waiting"] == 1);
        writer.copy_from(0, b"awaited!");
        writer.seal().unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), b"awaited!");
    }
}

#[test]
fn who_waits_for_one_object_makes_nobody_else_ring() {
    let daemon = Daemon::start();
    let other = Store::connect(daemon.socket()).unwrap();
    let waiting = std::thread::spawn({
        let other = other.clone();
        move || other.get(ObjectId::from_slice(b"never made").unwrap(), Timeout::None).map(drop)
    });
    let store = Store::connect(daemon.socket()).unwrap();
    eventually("it waits", || stats(&store)["clients"]["gets_waiting"] == 1);
    let output = part("shared::puts::putter_that_counts", &daemon.socket()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let writes =
        text.lines().find_map(|line| line.strip_prefix("writes: ")).expect("it counts").parse::<u64>().unwrap();
    // Grants are asked for in ever larger numbers, and a put may ring by chance, once in two thousand.
    assert!(writes < PUTS / 50, "{writes} writes for {PUTS} puts");
    assert_eq!(number(&store, "totals/puts_ring"), PUTS);
    other.close();
    assert!(waiting.join().unwrap().is_err());
}

/// Puts, and tells how often it wrote to its socket for that.
#[test]
#[ignore = "a part in another test"]
fn putter_that_counts() {
    let Some(socket) = told() else { return };
    let store = Store::connect(socket).unwrap();
    let writes = || {
        let io = std::fs::read_to_string("/proc/self/io").unwrap();
        io.lines().find_map(|line| line.strip_prefix("syscw: ")).unwrap().parse::<u64>().unwrap()
    };
    let before = writes();
    for number in 0..PUTS {
        store.put(&number.to_le_bytes(), &CreateOptions::default()).unwrap();
    }
    println!("\nwrites: {}", writes() - before);
}

#[test]
fn a_subscriber_hears_of_puts_that_make_no_sound() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    let subscription = store.subscribe(SubscribeOptions::default()).unwrap();
    for _ in 0..20 {
        let id = store.put(b"quietly", &CreateOptions::default()).unwrap();
        match subscription.next(Timeout::None).unwrap() {
            Event::Change(change) => assert_eq!(change.id, id),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_was_put_survives_its_client() {
    let daemon = Daemon::with(&["--memory", "64MiB", "--populate", "none"]);
    let store = Store::connect(daemon.socket()).unwrap();
    let mut client = Reaped(part("shared::puts::putter_that_is_killed", &daemon.socket()).spawn().unwrap());
    let status = client.0.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    let objects = store.list(None).unwrap().objects;
    assert_eq!(objects.len() as u64, PUTS);
    let mut numbers: Vec<u64> = objects.iter().map(|object| numbered(&store, object.id)).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..PUTS));
    eventually("its grants are back", || stats(&store)["memory"]["granted_bytes"] == 0);
    assert!(number(&store, "totals/puts_ring") > PUTS / 2, "most went by ring");
}

/// Puts, and is dead before anybody else can do anything.
#[test]
#[ignore = "a part in another test"]
fn putter_that_is_killed() {
    let Some(socket) = told() else { return };
    let store = Store::connect(socket).unwrap();
    for number in 0..PUTS {
        store.put(&number.to_le_bytes().repeat(1 + number as usize % 100), &CreateOptions::default()).unwrap();
    }
    raise(Signal::SIGKILL).unwrap();
}

/// The number that an object of [`putter_that_is_killed`] consists of.
fn numbered(store: &Store, id: ObjectId) -> u64 {
    let buffer = store.get(id, Timeout::NO_WAIT).unwrap();
    let number = u64::from_le_bytes(buffer[..8].try_into().unwrap());
    assert_eq!(buffer.len(), 8 * (1 + number as usize % 100));
    assert!(buffer.chunks_exact(8).all(|word| word == number.to_le_bytes()));
    number
}

#[test]
fn what_idle_and_stopped_clients_were_granted_is_there_for_others() {
    let daemon = Daemon::with(&["--memory", "32MiB", "--when-full", "evict", "--populate", "none"]);
    let store = Store::connect(daemon.socket()).unwrap();
    let stopped: Vec<Reaped> = (0..4).map(|_| stopped_putter(&daemon)).collect();
    let idle: Vec<Store> = (0..200).map(|_| Store::connect(daemon.socket()).unwrap()).collect();
    for idle in &idle {
        idle.put(b"once", &CreateOptions::default()).unwrap();
    }
    assert!(number(&store, "memory/granted_bytes") > 0);
    let memory = stats(&store)["memory"].clone();
    let sum = memory["used_bytes"].as_u64().unwrap() + memory["free_bytes"].as_u64().unwrap();
    assert_eq!(sum, 32 << 20, "{memory}");
    let all = vec![7; 32 << 20];
    let id = store.put(&all, &CreateOptions::default()).unwrap();
    assert_eq!(number(&store, "memory/granted_bytes"), 0);
    assert_eq!(store.delete(&[id]).unwrap(), 1);
    // They go on as if nothing had been.
    for (at, idle) in idle.iter().enumerate() {
        let id = idle.put(&at.to_le_bytes(), &CreateOptions::default()).unwrap();
        assert_eq!(&store.get(id, Timeout::NO_WAIT).unwrap()[..], at.to_le_bytes());
    }
    for putter in &stopped {
        kill(Pid::from_raw(putter.0.id() as i32), Signal::SIGCONT).unwrap();
    }
    for mut putter in stopped {
        assert!(putter.0.wait().unwrap().success());
    }
}

/// A process that has put something and is stopped.
fn stopped_putter(daemon: &Daemon) -> Reaped {
    let child: Child = part("shared::puts::putter_that_stops", &daemon.socket()).stdout(Stdio::null()).spawn().unwrap();
    let stopped = waitpid(Pid::from_raw(child.id() as i32), Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert!(matches!(stopped, nix::sys::wait::WaitStatus::Stopped(..)), "{stopped:?}");
    Reaped(child)
}

/// Puts, stops, and puts on when it is continued.
#[test]
#[ignore = "a part in another test"]
fn putter_that_stops() {
    let Some(socket) = told() else { return };
    let store = Store::connect(socket).unwrap();
    for number in 0..100u64 {
        store.put(&number.to_le_bytes(), &CreateOptions::default()).unwrap();
    }
    raise(Signal::SIGSTOP).unwrap();
    for number in 0..1000u64 {
        let id = store.put(&number.to_le_bytes(), &CreateOptions::default()).unwrap();
        assert_eq!(numbered_word(&store, id), number);
    }
}

fn numbered_word(store: &Store, id: ObjectId) -> u64 {
    u64::from_le_bytes(store.get(id, Timeout::NO_WAIT).unwrap()[..].try_into().unwrap())
}

fn numbered_words(store: &Store, id: ObjectId) -> u64 {
    let buffer = store.get(id, Timeout::NO_WAIT).unwrap();
    assert!(buffer.chunks_exact(8).all(|word| word == &buffer[..8]));
    u64::from_le_bytes(buffer[..8].try_into().unwrap())
}

#[test]
fn who_puts_nothing_for_a_while_gives_back_what_was_granted() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    store.put(b"once", &CreateOptions::default()).unwrap();
    assert!(number(&store, "memory/granted_bytes") > 0);
    eventually("the grants are taken back", || stats(&store)["memory"]["granted_bytes"] == 0);
    store.put(b"again", &CreateOptions::default()).unwrap();
    assert_eq!(number(&store, "totals/puts_ring"), 2);
}

#[test]
fn a_full_cache_takes_puts_without_being_asked() {
    let daemon = Daemon::with(&["--memory", "16MiB", "--when-full", "evict", "--populate", "none"]);
    let store = Store::connect(daemon.socket()).unwrap();
    let mut last = ObjectId::default();
    for number in 0..50_000u64 {
        last = store.put(&number.to_le_bytes().repeat(128), &CreateOptions::default()).unwrap();
    }
    assert_eq!(numbered_words(&store, last), 49_999);
    let totals = stats(&store)["totals"].clone();
    assert!(totals["puts_ring"].as_u64() > Some(45_000), "{totals}");
    assert!(totals["evictions"].as_u64() > Some(30_000), "{totals}");
    // What is kept ready for puts is little of what could be kept for gets.
    assert!(number(&store, "objects/sealed") > 15_000);
}

#[test]
fn many_threads_put_through_one_client() {
    let daemon = Daemon::with(&["--memory", "64MiB", "--populate", "none"]);
    let store = Store::connect(daemon.socket()).unwrap();
    let threads: Vec<_> = (0..8u64)
        .map(|thread| {
            let store = store.clone();
            std::thread::spawn(move || {
                for number in 0..2000u64 {
                    let bytes = (number % 50) as usize * 40 + 16;
                    let word = (thread << 32 | number).to_le_bytes();
                    let id = store.put(&word.repeat(bytes / 8), &CreateOptions::default()).unwrap();
                    let found = store.get(id, Timeout::NO_WAIT).unwrap();
                    assert!(found.len() == bytes && found.chunks_exact(8).all(|found| found == word));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(number(&store, "objects/sealed"), 16_000);
    assert!(number(&store, "totals/puts_ring") > 8_000, "most went by ring");
}

const PUTS: u64 = 10_000;
