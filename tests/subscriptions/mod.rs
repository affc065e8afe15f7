//! Subscriptions to a real daemon: nobody waits for a subscriber, and none is told wrong.

mod command;
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use plasmad_client::testing::Daemon;
use plasmad_client::{
    ChangeKind, CreateOptions, Error, Event, ObjectId, Options, Role, Store, SubscribeOptions, Subscription, Timeout,
};

/// Long enough for a machine that does other things too; a wait that takes it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(daemon: &Daemon) -> Store {
    Store::connect(daemon.socket()).expect("the daemon serves")
}

fn put(store: &Store, bytes: usize) -> ObjectId {
    store.put(&vec![7; bytes], &CreateOptions::default()).expect("there is room")
}

/// Puts so many objects of one byte, in few requests.
fn put_many(store: &Store, count: usize) -> Vec<ObjectId> {
    let objects = vec![&b"x"[..]; 1000];
    let batches = (0..count).step_by(1000);
    batches
        .flat_map(|from| {
            let batch = &objects[..(count - from).min(1000)];
            store.put_many(batch, None, &CreateOptions::default()).expect("there is room")
        })
        .collect()
}

fn next(subscription: &Subscription) -> Event {
    subscription.next(PATIENCE).expect("something happened")
}

fn next_change(subscription: &Subscription) -> (ChangeKind, ObjectId) {
    match next(subscription) {
        Event::Change(change) => (change.kind, change.id),
        Event::Overflow(lost) => panic!("{lost} events were lost"),
    }
}

/// Until the marker was sealed: how many events came, and how many were lost.
fn count_until(subscription: &Subscription, marker: ObjectId) -> (u64, u64) {
    let (mut heard, mut lost) = (0, 0);
    loop {
        match next(subscription) {
            Event::Change(change) if change.id == marker => return (heard, lost),
            Event::Change(_) => heard += 1,
            Event::Overflow(gap) => lost += gap,
        }
    }
}

#[test]
fn two_subscribers_hear_the_same_in_the_same_order() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let reader = Options::new().socket(daemon.socket()).role(Role::Reader).connect().unwrap();
    let subscriptions = [&store, &reader].map(|it| it.subscribe(SubscribeOptions::default()).unwrap());
    let options = CreateOptions { metadata: b"meta".to_vec(), evictable: true, ..CreateOptions::default() };
    let (kept, dropped) = (put(&store, 100), store.put(b"drop me", &options).unwrap());
    store.delete(&[kept]).unwrap();
    store.evict(1).unwrap();
    for subscription in &subscriptions {
        let Event::Change(first) = next(subscription) else { panic!("nothing can be lost yet") };
        assert_eq!((first.kind, first.id, first.data_bytes, first.metadata_bytes), (ChangeKind::Sealed, kept, 100, 0));
        let Event::Change(second) = next(subscription) else { panic!("nothing can be lost yet") };
        assert_eq!((second.id, second.data_bytes, second.metadata_bytes), (dropped, 7, 4));
        assert_eq!(next_change(subscription), (ChangeKind::Deleted, kept));
        assert_eq!(next_change(subscription), (ChangeKind::Evicted, dropped));
    }
}

#[test]
fn what_exists_is_heard_of_once_while_others_put_and_delete() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let old = put_many(&store, 6000);
    let changer = connect(&daemon);
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| {
            for id in old.iter().step_by(3) {
                changer.delete(&[*id]).unwrap();
                put(&changer, 1);
            }
            put(&changer, 2)
        });
        let subscription = store.subscribe(SubscribeOptions { existing: true, ..SubscribeOptions::default() }).unwrap();
        let mut known = BTreeSet::new();
        let mut hear = |until: &dyn Fn(&plasmad_client::Change) -> bool| loop {
            let Event::Change(change) = next(&subscription) else { panic!("the queue was never full") };
            let new = match change.kind {
                ChangeKind::Sealed => known.insert(change.id),
                _ => known.remove(&change.id),
            };
            assert!(new, "told twice, or of nothing: {change:?}");
            if until(&change) {
                return;
            }
        };
        hear(&|change| change.data_bytes == 2);
        changes.join().unwrap();
        let there: BTreeSet<ObjectId> = store.list(None).unwrap().objects.iter().map(|object| object.id).collect();
        assert_eq!(known.len(), there.len());
        assert!(known == there);
    });
}

#[test]
fn more_objects_than_the_queue_takes_are_all_told_of() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let old: BTreeSet<ObjectId> = put_many(&store, 20_000).into_iter().collect();
    let subscription = store.subscribe(SubscribeOptions { existing: true, queue_max: 1 }).unwrap();
    let told: BTreeSet<ObjectId> = (0..old.len()).map(|_| next_change(&subscription).1).collect();
    assert!(told == old);
}

#[test]
fn a_subscriber_that_does_not_read_delays_nobody_and_is_told_what_it_lost() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let subscription = store.subscribe(SubscribeOptions { queue_max: 500, ..SubscribeOptions::default() }).unwrap();
    put_many(&store, 30_000);
    let marker = put(&store, 2);
    let (heard, lost) = count_until(&subscription, marker);
    assert_eq!(heard + lost, 30_000);
    assert!(lost > 0 && heard >= 499, "{heard} heard, {lost} lost");
    // It goes on afterwards.
    let id = put(&store, 3);
    assert_eq!(next_change(&subscription), (ChangeKind::Sealed, id));
}

#[test]
fn waiting_for_an_event_ends_with_time_close_or_interrupt() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let subscription = store.subscribe(SubscribeOptions::default()).unwrap();
    for timeout in [Duration::ZERO, Duration::from_millis(20)] {
        let error = subscription.next(timeout).unwrap_err();
        assert_eq!(error.to_string(), "the time was up and nothing had happened");
    }
    let interrupted = store.with_interrupt(std::sync::Arc::new(|| true));
    assert!(matches!(interrupted.subscribe(SubscribeOptions::default()), Err(Error::Interrupted)));
    std::thread::scope(|scope| {
        let waits = [(); 3].map(|()| scope.spawn(|| subscription.next(Timeout::None)));
        subscription.close();
        waits.into_iter().for_each(|wait| assert!(matches!(wait.join().unwrap(), Err(Error::Closed))));
    });
    let other = store.subscribe(SubscribeOptions::default()).unwrap();
    store.close();
    assert!(matches!(other.next(Timeout::None), Err(Error::Closed)));
    assert!(matches!(store.subscribe(SubscribeOptions::default()), Err(Error::Closed)));
}

#[test]
fn an_interrupt_is_heard_while_events_come_without_a_pause() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let hook = stop.clone();
    let subscription = store
        .with_interrupt(std::sync::Arc::new(move || hook.load(std::sync::atomic::Ordering::Relaxed)))
        .subscribe(SubscribeOptions::default())
        .unwrap();
    put_many(&store, 20_000);
    next(&subscription);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let heard = std::iter::from_fn(|| subscription.next(PATIENCE).ok()).count();
    assert!(heard < 19_999, "it went on to the end");
    // Nothing was lost by it.
    stop.store(false, std::sync::atomic::Ordering::Relaxed);
    (heard..19_999).for_each(|_| _ = next_change(&subscription));
}

#[test]
fn threads_that_share_a_subscription_hear_each_event_once() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let subscription = store.subscribe(SubscribeOptions::default()).unwrap();
    let heard: Vec<ObjectId> = std::thread::scope(|scope| {
        let listeners = [(); 4].map(|()| scope.spawn(|| [(); 250].map(|()| next_change(&subscription).1)));
        put_many(&store, 1000);
        listeners.into_iter().flat_map(|listener| listener.join().unwrap()).collect()
    });
    assert_eq!(heard.iter().collect::<BTreeSet<_>>().len(), 1000);
}

#[test]
fn a_queue_has_room_for_one_event_to_a_million() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let subscribe = |queue_max| store.subscribe(SubscribeOptions { queue_max, ..SubscribeOptions::default() });
    assert!(matches!(subscribe(0), Err(Error::Invalid { .. })));
    let error = subscribe((1 << 20) + 1).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }) && error.to_string().contains("1048576"), "{error}");
    subscribe(1 << 20).unwrap();
}

#[test]
fn a_closed_subscription_leaves_nothing_in_the_daemon() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let connected = || {
        let stats: serde_json::Value = serde_json::from_str(&store.stats_json().unwrap()).unwrap();
        stats["clients"]["connected"].as_u64().unwrap()
    };
    let subscription = store.subscribe(SubscribeOptions::default()).unwrap();
    assert_eq!(connected(), 2);
    drop(subscription);
    let give_up = std::time::Instant::now() + PATIENCE;
    while connected() > 1 {
        assert!(std::time::Instant::now() < give_up, "the daemon still knows the subscriber");
    }
}

#[test]
fn a_subscriber_hears_that_the_daemon_is_gone() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let subscription = store.subscribe(SubscribeOptions::default()).unwrap();
    let id = put(&store, 1);
    drop(daemon);
    assert_eq!(next_change(&subscription), (ChangeKind::Sealed, id));
    for _ in 0..2 {
        let error = subscription.next(PATIENCE).unwrap_err();
        assert!(matches!(error, Error::Connection { .. }), "{error}");
    }
}
