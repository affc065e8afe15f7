//! Clients that tell on their rings what no library would, or claim and never let go: they are disconnected or named,
//! what they were granted stays theirs until their process is gone, and nobody else notices.
//!
//! Offsets are those of the client page and the index in SPEC, sections 10 and 11.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::signal::Signal;
use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Error, Store, Timeout};
use plasmad_shm::memfd::check_seals;
use plasmad_shm::words::{ReadWords, Words};
use plasmad_wire::error::ErrorCode;
use plasmad_wire::features::{SHARED_GETS, SHARED_PUTS};
use plasmad_wire::request::{Grant, Hello, Ping, Ring};
use plasmad_wire::{ObjectId, Request, Response, Role};

use crate::it::helpers::{Reaped, part, told};
use crate::it::numbers::{number, until_numbers};
use crate::it::raw::{Raw, hello};
use crate::it::stopping::Serving;
use crate::support::Random;

/// A client that writes into its page whatever it wants.
struct Bare {
    raw: Raw,
    index: ReadWords,
    page: Words,
    /// Where its ring ends.
    tail: u64,
    /// How many slots it was handed.
    handed: u64,
}

/// A slot that somebody was handed.
#[derive(Clone, Copy)]
struct Slot {
    number: u32,
    generation: u64,
}

/// An entry before it is words.
#[derive(Clone, Copy)]
struct Entry {
    kind: u8,
    mark: u8,
    format: u16,
    slot: Slot,
    id: ObjectId,
    metadata_bytes: u32,
    data_bytes: u64,
}

impl Bare {
    fn join(socket: &Path) -> Self {
        let hello = Hello { features: SHARED_GETS | SHARED_PUTS, ..hello(Role::Writer) };
        let mut raw = Raw::join(socket, &hello).unwrap_or_else(|refusal| panic!("{}", refusal.message));
        assert_eq!((raw.fds.len(), raw.welcome.features), (4, SHARED_GETS | SHARED_PUTS), "arena twice, index, page");
        let page = raw.fds.pop().unwrap();
        let page = Words::new(&page, check_seals(&page).unwrap()).unwrap();
        let index = raw.fds.pop().unwrap();
        let index = ReadWords::new(&index, check_seals(&index).unwrap()).unwrap();
        Self { raw, index, page, tail: 0, handed: 0 }
    }

    /// Slots of so many bytes.
    fn granted(&mut self, bytes: u64, count: u32) -> Vec<Slot> {
        let answer = self.raw.ask(&Request::Grant(Grant { bytes, count }));
        assert!(matches!(&answer, Response::Count(granted) if granted.count == count), "{answer:?}");
        assert_eq!(self.page.u64_at(GRANTS_TAIL).load(Acquire), self.handed + u64::from(count));
        let claims = (self.handed..).map(|number| self.page.u64_at(GRANTS + 8 * (number % 8192)).load(Relaxed));
        let slots = claims.take(count as usize).map(|claim| {
            let number = claim as u32 - 1;
            let generation = self.commit_word(number) >> 8;
            assert_eq!(generation as u32, (claim >> 32) as u32);
            Slot { number, generation }
        });
        let slots = slots.collect();
        self.handed += u64::from(count);
        slots
    }

    fn commit_word(&self, slot: u32) -> u64 {
        self.index.u64(self.index.u64(24) + 64 * u64::from(slot))
    }

    /// An id that it may tell of.
    fn id(&self, number: u8) -> ObjectId {
        let mut id = [number; ObjectId::BYTES];
        id[..8].copy_from_slice(&self.raw.welcome.client.to_le_bytes());
        ObjectId::new(id)
    }

    /// An object of 100 bytes.
    fn put(&self, slot: Slot, number: u8) -> Entry {
        let (mark, format, id) = (0, 0, self.id(number));
        Entry { kind: PUT, mark, format, slot, id, metadata_bytes: 0, data_bytes: 100 }
    }

    /// Writes an entry behind the last one, and counts it.
    fn tell(&mut self, entry: Entry) {
        let mut id = [0; 32];
        id[..ObjectId::BYTES].copy_from_slice(entry.id.as_bytes());
        id[28..].copy_from_slice(&entry.metadata_bytes.to_le_bytes());
        let word = |at: usize| u64::from_le_bytes(id[8 * at..8 * at + 8].try_into().unwrap());
        let first = u64::from(entry.slot.number)
            | u64::from(entry.kind) << 32
            | u64::from(entry.mark) << 40
            | u64::from(entry.format) << 48;
        let words = [first, entry.slot.generation, word(0), word(1), word(2), word(3), entry.data_bytes, 0];
        for (at, word) in words.into_iter().enumerate() {
            self.page.u64_at(RING + 64 * (self.tail % 4096) + 8 * at as u64).store(word, Relaxed);
        }
        self.counts(self.tail + 1);
    }

    /// Says that so many entries were told in all.
    fn counts(&mut self, tail: u64) {
        self.tail = tail;
        self.page.u64_at(RING_TAIL).store(tail, Release);
    }

    /// Claims these, by their generations.
    fn claim(&self, slots: impl Iterator<Item = (u32, u64)>) {
        let mut cells = 0;
        for (slot, generation) in slots {
            let claim = generation << 32 | u64::from(slot + 1);
            self.page.u64_at(OWN_CELLS + 16 * cells).store(claim, Release);
            cells += 1;
        }
        self.page.u32_at(OWN_CELLS_USED).store(cells as u32, Release);
    }

    /// Rings, and is told why it is disconnected.
    fn is_refused(&mut self) -> String {
        self.raw.send(&Request::Ring(Ring {}));
        let refusal = self.raw.last_refusal();
        assert_eq!(refusal.code, ErrorCode::Malformed, "{}", refusal.message);
        refusal.message
    }
}

/// What cannot be, and what the daemon says to it. The liar was handed four slots of 128 bytes; `theirs` is another's.
type Lie = fn(liar: &mut Bare, own: &[Slot], theirs: Slot);
const LIES: &[(&str, Lie)] = &[
    ("no entry", |liar, own, _| liar.tell(Entry { kind: 0, ..liar.put(own[0], 1) })),
    ("no entry", |liar, own, _| liar.tell(Entry { kind: 5, ..liar.put(own[0], 1) })),
    ("no entry", |liar, own, _| liar.tell(Entry { kind: 255, ..liar.put(own[0], 1) })),
    ("no entry", |liar, own, _| liar.tell(Entry { mark: 2, ..liar.put(own[0], 1) })),
    ("unknown format", |liar, own, _| liar.tell(Entry { format: 999, ..liar.put(own[0], 1) })),
    ("more entries than a ring has", |liar, _, _| liar.counts(4097)),
    ("more entries than a ring has", |liar, _, _| liar.counts(u64::MAX)),
    ("more entries than a ring has", |liar, own, _| {
        // Behind what was read: one entry is taken back.
        liar.tell(liar.put(own[0], 1));
        assert!(matches!(liar.raw.ask(&Request::Ping(Ping {})), Response::Pong(_)));
        let answer = liar.raw.ask(&Request::Grant(Grant { bytes: 1, count: 0 }));
        assert!(matches!(answer, Response::Count(_)), "{answer:?}");
        liar.counts(0);
    }),
    ("not granted", |liar, _, theirs| liar.tell(liar.put(theirs, 1))),
    ("not granted", |liar, _, _| liar.tell(liar.put(Slot { number: u32::MAX, generation: 1 }, 1))),
    ("not granted", |liar, own, _| liar.tell(liar.put(Slot { generation: own[0].generation + 1, ..own[0] }, 1))),
    ("not granted", |liar, own, _| {
        liar.tell(liar.put(Slot { generation: own[0].generation + (1 << 32), ..own[0] }, 1))
    }),
    ("not granted", |liar, own, _| (0..2).for_each(|_| liar.tell(liar.put(own[0], 1)))),
    ("begin with its number", |liar, own, _| {
        liar.tell(Entry { id: ObjectId::new([9; ObjectId::BYTES]), ..liar.put(own[0], 1) });
    }),
    ("longer than its grant", |liar, own, _| liar.tell(Entry { data_bytes: 129, ..liar.put(own[0], 1) })),
    ("longer than its grant", |liar, own, _| liar.tell(Entry { data_bytes: u64::MAX, ..liar.put(own[0], 1) })),
    ("longer than its grant", |liar, own, _| liar.tell(Entry { metadata_bytes: u32::MAX, ..liar.put(own[0], 1) })),
    ("longer than its grant", |liar, own, _| {
        liar.tell(Entry { kind: CREATE, metadata_bytes: 29, ..liar.put(own[0], 1) });
    }),
    ("not created", |liar, own, _| liar.tell(Entry { kind: SEAL, ..liar.put(own[0], 1) })),
    ("not created", |liar, own, _| liar.tell(Entry { kind: ABORT, ..liar.put(own[0], 1) })),
    ("not created", |liar, own, _| {
        liar.tell(liar.put(own[0], 1));
        liar.tell(Entry { kind: ABORT, ..liar.put(own[0], 1) });
    }),
];

#[test]
fn whoever_tells_what_cannot_be_is_disconnected_by_name_and_nobody_else_notices() {
    let mut serving = Serving::start(&["--memory", "64MiB"]);
    let good = Store::connect(&serving.socket).unwrap();
    let mut other = Bare::join(&serving.socket);
    let theirs = other.granted(128, 2);
    for (at, (said, lie)) in LIES.iter().enumerate() {
        let before = good.put(said.as_bytes(), &CreateOptions::default()).unwrap();
        let mut liar = Bare::join(&serving.socket);
        let own = liar.granted(128, 4);
        lie(&mut liar, &own, theirs[0]);
        let why = liar.is_refused();
        assert!(why.contains(said), "lie {at}, {said}: {why}");
        assert_eq!(number(&good, "clients/dropped_total"), at as u64 + 1, "{said}");
        let after = good.put(said.as_bytes(), &CreateOptions::default()).unwrap();
        for id in [before, after] {
            assert_eq!(&good.get(id, Timeout::NO_WAIT).unwrap()[..], said.as_bytes());
        }
    }
    // Its slot was told of by a liar, and is its own as before.
    other.tell(other.put(theirs[0], 1));
    assert!(good.contains(other.id(1)).unwrap());
    serving.kill(Signal::SIGTERM);
    let log = serving.wait().stderr;
    let mut lines: Vec<&str> = log.lines().filter(|line| line.contains("is disconnected")).collect();
    assert_eq!(lines.len(), LIES.len(), "{log}");
    let pid = format!("process {} \"raw\", is disconnected: its ring", std::process::id());
    for (said, _) in LIES {
        let found = lines.iter().position(|line| line.contains(&pid) && line.contains(said));
        lines.remove(found.unwrap_or_else(|| panic!("{said} is not in the log: {log}")));
    }
}

#[test]
fn a_head_that_a_client_writes_is_not_believed() {
    let daemon = Daemon::start();
    let good = Store::connect(daemon.socket()).unwrap();
    let mut bare = Bare::join(&daemon.socket());
    let slots = bare.granted(128, 4);
    for (at, head) in [0, 1, u64::MAX, 4096].into_iter().enumerate() {
        bare.tell(bare.put(slots[at], at as u8));
        assert!(good.contains(bare.id(at as u8)).unwrap());
        assert_eq!(bare.page.u64_at(RING_HEAD).load(Acquire), at as u64 + 1, "the daemon shows how far it has read");
        bare.page.u64_at(RING_HEAD).store(head, Release);
    }
    assert_eq!((number(&good, "totals/puts_ring"), number(&good, "clients/dropped_total")), (4, 0));
}

#[test]
fn rings_full_of_anything_are_read_within_bounds() {
    let daemon = Daemon::start();
    let good = Store::connect(daemon.socket()).unwrap();
    let mut random = Random(11);
    for round in 0..100u64 {
        let mut liar = Bare::join(&daemon.socket());
        let slots = liar.granted(128, 4);
        for word in 0..8 * 4096 {
            // Words that mean something in some of their bytes, and words that mean nothing.
            let word_of_slot = u64::from(slots[round as usize % 4].number) | (random.below(6)) << 32;
            let value = if random.percent(30) { word_of_slot } else { random.bits() };
            liar.page.u64_at(RING + 8 * word).store(value, Relaxed);
        }
        let tail = if random.percent(80) { 1 + random.below(4096) } else { random.bits() | 1 << 13 };
        liar.counts(tail);
        assert!(liar.is_refused().contains("its ring"));
        let id = good.put(&round.to_le_bytes(), &CreateOptions::default()).unwrap();
        assert_eq!(&good.get(id, Timeout::NO_WAIT).unwrap()[..], round.to_le_bytes());
    }
    assert_eq!(number(&good, "clients/dropped_total"), 100);
    assert_eq!(number(&good, "objects/sealed"), 100);
}

#[test]
fn files_that_were_handed_out_keep_their_length_and_take_no_more_fd_seals() {
    let daemon = Daemon::start();
    let hello = Hello { features: SHARED_GETS | SHARED_PUTS, ..hello(Role::Writer) };
    let raw = Raw::join(&daemon.socket(), &hello).unwrap_or_else(|refusal| panic!("{}", refusal.message));
    assert_eq!(raw.fds.len(), 4);
    for fd in &raw.fds {
        let bytes = check_seals(fd).unwrap();
        let file = File::from(fd.try_clone().unwrap());
        for length in [0, bytes - 4096, bytes + 4096] {
            assert!(file.set_len(length).is_err(), "a file of {bytes} bytes took the length {length}");
        }
        let future_write = SealFlag::from_bits_retain(0x10);
        for seal in [SealFlag::F_SEAL_WRITE, future_write, SealFlag::F_SEAL_SEAL] {
            assert!(fcntl(fd.as_fd(), FcntlArg::F_ADD_SEALS(seal)).is_err(), "a file of {bytes} bytes took {seal:?}");
        }
        assert_eq!(check_seals(fd).unwrap(), bytes);
    }
    let read_only = [&raw.fds[0], &raw.fds[2]];
    assert!(read_only.iter().all(|fd| Words::new(fd, 4096).is_err()));
}

#[test]
fn whoever_claims_and_never_lets_go_is_named_to_those_who_find_no_room() {
    let daemon = Daemon::with(&["--memory", "4MiB", "--when-full", "evict", "--populate", "none"]);
    let store = Store::connect(daemon.socket()).unwrap();
    for number in 0..3u8 {
        store.put(&vec![number; 1 << 20], &CreateOptions::default()).unwrap();
    }
    // Asked, the daemon has read the ring they were told on: all three stand in the index.
    assert_eq!(number(&store, "objects/sealed"), 3);
    let mut holder = Reaped(part("shared::hostile::holder_of_everything", &daemon.socket()).spawn().unwrap());
    says(&mut holder.0, "claimed");
    let large = vec![9; 2 << 20];
    for timeout in [Timeout::NO_WAIT, Timeout::After(Duration::from_millis(200))] {
        let options = CreateOptions { timeout, ..CreateOptions::default() };
        match store.put(&large, &options) {
            Err(Error::Full { numbers, message }) => {
                let [named] = &numbers.pinned_by[..] else { panic!("{numbers:?}") };
                assert_eq!((named.pid, named.pins, named.bytes), (holder.0.id(), 3, 3 << 20));
                assert!(message.contains(&format!("process {}", holder.0.id())), "{message}");
            }
            other => panic!("there was room: {other:?}"),
        }
    }
    // Small ones go on, over the socket and by ring.
    let id = store.put(b"small", &CreateOptions::default()).unwrap();
    assert_eq!(&store.get(id, Timeout::NO_WAIT).unwrap()[..], b"small");
    let waiting = std::thread::spawn({
        let store = store.clone();
        move || store.put(&large, &CreateOptions::default()).map(drop)
    });
    until_numbers(&store, &[("clients/creates_waiting", 1)]);
    drop(holder);
    waiting.join().unwrap().unwrap();
}

#[test]
fn whoever_claims_what_it_was_granted_and_never_lets_go_is_named_as_well() {
    let daemon = Daemon::with(&["--memory", "4MiB", "--when-full", "evict", "--populate", "none"]);
    let store = Store::connect(daemon.socket()).unwrap();
    let mut holder = Reaped(part("shared::hostile::holder_of_its_grants", &daemon.socket()).spawn().unwrap());
    says(&mut holder.0, "claimed");
    let all = vec![7; 4 << 20];
    match store.put(&all, &CreateOptions { timeout: Timeout::NO_WAIT, ..CreateOptions::default() }) {
        Err(Error::Full { numbers, .. }) => {
            let [named] = &numbers.pinned_by[..] else { panic!("{numbers:?}") };
            assert_eq!((named.pid, named.pins, named.bytes), (holder.0.id(), 4, 256 << 10));
            assert_eq!((numbers.free, numbers.pinned), ((4 << 20) - (256 << 10), 256 << 10));
        }
        other => panic!("there was room: {other:?}"),
    }
    drop(holder);
    store.put(&all, &CreateOptions::default()).unwrap();
}

/// Claims all that it was granted, and lives on.
#[test]
#[ignore = "a part in another test"]
fn holder_of_its_grants() {
    let Some(socket) = told() else { return };
    let mut bare = Bare::join(&socket);
    let slots = bare.granted(64 << 10, 4);
    bare.claim(slots.iter().map(|slot| (slot.number, slot.generation)));
    println!("\nclaimed");
    loop {
        std::thread::park();
    }
}

/// Claims every object there is, and lives on.
#[test]
#[ignore = "a part in another test"]
fn holder_of_everything() {
    let Some(socket) = told() else { return };
    let bare = Bare::join(&socket);
    let slots = bare.index.u64(16) as u32;
    let sealed = (0..slots).map(|slot| (slot, bare.commit_word(slot))).filter(|(_, commit)| *commit as u8 == SEALED);
    bare.claim(sealed.map(|(slot, commit)| (slot, commit >> 8)));
    println!("\nclaimed");
    loop {
        std::thread::park();
    }
}

#[test]
fn what_a_liar_was_granted_is_nobody_elses_until_its_process_is_gone() {
    let mut serving = Serving::start(&["--memory", "4MiB", "--when-full", "evict"]);
    let store = Store::connect(&serving.socket).unwrap();
    let mut liar = Reaped(part("shared::hostile::liar_that_lives_on", &serving.socket).spawn().unwrap());
    says(&mut liar.0, "disconnected");
    until_numbers(&store, &[("clients/dropped_total", 1), ("clients/connected", 1)]);
    let all = vec![7; 4 << 20];
    let no_wait = CreateOptions { timeout: Timeout::NO_WAIT, ..CreateOptions::default() };
    assert!(matches!(store.put(&all, &no_wait), Err(Error::Full { .. })));
    // Three that it was granted, and one in which it was writing an object.
    assert_eq!(number(&store, "memory/granted_bytes"), 3 * (64 << 10));
    assert_eq!(number(&store, "memory/unsealed_bytes"), 64 << 10);
    let waiting = std::thread::spawn({
        let store = store.clone();
        move || store.put(&all, &CreateOptions::default()).map(drop)
    });
    until_numbers(&store, &[("clients/creates_waiting", 1)]);
    liar.0.kill().unwrap();
    liar.0.wait().unwrap();
    waiting.join().unwrap().unwrap();
    assert_eq!((number(&store, "memory/granted_bytes"), number(&store, "memory/used_bytes")), (0, 4 << 20));
    serving.kill(Signal::SIGTERM);
    let log = serving.wait().stderr;
    let line =
        format!("process {} \"raw\", is disconnected: its ring tells of a slot that it was not granted", liar.0.id());
    assert_eq!(log.lines().filter(|found| found.contains(&line)).count(), 1, "{log}");
}

/// Is disconnected, and lives on.
#[test]
#[ignore = "a part in another test"]
fn liar_that_lives_on() {
    let Some(socket) = told() else { return };
    let mut bare = Bare::join(&socket);
    let slots = bare.granted(64 << 10, 4);
    bare.tell(Entry { kind: CREATE, data_bytes: 64 << 10, ..bare.put(slots[0], 1) });
    bare.tell(bare.put(slots[0], 2));
    assert!(bare.is_refused().contains("not granted"));
    println!("\ndisconnected");
    loop {
        std::thread::park();
    }
}

/// Waits until a process prints this line.
fn says(process: &mut Child, line: &str) {
    let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    let found = lines.map_while(Result::ok).any(|said| said == line);
    assert!(found, "it ended without {line:?}");
}

const PUT: u8 = 1;
const CREATE: u8 = 2;
const SEAL: u8 = 3;
const ABORT: u8 = 4;
const SEALED: u8 = 2;
const OWN_CELLS_USED: u64 = 64;
const RING_TAIL: u64 = 192;
const RING_HEAD: u64 = 256;
const GRANTS_TAIL: u64 = 320;
const OWN_CELLS: u64 = 12_288;
const GRANTS: u64 = 2_174_976;
const RING: u64 = 2_240_512;
