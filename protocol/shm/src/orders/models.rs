//! What daemon and client do at the same time, and what has to hold.

use std::sync::Arc;

use loom::thread;

use super::atomic;
use super::scene::{A, B, Client, HASH, Slip, race, saw, scene, slipped};
use crate::index::SlotState;
use crate::page::{Entry, EntryKind, Grant, fence_before_scan};

/// Something that daemon and client do at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) run: fn(),
    /// What has to come up in some order, or the model shows less than it seems to.
    pub(super) situations: &'static [&'static str],
    /// Too many orders to try all: threads interrupt one another three times at most, and twice in a search for faults.
    pub(super) is_large: bool,
}

/// Small ones first: who searches for a fault finds it in the first that shows it.
pub(super) const MODELS: &[Model] = &[
    small("claimed", claimed, &["found, gone", "found, kept", "missed, gone", "missed, kept"]),
    small("released", released, &["gone", "kept"]),
    small("neighbours", neighbours, &["found"]),
    small("wanted", wanted, &["rung", "gone", "both"]),
    small("put", put, &["told", "kept", "taken back"]),
    small("own", own, &["found", "missed"]),
    small("awaited", awaited, &["there", "rung"]),
    small("ring", ring, &["full", "not full", "read before the end", "read in the end"]),
    small("handed out", handed_out, &["its own turn", "one that came later"]),
    small("handed out and pinned", handed_out_and_pinned, &["its own turn", "one that came later"]),
    large("replaced", replaced, &["found", "missed"]),
    large("contained", contained, &["found", "missed"]),
    large("evicted", evicted, &["found, gone", "found, kept", "missed, gone", "missed, kept"]),
    large("two threads", two_threads, &["both found", "one found", "none found"]),
];

const fn small(name: &'static str, run: fn(), situations: &'static [&'static str]) -> Model {
    Model { name, run, situations, is_large: false }
}

const fn large(name: &'static str, run: fn(), situations: &'static [&'static str]) -> Model {
    Model { name, run, situations, is_large: true }
}

/// An object goes and its bytes are written over, while a client gets it.
fn claimed() {
    let (daemon, client) = scene(1);
    daemon.put(0, 1, A, 0, 1);
    let (found, gone) = race(move || client.get(A, 1, 0).0, || daemon.evict(0));
    saw_outcome(found, gone);
}

/// The same, and the client has the object already.
fn released() {
    let (daemon, client) = scene(1);
    daemon.put(0, 1, A, 0, 1);
    let held = client.index.pin(&A, HASH, &client.page, 0).unwrap();
    let reads = move || {
        assert_eq!(client.extents.read(0), 1, "another object's bytes");
        client.release(held.word);
    };
    let ((), gone) = race(reads, || daemon.evict(0));
    saw(if gone { "gone" } else { "kept" });
}

/// An object goes, and another one comes into its slot and its bytes, while a client gets the first.
fn evicted() {
    let (daemon, client) = scene(1);
    daemon.put(0, 1, A, 0, 1);
    let (found, gone) = race(move || client.get(A, 1, 0).0, || daemon.evict_and_put(0, B, 2));
    saw_outcome(found, gone);
}

/// The same; the client gets the second. By its own id the first was deleted before.
fn replaced() {
    let (daemon, client) = scene(1);
    daemon.put(0, 1, A, 0, 1);
    let (found, _) = race(move || client.get(B, 2, 0).0, || daemon.evict_and_put(0, B, 2));
    saw(if found { "found" } else { "missed" });
}

/// The same; the client looks first, and what it saw has to be there when it gets it.
fn contained() {
    let (daemon, client) = scene(1);
    daemon.put(0, 1, A, 0, 1);
    let looks = move || {
        let is_there = client.index.contains(&B, HASH);
        assert!(!is_there || client.get(B, 2, 0).0, "what was there is not found");
        is_there
    };
    let (found, _) = race(looks, || daemon.evict_and_put(0, B, 2));
    saw(if found { "found" } else { "missed" });
}

fn saw_outcome(found: bool, gone: bool) {
    saw(match (found, gone) {
        (true, true) => "found, gone",
        (true, false) => "found, kept",
        (false, true) => "missed, gone",
        (false, false) => "missed, kept",
    });
}

/// Two threads of a client get what goes, each with a cell of its own.
fn two_threads() {
    let (daemon, client) = scene(1);
    daemon.put(0, 1, A, 0, 1);
    let client = Arc::new(client);
    atomic::watch(true);
    let threads = [0, 1].map(|hint| {
        let client = client.clone();
        thread::spawn(move || client.get(A, 1, hint).0)
    });
    daemon.evict(0);
    let found = threads.map(|thread| thread.join().unwrap());
    atomic::watch(false);
    saw(match found {
        [true, true] => "both found",
        [false, false] => "none found",
        [true, false] | [false, true] => "one found",
    });
}

/// An object is found, whoever comes and goes in front of it on its chain.
fn neighbours() {
    let (daemon, client) = scene(4);
    daemon.put(0, 1, A, 0, 1);
    daemon.publish(1, 1, [3; 28], 1, 1);
    let gets = move || assert!(client.get(A, 1, 0).0, "an object that stays is not found");
    let come_and_go = || {
        daemon.publish(2, 1, [4; 28], 1, 1);
        daemon.doom(1);
        daemon.doom(2);
    };
    race(gets, come_and_go);
    saw("found");
}

/// The daemon wants memory that a client holds, and sleeps when it can't have it.
fn wanted() {
    let (daemon, client) = scene(1);
    daemon.put(0, 1, A, 0, 1);
    let held = client.index.pin(&A, HASH, &client.page, 0).unwrap();
    let releases = move || {
        let rung = client.release(held.word);
        client.get(A, 1, 0).1 || rung
    };
    let wants = || {
        let gone = daemon.retract(0);
        let looks_late = slipped(Slip::WantLate);
        if gone || looks_late && daemon.retract(0) {
            return true;
        }
        daemon.index.want(true);
        fence_before_scan();
        !looks_late && daemon.retract(0)
    };
    let (rung, gone) = race(releases, wants);
    assert!(rung || gone, "nobody is told of the last release");
    saw(match (rung, gone) {
        (true, true) => "both",
        (true, false) => "rung",
        (false, _) => "gone",
    });
}

/// A grant is taken back while its client may put, and its memory is used by somebody else.
fn put() {
    let (mut daemon, client) = scene(1);
    daemon.grant(0, 1, 64);
    let puts = move || client.put(A, 7, &mut 0).is_some();
    let takes_back = || match daemon.revoke(0) {
        Ok(entry) => {
            check_put(&entry);
            daemon.publish(0, 1, A, 0, 7);
            assert_eq!(daemon.extents.read(0), 7, "another object's bytes");
            "told"
        }
        Err(true) => {
            daemon.free(0, 2);
            daemon.extents.write(0, 9);
            "taken back"
        }
        Err(false) => {
            daemon.index.set_state(0, SlotState::Granted);
            "kept"
        }
    };
    let (is_put, outcome) = race(puts, takes_back);
    saw(outcome);
    let told_later = daemon.drain();
    told_later.iter().for_each(check_put);
    let is_told = outcome == "told" || outcome == "kept" && !told_later.is_empty();
    assert_eq!(is_put, is_told, "a put is lost");
}

fn check_put(entry: &Entry) {
    let whole = Entry { id: A, data_bytes: 7, ..Entry::of(EntryKind::Put, 0, 1) };
    assert_eq!(*entry, whole, "an entry is not whole");
}

/// A client gets what it has just put, while the daemon hears of it and drops it.
fn own() {
    let (mut daemon, client) = scene(1);
    daemon.grant(0, 1, 64);
    let puts_and_gets = move || {
        let Some((slot, _)) = client.put(A, 7, &mut 0) else { return };
        let Ok(word) = client.index.pin_own(slot, 1, &client.page, 0) else { return saw("missed") };
        assert_eq!(client.extents.read(0), 7, "another object's bytes");
        client.page.release(word);
        saw("found");
    };
    let hears = || {
        if !daemon.drain().is_empty() {
            daemon.publish(0, 1, A, 0, 7);
            daemon.evict(0);
        }
    };
    race(puts_and_gets, hears);
}

/// Somebody waits for what a client is putting.
fn awaited() {
    let (mut daemon, client) = scene(1);
    daemon.grant(0, 1, 64);
    let puts = move || client.put(A, 7, &mut 0).is_some_and(|(_, ring)| ring);
    let waits = || {
        let mut is_there = || !daemon.drain().is_empty();
        let expects_late = slipped(Slip::ExpectLate);
        if is_there() || expects_late && is_there() {
            return true;
        }
        daemon.index.expect(HASH, true);
        fence_before_scan();
        !expects_late && !daemon.drain().is_empty()
    };
    let (rung, there) = race(puts, waits);
    assert!(rung || there, "who waits is forgotten");
    saw(if there { "there" } else { "rung" });
}

/// More entries than a ring has.
fn ring() {
    let (mut daemon, client) = scene(1);
    let entry = |number: u32| Entry {
        id: [number as u8; 28],
        data_bytes: number.into(),
        ..Entry::of(EntryKind::Put, number, number.into())
    };
    let tells = move || {
        let mut tail = 0;
        let is_told = |number: &u32| client.page.push(&mut tail, &entry(*number));
        (1..4).take_while(is_told).count()
    };
    let (told, mut read) = race(tells, || [daemon.drain(), daemon.drain()].concat());
    saw(if told < 3 { "full" } else { "not full" });
    saw(if read.is_empty() { "read in the end" } else { "read before the end" });
    read.extend(daemon.drain());
    assert_eq!(read, (1..).take(told).map(entry).collect::<Vec<_>>(), "an entry is not whole");
}

/// Slots are handed out, one more than the queue remembers, while a client takes one and looks how much it holds.
fn handed_out() {
    hands_out(|client, grant| client.index.granted_bytes(grant));
}

/// The same; the client pins it.
fn handed_out_and_pinned() {
    hands_out(|client, grant| {
        let granted = client.index.pin_granted(grant, &client.page, 0).ok()?;
        Some(granted.place.data_bytes)
    });
}

/// The last slot had less room when it was handed out before.
fn hands_out(look: fn(&Client, Grant) -> Option<u64>) {
    let (mut daemon, client) = scene(16);
    daemon.grant_place(8, 1, 32);
    (0..8).for_each(|slot| daemon.grant(slot, 1, 64));
    let client = Arc::new(client);
    let takes = {
        let client = client.clone();
        move || {
            let mut taken = 0;
            let first = client.page.next_grant(&mut taken);
            if let Some(grant @ Grant { slot: 8, .. }) = first {
                let bytes = look(&client, grant);
                assert!(bytes.is_none_or(|bytes| bytes == 128), "a place is taken for a larger or smaller one");
            }
            (taken, first)
        }
    };
    let hands_out = || {
        daemon.index.set_state(8, SlotState::Revoking);
        daemon.free(8, 2);
        daemon.grant(8, 2, 128);
    };
    let ((mut taken, first), ()) = race(takes, hands_out);
    let rest = std::iter::from_fn(|| client.page.next_grant(&mut taken));
    let slots: Vec<u32> = first.into_iter().chain(rest).map(|grant| grant.slot).collect();
    let times = |slot| slots.iter().filter(|taken| **taken == slot).count();
    assert!((0..9).all(|slot| times(slot) <= 1), "a slot is taken twice: {slots:?}");
    saw(if slots.first() == Some(&0) { "its own turn" } else { "one that came later" });
}
