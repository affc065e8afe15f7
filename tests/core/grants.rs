//! Memory handed out ahead: who is handed how much, what is told of it, and how it is taken back.

use plasmad_core::effect::Holding;
use plasmad_core::event::Wanted;
use plasmad_core::residence::{Entry, Grant, Named};
use plasmad_core::{ClientId, Config, Effect, Event, Refusal, Reply, Residence, Store, Upkeep, Verb, WhenFull};
use plasmad_wire::limits::{FOREVER, GRANT_BYTES_MAX, GRANTS_MAX};
use plasmad_wire::value::{GetStatus, ObjectState};
use plasmad_wire::{Format, Handle, ObjectId, Role};

use super::{Fixture, created, outcomes, replies, wanted};
use crate::support::Pages;

/// What clients do by themselves.
impl Fixture {
    /// How many slots a client is handed.
    pub(super) fn granted(&mut self, client: u64, bytes: u64, count: u32) -> u32 {
        match self.asks(client, 2, Verb::Grant { bytes, count })[..] {
            [(_, 2, Reply::Done(count))] => count,
            ref other => panic!("{other:?}"),
        }
    }

    /// A client takes the next slot it was handed, and claims it.
    pub(super) fn takes(&mut self, client: u64) -> Grant {
        let (grant, word) = self.pages.take_grant(ClientId(client)).expect("it was handed one");
        word.expect("its page isn't full");
        grant
    }

    pub(super) fn tells(&mut self, client: u64, entry: Entry) {
        self.pages.tell(ClientId(client), entry);
    }

    pub(super) fn lets_go(&mut self, client: u64, grant: &Grant) {
        self.pages.let_go(ClientId(client), handle(grant));
    }

    /// A client puts an object without a word; its id.
    pub(super) fn puts(&mut self, client: u64, number: u8, bytes: u64) -> ObjectId {
        let grant = self.takes(client);
        self.tells(client, put(client, number, bytes, &grant));
        self.lets_go(client, &grant);
        own(client, number)
    }

    /// An id is that of a sealed object.
    pub(super) fn is_there(&mut self, id: ObjectId) -> bool {
        self.asks(2, 99, Verb::Contains { ids: vec![id] }) == [(2, 99, Reply::Present(vec![true]))]
    }

    fn state_of(&mut self, id: ObjectId) -> Option<ObjectState> {
        match &self.asks(2, 99, Verb::Stat { id })[..] {
            [(_, _, Reply::Described(object))] => Some(object.state),
            _ => None,
        }
    }

    /// Client 3 creates small objects.
    fn fill(&mut self, ids: std::ops::Range<u8>) {
        for id in ids {
            created(&self.create(3, 1, 0, id, 64));
        }
    }

    fn waits_for(&mut self, client: u64, number: u64, id: ObjectId) -> Vec<(u64, u64, Reply)> {
        self.asks(client, number, Verb::Get { timeout_ns: FOREVER, partial: false, ids: vec![id] })
    }
}

/// A store with room for grants.
pub(super) fn roomy() -> Fixture {
    Fixture::new(MIB, WhenFull::Refuse)
}

/// An id that a client may tell of.
pub(super) fn own(client: u64, number: u8) -> ObjectId {
    let mut bytes = [0; ObjectId::BYTES];
    bytes[..8].copy_from_slice(&client.to_le_bytes());
    (bytes[8], bytes[27]) = (number, 0xcc);
    ObjectId::new(bytes)
}

pub(super) fn named(client: u64, number: u8, data_bytes: u64) -> Named {
    Named { id: own(client, number), data_bytes, metadata_bytes: 0, format: Format::Raw, evictable: true }
}

pub(super) fn put(client: u64, number: u8, bytes: u64, grant: &Grant) -> Entry {
    Entry::Put(handle(grant), named(client, number, bytes))
}

pub(super) fn handle(grant: &Grant) -> Handle {
    Handle { slot: grant.slot.0, generation: grant.generation }
}

/// Whose requests were answered, in their order.
fn answered(replies: &[(u64, u64, Reply)]) -> Vec<(u64, u64)> {
    replies.iter().map(|(client, number, _)| (*client, *number)).collect()
}

#[test]
fn a_put_told_on_a_ring_is_known_to_every_request_that_comes_after() {
    let mut store = roomy();
    store.granted(1, 128, 12);
    let mut number = 0;
    let mut put = |store: &mut Fixture| {
        number += 1;
        store.puts(1, number, 100)
    };
    let id = put(&mut store);
    assert!(store.is_there(id));
    let id = put(&mut store);
    assert_eq!(store.state_of(id), Some(ObjectState::Sealed));
    let id = put(&mut store);
    let answer = store.asks(2, 5, Verb::Get { timeout_ns: 0, partial: false, ids: vec![id] });
    assert!(matches!(answer[..], [(2, 5, Reply::Got { timed_out: false, .. })]), "{answer:?}");
    let id = put(&mut store);
    let answer = store.asks(2, 6, Verb::Wait { timeout_ns: 0, count: 1, ids: vec![id] });
    assert_eq!(answer, [(2, 6, Reply::Present(vec![true]))]);
    put(&mut store);
    let answer = store.asks(2, 7, Verb::List { cursor: 0, limit: 100 });
    assert!(matches!(answer[..], [(2, 7, Reply::Listed { total: 5, .. })]), "{answer:?}");
    put(&mut store);
    let stats = store.stats();
    assert_eq!((stats.sealed, stats.totals.puts_by_ring, stats.totals.creates, stats.totals.seals), (6, 6, 6, 6));
    let id = put(&mut store);
    assert_eq!(store.asks(2, 8, Verb::Delete { ids: vec![id] }), [(2, 8, Reply::Done(1))]);
    assert!(!store.is_there(id));
    let id = put(&mut store);
    let answer = store.asks(2, 9, Verb::Create { timeout_ns: 0, objects: vec![Wanted { id, ..wanted(1, 64) }] });
    assert_eq!(answer, [(2, 9, Reply::Refused(Refusal::Exists(id)))]);
}

#[test]
fn an_object_takes_what_it_needs_of_its_slot_and_the_rest_is_free() {
    let mut store = roomy();
    assert_eq!(store.granted(1, 4096, 2), 2);
    let stats = store.stats();
    assert_eq!((stats.granted_bytes, stats.used_bytes, stats.free_bytes), (8192, 0, MIB));
    assert_eq!((stats.largest_hole_bytes, stats.slots_used), (MIB, 0));
    store.puts(1, 1, 100);
    let empty = store.puts(1, 2, 0);
    let stats = store.stats();
    assert_eq!((stats.granted_bytes, stats.used_bytes, stats.free_bytes), (0, 128, MIB - 128));
    assert_eq!((stats.largest_hole_bytes, stats.slots_used, stats.sealed), (MIB - 128, 2, 2));
    assert!(store.is_there(empty));
}

#[test]
fn a_get_that_waits_is_expected_until_it_is_answered() {
    let mut store = roomy();
    store.granted(1, 64, 4);
    let id = own(1, 7);
    assert!(!store.pages.is_expected(id));
    assert_eq!(store.waits_for(2, 10, id), []);
    assert_eq!(store.waits_for(3, 11, id), []);
    assert!(store.pages.is_expected(id));
    store.happens(Event::Cancelled { client: ClientId(3), number: 11 });
    assert!(store.pages.is_expected(id), "one still waits");
    store.puts(1, 7, 64);
    assert_eq!(answered(&replies(store.happens(Event::Rung))), [(2, 10)]);
    assert!(!store.pages.is_expected(id));
}

#[test]
fn nobody_is_expected_by_those_whose_time_is_up_or_who_are_gone() {
    let mut store = roomy();
    let [first, second, third] = [1, 2, 3].map(|number| own(1, number));
    assert_eq!(store.asks(2, 10, Verb::Get { timeout_ns: 100, partial: false, ids: vec![first, first] }), []);
    assert_eq!(store.asks(3, 11, Verb::Wait { timeout_ns: FOREVER, count: 1, ids: vec![second, third] }), []);
    assert!([first, second, third].iter().all(|id| store.pages.is_expected(*id)));
    assert_eq!(answered(&store.ticks_at(100)), [(2, 10)]);
    assert!(!store.pages.is_expected(first));
    store.happens(Event::ConnectionClosed { client: ClientId(3) });
    assert!(!store.pages.is_expected(second) && !store.pages.is_expected(third));
}

#[test]
fn a_put_made_without_a_sound_just_before_somebody_waits_for_it_is_not_missed() {
    for waits in [
        Verb::Get { timeout_ns: FOREVER, partial: false, ids: vec![own(1, 7)] },
        Verb::Wait { timeout_ns: FOREVER, count: 1, ids: vec![own(1, 6), own(1, 7)] },
    ] {
        let mut store = roomy();
        store.granted(1, 64, 1);
        let grant = store.takes(1);
        store.pages.tell_when_expected(ClientId(1), put(1, 7, 64, &grant));
        assert_eq!(answered(&store.asks(2, 10, waits)), [(2, 10)]);
        assert!(!store.pages.is_expected(own(1, 7)) && !store.pages.is_expected(own(1, 6)));
    }
}

#[test]
fn grants_are_taken_back_for_a_create_that_needs_the_room() {
    let mut store = roomy();
    assert_eq!((store.granted(1, 4096, 3), store.granted(2, 64, 5)), (3, 5));
    // As much as is left beside the grants needs none of them.
    created(&store.create(3, 10, 0, 10, 512 << 10));
    assert_eq!(store.stats().granted_bytes, 3 * 4096 + 5 * 64);
    assert_eq!(store.asks(3, 4, Verb::Abort { handles: vec![Handle { slot: 8, generation: 1 }] }).len(), 1);
    let handle = created(&store.create(3, 11, 0, 11, MIB));
    let stats = store.stats();
    assert_eq!((stats.granted_bytes, stats.used_bytes, stats.free_bytes), (0, MIB, 0));
    assert!(store.pages.take_grant(ClientId(1)).is_none() && store.pages.take_grant(ClientId(2)).is_none());
    // They go on when there is room again.
    store.asks(3, 4, Verb::Abort { handles: vec![handle] });
    assert_eq!(store.granted(1, 64, 1), 1);
    let id = store.puts(1, 1, 64);
    assert!(store.is_there(id));
}

#[test]
fn a_create_that_fits_nowhere_even_so_waits_and_others_are_handed_nothing_meanwhile() {
    let mut store = roomy();
    let held = created(&store.create(3, 1, 0, 1, 64));
    assert_eq!(store.granted(1, 64, 4), 4);
    assert_eq!(store.create(2, 10, FOREVER, 10, MIB), []);
    assert_eq!(store.granted(1, 64, 4), 0, "what is free now is for those in line");
    assert_eq!(outcomes(&store.asks(3, 9, Verb::Abort { handles: vec![held] })), [(10, '+')]);
}

#[test]
fn a_claimed_slot_stays_until_its_client_rings() {
    let mut store = roomy();
    assert_eq!(store.granted(1, 64, 3), 3);
    let grant = store.takes(1);
    // A claim on what somebody else was granted keeps nothing.
    store.pages.pin(ClientId(3), grant.slot, grant.generation).expect("its page is empty");
    match &store.create(2, 10, 0, 10, MIB)[..] {
        [(2, 10, Reply::Refused(Refusal::Full(shortage)))] => {
            let left = MIB - 64;
            assert_eq!((shortage.free, shortage.largest_hole, shortage.pinned), (left, left, 64), "{shortage:?}");
            let named = |holding: &Holding| (holding.client.0, holding.pins, holding.bytes);
            assert_eq!(shortage.holders.iter().map(named).collect::<Vec<_>>(), [(1, 1, 64), (3, 1, 0)]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.stats().granted_bytes, 64, "only what is claimed is left");
    assert_eq!(store.create(2, 11, FOREVER, 11, MIB), []);
    assert!(store.pages.is_wanted());
    assert!(store.pages.take_grant(ClientId(1)).is_none());
    store.lets_go(1, &grant);
    assert_eq!(outcomes(&replies(store.happens(Event::Rung))), [(11, '+')]);
}

#[test]
fn a_slot_that_stays_can_be_used_as_if_nothing_had_been() {
    let mut store = roomy();
    store.granted(1, 64, 3);
    let grant = store.takes(1);
    assert_eq!(outcomes(&store.create(2, 10, 0, 10, MIB)), [(10, '-')]);
    assert!(store.pages.is_granted(&grant));
    store.tells(1, put(1, 1, 64, &grant));
    store.lets_go(1, &grant);
    assert!(store.is_there(own(1, 1)));
}

#[test]
fn what_is_told_between_the_mark_and_the_look_for_claims_is_not_lost() {
    let mut store = roomy();
    store.granted(1, 64, 3);
    let grant = store.takes(1);
    store.pages.tell_when_revoked(ClientId(1), put(1, 1, 64, &grant));
    assert_eq!(outcomes(&store.create(2, 10, 0, 10, MIB)), [(10, '-')]);
    assert!(store.is_there(own(1, 1)));
    assert_eq!(store.stats().granted_bytes, 0);
    created(&store.create(2, 11, 0, 11, MIB - 64));
}

#[test]
fn an_id_told_while_somebody_else_looks_for_room_under_it_is_taken() {
    for full_table in [false, true] {
        let mut store = roomy();
        assert_eq!(store.granted(1, 64, 2), 2);
        let grant = store.takes(1);
        if full_table {
            store.fill(100..197);
        }
        store.pages.tell_when_revoked(ClientId(1), put(1, 7, 64, &grant));
        let object = |bytes| Wanted { id: own(1, 7), ..wanted(1, bytes) };
        let objects = if full_table { vec![wanted(99, 64), object(64)] } else { vec![object(MIB - 64)] };
        let answer = store.asks(2, 10, Verb::Create { timeout_ns: 0, objects });
        assert_eq!(answer, [(2, 10, Reply::Refused(Refusal::Exists(own(1, 7))))], "full table: {full_table}");
        assert_eq!(store.state_of(own(1, 7)), Some(ObjectState::Sealed));
        assert_eq!(store.asks(2, 11, Verb::Delete { ids: vec![own(1, 7)] }), [(2, 11, Reply::Done(1))]);
        assert_eq!(store.state_of(own(1, 7)), None);
    }
}

#[test]
fn who_comes_when_a_ring_tells_something_passes_those_who_wait_if_that_leaves_them_without_room() {
    let mut store = roomy();
    assert_eq!(store.granted(1, 4096, 1), 1);
    let grant = store.takes(1);
    assert_eq!(store.create(2, 10, FOREVER, 10, MIB), []);
    store.tells(1, Entry::Put(handle(&grant), Named { evictable: false, ..named(1, 1, 64) }));
    assert_eq!(outcomes(&store.create(3, 11, 0, 11, 64)), [(11, '+')]);
}

#[test]
fn what_an_object_leaves_of_its_slot_serves_those_who_wait() {
    let mut store = roomy();
    assert_eq!(store.granted(1, 4096, 1), 1);
    let grant = store.takes(1);
    assert_eq!(store.create(2, 10, FOREVER, 10, MIB - 64), []);
    store.tells(1, Entry::Put(handle(&grant), Named { evictable: false, ..named(1, 1, 64) }));
    // It has not let go and rung yet; whatever happens, what it left is there.
    assert_eq!(outcomes(&replies(store.happens(Event::Tick))), [(10, '+')]);
}

#[test]
fn a_create_in_line_is_refused_as_soon_as_its_id_is_told_on_a_ring() {
    let mut store = roomy();
    assert_eq!(store.granted(1, 64, 1), 1);
    let grant = store.takes(1);
    let object = Wanted { id: own(1, 7), ..wanted(1, MIB) };
    assert_eq!(store.asks(2, 10, Verb::Create { timeout_ns: FOREVER, objects: vec![object] }), []);
    store.tells(1, Entry::Put(handle(&grant), Named { evictable: false, ..named(1, 7, 64) }));
    assert_eq!(outcomes(&replies(store.happens(Event::Tick))), [(10, '!')]);
}

#[test]
fn what_the_dead_had_told_is_sealed_and_the_rest_is_free() {
    let mut store = roomy();
    assert_eq!(store.granted(1, 128, 4), 4);
    let id = store.puts(1, 1, 100);
    // It died with a claim, before it could tell.
    store.takes(1);
    let creating = store.takes(1);
    store.tells(1, Entry::Create(handle(&creating), named(1, 2, 100)));
    let client = ClientId(1);
    assert_eq!(store.happens(Event::ClientGone { client }), [Effect::Forget { client }]);
    assert!(store.is_there(id));
    assert_eq!(store.state_of(own(1, 2)), None);
    let stats = store.stats();
    assert_eq!((stats.granted_bytes, stats.used_bytes, stats.largest_hole_bytes), (0, 128, MIB - 128));
    assert_eq!((stats.slots_used, stats.totals.aborts), (1, 1));
}

#[test]
fn a_closed_connection_keeps_what_its_client_claims_and_no_more() {
    let mut store = roomy();
    assert_eq!(store.granted(1, 64, 4), 4);
    let grant = store.takes(1);
    let client = ClientId(1);
    assert_eq!(store.happens(Event::ConnectionClosed { client }), []);
    assert_eq!(store.stats().granted_bytes, 64);
    // Its process lives, and is in the middle of a put.
    store.tells(1, put(1, 1, 64, &grant));
    store.lets_go(1, &grant);
    assert!(store.is_there(own(1, 1)));
    assert_eq!(store.happens(Event::ClientGone { client }), [Effect::Forget { client }]);
    assert!(store.is_there(own(1, 1)));
    let other = ClientId(2);
    assert_eq!(store.granted(2, 64, 4), 4);
    assert_eq!(store.happens(Event::ConnectionClosed { client: other }), [Effect::Forget { client: other }]);
}

#[test]
fn what_is_created_on_a_ring_is_unsealed_until_its_creator_says_so() {
    let mut store = roomy();
    assert_eq!(store.granted(1, 4096, 3), 3);
    let grants = [1, 2, 3].map(|number| {
        let grant = store.takes(1);
        store.tells(1, Entry::Create(handle(&grant), named(1, number, 100)));
        store.lets_go(1, &grant);
        grant
    });
    assert_eq!(store.state_of(own(1, 1)), Some(ObjectState::Created));
    let stats = store.stats();
    assert_eq!((stats.created, stats.unsealed_bytes, stats.used_bytes, stats.granted_bytes), (3, 300, 384, 0));
    let refused = store.asks(2, 5, Verb::Delete { ids: vec![own(1, 1)] });
    assert_eq!(refused, [(2, 5, Reply::Refused(Refusal::NotSealed(own(1, 1))))]);
    let answer = store.asks(2, 6, Verb::Get { timeout_ns: 0, partial: false, ids: vec![own(1, 1)] });
    let unsealed = plasmad_core::effect::Got::Not(GetStatus::Unsealed);
    assert_eq!(answer, [(2, 6, Reply::Got { timed_out: true, objects: vec![unsealed] })]);
    // One is sealed on the ring, one over the socket, one is given up.
    assert_eq!(store.waits_for(2, 10, own(1, 1)), []);
    store.tells(1, Entry::Seal(handle(&grants[0])));
    assert_eq!(answered(&replies(store.happens(Event::Rung))), [(2, 10)]);
    let seals = Verb::Seal { handles: vec![handle(&grants[1])] };
    assert_eq!(store.asks(1, 7, seals), [(1, 7, Reply::Done(1))]);
    store.tells(1, Entry::Abort(handle(&grants[2])));
    let stats = store.stats();
    assert_eq!((stats.created, stats.sealed, stats.used_bytes, stats.totals.aborts), (0, 2, 256, 1));
    assert_eq!(stats.totals.puts_by_ring, 1);
    // Its slot can be handed out again.
    assert_eq!(store.granted(1, 4096, 1), 1);
    let again = store.takes(1);
    assert_eq!((again.slot, again.generation), (grants[2].slot, grants[2].generation + 1));
}

#[test]
fn what_was_created_over_the_socket_is_sealed_or_given_up_on_a_ring() {
    let mut store = roomy();
    let [sealed, given_up] = [1, 2].map(|id| created(&store.create(1, 10, 0, id, 64)));
    store.tells(1, Entry::Seal(sealed));
    store.tells(1, Entry::Abort(given_up));
    assert!(store.is_sealed(1));
    assert_eq!(store.stats().slots_used, 1);
}

#[test]
fn a_put_whose_id_somebody_else_took_is_nobodys_and_keeps_its_place_while_it_is_claimed() {
    let mut store = roomy();
    let objects = vec![Wanted { id: own(1, 1), ..wanted(1, 64) }];
    let theirs = created(&store.asks(2, 10, Verb::Create { timeout_ns: 0, objects }));
    assert_eq!(store.granted(1, 64, 1), 1);
    let grant = store.takes(1);
    store.tells(1, put(1, 1, 64, &grant));
    assert_eq!(store.happens(Event::Rung), []);
    assert_eq!(store.state_of(own(1, 1)), Some(ObjectState::Created), "it is the other's");
    // Whoever put it may read it by its place: that stays as it is as long as it is claimed.
    assert_eq!(outcomes(&store.create(3, 11, 0, 11, MIB - 64)), [(11, '-')]);
    store.lets_go(1, &grant);
    created(&store.create(3, 12, 0, 12, MIB - 64));
    assert_eq!(store.asks(2, 13, Verb::Seal { handles: vec![theirs] }), [(2, 13, Reply::Done(1))]);
}

#[test]
fn who_creates_under_an_id_that_somebody_else_took_writes_into_memory_of_its_own() {
    for ends in [Entry::Seal, Entry::Abort] {
        let mut store = roomy();
        let objects = vec![Wanted { id: own(1, 1), ..wanted(1, 64) }];
        created(&store.asks(2, 10, Verb::Create { timeout_ns: 0, objects }));
        assert_eq!(store.granted(1, 64, 1), 1);
        let grant = store.takes(1);
        store.tells(1, Entry::Create(handle(&grant), named(1, 1, 64)));
        store.lets_go(1, &grant);
        // Nobody told it, so it goes on writing: its place is nobody else's until it says that it is done.
        assert_eq!(outcomes(&store.create(3, 11, 0, 11, MIB - 64)), [(11, '-')]);
        store.tells(1, ends(handle(&grant)));
        assert_eq!(store.happens(Event::Rung), [], "it lied to nobody");
        assert_eq!(store.state_of(own(1, 1)), Some(ObjectState::Created), "it is the other's");
        created(&store.create(3, 12, 0, 12, MIB - 64));
    }
}

#[test]
fn clients_that_tell_nothing_for_a_second_give_back_what_they_have() {
    let mut store = roomy();
    assert_eq!(store.granted(1, 64, 4), 4);
    assert_eq!(store.store.next_deadline(), Some(SECOND));
    assert_eq!(store.ticks_at(SECOND / 2), []);
    store.puts(1, 1, 64);
    assert_eq!(store.granted(2, 64, 1), 1);
    store.ticks_at(SECOND);
    assert_eq!(store.stats().granted_bytes, 4 * 64, "both were busy half a second ago");
    assert_eq!(store.store.next_deadline(), Some(2 * SECOND));
    // One that claims something keeps that.
    store.takes(1);
    store.ticks_at(2 * SECOND);
    assert_eq!(store.stats().granted_bytes, 64);
    assert_eq!(store.store.next_deadline(), Some(3 * SECOND));
    store.happens(Event::ClientGone { client: ClientId(1) });
    store.ticks_at(3 * SECOND);
    assert_eq!(store.store.next_deadline(), None, "nobody has anything");
}

#[test]
fn subscribers_hear_of_puts_without_a_sound_within_ten_milliseconds() {
    let mut store = roomy();
    store.now = SECOND;
    let subscribe = Verb::Subscribe { existing: false, queue_max: 9 };
    assert_eq!(store.asks(2, 50, subscribe), [(2, 50, Reply::Subscribed)]);
    assert_eq!(store.store.next_deadline(), None, "nobody can have told anything");
    assert_eq!(store.granted(1, 64, 2), 2);
    let look = SECOND + SECOND / 100;
    assert_eq!(store.store.next_deadline(), Some(look));
    let id = store.puts(1, 1, 64);
    assert!(!store.store.has_changes(ClientId(2)));
    store.ticks_at(look);
    assert_eq!(store.store.take_fresh_subscribers(), [ClientId(2)]);
    let heard = store.store.take_changes(ClientId(2), 9).expect("client 2 has a subscription");
    assert_eq!(heard.changes.iter().map(|change| change.id).collect::<Vec<_>>(), [id]);
    assert_eq!(store.store.next_deadline(), Some(look + SECOND / 100));
    store.happens(Event::Cancelled { client: ClientId(2), number: 50 });
    assert_eq!(store.store.next_deadline(), Some(2 * SECOND), "but for those who give back");
}

#[test]
fn grants_are_taken_back_before_a_create_is_told_that_there_are_too_many_objects() {
    let (when_full, upkeep) = (WhenFull::Refuse, Upkeep::NONE);
    let config = Config { capacity_bytes: MIB, slots_max: 16, hash_seed: [1, 2], when_full, upkeep, spill: None };
    let mut store = Fixture { store: Store::new(config), pages: Pages::new(16), now: 0, errand: None };
    for client in 1..=3 {
        store.happens(Event::ClientJoined { client: ClientId(client), role: Role::Writer, pushes: true });
    }
    assert_eq!((store.granted(1, 64, 9), store.granted(2, 64, 9)), (2, 1));
    let held = store.takes(1);
    store.fill(1..14);
    assert_eq!(store.stats().granted_bytes, 3 * 64);
    let objects = (20..23).map(|id| wanted(id, 64)).collect();
    let full = store.asks(3, 9, Verb::Create { timeout_ns: 0, objects });
    assert!(matches!(full[..], [(3, 9, Reply::Refused(Refusal::TableFull { objects_max: 16 }))]), "{full:?}");
    assert_eq!(store.stats().granted_bytes, 64, "one is claimed");
    store.fill(20..22);
    store.tells(1, put(1, 1, 64, &held));
    assert!(store.is_there(own(1, 1)), "the claimed one is there to be used");
}

#[test]
fn a_client_is_handed_a_part_of_what_is_free() {
    let mut store = Fixture::new(MIB, WhenFull::Refuse);
    // An eighth of the free slots, and a sixteenth of the memory.
    assert_eq!(store.granted(1, 64, 500), 100 / 8);
    assert_eq!(store.granted(2, 64 << 10, 500), 1);
    assert_eq!(store.granted(3, GRANT_BYTES_MAX, 0), 0);
    assert_eq!(store.granted(2, 64, 500), 0, "it has its share");
    assert_eq!(store.granted(3, 63 << 10, 500), 1);
}

#[test]
fn a_run_that_fits_no_hole_is_pieced_together() {
    let mut store = Fixture::new(16 * 4096, WhenFull::Refuse);
    // Every other one of 1 KiB is free, and a piece at the end.
    let made: Vec<Handle> = (1..=62).map(|id| created(&store.create(3, 1, 0, id, 1024))).collect();
    store.asks(3, 1, Verb::Abort { handles: made.iter().copied().step_by(2).collect() });
    assert_eq!(store.granted(1, 512, 8), 8, "eight of them are more than any hole");
}

#[test]
fn a_full_cache_makes_room_for_grants_of_what_was_used_least_recently_wherever_it_lies() {
    let mut store = Fixture::new(MIB, WhenFull::Evict);
    store.put(100, MIB - 8 * 2048);
    (1..=8).for_each(|id| store.put(id, 2048));
    for used in [100, 1, 3, 5, 6] {
        let release = store.pin(2, used);
        store.asks(2, 1, release);
    }
    assert_eq!(store.granted(1, 2048, 9), 2, "a 256th of it");
    let left: Vec<u8> = (1..=8).chain([100]).filter(|id| store.is_sealed(*id)).collect();
    assert_eq!(left, [1, 3, 5, 6, 7, 8, 100]);
    // What a smaller object leaves of its place is there for others, before anything goes for them.
    assert_eq!((store.puts(1, 1, 2048), store.puts(1, 2, 64)), (own(1, 1), own(1, 2)));
    assert_eq!(store.granted(2, 512, 9), 8, "3 from what is left of the last, and 5 from two others");
    let left: Vec<u8> = (1..=8).chain([100]).filter(|id| store.is_sealed(*id)).collect();
    assert_eq!(left, [1, 3, 5, 6, 100]);
}

#[test]
fn grants_are_refused_to_whom_they_are_not_for() {
    let mut store = roomy();
    store.happens(Event::ClientJoined { client: ClientId(8), role: Role::Writer, pushes: false });
    store.happens(Event::ClientJoined { client: ClientId(9), role: Role::Reader, pushes: true });
    let mut refused = |client, bytes, count| match &store.asks(client, 1, Verb::Grant { bytes, count })[..] {
        [(_, _, Reply::Refused(refusal))] => Some(refusal.clone()),
        _ => None,
    };
    assert_eq!(refused(9, 64, 1), Some(Refusal::Denied));
    assert!(matches!(refused(8, 64, 1), Some(Refusal::Malformed(_))));
    assert!(matches!(refused(1, 0, 1), Some(Refusal::Limit { limit: GRANT_BYTES_MAX, .. })));
    assert!(matches!(refused(1, GRANT_BYTES_MAX + 1, 1), Some(Refusal::Limit { limit: GRANT_BYTES_MAX, .. })));
    let most = u64::from(GRANTS_MAX);
    assert!(matches!(refused(1, 64, GRANTS_MAX + 1), Some(Refusal::Limit { limit, .. }) if limit == most));
}

pub(super) const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;
