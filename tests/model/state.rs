//! The model's state, and the questions that are answered from it by looking at everything.

use std::collections::{BTreeMap, BTreeSet};

use plasmad_core::clients::Ring;
use plasmad_core::event::Wanted;
use plasmad_core::residence::{Entry, Record};
use plasmad_core::stats::Totals;
use plasmad_core::{ClientId, Config, Nanos, RequestTag};
use plasmad_wire::limits::FOREVER;
use plasmad_wire::{Extent, Handle, ObjectId, Role};

use super::watching::Subscriber;

/// A store without allocator, index, queues or counters.
pub(super) struct Model {
    pub(super) config: Config,
    /// Pin words of a page.
    pub(super) words: usize,
    pub(super) now: Nanos,
    /// By slot.
    pub(super) objects: BTreeMap<u32, Object>,
    /// The least generation each slot may have next.
    pub(super) generations: BTreeMap<u32, u64>,
    /// Slots that may be dropped, least recently used first.
    pub(super) recency: Vec<u32>,
    /// Handed out and not used, by slot.
    pub(super) granted: BTreeMap<u32, Granted>,
    /// What stands on rings and was not read.
    pub(super) rings: BTreeMap<ClientId, Vec<Entry>>,
    /// What is told at the moment the core marks slots, or begins to wait for objects.
    pub(super) told_when_revoked: Vec<(ClientId, Entry)>,
    pub(super) told_when_expected: Vec<(ClientId, Entry)>,
    /// Granted slots that were let go of since somebody rang: the core need not know.
    pub(super) let_go: BTreeSet<u32>,
    /// When the core looks for clients that use nothing.
    pub(super) idle_check: Option<Nanos>,
    /// Deleted and not freed, oldest first.
    pub(super) doomed: Vec<u32>,
    pub(super) clients: BTreeMap<ClientId, Client>,
    pub(super) subscribers: BTreeMap<ClientId, Subscriber>,
    /// Requests that wait, in the order they came.
    pub(super) waits: BTreeMap<u64, Wait>,
    pub(super) next_wait: u64,
    /// The create that was passed last, and by how many bytes so far.
    pub(super) passed: (u64, u64),
    pub(super) sweep_due: bool,
    /// Something happened since the line was looked at that may let somebody in it through.
    pub(super) room_changed: bool,
    pub(super) high_water_bytes: u64,
    pub(super) totals: Totals,
    pub(super) seen: Seen,
}

/// How often the situations that matter came up, so that a run which misses them proves nothing.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Seen {
    /// One object dropped others.
    pub(super) drops_for_one: u64,
    /// A batch dropped others.
    pub(super) drops_for_batch: u64,
    /// A create dropped others though there was room, as there were too few slots.
    pub(super) drops_for_slots: u64,
    /// A create was served after it had waited.
    pub(super) served_in_line: u64,
    /// A create was served before the first in line.
    pub(super) passed: u64,
    /// A create was refused at its deadline.
    pub(super) creates_expired: u64,
    /// A get or wait was answered by a seal.
    pub(super) gets_served: u64,
    /// A deleted object stayed for its pins.
    pub(super) kept_for_pins: u64,
    /// A client's page was full.
    pub(super) pages_full: u64,
    /// The table was full.
    pub(super) tables_full: u64,
    /// A change was dropped for a subscriber that didn't read.
    pub(super) changes_lost: u64,
    /// A subscriber was told of objects that were there.
    pub(super) existing_told: u64,
    /// An object was told of on a ring.
    pub(super) told: u64,
    /// A ring told what woke somebody.
    pub(super) woken_by_ring: u64,
    /// Objects were dropped so that something could be handed out.
    pub(super) dropped_for_grants: u64,
    /// A slot was taken back for a create.
    pub(super) taken_back: u64,
    /// It was claimed, and stayed.
    pub(super) kept: u64,
    /// It was told of just then.
    pub(super) told_when_revoked: u64,
    /// A put was told of when somebody had begun to wait, and the core to listen.
    pub(super) told_when_expected: u64,
    /// Somebody used nothing for a second.
    pub(super) idle: u64,
    /// A client died with grants.
    pub(super) died_with_grants: u64,
    /// Somebody told what cannot be.
    pub(super) lies: u64,
    /// The id of an object that was told of was taken.
    pub(super) in_vain: u64,
}

/// An object, sealed unless `sealed_at` is missing.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) record: Record,
    pub(super) evictable: bool,
    pub(super) creator: ClientId,
    pub(super) created_at: Nanos,
    pub(super) sealed_at: Option<Nanos>,
    pub(super) doomed: bool,
    /// Its slot was handed out before it had an id.
    pub(super) was_granted: bool,
}

/// A slot that is a client's to fill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) generation: u64,
    pub(super) extent: Extent,
    pub(super) client: ClientId,
}

/// A client.
pub(super) struct Client {
    pub(super) role: Role,
    pub(super) connected: bool,
    /// Its claims by their words, whoever wrote them.
    pub(super) pins: BTreeMap<u32, Handle>,
    /// How many of them it asked for.
    pub(super) asked_pins: u64,
    pub(super) ring: Ring,
    /// When it was last handed something, or told of something.
    pub(super) busy_at: Nanos,
    /// Granted slots in which it creates objects whose ids are somebody else's.
    pub(super) in_vain: BTreeSet<u32>,
}

/// A request that waits.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) client: ClientId,
    pub(super) tag: RequestTag,
    pub(super) since: Nanos,
    pub(super) deadline: Option<Nanos>,
    pub(super) purpose: Purpose,
}

/// What for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    Create(Vec<Wanted>),
    Get { partial: bool, ids: Vec<ObjectId> },
    Look { count: u32, ids: Vec<ObjectId> },
}

impl Seen {
    /// The rarest situation of several runs came up this often.
    pub(super) fn rarest(runs: &[Self]) -> u64 {
        let total = |count: fn(&Self) -> u64| runs.iter().map(count).sum::<u64>();
        let counts = [
            total(|seen| seen.drops_for_one),
            total(|seen| seen.drops_for_batch),
            total(|seen| seen.drops_for_slots),
            total(|seen| seen.served_in_line),
            total(|seen| seen.passed),
            total(|seen| seen.creates_expired),
            total(|seen| seen.gets_served),
            total(|seen| seen.kept_for_pins),
            total(|seen| seen.pages_full),
            total(|seen| seen.tables_full),
            total(|seen| seen.changes_lost),
            total(|seen| seen.existing_told),
            total(|seen| seen.told),
            total(|seen| seen.woken_by_ring),
            total(|seen| seen.dropped_for_grants),
            total(|seen| seen.taken_back),
            total(|seen| seen.kept),
            total(|seen| seen.told_when_revoked),
            total(|seen| seen.told_when_expected),
            total(|seen| seen.idle),
            total(|seen| seen.died_with_grants),
            total(|seen| seen.lies),
            total(|seen| seen.in_vain),
        ];
        counts.into_iter().min().unwrap_or(0)
    }
}

impl Model {
    /// An empty store, for clients with so many pin words.
    pub(super) fn new(config: Config, words: usize) -> Self {
        Self {
            config,
            words,
            now: 0,
            objects: BTreeMap::new(),
            generations: BTreeMap::new(),
            recency: Vec::new(),
            granted: BTreeMap::new(),
            rings: BTreeMap::new(),
            told_when_revoked: Vec::new(),
            told_when_expected: Vec::new(),
            let_go: BTreeSet::new(),
            idle_check: None,
            doomed: Vec::new(),
            clients: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            waits: BTreeMap::new(),
            next_wait: 0,
            passed: (0, 0),
            sweep_due: false,
            room_changed: false,
            high_water_bytes: 0,
            totals: Totals::default(),
            seen: Seen::default(),
        }
    }

    /// The object an id leads to.
    pub(super) fn find(&self, id: ObjectId) -> Option<(u32, &Object)> {
        let found = self.objects.iter().find(|(_, object)| object.record.id == id && !object.doomed);
        found.map(|(slot, object)| (*slot, object))
    }

    /// The slot an id leads to, if it is sealed.
    pub(super) fn find_sealed(&self, id: ObjectId) -> Option<u32> {
        self.find(id).filter(|(_, object)| object.sealed_at.is_some()).map(|(slot, _)| slot)
    }

    /// Slots that somebody pins.
    pub(super) fn pinned(&self) -> BTreeSet<u32> {
        let handles = self.clients.values().flat_map(|client| client.pins.values());
        handles.filter(|handle| self.is_current(**handle)).map(|handle| handle.slot).collect()
    }

    pub(super) fn is_current(&self, handle: Handle) -> bool {
        self.objects.get(&handle.slot).is_some_and(|object| object.record.generation == handle.generation)
    }

    /// How many pins a client has on a slot.
    pub(super) fn pins_on(&self, client: &Client, slot: u32) -> u32 {
        client.pins.values().filter(|handle| handle.slot == slot && self.is_current(**handle)).count() as u32
    }

    /// Slots of the unsealed objects of a client.
    pub(super) fn unsealed(&self, client: ClientId) -> Vec<u32> {
        let own = |object: &Object| object.creator == client && object.sealed_at.is_none();
        self.objects.iter().filter(|(_, object)| own(object)).map(|(slot, _)| *slot).collect()
    }

    pub(super) fn may_drop(&self, object: &Object) -> bool {
        object.sealed_at.is_some() && !object.doomed && self.config.when_full.may_drop(object.evictable)
    }

    /// Free pieces from address to address, as if these slots were free as well.
    pub(super) fn holes_without(&self, gone: &[u32]) -> Vec<(u64, u64)> {
        self.holes_between(&[], gone)
    }

    /// The same, where these are used too.
    pub(super) fn holes_between(&self, used: &[Extent], gone: &[u32]) -> Vec<(u64, u64)> {
        let kept = self.objects.iter().filter(|(slot, _)| !gone.contains(slot)).map(|(_, object)| object.record.extent);
        let granted = self.granted.values().map(|granted| granted.extent);
        self.holes_beside(kept.chain(granted).chain(used.iter().copied()))
    }

    fn holes_beside(&self, used: impl Iterator<Item = Extent>) -> Vec<(u64, u64)> {
        let mut used: Vec<Extent> = used.filter(|extent| extent.bytes > 0).collect();
        used.sort_by_key(|extent| extent.offset);
        let mut holes = Vec::new();
        let mut end = 0;
        for extent in used {
            if end < extent.offset {
                holes.push((end, extent.offset));
            }
            end = extent.offset + reserved(extent.bytes);
        }
        if end < self.config.capacity_bytes {
            holes.push((end, self.config.capacity_bytes));
        }
        holes
    }

    /// As if nothing was handed out.
    pub(super) fn largest_hole_bytes(&self) -> u64 {
        let objects = self.objects.values().map(|object| object.record.extent);
        self.holes_beside(objects).into_iter().map(|(start, end)| end - start).max().unwrap_or(0)
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.objects.values().map(|object| reserved(object.record.extent.bytes)).sum()
    }

    pub(super) fn deadline_after(&self, timeout_ns: u64) -> Option<Nanos> {
        if timeout_ns == FOREVER { None } else { self.now.checked_add(timeout_ns) }
    }

    /// Creates that wait, in the order they came.
    pub(super) fn line(&self) -> Vec<u64> {
        let creates = self.waits.iter().filter(|(_, wait)| matches!(wait.purpose, Purpose::Create(_)));
        creates.map(|(number, _)| *number).collect()
    }

    /// The next deadline, but for looks at rings.
    pub(super) fn next_deadline(&self) -> Option<Nanos> {
        self.waits.values().filter_map(|wait| wait.deadline).chain(self.idle_check).min()
    }
}

impl Object {
    pub(super) fn handle(&self, slot: u32) -> Handle {
        Handle { slot, generation: self.record.generation }
    }
}

/// What a length takes of the arena.
pub(super) fn reserved(bytes: u64) -> u64 {
    bytes.div_ceil(64) * 64
}

/// Where objects of a length start: on a page from 1 MiB up.
pub(super) fn alignment(bytes: u64) -> u64 {
    if bytes >= 1024 * 1024 { 4096 } else { 64 }
}
