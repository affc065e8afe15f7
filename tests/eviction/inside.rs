//! The core over real shared memory with a client's side of it, and nothing between: the same from its seed each time.

use std::sync::Arc;

use plasmad::memory::{Arena, SharedMemory};
use plasmad_core::event::{Payload, Wanted};
use plasmad_core::{ClientId, Config, Effect, Event, Reply, RequestTag, Residence, Store, Upkeep, Verb, WhenFull};
use plasmad_shm::index::IndexReader;
use plasmad_shm::memfd;
use plasmad_shm::page::OwnPage;
use plasmad_wire::{Format, Role};

use super::caches::{Cache, OBJECT_BYTES, data, name};

/// A store that keeps so many objects, and a client that gets them by itself.
pub(super) struct Inside {
    store: Store,
    memory: SharedMemory,
    index: IndexReader,
    page: OwnPage,
    /// The store doesn't hear what clients use by themselves: a fault to be noticed.
    is_deaf: bool,
}

impl Inside {
    pub(super) fn new(kept: u32, is_deaf: bool) -> Self {
        let (capacity_bytes, slots_max) = (u64::from(kept) * OBJECT_BYTES as u64, 2 * kept);
        let (when_full, upkeep) = (WhenFull::Evict, Upkeep::NONE);
        let mut store =
            Store::new(Config { capacity_bytes, slots_max, hash_seed: SEED, when_full, upkeep, spill: None });
        let arena = memfd::create("test", capacity_bytes).unwrap();
        let mut memory = SharedMemory::new(Arc::new(Arena::from(arena)), slots_max, [1; 16], SEED).unwrap();
        memory.join(CLIENT).unwrap();
        let joined = Event::ClientJoined { client: CLIENT, role: Role::Writer, pushes: false };
        store.handle(0, joined, &mut memory, &mut Vec::new());
        let [_, index, page] = memory.descriptors(CLIENT, false, true)[..] else { panic!("arena, index, page") };
        let (index, page) = (IndexReader::attach(index).unwrap(), OwnPage::attach(page).unwrap());
        Self { store, memory, index, page, is_deaf }
    }
}

impl Cache for Inside {
    fn get(&mut self, key: u32) -> bool {
        let id = name(key);
        let found = self.index.pin(id.as_bytes(), id.hash(SEED), &self.page, 0);
        found.is_ok_and(|found| {
            self.page.release(found.word);
            true
        })
    }

    fn put(&mut self, key: u32) {
        if self.is_deaf {
            self.memory.recent(&mut |_| {});
        }
        let payload = Some(Payload { data: data(key), metadata: Vec::new() });
        let (data_bytes, format) = (OBJECT_BYTES as u64, Format::Raw);
        let object = Wanted { id: name(key), data_bytes, metadata_bytes: 0, format, evictable: false, payload };
        let verb = Verb::Create { timeout_ns: 0, objects: vec![object] };
        let tag = RequestTag { number: 1, kind: 0, silent: false };
        let mut effects = Vec::new();
        self.store.handle(0, Event::Asked { client: CLIENT, tag, verb }, &mut self.memory, &mut effects);
        assert_eq!(effects, [Effect::Reply { client: CLIENT, tag, reply: Reply::Done(1) }]);
    }
}

const CLIENT: ClientId = ClientId(1);
const SEED: [u64; 2] = [1, 2];
