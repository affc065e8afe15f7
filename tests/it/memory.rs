//! What the daemon takes from the machine: its own heap, and the files of shared memory it made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use plasmad::memory::machine;
use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Store, Timeout};
use plasmad_shm::{memfd, populate};
use serde_json::Value;

use super::command::ran;
use super::starting::serve;
use crate::support::until::{DEADLINE, until, until_within};

#[test]
#[ignore = "takes 3 GiB of memory, and more than the minute after which unused memory goes back"]
fn memory_goes_back_when_nobody_used_it_for_a_minute() {
    let daemon = Daemon::with(&["--memory", "4GiB"]);
    let store = Store::connect(daemon.socket()).expect("connect");
    until_within(10 * DEADLINE, "memory is ready ahead of use", || populated(&store).1.then_some(()));
    assert!((AHEAD_BYTES..AHEAD_BYTES + (64 << 20)).contains(&populated(&store).0), "{:?}", populated(&store));
    let object = vec![7; 1 << 20];
    let ids: Vec<_> = (0..2048).map(|_| store.put(&object, &CreateOptions::default()).expect("room")).collect();
    until_within(10 * DEADLINE, "memory is ready ahead of use again", || populated(&store).1.then_some(()));
    let full = Memory::of(engine_pid(&store));
    assert!(full.files["plasmad-arena"] >= 2 << 30, "{full:?}");
    assert_eq!(store.delete(&ids).expect("delete"), 2048);
    let goes_back = || {
        let now = Memory::of(engine_pid(&store));
        (now.files["plasmad-arena"] < AHEAD_BYTES + SPAN_BYTES).then_some(now)
    };
    let back = until_within(Duration::from_secs(200), "the memory goes back", goes_back);
    let [full, left, allowed] = [full.total(), back.total(), back.allowed()].map(|bytes| bytes >> 20);
    println!("{full} MiB when 2 GiB are stored; a while after all was deleted {left} MiB, {allowed} allowed: {back:?}");
    assert!(left <= allowed);
    assert!(back.files["plasmad-arena"] >= AHEAD_BYTES, "what is kept ahead of use stays: {back:?}");
    // It is as good as before.
    let id = store.put(&object, &CreateOptions::default()).expect("room");
    assert_eq!(&store.get(id, Timeout::NO_WAIT).expect("it is there")[..], &object[..]);
}

#[test]
fn memory_is_huge_pages_in_the_daemon_and_in_its_clients_where_the_kernel_makes_them() {
    let tried = memfd::create("plasmad-test", SPAN_BYTES).expect("a memory file");
    if let Err(error) = populate::collapse(&tried, 0, SPAN_BYTES) {
        return println!("no huge pages here: {error}");
    }
    let daemon = Daemon::with(&["--memory", "65MiB", "--populate", "all"]);
    let store = Store::connect(daemon.socket()).expect("connect");
    until("memory is ready", || populated(&store).1.then_some(()));
    assert_eq!(stat(&store, "populated_bytes"), 65 << 20);
    // The last span is half a huge page; others may be hard to come by on a full machine.
    assert!((32 << 20..=64 << 20).contains(&stat(&store, "huge_bytes")), "{} bytes", stat(&store, "huge_bytes"));
    let before = mapped_huge_bytes("plasmad-arena");
    let id = store.put(&vec![7; 48 << 20], &CreateOptions::default()).expect("room");
    assert!(
        mapped_huge_bytes("plasmad-arena") >= before + (14 << 20),
        "written through {} bytes of them",
        mapped_huge_bytes("plasmad-arena") - before
    );
    let buffer = store.get(id, Timeout::NO_WAIT).expect("it is there");
    assert!(buffer.iter().all(|byte| *byte == 7));
    assert!(
        mapped_huge_bytes("plasmad-arena") >= before + (28 << 20),
        "read through {} bytes of them",
        mapped_huge_bytes("plasmad-arena") - before
    );
}

#[test]
fn the_index_of_a_store_with_many_objects_is_huge_pages_in_its_clients() {
    let tried = memfd::create("plasmad-test", SPAN_BYTES).expect("a memory file");
    if let Err(error) = populate::collapse(&tried, 0, SPAN_BYTES) {
        return println!("no huge pages here: {error}");
    }
    for (wanted, least) in [("auto", 2 * SPAN_BYTES), ("never", 0)] {
        let daemon = Daemon::with(&["--memory", "64MiB", "--huge-pages", wanted]);
        let store = Store::connect(daemon.socket()).expect("connect");
        let put = || store.put(b"small", &CreateOptions::default()).expect("room");
        let ids: Vec<_> = (0..20_000).map(|_| put()).collect();
        let reader = store.reader().expect("a reader");
        let read_all = || {
            ids.iter()
                .for_each(|id| assert_eq!(&reader.get(*id, Timeout::NO_WAIT).expect("it is there")[..], b"small"));
            mapped_huge_bytes("plasmad-index")
        };
        if least == 0 {
            assert_eq!(read_all(), 0, "huge pages that nobody wants");
        } else {
            // The buckets of a million objects and the first slots; made behind the puts, at low priority.
            until("the index is huge pages", || (read_all() >= least).then_some(()));
        }
    }
}

#[test]
fn memory_is_small_pages_where_huge_ones_are_not_wanted() {
    let daemon = Daemon::with(&["--memory", "16MiB", "--populate", "all", "--huge-pages", "never"]);
    let store = Store::connect(daemon.socket()).expect("connect");
    until("memory is ready", || populated(&store).1.then_some(()));
    assert_eq!((stat(&store, "huge_bytes"), stat(&store, "page_bytes")), (0, 4096));
}

#[test]
fn memory_of_reserved_huge_pages_is_like_any_other_or_refused_with_what_to_do() {
    let needed = machine::huge_pages_free() + 1;
    let bytes = (needed * SPAN_BYTES).to_string();
    for ending in [None, Some("--check-config")] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = serve(&folder.path().join("s"), &["--huge-pages", "always", "--memory", &bytes]);
        let refused = ran(command.args(ending).output().expect("plasmad runs"));
        assert_eq!(refused.exit, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(&format!("sysctl vm.nr_hugepages={needed}")), "{}", refused.stderr);
    }
    if needed <= 8 {
        return println!("{} reserved huge pages are free, and 8 are needed", needed - 1);
    }
    let daemon = Daemon::with(&["--huge-pages", "always", "--memory", "15MiB"]);
    let store = Store::connect(daemon.socket()).expect("connect");
    until("memory is ready", || populated(&store).1.then_some(()));
    let told = ["capacity_bytes", "huge_bytes", "page_bytes"].map(|field| stat(&store, field));
    assert_eq!(told, [16 << 20, 16 << 20, SPAN_BYTES]);
    // Inline, over the border of two pages, and through the client's own mapping.
    let options = CreateOptions { metadata: b"beside it".to_vec(), ..CreateOptions::default() };
    for bytes in [1000, 60_000, 3 << 20] {
        let data: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
        let ids: Vec<_> = (0..3).map(|_| store.put(&data, &options).expect("room")).collect();
        for id in &ids {
            let buffer = store.get(*id, Timeout::NO_WAIT).expect("it is there");
            assert_eq!((&buffer[..], buffer.metadata()), (&data[..], &b"beside it"[..]));
        }
        assert_eq!(store.delete(&ids).expect("delete"), 3);
    }
}

#[test]
fn a_thousand_clients_that_did_one_get_and_are_idle_take_little() {
    let daemon = Daemon::with(&["--memory", "64MiB", "--populate", "none"]);
    let first = Store::connect(daemon.socket()).expect("connect");
    let id = first.put(b"an object", &CreateOptions::default()).expect("room");
    let engine = engine_pid(&first);
    let before = Memory::of(engine);
    let clients: Vec<Store> = (0..CLIENTS)
        .map(|_| {
            let client = Store::connect(daemon.socket()).expect("connect");
            assert_eq!(&client.get(id, Timeout::NO_WAIT).expect("it is there")[..], b"an object");
            client
        })
        .collect();
    let after = Memory::of(engine);
    let each = (after.total() - before.total()) / CLIENTS;
    let of = |name: &str| (after.part(name) - before.part(name)) / CLIENTS;
    println!(
        "each of {CLIENTS} idle clients: {each} bytes: {} of heap, {} of its page",
        of("heap"),
        of("plasmad-client")
    );
    assert!(each <= 64 << 10, "{each} bytes for each client: {before:?} {after:?}");
    // Clients that got nothing would have taken nothing either.
    let stats: Value = serde_json::from_str(&first.stats_json().expect("stats")).expect("JSON");
    assert_eq!((&stats["totals"]["gets_shared"], &stats["clients"]["fast"]), (&CLIENTS.into(), &(CLIENTS + 1).into()));
    drop(clients);
}

/// What a process takes: anonymous memory, and what is present of the memory files it has open, by name.
#[derive(Debug)]
pub(super) struct Memory {
    heap: u64,
    files: BTreeMap<String, u64>,
}

impl Memory {
    pub(super) fn of(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its anonymous memory");
        let heap: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        let mut files = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for fd in fs::read_dir(format!("/proc/{process}/fd")).expect("its descriptors").flatten() {
            let name = fs::read_link(fd.path()).unwrap_or_default();
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix("/memfd:")) else { continue };
            let Ok(file) = fs::metadata(fd.path()) else { continue };
            // The same file may be open twice.
            if seen.insert(file.ino()) {
                *files.entry(name.trim_end_matches(" (deleted)").to_owned()).or_default() += 512 * file.blocks();
            }
        }
        assert!(files.contains_key("plasmad-arena"), "no arena among {files:?}");
        Self { heap: heap << 10, files }
    }

    fn total(&self) -> u64 {
        self.heap + self.files.values().sum::<u64>()
    }

    pub(super) fn part(&self, name: &str) -> u64 {
        if name == "heap" { self.heap } else { self.files[name] }
    }

    /// When nothing is stored: a tenth more than what is kept ahead of use, and the index.
    fn allowed(&self) -> u64 {
        (AHEAD_BYTES + self.files["plasmad-index"]) / 10 * 11
    }
}

/// What this process has of the files of this name by whole huge pages.
fn mapped_huge_bytes(name: &str) -> u64 {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("what is mapped");
    let (mut is_named, mut bytes) = (false, 0);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("ShmemPmdMapped:") if is_named => {
                bytes += 1024 * words.next().and_then(|number| number.parse::<u64>().ok()).expect("a number");
            }
            // The first line of each mapping begins with its addresses.
            Some(first) if !first.ends_with(':') => is_named = line.contains(&format!("memfd:{name}")),
            _ => {}
        }
    }
    bytes
}

fn stat(store: &Store, field: &str) -> u64 {
    let stats: Value = serde_json::from_str(&store.stats_json().expect("stats")).expect("JSON");
    stats["memory"][field].as_u64().expect("a number")
}

/// Memory the arena takes, and whether that is as it should be.
fn populated(store: &Store) -> (u64, bool) {
    let stats: Value = serde_json::from_str(&store.stats_json().expect("stats")).expect("JSON");
    let memory = &stats["memory"];
    (memory["populated_bytes"].as_u64().expect("a number"), memory["population_done"] == true)
}

pub(super) fn engine_pid(store: &Store) -> u32 {
    let stats: Value = serde_json::from_str(&store.stats_json().expect("stats")).expect("JSON");
    stats["engine_pid"].as_u64().expect("a number") as u32
}

const AHEAD_BYTES: u64 = 1 << 30;
const SPAN_BYTES: u64 = 2 << 20;
const CLIENTS: u64 = 1000;
