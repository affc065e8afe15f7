//! Creates that find no room.

use plasmad_core::event::{Payload, Wanted};
use plasmad_core::{ClientId, Config, Event, Refusal, Reply, Upkeep, Verb, WhenFull};
use plasmad_wire::limits::FOREVER;
use plasmad_wire::{Handle, ObjectId};

use super::{Fixture, created, name, outcomes, wanted};

#[test]
fn three_creates_waiting_are_each_answered_at_their_deadline() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.put(1, 4096);
    // The second in line has the last deadline.
    for (number, timeout_ns) in [(10, 100), (11, 300), (12, 200)] {
        assert_eq!(store.create(2, number, timeout_ns, number as u8, 64), []);
    }
    for (deadline, number) in [(100, 10), (200, 12), (300, 11)] {
        assert_eq!(store.store.next_deadline(), Some(deadline));
        assert_eq!(store.ticks_at(deadline - 1), []);
        assert_eq!(outcomes(&store.ticks_at(deadline)), [(number, '-')]);
    }
    assert_eq!(store.store.next_deadline(), None);
}

#[test]
fn a_release_serves_waiting_creates_in_order() {
    let mut store = Fixture::new(4096, WhenFull::Evict);
    store.put(1, 4096);
    let release = store.pin(3, 1);
    // The last one would fit after two, not after three.
    for (number, bytes) in [(10, 2048), (11, 1024), (12, 1024), (13, 64)] {
        assert_eq!(store.create(2, number, FOREVER, number as u8, bytes), []);
    }
    assert_eq!(outcomes(&store.asks(3, 2, release)), [(10, '+'), (11, '+'), (12, '+')]);
}

#[test]
fn small_creates_pass_one_that_can_not_be_served_yet() {
    let mut store = Fixture::new(64 * KIB, WhenFull::Refuse);
    store.put(1, 40 * KIB);
    assert_eq!(store.create(2, 10, FOREVER, 10, 32 * KIB), []);
    assert_eq!(outcomes(&store.create(3, 11, 0, 11, 4 * KIB)), [(11, '+')]);
    // This one fits, but not behind what passes first.
    assert_eq!(store.create(3, 12, FOREVER, 12, 21 * KIB), []);
    assert_eq!(outcomes(&store.create(3, 13, FOREVER, 13, 20 * KIB)), [(13, '+')]);
    let deleted = store.asks(1, 1, Verb::Delete { ids: vec![name(1)] });
    assert_eq!(outcomes(&deleted), [(10, '+')]);
    assert_eq!(store.stats().creates_waiting, 1);
}

#[test]
fn those_that_pass_ask_together_for_no_more_than_the_first_and_count_as_a_page_at_least() {
    let mut store = Fixture::new(64 * KIB, WhenFull::Refuse);
    store.put(1, 40 * KIB);
    assert_eq!(store.create(2, 10, 100, 10, 25 * KIB), []);
    assert_eq!(outcomes(&store.create(3, 11, 0, 11, 9 * KIB)), [(11, '+')]);
    let tiny = [12, 13, 14].map(|number| outcomes(&store.create(3, number, 0, number as u8, 64)));
    assert_eq!(tiny.concat(), [(12, '+'), (13, '+'), (14, '+')]);
    // 21 KiB of 25 have passed, though less is taken.
    assert_eq!(outcomes(&store.create(3, 15, 0, 15, 5 * KIB)), [(15, '-')]);
    assert_eq!(outcomes(&store.create(3, 16, 0, 16, 4 * KIB)), [(16, '+')]);
    assert_eq!(store.create(3, 17, FOREVER, 17, 64), []);
    // When the first gives up, the next has an account of its own.
    assert_eq!(store.create(3, 18, FOREVER, 18, 16 * KIB), []);
    assert_eq!(outcomes(&store.ticks_at(100)), [(10, '-'), (17, '+')]);
    assert_eq!(outcomes(&store.create(3, 19, 0, 19, 8 * KIB)), [(19, '+')]);
}

/// Small creates come without end, as many at a time as keep a huge one from finding room, and each stays for five rounds.
/// How many of them pass it; `None`: it isn't served in a hundred rounds.
fn passes_before_a_huge_one(asks_anew: bool) -> Option<usize> {
    let mut store = Fixture::new(64 * KIB, WhenFull::Refuse);
    let mut held: Vec<Handle> = (1..6).map(|id| created(&store.create(3, 1, 0, id, 4 * KIB))).collect();
    store.create(2, 10, FOREVER, 100, 48 * KIB);
    for round in 0..100 {
        let client = ClientId(2);
        if asks_anew && round > 0 {
            store.happens(Event::Cancelled { client, number: 10 });
            store.create(2, 10, FOREVER, 100, 48 * KIB);
        }
        let mut answers = store.create(3, 11 + round, FOREVER, 6 + (round % 90) as u8, 4 * KIB);
        let leaves = Verb::Abort { handles: vec![held.remove(0)] };
        answers.extend(store.asks(3, 1, leaves));
        if outcomes(&answers).contains(&(10, '+')) {
            return Some(round as usize);
        }
        held.extend(answers.iter().filter_map(|(_, _, reply)| match reply {
            Reply::Created(made) => Some(made[0].0),
            _ => None,
        }));
    }
    None
}

#[test]
fn a_huge_create_is_served_though_small_ones_keep_coming() {
    let passes = passes_before_a_huge_one(false).expect("it is served");
    assert!((12..17).contains(&passes), "48 KiB pass in pieces of 4, and then those that passed leave: {passes}");
    // Whoever had an account that never ends would pass it for ever.
    assert_eq!(passes_before_a_huge_one(true), None);
}

#[test]
fn what_becomes_free_is_for_the_first_if_that_is_enough() {
    let mut store = Fixture::new(64 * KIB, WhenFull::Refuse);
    store.put(1, 16 * KIB);
    let handle = created(&store.create(3, 1, 0, 2, 32 * KIB));
    assert_eq!(store.create(2, 10, FOREVER, 10, 48 * KIB), []);
    assert_eq!(store.create(2, 11, FOREVER, 11, 20 * KIB), []);
    assert_eq!(outcomes(&store.asks(3, 1, Verb::Abort { handles: vec![handle] })), [(10, '+')]);
}

#[test]
fn creates_far_behind_the_first_pass_nobody() {
    let mut store = Fixture::new(64 * KIB, WhenFull::Refuse);
    store.put(1, 40 * KIB);
    for number in 0..=64 {
        assert_eq!(store.create(2, 10 + number, FOREVER, 10 + number as u8, 32 * KIB), []);
    }
    assert_eq!(outcomes(&store.create(3, 90, 0, 90, 64)), [(90, '-')]);
    assert_eq!(store.create(3, 91, FOREVER, 91, 64), []);
    let cancelled = store.happens(Event::Cancelled { client: ClientId(2), number: 20 });
    let [(_, 20, _), (3, 91, Reply::Created(_))] = super::replies(cancelled)[..] else { panic!("nobody moved up") };
}

#[test]
fn a_create_whose_id_somebody_took_who_passed_it_is_told_at_once() {
    let mut store = Fixture::new(64 * KIB, WhenFull::Refuse);
    store.put(1, 40 * KIB);
    assert_eq!(store.create(2, 10, FOREVER, 10, 32 * KIB), []);
    assert_eq!(store.create(2, 11, FOREVER, 10, 32 * KIB), []);
    assert_eq!(outcomes(&store.create(3, 12, FOREVER, 10, 64)), [(12, '+'), (10, '!'), (11, '!')]);
}

#[test]
fn a_create_served_at_its_deadline_takes_its_id_from_those_behind() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.put(1, 2048);
    assert_eq!(store.create(2, 10, 100, 10, 4095), []);
    assert_eq!(store.create(2, 11, 100, 20, 64), []);
    assert_eq!(store.create(3, 12, 100, 20, 64), []);
    assert_eq!(outcomes(&store.ticks_at(100)), [(10, '-'), (11, '+'), (12, '!')]);
}

#[test]
fn an_object_of_the_arenas_size_fits_after_eviction() {
    let mut store = Fixture::new(16 * 4096, WhenFull::Spill);
    (1..=16).for_each(|id| store.put(id, 4000));
    created(&store.create(2, 2, 0, 99, 16 * 4096));
    assert_eq!(store.stats().free_bytes, 0);
    assert_eq!(store.stats().totals.evictions, 16);
}

#[test]
fn a_create_that_cannot_fit_evicts_nothing() {
    let mut store = Fixture::new(4 * 4096, WhenFull::Evict);
    (1..=4).for_each(|id| store.put(id, 4096));
    store.pin(3, 2);
    // Larger than the arena: refused at once, however long it would wait.
    assert_eq!(outcomes(&store.create(2, 10, FOREVER, 50, 4 * 4096 + 1)), [(10, '-')]);
    // Larger than what is left beside the pinned object.
    assert_eq!(outcomes(&store.create(2, 11, 0, 51, 2 * 4096 + 1)), [(11, '-')]);
    assert_eq!(store.create(2, 12, 100, 52, 4 * 4096), []);
    assert_eq!(outcomes(&store.ticks_at(100)), [(12, '-')]);
    assert!((1..=4).all(|id| store.is_sealed(id)));
    created(&store.create(2, 13, 0, 53, 2 * 4096));
    assert_eq!([1, 2, 3, 4].map(|id| store.is_sealed(id)), [true, true, false, false]);
}

/// A store whose 1,024 slots are used, the first 8 by objects that may be dropped; number 1 is pinned.
fn full_of_objects(when_full: WhenFull) -> Fixture {
    let (capacity_bytes, upkeep) = (1024 * KIB, Upkeep::NONE);
    let config = Config { capacity_bytes, slots_max: 1024, hash_seed: [1, 2], when_full, upkeep, spill: None };
    let mut store = Fixture::with(config);
    let objects = (0..1024).map(|number| inline(number, number < 8)).collect();
    assert_eq!(store.asks(1, 1, Verb::Create { timeout_ns: 0, objects }), [(1, 1, Reply::Done(1024))]);
    let pinned = store.asks(2, 1, Verb::Get { timeout_ns: 0, partial: false, ids: vec![inline(1, true).id] });
    assert!(matches!(pinned[..], [(2, 1, Reply::Got { timed_out: false, .. })]), "{pinned:?}");
    store
}

fn inline(number: u16, evictable: bool) -> Wanted {
    let [high, low] = number.to_be_bytes();
    let id = ObjectId::from_slice(&[0xff, high, low]).expect("three bytes are an id");
    let payload = Some(Payload { data: vec![0; 64], metadata: Vec::new() });
    Wanted { id, evictable, payload, ..wanted(1, 64) }
}

fn put_one(store: &mut Fixture, number: u16) -> Reply {
    let objects = vec![inline(number, false)];
    store.asks(1, 9, Verb::Create { timeout_ns: 0, objects }).remove(0).2
}

fn absent(store: &mut Fixture, numbers: std::ops::Range<u16>) -> Vec<u16> {
    let ids = numbers.clone().map(|number| inline(number, false).id).collect();
    let [(_, _, Reply::Present(present))] = &store.asks(2, 2, Verb::Contains { ids })[..] else { panic!() };
    numbers.zip(present).filter(|(_, present)| !**present).map(|(number, _)| number).collect()
}

#[test]
fn a_full_table_drops_the_least_recently_used_that_may_go_some_at_a_time() {
    for when_full in [WhenFull::Evict, WhenFull::Spill] {
        let mut store = full_of_objects(when_full);
        for number in 1024..1028 {
            assert_eq!(put_one(&mut store, number), Reply::Done(1));
            assert_eq!(absent(&mut store, 0..1024), [0, 2, 3, 4], "a 256th of all slots");
        }
        assert_eq!(put_one(&mut store, 1028), Reply::Done(1));
        let gone = absent(&mut store, 0..1024);
        match when_full {
            WhenFull::Evict => assert_eq!(gone, [0, 2, 3, 4, 5, 6, 7, 8]),
            _ => assert_eq!(gone, [0, 2, 3, 4, 5, 6, 7], "the others are to be kept"),
        }
    }
}

#[test]
fn a_full_table_of_what_must_stay_is_a_limit() {
    let mut store = full_of_objects(WhenFull::Refuse);
    let full = Reply::Refused(Refusal::TableFull { objects_max: 1024 });
    assert_eq!(put_one(&mut store, 1024), full);
    let mut store = full_of_objects(WhenFull::Spill);
    let objects = (1024..1032).map(|number| inline(number, false)).collect();
    assert_eq!(store.asks(1, 9, Verb::Create { timeout_ns: 0, objects }), [(1, 9, full)], "seven are not pinned");
    assert!(absent(&mut store, 0..1024).is_empty());
}

#[test]
fn a_create_without_room_drops_nothing_for_its_slot() {
    let mut store = full_of_objects(WhenFull::Evict);
    assert_eq!(outcomes(&store.create(3, 10, 0, 100, 1024 * KIB - 64)), [(10, '-')]);
    assert!(absent(&mut store, 0..1024).is_empty());
    created(&store.create(3, 11, 0, 100, 512 * KIB));
    assert_eq!(absent(&mut store, 0..1024), [0, 2, 3, 4]);
}

#[test]
fn a_batch_that_rounding_makes_larger_than_the_arena_is_refused_at_once() {
    let mut store = Fixture::new(4096, WhenFull::Evict);
    // 65 objects of one byte take 65 x 64 = 4160 bytes.
    let objects = (1..=65).map(|id| wanted(id, 1)).collect();
    let replies = store.asks(2, 10, Verb::Create { timeout_ns: FOREVER, objects });
    assert_eq!(outcomes(&replies), [(10, '-')]);
}

#[test]
fn a_create_taken_back_lets_those_behind_it_through() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.put(1, 64);
    assert_eq!(store.create(2, 10, FOREVER, 10, 4095), []);
    assert_eq!(store.create(3, 11, FOREVER, 11, 64), []);
    let replies = super::replies(store.happens(Event::Cancelled { client: ClientId(2), number: 10 }));
    assert!(matches!(replies[0], (2, 10, Reply::Refused(Refusal::Cancelled))));
    assert_eq!(outcomes(&replies[1..]), [(11, '+')]);
    assert!(!store.is_sealed(11), "{} is not sealed yet", name(11));
}

#[test]
fn what_waits_takes_a_bounded_amount_of_memory() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    created(&store.create(2, 1, 0, 1, 4096));
    let ids = |first: u64| (first..first + 16_384).filter_map(|id| ObjectId::from_slice(&id.to_be_bytes())).collect();
    let get = |first: u64| Verb::Get { timeout_ns: FOREVER, partial: false, ids: ids(first) };
    let mut accepted = 0;
    let refusal = loop {
        match &store.asks(3, 10 + accepted, get(1 + accepted * 16_384))[..] {
            [] => accepted += 1,
            [(_, _, Reply::Refused(refusal))] => break refusal.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(refusal, Refusal::Limit { what: "bytes of one client's requests that wait", .. }), "{refusal:?}");
    assert!(accepted > 1, "one large request may wait");
    // What is taken back makes place again, and another client has its own.
    store.happens(Event::Cancelled { client: ClientId(3), number: 10 });
    assert_eq!(store.asks(3, 9, get(1 << 40)), []);
    assert_eq!(store.asks(2, 9, get(1 << 40)), []);
}

const KIB: u64 = 1024;
