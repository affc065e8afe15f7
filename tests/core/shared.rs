//! What clients do by themselves in shared memory, and how the store hears of it.

use plasmad_core::{ClientId, Event, Residence, SlotNumber, WhenFull};
use plasmad_wire::limits::FOREVER;
use plasmad_wire::{Handle, Pin};

use super::{Fixture, created, outcomes, replies};

#[test]
fn a_release_without_a_word_is_heard_of_while_somebody_waits_for_room() {
    let mut store = Fixture::new(4096, WhenFull::Evict);
    store.put(1, 4096);
    let handle = Handle { slot: 0, generation: 1 };
    let word = store.pages.pin(ClientId(3), SlotNumber(0), 1).expect("the page is empty");
    assert!(!store.pages.is_wanted());
    assert_eq!(store.create(2, 10, FOREVER, 10, 64), []);
    assert!(store.pages.is_wanted());
    assert!(store.pages.unpin(ClientId(3), Pin { word, handle }));
    assert_eq!(outcomes(&replies(store.happens(Event::Rung))), [(10, '+')]);
    assert!(!store.pages.is_wanted());
}

#[test]
fn a_release_just_before_clients_are_asked_to_ring_is_not_missed() {
    let mut store = Fixture::new(4096, WhenFull::Evict);
    store.put(1, 4096);
    store.pages.pin(ClientId(3), SlotNumber(0), 1).expect("the page is empty");
    store.pages.unpin_all_when_wanted();
    assert_eq!(outcomes(&store.create(2, 10, FOREVER, 10, 64)), [(10, '+')]);
    assert!(!store.pages.is_wanted());
}

#[test]
fn a_deleted_object_is_freed_when_its_last_holder_rings() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.put(1, 4096);
    let handle = Handle { slot: 0, generation: 1 };
    let word = store.pages.pin(ClientId(3), SlotNumber(0), 1).expect("the page is empty");
    store.delete(1);
    assert_eq!(store.create(2, 10, FOREVER, 10, 4096), []);
    assert!(store.pages.unpin(ClientId(3), Pin { word, handle }));
    assert_eq!(outcomes(&replies(store.happens(Event::Rung))), [(10, '+')]);
}

#[test]
fn what_clients_use_by_themselves_is_dropped_last() {
    let mut store = Fixture::new(4 * 1024, WhenFull::Evict);
    (1..=4).for_each(|id| store.put(id, 1024));
    // A hostile client may name slots that never were.
    [0, 99_999, 2].into_iter().for_each(|slot| store.pages.note_recent(SlotNumber(slot)));
    created(&store.create(2, 10, 0, 10, 1024));
    created(&store.create(2, 11, 0, 11, 1024));
    assert_eq!([1, 2, 3, 4].map(|id| store.is_sealed(id)), [true, false, true, false]);
}
