//! Puts without the daemon that an interrupt ends: nothing is told of them, and nothing stays claimed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Error, Store, Timeout};
use plasmad_shm::page::RING_ENTRIES;

use super::forks::Stopped;
use super::{eventually, stats};
use crate::it::numbers::number;

#[test]
fn what_is_interrupted_at_a_full_ring_gives_its_place_back() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let hooked = store.with_interrupt({
        let asked = asked.clone();
        Arc::new(move || asked.fetch_add(1, Ordering::Relaxed) >= 1)
    });
    let put = |store: &Store, byte: u8| store.put(&[byte; 64], &CreateOptions::default());
    let writers: Vec<_> = (0..RING_ENTRIES)
        .map(|number| {
            let mut writer = store.create(8, &CreateOptions::default()).unwrap();
            writer.copy_from(0, &number.to_le_bytes());
            writer
        })
        .collect();
    // All that was told is read, and there are places left.
    assert_eq!(number(&store, "objects/created"), RING_ENTRIES);
    let stopped = Stopped::engine_of(&store);
    let mut writers = writers.into_iter();
    let first = put(&store, 1).unwrap();
    let sealed: Vec<_> = writers.by_ref().take(RING_ENTRIES as usize - 1).map(|it| it.seal().unwrap()).collect();
    assert_eq!(asked.load(Ordering::Relaxed), 0);

    // Each has a place, and finds the ring full.
    for _ in 0..3 {
        asked.store(0, Ordering::Relaxed);
        assert!(matches!(put(&hooked, 2), Err(Error::Interrupted)));
        assert!(matches!(hooked.create(64, &CreateOptions::default()), Err(Error::Interrupted)));
        assert!(asked.load(Ordering::Relaxed) > 0);
    }
    drop(stopped);

    assert_eq!(number(&store, "objects/sealed"), RING_ENTRIES);
    for (number, id) in (0u64..).zip(sealed) {
        assert_eq!(store.get(id, Timeout::NO_WAIT).unwrap()[..], number.to_le_bytes());
    }
    assert_eq!(store.get(first, Timeout::NO_WAIT).unwrap()[..], [1; 64]);
    drop(writers);
    eventually("all places are taken back", || stats(&store)["memory"]["granted_bytes"] == 0);
    assert_eq!((number(&store, "objects/created"), number(&store, "index/used")), (0, RING_ENTRIES));
    assert_eq!(store.get(put(&store, 3).unwrap(), Timeout::NO_WAIT).unwrap()[..], [3; 64]);
}
