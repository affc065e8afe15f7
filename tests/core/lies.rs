//! What no library would tell on its ring: who tells it is disconnected, and what it holds stays until it is gone.

use plasmad_core::residence::{Entry, Grant, Named};
use plasmad_core::{ClientId, Effect, Event, Reply, Verb};
use plasmad_wire::Handle;
use plasmad_wire::limits::METADATA_BYTES_MAX;

use super::grants::{MIB, handle, named, own, put, roomy};
use super::{Fixture, created, name, outcomes};

/// Client 1 tells something about a slot it was handed, or what lies beside; client 3 puts something at the same time.
fn tells_a_lie(lie: impl FnOnce(&mut Fixture, &Grant) -> Entry, said: &str) {
    let mut store = roomy();
    assert_eq!((store.granted(1, 128, 4), store.granted(3, 64, 2)), (4, 2));
    let good = store.puts(1, 1, 128);
    let grant = store.takes(1);
    let lie = lie(&mut store, &grant);
    store.tells(1, lie);
    store.lets_go(1, &grant);
    // What comes behind the lie isn't believed, true or not.
    let behind = store.takes(1);
    store.tells(1, put(1, 99, 128, &behind));
    let others = store.puts(3, 1, 64);

    let effects = store.happens(Event::Tick);
    let [Effect::Expel { client: ClientId(1), why }] = effects[..] else { panic!("{said}: {effects:?}") };
    assert!(why.contains(said), "{said}: {why}");
    assert!(store.is_there(good) && store.is_there(others), "{said}");
    assert!(!store.is_there(own(1, 99)), "{said}");
    assert_eq!(store.happens(Event::Tick), [], "it is disconnected once");

    // It may still write wherever it was ever handed something: none of that is taken back.
    let held = store.stats().granted_bytes;
    assert!(held >= 2 * 128, "{said}: {held}");
    store.happens(Event::ConnectionClosed { client: ClientId(1) });
    assert_eq!(outcomes(&store.create(2, 10, 0, 10, MIB - 2 * 128)), [(10, '-')], "{said}");
    assert!(store.stats().granted_bytes >= 2 * 128, "{said}");
    let client = ClientId(1);
    assert_eq!(store.happens(Event::ClientGone { client }), [Effect::Forget { client }]);
    assert_eq!(store.stats().granted_bytes, 0, "{said}");

    // The others have noticed nothing.
    assert_eq!(store.asks(2, 5, Verb::Delete { ids: vec![good, others] }), [(2, 5, Reply::Done(2))]);
    assert_eq!(store.granted(3, 64, 1), 1);
    let more = store.puts(3, 2, 64);
    assert!(store.is_there(more), "{said}");
}

#[test]
fn who_tells_of_an_id_that_is_not_its_own_is_disconnected() {
    let lie = |grant: &Grant, id| Named { id, ..named(1, 1, grant.extent.bytes) };
    tells_a_lie(|_, grant| Entry::Put(handle(grant), lie(grant, own(2, 1))), "its number");
    tells_a_lie(|_, grant| Entry::Create(handle(grant), lie(grant, name(200))), "its number");
}

#[test]
fn who_tells_of_a_slot_that_it_was_not_granted_is_disconnected() {
    let said = "was not granted";
    let elsewhere = |slot, generation| Entry::Put(Handle { slot, generation }, named(1, 2, 64));
    tells_a_lie(|_, grant| elsewhere(grant.slot.0, grant.generation + 1), said);
    tells_a_lie(|_, _| elsewhere(u32::MAX, 1), said);
    tells_a_lie(|_, _| elsewhere(99, 1), said);
    tells_a_lie(
        |store, _| {
            let others = store.takes(3);
            store.lets_go(3, &others);
            Entry::Put(handle(&others), named(1, 2, 64))
        },
        said,
    );
}

#[test]
fn who_tells_the_same_twice_is_disconnected() {
    tells_a_lie(
        |store, grant| {
            store.tells(1, put(1, 2, 128, grant));
            put(1, 2, 128, grant)
        },
        "was not granted",
    );
    tells_a_lie(
        |store, grant| {
            store.tells(1, Entry::Create(handle(grant), named(1, 2, 128)));
            store.tells(1, Entry::Seal(handle(grant)));
            Entry::Seal(handle(grant))
        },
        "has not created",
    );
}

#[test]
fn who_seals_or_gives_up_what_it_has_not_created_is_disconnected() {
    let said = "has not created";
    for ends in [Entry::Seal, Entry::Abort] {
        tells_a_lie(|_, grant| ends(handle(grant)), said);
        tells_a_lie(|_, _| ends(Handle { slot: 77, generation: 1 }), said);
        // An object that somebody else writes, and one that is there.
        tells_a_lie(|store, _| ends(created(&store.create(2, 3, 0, 3, 64))), said);
        tells_a_lie(|_, _| ends(Handle { slot: 0, generation: 1 }), said);
    }
}

#[test]
fn who_tells_of_more_than_fits_its_slot_is_disconnected() {
    let said = "longer than its grant";
    let long = |data_bytes, metadata_bytes| Named { metadata_bytes, ..named(1, 2, data_bytes) };
    for lie in [long(129, 0), long(128, 1), long(0, 129), long(u64::MAX, 1), long(0, METADATA_BYTES_MAX + 1)] {
        tells_a_lie(|_, grant| Entry::Put(handle(grant), lie), said);
        tells_a_lie(|_, grant| Entry::Create(handle(grant), lie), said);
    }
}

#[test]
fn who_tells_what_cannot_be_read_is_disconnected() {
    tells_a_lie(|_, _| Entry::Unreadable("nonsense"), "nonsense");
}

#[test]
fn objects_that_a_liar_was_writing_stay_until_it_is_gone() {
    let mut store = roomy();
    assert_eq!(store.granted(1, 128, 2), 2);
    let grant = store.takes(1);
    store.tells(1, Entry::Create(handle(&grant), named(1, 1, 128)));
    store.lets_go(1, &grant);
    let socket = created(&store.create(1, 3, 0, 3, 128));
    store.tells(1, Entry::Unreadable("nonsense"));
    let client = ClientId(1);
    assert_eq!(store.happens(Event::Tick), [Effect::Expel { client, why: "nonsense" }]);
    assert_eq!(store.happens(Event::ConnectionClosed { client }), []);
    // What it says from here on isn't heard.
    store.tells(1, Entry::Seal(socket));
    assert_eq!(store.happens(Event::Tick), []);
    let stats = store.stats();
    assert_eq!((stats.created, stats.unsealed_bytes, stats.granted_bytes), (2, 256, 128));
    assert_eq!(store.happens(Event::ClientGone { client }), [Effect::Forget { client }]);
    let stats = store.stats();
    assert_eq!((stats.slots_used, stats.granted_bytes, stats.largest_hole_bytes), (0, 0, MIB));
}
