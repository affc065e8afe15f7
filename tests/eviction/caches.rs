//! Caches that a trace is asked of: two that are worked out, and the real store.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use lru::LruCache;
use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Error, ObjectId, Options, Store, Timeout};

use super::trace::Trace;

/// What keeps so many objects of one size.
pub(super) trait Cache {
    /// Is it there? Then it was used.
    fn get(&mut self, key: u32) -> bool;

    /// Makes it, whatever has to go for it.
    fn put(&mut self, key: u32);
}

/// Which gets of a trace find something; what they miss is put.
pub(super) fn hits(trace: &Trace, cache: &mut dyn Cache) -> Vec<bool> {
    let ask = |key: &u32| {
        let is_there = cache.get(*key);
        if !is_there {
            cache.put(*key);
        }
        is_there
    };
    trace.keys.iter().map(ask).collect()
}

/// Keeps what was used last.
pub(super) struct Exact(LruCache<u32, ()>);

impl Exact {
    pub(super) fn new(kept: u32) -> Self {
        Self(LruCache::new(NonZeroUsize::new(kept as usize).expect("it keeps something")))
    }
}

impl Cache for Exact {
    fn get(&mut self, key: u32) -> bool {
        self.0.get(&key).is_some()
    }

    fn put(&mut self, key: u32) {
        self.0.put(key, ());
    }
}

/// Keeps what was made last, used or not.
pub(super) struct Fifo(pub(super) Exact);

impl Cache for Fifo {
    fn get(&mut self, key: u32) -> bool {
        self.0.0.contains(&key)
    }

    fn put(&mut self, key: u32) {
        self.0.put(key);
    }
}

/// How a client speaks to a daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// It asks for everything.
    Socket,
    /// It gets by itself, and puts under ids of its choice, which it has to ask for.
    Index,
    /// It gets and puts by itself.
    Ring,
}

/// A daemon that keeps so many objects, and a client.
pub(super) struct Real {
    _daemon: Daemon,
    store: Store,
    way: Way,
    ids: HashMap<u32, ObjectId>,
}

impl Real {
    pub(super) fn new(kept: u32, way: Way) -> Self {
        let memory = (u64::from(kept) * OBJECT_BYTES as u64).to_string();
        let daemon = Daemon::with(&["--memory", &memory, "--when-full", "evict", "--populate", "none"]);
        let options = Options::new().socket(daemon.socket()).fast(way != Way::Socket);
        Self { store: options.connect().unwrap(), _daemon: daemon, way, ids: HashMap::new() }
    }

    /// The store, to ask it how it fared.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }
}

impl Cache for Real {
    fn get(&mut self, key: u32) -> bool {
        let Some(id) = self.ids.get(&key) else { return false };
        match self.store.get(*id, Timeout::NO_WAIT) {
            Ok(buffer) => {
                assert_eq!(buffer[..], data(key));
                true
            }
            Err(Error::Timeout { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn put(&mut self, key: u32) {
        let id = (self.way != Way::Ring).then(|| name(key));
        let id = self.store.put(&data(key), &CreateOptions { id, ..CreateOptions::default() }).unwrap();
        self.ids.insert(key, id);
    }
}

/// The id of an object whose client chooses.
pub(super) fn name(key: u32) -> ObjectId {
    ObjectId::from_slice(&(1 + u64::from(key)).to_le_bytes()).expect("eight bytes are an id")
}

pub(super) fn data(key: u32) -> Vec<u8> {
    key.to_le_bytes().repeat(OBJECT_BYTES / 4)
}

/// What each object takes, without anything beside it.
pub(super) const OBJECT_BYTES: usize = 1024;
