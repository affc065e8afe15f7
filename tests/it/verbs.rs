//! Every verb of the Rust client over the real socket, with its errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plasmad_client::testing::Daemon;
use plasmad_client::{
    CreateOptions, Error, Format, ObjectId, ObjectState, Options, Outcome, Pending, Role, Store, Timeout, id,
};

use super::numbers::{number, stats, until_numbers};

#[test]
fn an_object_is_created_written_and_sealed_and_only_then_seen() {
    let (_daemon, store) = start();
    let options = CreateOptions { metadata: b"about".to_vec(), format: Format::Arrow, ..named("x") };
    let mut writer = store.create(11, &options).expect("create");
    writer.copy_from_slice(b"hello there");
    assert_eq!(writer.id(), id::from_name("x"));
    assert!(!store.contains(writer.id()).expect("contains"));
    let stat = store.stat(writer.id()).expect("stat");
    assert_eq!((stat.state, stat.sealed_unix_ns), (ObjectState::Created, None));
    let id = writer.seal().expect("seal");
    let buffer = store.get(id, Timeout::NO_WAIT).expect("get");
    assert_eq!((&buffer[..], buffer.metadata(), buffer.format()), (&b"hello there"[..], &b"about"[..], Format::Arrow));
    assert_eq!((buffer.id(), buffer.as_ptr().addr() % 64), (id, 0));
}

#[test]
fn an_aborted_or_dropped_writer_leaves_nothing() {
    let (_daemon, store) = start();
    store.create(MIB, &named("x")).expect("create").abort().expect("abort");
    drop(store.create(MIB, &named("x")).expect("the id is free again"));
    until_numbers(&store, &[("memory/used_bytes", 0), ("objects/created", 0), ("totals/aborts", 2)]);
}

#[test]
fn an_id_that_is_taken_is_refused_at_once_sealed_or_not() {
    let (_daemon, store) = start();
    let writer = store.create(1, &named("x")).expect("create");
    let exists = |result: Result<ObjectId, Error>| matches!(result, Err(Error::Exists { id, .. }) if id == name("x"));
    assert!(exists(store.put(b"y", &named("x"))));
    writer.seal().expect("seal");
    assert!(exists(store.put(b"y", &named("x"))));
    assert!(exists(store.create(MIB, &named("x")).map(|writer| writer.id())));
}

#[test]
fn objects_of_all_sizes_come_back_as_they_were_put() {
    let (_daemon, store) = start();
    for bytes in [0, 1, 63, 64, 65, 4096, 64 << 10, (64 << 10) + 1, 1 << 20, (5 << 20) + 7] {
        let data: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let id = store.put(&data, &CreateOptions::default()).expect("put");
        let buffer = store.get(id, Timeout::NO_WAIT).expect("get");
        assert!(buffer[..] == data, "{bytes} bytes");
    }
}

#[test]
fn many_are_put_all_or_none() {
    let (_daemon, store) = start();
    let data: Vec<Vec<u8>> = (0..100u8).map(|byte| vec![byte; 100]).collect();
    let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let ids = store.put_many(&data, None, &CreateOptions::default()).expect("put_many");
    let buffers = store.get_many(&ids, Timeout::NO_WAIT).expect("get_many");
    assert!(buffers.iter().zip(&data).all(|(buffer, data)| &buffer[..] == *data));

    // Small ones go in the frame, large ones through create and seal: one that is taken refuses either.
    let large = vec![1; 1 << 20];
    for data in [&[&b"a"[..], b"b"], &[&large[..], &large[..]]] {
        let before = number(&store, "memory/used_bytes");
        let refused = store.put_many(data, Some(&[name("new"), ids[0]]), &CreateOptions::default());
        assert!(matches!(refused, Err(Error::Exists { id, .. }) if id == ids[0]), "{refused:?}");
        assert!(!store.contains(name("new")).expect("contains"));
        assert_eq!(number(&store, "memory/used_bytes"), before);
    }
    let refused = store.put_many(&[b"a"], Some(&[]), &CreateOptions::default());
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    let refused = store.put_many(&[b"a"], None, &named("one for many"));
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    assert_eq!(store.put_many(&[], None, &CreateOptions::default()).expect("nothing"), []);
}

#[test]
fn a_get_of_many_pins_all_or_none_and_names_what_was_missing() {
    let (_daemon, store) = start();
    let there = store.put(b"there", &CreateOptions::default()).expect("put");
    let unsealed = store.create(1, &named("unsealed")).expect("create");
    let ids = [there, name("absent"), unsealed.id(), there];
    let got = store.get_many(&ids, Duration::from_millis(10));
    let Err(Error::Timeout { pending }) = got else { panic!("{got:?}") };
    assert_eq!(pending, [(name("absent"), Pending::Absent), (unsealed.id(), Pending::Unsealed)]);
    until_numbers(&store, &[("memory/pinned_bytes", 0)]);
    let twice = store.get_many(&[there, there], Timeout::NO_WAIT).expect("repeats are allowed");
    assert_eq!(store.stat(there).expect("stat").pins, 2);
    drop(twice);
    until_numbers(&store, &[("memory/pinned_bytes", 0)]);
    assert_eq!(store.get_many(&[], Timeout::NO_WAIT).expect("nothing").len(), 0);
}

#[test]
fn a_partial_get_gives_what_is_there() {
    let (_daemon, store) = start();
    let there = store.put(b"there", &CreateOptions::default()).expect("put");
    for timeout in [Duration::ZERO, Duration::from_millis(10)] {
        let got = store.get_partial(&[name("absent"), there], timeout).expect("get_partial");
        assert!(got[0].is_none());
        assert_eq!(got[1].as_deref(), Some(&b"there"[..]));
    }
}

#[test]
fn a_get_waits_for_the_seal() {
    let (daemon, store) = start();
    let writer = store.create(5, &named("x")).expect("create");
    let other = Store::connect(daemon.socket()).expect("connect");
    let getter = std::thread::spawn(move || other.get(name("x"), Timeout::None).map(|buffer| buffer.to_vec()));
    until_numbers(&store, &[("clients/gets_waiting", 1)]);
    let mut writer = writer;
    writer.copy_from_slice(b"ready");
    writer.seal().expect("seal");
    assert_eq!(getter.join().expect("the getter").expect("get"), b"ready");
}

#[test]
fn a_deleted_object_is_gone_at_once_and_its_memory_at_the_last_release() {
    let (_daemon, store) = start();
    let id = store.put(&vec![7; MIB as usize], &named("x")).expect("put");
    let buffer = store.get(id, Timeout::NO_WAIT).expect("get");
    assert_eq!(store.delete(&[id, name("absent"), id]).expect("delete"), 1);
    assert!(!store.contains(id).expect("contains"));
    assert!(matches!(store.get(id, Timeout::NO_WAIT), Err(Error::Timeout { .. })));
    assert!(number(&store, "memory/used_bytes") >= MIB);
    store.put(b"another", &named("x")).expect("the id is free again");
    assert!(buffer.iter().all(|byte| *byte == 7), "a pinned object changed");
    drop(buffer);
    store.delete(&[id]).expect("delete");
    until_numbers(&store, &[("memory/used_bytes", 0)]);
}

#[test]
fn an_unsealed_object_refuses_the_whole_delete() {
    let (_daemon, store) = start();
    let sealed = store.put(b"x", &CreateOptions::default()).expect("put");
    let writer = store.create(1, &CreateOptions::default()).expect("create");
    let refused = store.delete(&[sealed, writer.id()]);
    assert!(matches!(refused, Err(Error::NotSealed { id, .. }) if id == writer.id()), "{refused:?}");
    assert!(store.contains(sealed).expect("contains"));
}

#[test]
fn contains_and_wait_tell_of_each_in_order() {
    let (daemon, store) = start();
    let ids = ["a", "b", "c"].map(name);
    store.put(b"b", &named("b")).expect("put");
    assert_eq!(store.contains_many(&ids).expect("contains"), [false, true, false]);
    assert_eq!(store.wait(&ids, 1, Timeout::None).expect("wait"), [false, true, false]);
    assert_eq!(store.wait(&ids, 2, Duration::from_millis(10)).expect("time is no error"), [false, true, false]);
    let other = Store::connect(daemon.socket()).expect("connect");
    let waiter = std::thread::spawn(move || other.wait(&ids, 3, Timeout::None));
    until_numbers(&store, &[("clients/gets_waiting", 1)]);
    store.put_many(&[b"a", b"c"], Some(&[ids[0], ids[2]]), &CreateOptions::default()).expect("put_many");
    assert_eq!(waiter.join().expect("the waiter").expect("wait"), [true, true, true]);
    assert_eq!(number(&store, "memory/pinned_bytes"), 0);
    for (ids, count) in [(&ids[..], 0), (&ids[..], 4), (&[], 1)] {
        assert!(matches!(store.wait(ids, count, Timeout::NO_WAIT), Err(Error::Invalid { .. })));
    }
    let repeated = store.wait(&[ids[0], ids[0]], 1, Timeout::NO_WAIT);
    assert!(repeated.is_err(), "{repeated:?}");
    assert!(store.contains(ids[0]).expect("the connection stays"));
}

#[test]
fn stat_tells_all_about_an_object() {
    let (_daemon, store) = start();
    let options = CreateOptions { metadata: vec![1; 10], evictable: true, ..named("x") };
    let id = store.put(&[1; 1000], &options).expect("put");
    let buffer = store.get(id, Timeout::NO_WAIT).expect("get");
    let stat = store.stat(id).expect("stat");
    assert_eq!((stat.id, stat.state, stat.in_memory, stat.on_disk), (id, ObjectState::Sealed, true, false));
    assert_eq!((stat.data_bytes, stat.metadata_bytes, stat.evictable, stat.format), (1000, 10, true, Format::Raw));
    assert!(stat.sealed_unix_ns.expect("a moment") >= stat.created_unix_ns);
    assert_eq!(stat.extent.expect("a place").bytes, 1010);
    assert_eq!((stat.pins, stat.pinned_by.len()), (1, 1));
    let holder = &stat.pinned_by[0];
    let client = store.welcome().expect("welcome").client;
    assert_eq!((holder.client, holder.pid, holder.label.as_str()), (client, std::process::id(), "verbs"));
    drop(buffer);
    let absent = store.stat(name("absent"));
    assert!(matches!(&absent, Err(Error::NotFound { id, .. }) if *id == name("absent")), "{absent:?}");
    assert!(absent.unwrap_err().to_string().contains(&name("absent").to_string()));
}

#[test]
fn a_list_goes_on_over_many_pages() {
    let (_daemon, store) = start();
    assert_eq!(store.list(None).expect("list").objects, []);
    let data = vec![&b"x"[..]; 3000];
    let mut ids = store.put_many(&data, None, &CreateOptions::default()).expect("put_many");
    let listing = store.list(None).expect("list");
    assert_eq!(listing.total, 3000);
    let mut listed: Vec<ObjectId> = listing.objects.iter().map(|object| object.id).collect();
    listed.sort();
    ids.sort();
    assert!(listed == ids, "{} objects were listed", listed.len());
    for limit in [1, 1024, 1025, 2999] {
        let listing = store.list(Some(limit)).expect("list");
        assert_eq!((listing.objects.len() as u64, listing.total), (limit, 3000));
    }
}

#[test]
fn evict_drops_the_least_recently_used_evictable_objects_and_spills_others() {
    let (_daemon, store) = start();
    let evictable = |text| CreateOptions { evictable: true, ..named(text) };
    for text in ["old", "used", "pinned", "new"] {
        store.put(&vec![1; MIB as usize], &evictable(text)).expect("put");
    }
    store.put(&vec![1; MIB as usize], &named("kept")).expect("put");
    let pinned = store.get(name("pinned"), Timeout::NO_WAIT).expect("get");
    drop(store.get(name("used"), Timeout::NO_WAIT).expect("get"));
    let evicted = store.evict(MIB + 1).expect("evict");
    assert_eq!((evicted.asked_bytes, evicted.freed_bytes, evicted.dropped), (MIB + 1, 2 * MIB, 2));
    assert_eq!(left(&store), [false, true, true, false, true]);
    let evicted = store.evict(u64::MAX).expect("evict");
    assert_eq!((evicted.freed_bytes, evicted.dropped, evicted.spilled), (2 * MIB, 1, 1), "one dropped, one spilled");
    assert_eq!(left(&store), [false, false, true, false, true]);
    drop(pinned);
}

/// Which objects of the test above are there.
fn left(store: &Store) -> Vec<bool> {
    store.contains_many(&["old", "used", "pinned", "new", "kept"].map(name)).expect("contains")
}

#[test]
fn a_full_store_says_how_full_it_is_and_by_whom() {
    let (daemon, store) = start();
    let capacity = store.welcome().expect("welcome").capacity_bytes;
    let never = store.create(capacity + 1, &CreateOptions::default());
    let Err(Error::Full { message, numbers }) = never else { panic!("{never:?}") };
    assert!(message.contains("can never fit"), "{message}");
    assert_eq!((numbers.asked, numbers.capacity), (capacity + 1, capacity));
    let all = store.create(capacity, &named("all")).expect("an object as large as the store").seal().expect("seal");
    let other = Options::new().socket(daemon.socket()).label("the one").connect().expect("connect");
    let _pin = other.get(all, Timeout::NO_WAIT).expect("get");
    let full = store.create(1, &CreateOptions { timeout: Timeout::NO_WAIT, ..CreateOptions::default() });
    let Err(Error::Full { message, numbers }) = full else { panic!("{full:?}") };
    assert!(message.contains("the one"), "{message}");
    assert_eq!((numbers.free, numbers.largest_hole, numbers.pinned, numbers.pinned_by_asker), (0, 0, capacity, 0));
    assert_eq!(numbers.pinned_by[0].label, "the one");
}

#[test]
fn stats_and_ping_answer() {
    let (daemon, store) = start();
    let pong = store.ping().expect("ping");
    assert_eq!((pong.epoch, pong.ready), (1, true));
    let writer = store.create(1000, &CreateOptions::default()).expect("create");
    let stats = stats(&store);
    let memory = |field: &str| stats["memory"][field].as_u64().expect("a number");
    assert_eq!(memory("used_bytes") + memory("free_bytes"), memory("capacity_bytes"));
    assert_eq!((memory("unsealed_bytes"), memory("pinned_bytes")), (1000, 0));
    assert_eq!(stats["pid"], daemon.pid());
    assert_eq!(stats["objects"]["created"], 1);
    assert_eq!(stats["clients"]["connected"], 1);
    drop(writer);
}

#[test]
fn limits_are_named_before_anything_is_sent_and_by_the_daemon() {
    let (_daemon, store) = start();
    let metadata = CreateOptions { metadata: vec![0; (64 << 10) + 1], ..CreateOptions::default() };
    let refused = store.create(1, &metadata).map(|writer| writer.id());
    assert!(matches!(&refused, Err(Error::Limit { message }) if message.contains("65536")), "{refused:?}");
    let refused = store.put(b"x", &metadata);
    assert!(matches!(&refused, Err(Error::Limit { message }) if message.contains("65536")), "{refused:?}");
    let refused = store.contains_many(&vec![name("x"); 16_385]);
    assert!(matches!(&refused, Err(Error::Limit { message }) if message.contains("16384")), "{refused:?}");
    assert_eq!(store.contains_many(&vec![name("x"); 16_384]).expect("the limit itself").len(), 16_384);
}

#[test]
fn the_zero_id_is_refused_by_the_client_and_the_connection_goes_on() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).expect("connect");
    let (zero, good) = (ObjectId::new([0; 28]), name("good"));
    let options = CreateOptions { id: Some(zero), ..CreateOptions::default() };
    let refusals = [
        store.put(b"x", &options).err(),
        store.put_many(&[b"x", b"y"], Some(&[good, zero]), &CreateOptions::default()).err(),
        store.create(100_000, &options).err(),
        store.get(zero, Timeout::None).err(),
        store.get_many(&[good, zero], Timeout::None).err(),
        store.get_partial(&[zero], Timeout::None).err(),
        store.reader().expect("a reader").get(zero, Timeout::None).err(),
        store.wait(&[zero], 1, Timeout::None).err(),
        store.contains(zero).err(),
        store.stat(zero).err(),
        store.delete(&[zero]).err(),
    ];
    for (number, refusal) in refusals.iter().enumerate() {
        let is_told = |error: &Error| matches!(error, Error::Invalid { message } if message.starts_with("the all-zero id names nothing"));
        assert!(refusal.as_ref().is_some_and(is_told), "{number}: {refusal:?}");
    }
    assert!(!store.contains(good).expect("the connection is as it was"));
}

#[test]
fn a_table_without_a_free_slot_is_a_limit() {
    let daemon = Daemon::with(&["--memory", "1MiB", "--populate", "none", "--max-objects", "3"]);
    let store = Store::connect(daemon.socket()).expect("connect");
    store.put_many(&[b"1", b"2", b"3"], None, &CreateOptions::default()).expect("put_many");
    let refused = store.put(b"4", &CreateOptions::default());
    let sentence = "there are 3 objects, as many as this store can have: delete some, or start plasmad with more \
                    --max-objects";
    assert!(matches!(&refused, Err(Error::Limit { message }) if message == sentence), "{refused:?}");
    let first = store.list(Some(1)).expect("list").objects[0].id;
    store.delete(&[first]).expect("delete");
    store.put(b"4", &CreateOptions::default()).expect("there is a slot again");
}

#[test]
fn an_interrupted_wait_leaves_nothing_behind() {
    let (_daemon, store) = start();
    let stop = Arc::new(AtomicBool::new(false));
    let hooked = store.with_interrupt({
        let stop = stop.clone();
        Arc::new(move || stop.load(Ordering::Relaxed))
    });
    let waiter = std::thread::spawn(move || hooked.get(name("x"), Timeout::None).map(|buffer| buffer.len()));
    until_numbers(&store, &[("clients/gets_waiting", 1)]);
    stop.store(true, Ordering::Relaxed);
    assert!(matches!(waiter.join().expect("the waiter"), Err(Error::Interrupted)));
    until_numbers(&store, &[("clients/gets_waiting", 0), ("memory/pinned_bytes", 0)]);
}

#[test]
fn a_closed_store_says_goodbye_when_its_last_buffer_is_gone() {
    let (daemon, store) = start();
    let other = Store::connect(daemon.socket()).expect("connect");
    let id = store.put(b"x", &CreateOptions::default()).expect("put");
    let buffer = store.get(id, Timeout::NO_WAIT).expect("get");
    store.close();
    store.close();
    assert!(matches!(store.get(id, Timeout::NO_WAIT), Err(Error::Closed)));
    assert_eq!(number(&other, "clients/connected"), 2);
    assert_eq!((&buffer[..], other.stat(id).expect("stat").pins), (&b"x"[..], 1));
    drop(buffer);
    until_numbers(&other, &[("clients/connected", 1), ("memory/pinned_bytes", 0)]);
}

#[test]
fn many_threads_share_a_connection() {
    let (_daemon, store) = start();
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..100u32 {
                    let data = (thread << 16 | round).to_le_bytes();
                    let id = store.put(&data, &CreateOptions::default()).expect("put");
                    assert_eq!(store.get(id, Timeout::NO_WAIT).expect("get")[..], data);
                    assert_eq!(store.delete(&[id]).expect("delete"), 1);
                }
            });
        }
    });
    until_numbers(&store, &[("memory/used_bytes", 0), ("clients/connected", 1)]);
}

#[test]
fn a_store_connects_again_after_its_daemon_was_replaced() {
    let mut first = super::stopping::Serving::start(&[]);
    let store = Store::connect(&first.socket).expect("connect");
    let reader = Options::new().socket(&first.socket).role(Role::Reader).connect().expect("connect");
    first.kill(nix::sys::signal::Signal::SIGTERM);
    first.wait();
    let lost = store.put(b"x", &CreateOptions::default());
    assert!(matches!(lost, Err(Error::Connection { .. })), "{lost:?}");
    let next = super::stopping::Serving::start_at(first.folder.take().expect("a folder"), &[]);
    let put = || store.put(b"x", &CreateOptions::default());
    let id = put().or_else(|_| put()).expect("the second verb at the latest connects");
    let get = || reader.get(id, Timeout::NO_WAIT);
    assert_eq!(&get().or_else(|_| get()).expect("get")[..], b"x");
    drop(next);
}

#[test]
fn no_daemon_is_an_error_that_says_nothing_was_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options::new().socket(folder.path().join("s")).connect_timeout(Duration::from_millis(20));
    let refused = options.connect();
    assert!(matches!(refused, Err(Error::Connection { outcome: Outcome::NotDone, .. })), "{refused:?}");
}

fn start() -> (Daemon, Store) {
    let daemon = Daemon::start();
    let store = Options::new().socket(daemon.socket()).label("verbs").connect().expect("connect");
    (daemon, store)
}

fn named(text: &str) -> CreateOptions {
    CreateOptions { id: Some(name(text)), ..CreateOptions::default() }
}

fn name(text: &str) -> ObjectId {
    id::from_name(text)
}

const MIB: u64 = 1 << 20;
