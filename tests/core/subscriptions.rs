//! What subscribers hear.

use plasmad_core::{ClientId, Event, Refusal, Reply, Verb, WhenFull};
use plasmad_wire::ChangeKind::{Deleted, Evicted, Sealed};
use plasmad_wire::limits::CHANGES_QUEUED_MAX;
use plasmad_wire::{ChangeKind, Role};

use super::{Fixture, created, name};

impl Fixture {
    /// Client 2 subscribes with request 50.
    fn subscribes(&mut self, existing: bool, queue_max: u32) {
        let replies = self.asks(2, 50, Verb::Subscribe { existing, queue_max });
        assert_eq!(replies, [(2, 50, Reply::Subscribed)]);
    }

    /// Client 2 takes up to so many changes: how many were lost before them, and which they are.
    fn hears(&mut self, changes_max: usize) -> (u64, Vec<(ChangeKind, u8)>) {
        let heard = self.store.take_changes(ClientId(2), changes_max).expect("client 2 has a subscription");
        assert_eq!(heard.tag.number, 50);
        let changes = heard.changes.iter().map(|change| (change.kind, change.id.as_bytes()[0]));
        (heard.lost, changes.collect())
    }

    fn deletes(&mut self, id: u8) {
        assert_eq!(self.asks(1, 1, Verb::Delete { ids: vec![name(id)] }), [(1, 1, Reply::Done(1))]);
    }
}

#[test]
fn a_subscriber_hears_what_happens_in_its_order() {
    let mut store = Fixture::new(4096, WhenFull::Evict);
    store.put(1, 1024);
    store.subscribes(false, 10);
    assert!(!store.store.has_changes(ClientId(2)));
    let handle = created(&store.create(1, 10, 0, 2, 64));
    created(&store.create(1, 11, 0, 3, 64));
    assert!(!store.store.has_changes(ClientId(2)), "unsealed objects are nobody's business");
    store.asks(1, 1, Verb::Seal { handles: vec![handle] });
    store.deletes(1);
    store.asks(1, 1, Verb::Evict { bytes: 64 });
    assert_eq!(store.hears(10), (0, vec![(Sealed, 2), (Deleted, 1), (Evicted, 2)]));
    assert!(!store.store.has_changes(ClientId(2)));
}

#[test]
fn objects_dropped_to_make_room_are_heard_of() {
    let mut store = Fixture::new(4096, WhenFull::Evict);
    store.subscribes(false, 10);
    store.put(1, 4096);
    store.put(2, 4096);
    assert_eq!(store.hears(10), (0, vec![(Sealed, 1), (Evicted, 1), (Sealed, 2)]));
}

#[test]
fn a_deleted_object_is_heard_of_once_however_long_it_is_pinned() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.put(1, 64);
    let release = store.pin(3, 1);
    store.subscribes(false, 10);
    store.deletes(1);
    assert_eq!(store.hears(10), (0, vec![(Deleted, 1)]));
    store.asks(3, 2, release);
    store.happens(Event::Tick);
    assert_eq!(store.stats().doomed, 0);
    assert!(!store.store.has_changes(ClientId(2)));
}

#[test]
fn a_full_queue_loses_its_oldest_and_counts_them() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.subscribes(false, 2);
    (1..=5).for_each(|id| store.put(id, 64));
    assert_eq!(store.hears(1), (3, vec![(Sealed, 4)]));
    store.put(6, 64);
    store.put(7, 64);
    assert_eq!(store.hears(9), (1, vec![(Sealed, 6), (Sealed, 7)]));
    store.put(8, 64);
    assert_eq!(store.hears(9), (0, vec![(Sealed, 8)]));
}

#[test]
fn existing_objects_come_first_whatever_happens_meanwhile() {
    let mut store = Fixture::new(65_536, WhenFull::Refuse);
    (1..=6).for_each(|id| store.put(id, 64));
    created(&store.create(1, 10, 0, 40, 64));
    store.subscribes(true, 10);
    assert_eq!(store.hears(2), (0, vec![(Sealed, 1), (Sealed, 2)]));
    // Already told of 1, not yet of 5; each comes again, in the place of the other.
    store.deletes(1);
    store.deletes(5);
    store.put(1, 128);
    store.put(5, 128);
    store.put(9, 64);
    assert_eq!(store.hears(2), (0, vec![(Sealed, 3), (Sealed, 4)]));
    let mut rest = Vec::new();
    while store.store.has_changes(ClientId(2)) {
        let (lost, changes) = store.hears(100);
        assert_eq!(lost, 0);
        rest.extend(changes);
    }
    assert_eq!(rest, [(Sealed, 6), (Deleted, 1), (Sealed, 1), (Sealed, 5), (Sealed, 9)]);
}

#[test]
fn existing_objects_take_no_place_in_the_queue() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    (1..=20).for_each(|id| store.put(id, 64));
    store.subscribes(true, 1);
    store.put(21, 64);
    store.put(22, 64);
    let existing: Vec<_> = (1..=20).map(|id| (Sealed, id)).collect();
    assert_eq!(store.hears(100), (0, existing));
    assert_eq!(store.hears(100), (1, vec![(Sealed, 22)]));
}

#[test]
fn a_subscriber_with_something_to_hear_is_named_once() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.subscribes(false, 10);
    assert_eq!(store.store.take_fresh_subscribers(), []);
    store.put(1, 64);
    store.put(2, 64);
    assert_eq!(store.store.take_fresh_subscribers(), [ClientId(2)]);
    store.put(3, 64);
    assert_eq!(store.store.take_fresh_subscribers(), []);
    store.hears(10);
    store.put(4, 64);
    assert_eq!(store.store.take_fresh_subscribers(), [ClientId(2)]);
}

#[test]
fn a_subscription_ends_when_it_is_cancelled_or_its_client_leaves() {
    let client = ClientId(2);
    let farewells =
        [Event::Cancelled { client, number: 50 }, Event::ConnectionClosed { client }, Event::ClientGone { client }];
    for farewell in farewells {
        let mut store = Fixture::new(4096, WhenFull::Refuse);
        store.subscribes(true, 10);
        store.put(1, 64);
        let cancelled = matches!(farewell, Event::Cancelled { .. });
        let replies = super::replies(store.happens(farewell));
        assert_eq!(replies == [(2, 50, Reply::Refused(Refusal::Cancelled))], cancelled);
        assert_eq!(store.store.take_changes(client, 10), None);
        store.put(2, 64);
        assert!(!store.store.has_changes(client));
    }
}

#[test]
fn a_subscription_is_refused_beyond_its_limits() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    let mut refused = |number, queue_max| {
        let mut replies = store.asks(2, number, Verb::Subscribe { existing: false, queue_max });
        match replies.pop() {
            Some((_, _, Reply::Refused(refusal))) => Some(refusal),
            _ => None,
        }
    };
    assert!(matches!(refused(50, 0), Some(Refusal::Malformed(_))));
    assert!(matches!(refused(50, CHANGES_QUEUED_MAX + 1), Some(Refusal::Limit { limit: 1_048_576, .. })));
    assert_eq!(refused(50, CHANGES_QUEUED_MAX), None);
    assert!(matches!(refused(51, 1), Some(Refusal::Limit { limit: 1, .. })));
    let get = Verb::Get { timeout_ns: 1, partial: false, ids: vec![name(1)] };
    assert!(matches!(store.asks(2, 50, get)[..], [(2, 50, Reply::Refused(Refusal::Malformed(_)))]));
}

#[test]
fn readers_may_subscribe() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.happens(Event::ClientJoined { client: ClientId(9), role: Role::Reader, pushes: true });
    let subscribe = Verb::Subscribe { existing: true, queue_max: 1 };
    assert_eq!(store.asks(9, 1, subscribe), [(9, 1, Reply::Subscribed)]);
}
