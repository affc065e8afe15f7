//! What children of a fork hold, whatever becomes of their parent.

use plasmad_core::{ClientId, Effect, Event, Reply, Residence, SlotNumber, Verb, WhenFull};
use plasmad_wire::{Handle, Pin};

use super::{Fixture, created, name, outcomes};

#[test]
fn what_was_pinned_at_a_fork_stays_when_the_parent_releases_it_or_dies() {
    for dies in [false, true] {
        let mut store = Fixture::new(4096, WhenFull::Evict);
        store.put(1, 4096);
        let release = store.pin(1, 1);
        assert_eq!(store.forks(1, LEASE), Some(1));
        if dies {
            store.happens(Event::ClientGone { client: ClientId(1) });
        } else {
            store.asks(1, 1, release);
        }
        assert_eq!(outcomes(&store.create(2, 10, 0, 10, 64)), [(10, '-')]);
        let effects = store.happens(Event::ClientGone { client: LEASE });
        assert_eq!(effects, [Effect::Forget { client: LEASE }]);
        assert_eq!(outcomes(&store.create(2, 10, 0, 10, 64)), [(10, '+')]);
    }
}

#[test]
fn what_a_client_pinned_without_asking_is_leased_too_and_once() {
    let mut store = Fixture::new(4096, WhenFull::Evict);
    store.put(1, 1024);
    let words = [(); 2].map(|()| store.pages.pin(ClientId(3), SlotNumber(0), 1).expect("the page is empty"));
    store.pin(3, 1);
    assert_eq!(store.forks(3, LEASE), Some(1));
    let handle = Handle { slot: 0, generation: 1 };
    words.into_iter().for_each(|word| assert!(store.pages.unpin(ClientId(3), Pin { word, handle })));
    let replies = store.asks(2, 1, Verb::Stat { id: name(1) });
    let [(_, _, Reply::Described(object))] = &replies[..] else { panic!("{replies:?}") };
    let holders: Vec<_> = object.holders.iter().map(|holding| (holding.client, holding.pins)).collect();
    assert_eq!(holders, [(ClientId(3), 1), (LEASE, 1)]);
}

#[test]
fn what_is_deleted_under_a_lease_is_freed_when_that_ends() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.put(1, 4096);
    let release = store.pin(1, 1);
    store.delete(1);
    // It was deleted already when the child was made.
    assert_eq!(store.forks(1, LEASE), Some(1));
    store.asks(1, 1, release);
    store.ticks_at(1);
    assert_eq!((store.stats().used_bytes, store.stats().doomed), (4096, 1));
    assert_eq!(store.create(2, 10, 1000, 10, 4096), []);
    let served = super::replies(store.happens(Event::ClientGone { client: LEASE }));
    assert_eq!(outcomes(&served), [(10, '+')]);
}

#[test]
fn what_the_parent_gives_up_while_its_children_may_write_there_is_given_to_nobody() {
    for dies in [false, true] {
        let mut store = Fixture::new(4096, WhenFull::Evict);
        let handle = created(&store.create(1, 10, 0, 1, 4096));
        assert_eq!(store.forks(1, LEASE), Some(1));
        if dies {
            store.happens(Event::ClientGone { client: ClientId(1) });
        } else {
            assert_eq!(store.asks(1, 1, Verb::Abort { handles: vec![handle] }), [(1, 1, Reply::Done(1))]);
        }
        // It is found by nobody, and its id is free.
        assert_eq!(outcomes(&store.create(2, 10, 0, 1, 64)), [(10, '-')]);
        assert_eq!((store.stats().created, store.stats().unsealed_bytes, store.stats().doomed), (0, 0, 1));
        store.happens(Event::ClientGone { client: LEASE });
        assert_eq!(outcomes(&store.create(2, 10, 0, 1, 64)), [(10, '+')]);
        assert_eq!((store.stats().totals.aborts, store.stats().doomed), (1, 0));
    }
}

#[test]
fn what_the_parent_seals_is_pinned_by_the_lease() {
    let mut store = Fixture::new(4096, WhenFull::Evict);
    let handle = created(&store.create(1, 10, 0, 1, 4096));
    assert_eq!(store.forks(1, LEASE), Some(1));
    store.asks(1, 1, Verb::Seal { handles: vec![handle] });
    assert!(store.is_sealed(1));
    assert_eq!(outcomes(&store.create(2, 10, 0, 10, 64)), [(10, '-')]);
    store.happens(Event::ClientGone { client: LEASE });
    assert_eq!(outcomes(&store.create(2, 10, 0, 10, 64)), [(10, '+')]);
}

#[test]
fn an_object_that_no_child_holds_any_more_is_aborted_as_ever() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    let handle = created(&store.create(1, 10, 0, 1, 4096));
    assert_eq!(store.forks(1, LEASE), Some(1));
    store.happens(Event::ClientGone { client: LEASE });
    store.asks(1, 1, Verb::Abort { handles: vec![handle] });
    assert_eq!(outcomes(&store.create(2, 10, 0, 1, 4096)), [(10, '+')]);
}

#[test]
fn who_holds_nothing_needs_no_lease() {
    let mut store = Fixture::new(4096, WhenFull::Refuse);
    store.put(1, 64);
    assert_eq!(store.forks(1, LEASE), Some(0));
    // Nothing is left of it, and a number that was never a client's may be said to be gone.
    assert_eq!(store.happens(Event::ClientGone { client: LEASE }), []);
}

#[test]
fn more_than_a_page_holds_is_leased_not_at_all() {
    let mut store = Fixture::new(64 * 1024, WhenFull::Refuse);
    // The page of this fixture has 16 words.
    (1..=16).for_each(|id| store.put(id, 64));
    (1..=16).for_each(|id| drop(store.pin(1, id)));
    created(&store.create(1, 10, 0, 17, 64));
    assert_eq!(store.forks(1, LEASE), None);
    assert!(store.pages.claims().all(|(client, ..)| client == ClientId(1)));
    assert_eq!(store.stats().doomed, 0);
}

impl Fixture {
    /// A client forks; how many objects its children hold, or that it was refused.
    fn forks(&mut self, client: u64, lease: ClientId) -> Option<u32> {
        let replies = self.asks(client, 97, Verb::Lease { lease });
        match &replies[..] {
            [(_, 97, Reply::Leased { lease: made, objects })] if *made == lease => Some(*objects),
            [(_, 97, Reply::Refused(_))] => None,
            _ => panic!("{replies:?}"),
        }
    }
}

const LEASE: ClientId = ClientId(77);
