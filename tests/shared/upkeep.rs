//! Memory that goes back to the system under objects that stay: the core, its shared memory and the upkeep thread as
//! the engine has them, and a clock that goes as fast as the test likes.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use plasmad::config::{HugePages, Populate};
use plasmad::memory::{Arena, Errand, Errands, SharedMemory, upkeep};
use plasmad_core::arena::SPAN_BYTES;
use plasmad_core::event::{Payload, Wanted};
use plasmad_core::{ClientId, Config, Effect, Event, Reply, RequestTag, Store, Upkeep, Verb, WhenFull};
use plasmad_shm::memfd;
use plasmad_wire::{Format, ObjectId, Role};

use crate::support::Random;

/// A store over real memory, whose clock goes as fast as the test likes.
struct Setting {
    store: Store,
    memory: SharedMemory,
    arena: File,
    errands: Errands,
    poll: Poll,
    now: u64,
    busy: bool,
    given_back: u64,
}

impl Setting {
    fn new() -> Self {
        let arena = memfd::create("test", ARENA_BYTES).unwrap();
        let upkeep = Upkeep { ahead_bytes: AHEAD_SPANS * SPAN_BYTES, ..upkeep(Populate::Ahead, HugePages::Auto) };
        let when_full = WhenFull::Refuse;
        let config =
            Config { capacity_bytes: ARENA_BYTES, slots_max: 1000, hash_seed: [1, 2], when_full, upkeep, spill: None };
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        let memory =
            SharedMemory::new(Arc::new(Arena::from(arena.try_clone().unwrap())), 1000, [1; 16], [1, 2]).unwrap();
        let index = memory.index().try_clone_to_owned().unwrap();
        let mut setting = Self {
            store: Store::new(config),
            errands: Errands::start(arena.try_clone().unwrap(), index, HugePages::Auto, Arc::new(waker)).unwrap(),
            arena: File::from(arena),
            memory,
            poll,
            now: 0,
            busy: false,
            given_back: 0,
        };
        setting.memory.join(CLIENT).unwrap();
        setting.happens(Event::ClientJoined { client: CLIENT, role: Role::Writer, pushes: false });
        setting
    }

    /// The answers to an event.
    fn happens(&mut self, event: Event) -> Vec<Reply> {
        let (mut effects, mut replies) = (Vec::new(), Vec::new());
        self.store.handle(self.now, event, &mut self.memory, &mut effects);
        for effect in effects {
            match effect {
                Effect::Populate(stretch) => self.goes_for(Errand::Populate(stretch)),
                Effect::GiveBack(extent) => self.goes_for(Errand::GiveBack(extent)),
                Effect::Reply { reply, .. } => replies.push(reply),
                Effect::Forget { .. } | Effect::Expel { .. } => {}
                Effect::Write(_) | Effect::Restore(_) | Effect::RemoveFile(_) => unreachable!("there is no disk"),
            }
        }
        replies
    }

    fn goes_for(&mut self, errand: Errand) {
        self.given_back += u64::from(matches!(errand, Errand::GiveBack(_)));
        self.errands.send(errand);
        self.busy = true;
    }

    /// The thread may be back, or is waited for.
    fn look_for_the_thread(&mut self, wait: bool) -> Vec<Reply> {
        if wait && self.busy {
            self.poll.poll(&mut Events::with_capacity(1), Some(Duration::from_secs(60))).unwrap();
        }
        let Some(succeeded) = self.errands.done() else { return Vec::new() };
        assert!(succeeded);
        self.busy = false;
        self.happens(Event::ErrandDone { succeeded })
    }

    /// The answer, which may wait for the thread.
    fn asks(&mut self, verb: Verb) -> Reply {
        let tag = RequestTag { number: 1, kind: 0, silent: false };
        let mut replies = self.happens(Event::Asked { client: CLIENT, tag, verb });
        while replies.is_empty() {
            replies = self.look_for_the_thread(true);
        }
        replies.remove(0)
    }

    /// Where a new object of these bytes lies, if there is room.
    fn puts(&mut self, id: ObjectId, data: &[u8]) -> Option<u64> {
        let payload = Some(Payload { data: data.to_vec(), metadata: Vec::new() });
        let (data_bytes, format) = (data.len() as u64, Format::Raw);
        let object = Wanted { id, data_bytes, metadata_bytes: 0, format, evictable: false, payload };
        let Reply::Done(1) = self.asks(Verb::Create { timeout_ns: 0, objects: vec![object] }) else { return None };
        let Reply::Described(description) = self.asks(Verb::Stat { id }) else { panic!("it is there") };
        description.extent.map(|extent| extent.offset)
    }
}

#[test]
fn unused_memory_goes_back_and_no_object_is_touched_by_that() {
    let mut setting = Setting::new();
    let mut random = Random(1);
    let mut objects: BTreeMap<ObjectId, (u64, Vec<u8>)> = BTreeMap::new();
    for number in 1..=1500u64 {
        match random.below(10) {
            0..2 => {
                let id = ObjectId::from_slice(&number.to_be_bytes()).unwrap();
                let data = number.to_le_bytes().repeat(1 + random.below(3 * SPAN_BYTES / 8) as usize);
                objects.extend(setting.puts(id, &data).map(|offset| (id, (offset, data))));
            }
            2..4 if !objects.is_empty() => {
                let id = *objects.keys().nth(random.below(objects.len() as u64) as usize).unwrap();
                objects.remove(&id);
                assert_eq!(setting.asks(Verb::Delete { ids: vec![id] }), Reply::Done(1));
            }
            4..7 => {
                setting.now += random.below(20 * 1_000_000_000);
                setting.happens(Event::Tick);
            }
            _ => drop(setting.look_for_the_thread(random.below(4) == 0)),
        }
        for (offset, data) in objects.values() {
            for place in [0, data.len() / 16 * 8, data.len() - 8] {
                let mut found = [0; 8];
                setting.arena.read_exact_at(&mut found, offset + place as u64).unwrap();
                assert_eq!(found, data[..8], "step {number}: {place} in the object at {offset}");
            }
        }
    }
    assert!(setting.given_back > 20, "given back {} times", setting.given_back);
    objects.into_keys().for_each(|id| drop(setting.asks(Verb::Delete { ids: vec![id] })));
    for _ in 0..30 {
        setting.now += 10 * 1_000_000_000;
        setting.happens(Event::Tick);
        while setting.busy {
            setting.look_for_the_thread(true);
        }
    }
    let present = setting.arena.metadata().unwrap().blocks() * 512;
    assert_eq!(present, AHEAD_SPANS * SPAN_BYTES, "only what is kept ahead of use is left");
}

const AHEAD_SPANS: u64 = 4;
const CLIENT: ClientId = ClientId(1);
const ARENA_BYTES: u64 = 64 << 20;
