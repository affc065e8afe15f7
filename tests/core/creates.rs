//! Creates that find no room.

use plasmad_core::{Event, Refusal, Reply, Verb, WhenFull};
use plasmad_wire::ObjectId;
use plasmad_wire::limits::FOREVER;

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
fn nobody_overtakes_a_create_that_waits() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.put(1, 2048);
    assert_eq!(store.create(2, 10, 100, 10, 4096), []);
    assert_eq!(outcomes(&store.create(2, 11, 0, 11, 64)), [(11, '-')]);
    assert_eq!(store.create(3, 12, 200, 12, 64), []);
    assert_eq!(outcomes(&store.ticks_at(100)), [(10, '-'), (12, '+')]);
}

#[test]
fn a_create_served_at_its_deadline_takes_its_id_from_those_behind() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.put(1, 2048);
    assert_eq!(store.create(2, 10, 100, 10, 4096), []);
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
    assert_eq!(store.create(2, 10, FOREVER, 10, 4096), []);
    assert_eq!(store.create(3, 11, FOREVER, 11, 64), []);
    let replies = super::replies(store.happens(Event::Cancelled { client: plasmad_core::ClientId(2), number: 10 }));
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
    store.happens(Event::Cancelled { client: plasmad_core::ClientId(3), number: 10 });
    assert_eq!(store.asks(3, 9, get(1 << 40)), []);
    assert_eq!(store.asks(2, 9, get(1 << 40)), []);
}
