//! What clients leave behind.

use plasmad_core::{ClientId, Effect, Event, Reply, Residence, SlotNumber, Verb, WhenFull};
use plasmad_wire::limits::FOREVER;
use plasmad_wire::{Handle, Pin};

use super::{Fixture, created, name, outcomes};

#[test]
fn a_dead_client_leaves_nothing_behind() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.put(1, 1024);
    store.pin(3, 1);
    created(&store.create(3, 2, 0, 2, 1024));
    assert_eq!(store.create(3, 10, FOREVER, 10, 4096), []);
    assert_eq!(store.asks(3, 11, Verb::Get { timeout_ns: FOREVER, partial: false, ids: vec![name(77)] }), []);
    store.asks(1, 1, Verb::Delete { ids: vec![name(1)] });
    assert_eq!(store.stats().doomed, 1);

    let client = ClientId(3);
    assert_eq!(store.happens(Event::ClientGone { client }), [Effect::Forget { client }]);

    let stats = store.stats();
    assert_eq!((stats.used_bytes, stats.largest_hole_bytes, stats.slots_used), (0, 4096, 0));
    assert_eq!((stats.creates_waiting, stats.gets_waiting, stats.connected), (0, 0, 2));
    assert_eq!(store.pages.claims().count(), 0);
    assert_eq!(store.happens(Event::ClientGone { client }), []);
}

#[test]
fn a_dead_clients_memory_serves_those_who_wait() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    created(&store.create(3, 2, 0, 2, 4096));
    assert_eq!(store.create(2, 10, FOREVER, 10, 4096), []);
    let effects = store.happens(Event::ClientGone { client: ClientId(3) });
    assert_eq!(outcomes(&super::replies(effects)), [(10, '+')]);
}

#[test]
fn a_closed_connection_keeps_its_claims() {
    let mut store = Fixture::new(4096, WhenFull::Evict);
    store.put(1, 4096);
    store.pin(3, 1);
    assert_eq!(store.happens(Event::ConnectionClosed { client: ClientId(3) }), []);
    assert_eq!(outcomes(&store.create(2, 10, 0, 10, 64)), [(10, '-')]);
}

#[test]
fn a_closed_connection_keeps_the_claims_its_client_made_by_itself() {
    let mut store = Fixture::new(4096, WhenFull::Evict);
    store.put(1, 4096);
    assert_eq!(store.pages.pin(ClientId(3), SlotNumber(0), 1), Some(0));
    assert_eq!(store.happens(Event::ConnectionClosed { client: ClientId(3) }), []);
    assert_eq!(outcomes(&store.create(2, 10, 0, 10, 64)), [(10, '-')]);
}

#[test]
fn a_claim_its_client_made_by_itself_can_be_released_over_the_socket() {
    let mut store = Fixture::new(4096, WhenFull::Evict);
    store.put(1, 4096);
    let handle = Handle { slot: 0, generation: 1 };
    let word = store.pages.pin(ClientId(3), SlotNumber(0), 1).expect("the page is empty");
    let release = Verb::Release { pins: vec![Pin { word, handle }] };
    assert_eq!(store.asks(3, 1, release), [(3, 1, Reply::Done(1))]);
    created(&store.create(2, 10, 0, 10, 4096));
}
