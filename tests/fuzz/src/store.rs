//! The core under any sequence of events, over shared memory that tells the truth.
//!
//! Clients are granted slots, claim some, and tell on their rings what is true and what is not.
//!
//! After every event: every request has at most one answer, and one by its deadline; nothing is freed under a claim;
//! no two objects, and nothing that was granted, share a byte. When all clients are gone and everything is deleted, the arena is whole. In builds
//! with debug assertions the core checks its own records besides.
//!
//! The shell's side of the contract is kept: clients have numbers never used before, closed ones ask nothing, time
//! doesn't go back.

use std::collections::{BTreeMap, BTreeSet};

use plasmad_core::effect::Got;
use plasmad_core::event::{Payload, Wanted};
use plasmad_core::residence::{Entry, Grant, Named, Record};
use plasmad_core::{
    ClientId, Config, Effect, Event, Nanos, Reply, RequestTag, Residence, SlotNumber, Store, Upkeep, Verb, WhenFull,
};
use plasmad_wire::limits::{FOREVER, GRANT_BYTES_MAX};
use plasmad_wire::{Extent, Format, Handle, ObjectId, Pin, Role};

use crate::support::{Call, Pages, Random};
use crate::{Outcome, outcome};

/// A byte tells what happens when the store is full; each event is a byte and what it needs.
pub fn events(input: &[u8]) -> Outcome {
    let mut bytes = Bytes(input);
    let when_full = [WhenFull::Evict, WhenFull::Spill, WhenFull::Refuse][bytes.below(3) as usize];
    let mut world = World::new(when_full);
    while !bytes.0.is_empty() {
        world.step(&mut bytes);
    }
    world.everybody_leaves();
    outcome((world.answers.values().copied().map(u64::checked_ilog2).collect::<Vec<_>>(), when_full as u8))
}

/// A random input, to start from.
pub fn seed(number: u64) -> Vec<u8> {
    let mut random = Random(number);
    (0..50 + random.below(400)).map(|_| random.bits() as u8).collect()
}

struct World {
    store: Store,
    pages: Pages,
    now: Nanos,
    /// Connected ones.
    clients: Vec<ClientId>,
    /// Closed ones that live.
    closed: Vec<ClientId>,
    next_client: u64,
    next_number: u64,
    /// Requests without an answer, and when they must have one.
    open: BTreeMap<(ClientId, u64), Option<Nanos>>,
    /// Objects being written, by whom.
    unsealed: BTreeMap<(u32, u64), (ClientId, Extent)>,
    /// What was given up on a ring, believed or not.
    given_up: BTreeSet<(u32, u64)>,
    /// An abort's number, and what it gives up if it succeeds.
    aborting: (u64, Vec<Handle>),
    /// What is handed out and no sealed object: whose it is, where it lies, whether anything was told of it.
    granted: BTreeMap<(u32, u64), (ClientId, Extent, bool)>,
    /// Slots that clients claim, to fill them.
    taken: Vec<(ClientId, Grant)>,
    /// Who told what cannot be.
    expelled: Vec<ClientId>,
    /// Who is just going.
    leaving: Option<ClientId>,
    /// What the index holds; whether it can be found.
    shown: BTreeMap<SlotNumber, (Record, bool)>,
    /// Handles and pins that somebody was told, right or stale.
    handles: Vec<Handle>,
    pins: Vec<(ClientId, Pin)>,
    /// How often each kind of answer was given.
    answers: BTreeMap<&'static str, u64>,
}

impl World {
    fn new(when_full: WhenFull) -> Self {
        let config = Config {
            capacity_bytes: CAPACITY_BYTES,
            slots_max: SLOTS,
            hash_seed: [1, 2],
            when_full,
            upkeep: Upkeep::NONE,
            spill: None,
        };
        Self {
            store: Store::new(config),
            pages: Pages::new(PIN_WORDS),
            now: 0,
            clients: Vec::new(),
            closed: Vec::new(),
            next_client: 1,
            next_number: 1,
            open: BTreeMap::new(),
            unsealed: BTreeMap::new(),
            given_up: BTreeSet::new(),
            aborting: (0, Vec::new()),
            granted: BTreeMap::new(),
            taken: Vec::new(),
            expelled: Vec::new(),
            leaving: None,
            shown: BTreeMap::new(),
            handles: vec![Handle { slot: 0, generation: 0 }],
            pins: Vec::new(),
            answers: BTreeMap::new(),
        }
    }

    /// Reads one event, lets it happen, and checks.
    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let what = bytes.below(43);
        if self.clients.is_empty() || what == 0 && self.clients.len() < CLIENTS_MAX {
            let client = ClientId(self.next_client);
            self.next_client += 1;
            self.clients.push(client);
            let role = if bytes.below(8) == 7 { Role::Reader } else { Role::Writer };
            return self.happens(Event::ClientJoined { client, role, pushes: true });
        }
        let at = bytes.below(self.clients.len() as u64) as usize;
        let client = self.clients[at];
        let verb = match what {
            0 | 1 => {
                return self.closes(client);
            }
            2 => {
                self.clients.swap_remove(at);
                return self.gone(client);
            }
            3 => match self.closed.pop() {
                Some(client) => return self.gone(client),
                None => return,
            },
            4..7 => return self.time_passes(bytes),
            7 => return self.pins_by_itself(client, bytes),
            8 => return self.unpins_by_itself(bytes),
            9 => return self.pages.set_fill_fails(bytes.below(4) == 3),
            10 => {
                let open: Vec<u64> = self.open.keys().filter(|it| it.0 == client).map(|it| it.1).collect();
                let number = bytes.pick(&open).unwrap_or(0);
                return self.happens(Event::Cancelled { client, number });
            }
            11..15 => Verb::Create { timeout_ns: bytes.timeout(), objects: bytes.objects(false) },
            15..19 => Verb::Create { timeout_ns: bytes.timeout(), objects: bytes.objects(true) },
            19 | 20 => Verb::Seal { handles: bytes.picks(&self.handles) },
            21 => Verb::Abort { handles: bytes.picks(&self.handles) },
            22..25 => Verb::Get { timeout_ns: bytes.timeout(), partial: bytes.below(2) == 1, ids: bytes.ids() },
            25 => {
                let pins: Vec<Pin> = self.pins.iter().map(|(_, pin)| *pin).collect();
                Verb::Release { pins: bytes.picks(&pins) }
            }
            26 => Verb::Delete { ids: bytes.ids() },
            27 => Verb::Wait { timeout_ns: bytes.timeout(), count: bytes.below(4) as u32, ids: bytes.ids() },
            28 => Verb::Contains { ids: bytes.ids() },
            29 => Verb::Evict { bytes: bytes.size() },
            30 => Verb::Stats,
            31 => {
                let pins: Vec<Pin> = self.pins.iter().map(|(_, pin)| *pin).collect();
                let Some(pin) = bytes.pick(&pins) else { return };
                Verb::View { pin }
            }
            32..35 => Verb::Grant { bytes: bytes.size().min(GRANT_BYTES_MAX + 1), count: bytes.below(12) as u32 },
            35..38 => return self.takes(client),
            38 | 39 => return self.fills(bytes),
            40 => return self.lets_go(bytes),
            41 => return self.tells_anything(client, bytes),
            42 => return self.happens(Event::Rung),
            _ => match bytes.below(2) {
                0 => Verb::Stat { id: bytes.id() },
                _ => Verb::List { cursor: bytes.below(40) as u32, limit: bytes.below(8) as u32 },
            },
        };
        self.asks(client, verb);
    }

    fn asks(&mut self, client: ClientId, verb: Verb) {
        let (number, now) = (self.next_number, self.now);
        self.next_number += 1;
        let deadline = match &verb {
            Verb::Create { timeout_ns, .. } | Verb::Get { timeout_ns, .. } | Verb::Wait { timeout_ns, .. } => {
                now.checked_add(*timeout_ns).filter(|_| *timeout_ns != FOREVER)
            }
            _ => Some(now),
        };
        self.aborting = if let Verb::Abort { handles } = &verb { (number, handles.clone()) } else { (0, Vec::new()) };
        self.open.insert((client, number), deadline);
        let tag = RequestTag { number, kind: 7, silent: false };
        self.happens(Event::Asked { client, tag, verb });
        let waits = self.open.get(&(client, number));
        assert!(waits.is_none_or(|deadline| *deadline != Some(now)), "not answered at once");
    }

    fn closes(&mut self, client: ClientId) {
        self.clients.retain(|other| *other != client);
        self.closed.push(client);
        self.happens(Event::ConnectionClosed { client });
        self.open.retain(|(whose, _), _| *whose != client);
    }

    fn gone(&mut self, client: ClientId) {
        self.leaving = Some(client);
        self.taken.retain(|(whose, _)| *whose != client);
        self.unsealed.retain(|_, (whose, _)| *whose != client);
        self.happens(Event::ClientGone { client });
        self.leaving = None;
        self.open.retain(|(whose, _), _| *whose != client);
        assert!(self.pages.claims().all(|(whose, ..)| whose != client), "the dead hold something");
    }

    fn time_passes(&mut self, bytes: &mut Bytes<'_>) {
        self.now = match (bytes.below(4), self.store.next_deadline()) {
            (0, _) => self.now,
            (1, Some(deadline)) => self.now.max(deadline),
            (2, _) => self.now.saturating_add(1 << bytes.below(64)),
            _ => self.now.saturating_add(bytes.below(200)),
        };
        self.now = self.now.min(TIME_MAX);
        self.happens(Event::Tick);
        let late: Vec<_> = self.open.iter().filter(|(_, deadline)| deadline.is_some_and(|it| it <= self.now)).collect();
        assert!(late.is_empty(), "not answered in time: {late:?}");
        assert!(self.store.next_deadline().is_none_or(|deadline| deadline > self.now), "a deadline was left");
    }

    fn pins_by_itself(&mut self, client: ClientId, bytes: &mut Bytes<'_>) {
        let visible = self.shown.iter().filter(|(_, (_, visible))| *visible);
        let visible: Vec<Handle> =
            visible.map(|(slot, (record, _))| Handle { slot: slot.0, generation: record.generation }).collect();
        let Some(handle) = bytes.pick(&visible) else { return };
        if let Some(word) = self.pages.pin(client, SlotNumber(handle.slot), handle.generation) {
            self.pins.push((client, Pin { word, handle }));
        }
    }

    fn unpins_by_itself(&mut self, bytes: &mut Bytes<'_>) {
        if let Some((client, pin)) = bytes.pick(&self.pins) {
            self.pages.unpin(client, pin);
        }
    }

    /// A client takes a slot it was handed, and claims it.
    fn takes(&mut self, client: ClientId) {
        if let Some((grant, Some(_))) = self.pages.take_grant(client) {
            self.taken.push((client, grant));
        }
    }

    /// A client tells of an object in a slot that it claims; mostly one that fits, and it mostly lets go.
    fn fills(&mut self, bytes: &mut Bytes<'_>) {
        let Some((client, grant)) = bytes.pick(&self.taken) else { return };
        let handle = Handle { slot: grant.slot.0, generation: grant.generation };
        let choice = bytes.below(16);
        let data_bytes = match choice {
            0 => grant.extent.bytes + 1,
            1 => grant.extent.bytes,
            _ => bytes.below(256).min(grant.extent.bytes),
        };
        let entry = if choice.is_multiple_of(3) { Entry::Create } else { Entry::Put };
        self.tell(client, entry(handle, bytes.named(client, data_bytes)));
        if choice != 15 {
            self.pages.let_go(client, handle);
            self.taken.retain(|(_, other)| (other.slot, other.generation) != (grant.slot, grant.generation));
        }
    }

    /// A client lets go of a slot that it didn't use.
    fn lets_go(&mut self, bytes: &mut Bytes<'_>) {
        if let Some((client, grant)) = bytes.pick(&self.taken) {
            self.pages.let_go(client, Handle { slot: grant.slot.0, generation: grant.generation });
            self.taken.retain(|(_, other)| (other.slot, other.generation) != (grant.slot, grant.generation));
        }
    }

    /// A client tells anything of any slot.
    fn tells_anything(&mut self, client: ClientId, bytes: &mut Bytes<'_>) {
        let granted: Vec<Handle> = self.granted.keys().map(|&(slot, generation)| Handle { slot, generation }).collect();
        let known = if bytes.below(2) == 0 { bytes.pick(&granted) } else { bytes.pick(&self.handles) };
        let mut handle = known.unwrap_or(Handle { slot: u32::MAX, generation: u64::MAX });
        handle.generation = handle.generation.wrapping_add(u64::from(bytes.below(8) == 7));
        let data_bytes = bytes.size();
        let named = match bytes.below(4) {
            3 => Named { id: bytes.id(), ..bytes.named(client, data_bytes) },
            _ => bytes.named(client, data_bytes),
        };
        let entry = match bytes.below(8) {
            0 => Entry::Put(handle, named),
            1 => Entry::Create(handle, named),
            2..5 => Entry::Seal(handle),
            5 | 6 => Entry::Abort(handle),
            _ => Entry::Unreadable("nonsense"),
        };
        self.tell(client, entry);
    }

    fn tell(&mut self, client: ClientId, entry: Entry) {
        if let Entry::Put(handle, named) | Entry::Create(handle, named) = entry
            && let Some((_, extent, is_told)) = self.granted.get_mut(&(handle.slot, handle.generation))
        {
            // If it is believed, the rest is anybody's.
            let bytes = named.data_bytes.saturating_add(named.metadata_bytes.into());
            (extent.bytes, *is_told) = (extent.bytes.min(bytes), true);
            self.handles.push(handle);
        }
        if let Entry::Abort(handle) = entry {
            // If it is believed, nothing is shown of it.
            self.unsealed.remove(&(handle.slot, handle.generation));
            self.given_up.insert((handle.slot, handle.generation));
        }
        self.pages.tell(client, entry);
    }

    fn happens(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.store.handle(self.now, event, &mut self.pages, &mut effects);
        for call in self.pages.take_calls() {
            self.check_call(call);
        }
        for effect in effects {
            self.hear(effect);
        }
        self.check_extents();
        for client in std::mem::take(&mut self.expelled) {
            *self.answers.entry("expelled").or_default() += 1;
            // It may be that it is closed already, or gone.
            if self.clients.contains(&client) {
                self.closes(client);
            }
        }
        self.handles.drain(..self.handles.len().saturating_sub(KNOWN_MAX));
        self.pins.drain(..self.pins.len().saturating_sub(KNOWN_MAX));
    }

    fn check_call(&mut self, call: Call) {
        match call {
            Call::Publish(slot, record) => {
                if self.granted.remove(&(slot.0, record.generation)).is_some() {
                    *self.answers.entry("put").or_default() += 1;
                }
                self.unsealed.remove(&(slot.0, record.generation));
                let before = self.shown.insert(slot, (record, true));
                assert!(before.is_none(), "{slot:?} was published over {before:?}");
            }
            Call::Retract(window) => window.iter().for_each(|slot| self.hide(*slot)),
            Call::Doom(slot) => self.hide(slot),
            Call::Free(slot, next_generation) if !self.shown.contains_key(&slot) => {
                let granted = self.granted.range((slot.0, 0)..=(slot.0, u64::MAX)).next();
                let ((_, generation), (whose, _, is_told)) = granted.expect("only what was shown or granted is freed");
                assert!(next_generation > *generation, "{slot:?} keeps its generation");
                let handle = Handle { slot: slot.0, generation: *generation };
                let is_claimed = self.pages.claims().any(|(_, _, claim)| claim == handle);
                let may_be_freed = *is_told || Some(*whose) == self.leaving || !is_claimed;
                assert!(may_be_freed, "{slot:?} was freed while {whose:?} claims it");
                self.granted.remove(&(handle.slot, handle.generation));
                *self.answers.entry("taken back").or_default() += 1;
            }
            Call::Free(slot, next_generation) => {
                let (record, visible) = self.shown.remove(&slot).expect("only what was published is freed");
                assert!(!visible, "{slot:?} was freed while it was visible");
                assert!(next_generation > record.generation, "{slot:?} keeps its generation");
                let handle = Handle { slot: slot.0, generation: record.generation };
                assert!(self.pages.claims().all(|(_, _, claim)| claim != handle), "{slot:?} was freed under a claim");
            }
            Call::Grant(client, grants) => {
                for Grant { slot, generation, extent } in grants {
                    let before = self.granted.insert((slot.0, generation), (client, extent, false));
                    assert!(before.is_none() && !self.shown.contains_key(&slot), "{slot:?} was granted twice");
                }
            }
            Call::Keep(slot) => {
                let granted = self.granted.range((slot.0, 0)..=(slot.0, u64::MAX)).next();
                assert!(granted.is_some(), "{slot:?} was kept, and is nobody's");
            }
            Call::Fill { .. } | Call::Leave(_) | Call::Revoke(..) => {}
        }
    }

    fn hide(&mut self, slot: SlotNumber) {
        let (_, visible) = self.shown.get_mut(&slot).expect("only what was published is taken out of sight");
        assert!(std::mem::take(visible), "{slot:?} was taken out of sight twice");
    }

    fn hear(&mut self, effect: Effect) {
        let (client, tag, reply) = match effect {
            Effect::Reply { client, tag, reply } => (client, tag, reply),
            Effect::Expel { client, .. } => return self.expelled.push(client),
            Effect::Forget { .. } | Effect::Populate(_) | Effect::GiveBack(_) => return,
            Effect::Write(_) | Effect::Restore(_) | Effect::RemoveFile(_) => return,
        };
        assert!(self.open.remove(&(client, tag.number)).is_some(), "an answer too many: {reply:?}");
        let name = match reply {
            Reply::Created(made) => {
                for (handle, extent) in made {
                    self.handles.push(handle);
                    // A ring that wasn't read yet may give it up already.
                    if !self.given_up.contains(&(handle.slot, handle.generation)) {
                        self.unsealed.insert((handle.slot, handle.generation), (client, extent));
                    }
                }
                "created"
            }
            Reply::Got { objects, .. } => {
                let pins =
                    objects.into_iter().filter_map(|it| if let Got::Pinned(pin, _) = it { Some(pin) } else { None });
                self.pins.extend(pins.map(|pin| (client, pin)));
                "got"
            }
            Reply::Done(_) => {
                if self.aborting.0 == tag.number {
                    self.aborting.1.iter().for_each(|it| {
                        self.unsealed.remove(&(it.slot, it.generation));
                    });
                }
                "done"
            }
            Reply::Present(_) => "present",
            Reply::Evicted { .. } => "evicted",
            Reply::Refused(refusal) => {
                *self.answers.entry("refused").or_default() += 1;
                *self.answers.entry(REFUSALS[refusal.code() as usize % REFUSALS.len()]).or_default() += 1;
                return;
            }
            _ => "told",
        };
        *self.answers.entry(name).or_default() += 1;
    }

    fn check_extents(&self) {
        let sealed = self.shown.values().map(|(record, _)| record.extent);
        let granted = self.granted.values().map(|(_, extent, _)| *extent);
        let unsealed = self.unsealed.values().map(|(_, extent)| *extent);
        let mut extents: Vec<Extent> = sealed.chain(unsealed).chain(granted).collect();
        extents.retain(|extent| extent.bytes > 0);
        extents.sort_by_key(|extent| extent.offset);
        for pair in extents.windows(2) {
            assert!(pair[0].offset + pair[0].bytes <= pair[1].offset, "given out twice: {pair:?}");
        }
        let end = extents.last().map_or(0, |extent| extent.offset + extent.bytes);
        assert!(end <= CAPACITY_BYTES, "beyond the arena: {:?}", extents.last());
    }

    fn everybody_leaves(&mut self) {
        self.pages.set_fill_fails(false);
        let all: Vec<ClientId> = self.clients.drain(..).chain(self.closed.drain(..)).collect();
        all.into_iter().for_each(|client| self.gone(client));
        let client = ClientId(self.next_client);
        self.happens(Event::ClientJoined { client, role: Role::Writer, pushes: true });
        let ids = self.shown.values().map(|(record, _)| record.id).collect();
        self.asks(client, Verb::Delete { ids });
        assert!(self.shown.is_empty() && self.unsealed.is_empty(), "left behind: {:?}", self.shown);
        assert!(self.granted.is_empty(), "handed out to nobody: {:?}", self.granted);
        // All of the arena in one piece, and all slots: nothing else can be left.
        let all = Wanted { data_bytes: CAPACITY_BYTES, ..wanted(0) };
        let fits = self.answers.get("created").copied();
        self.asks(client, Verb::Create { timeout_ns: 0, objects: vec![all] });
        assert!(self.answers.get("created").copied() > fits, "the arena is not whole");
    }
}

/// The input, read from its front; an input that ends in the middle of an event goes on with zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        u64::from(*first) % bound
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        if items.is_empty() { None } else { items.get(self.below(items.len() as u64) as usize).copied() }
    }

    fn picks<T: Copy>(&mut self, items: &[T]) -> Vec<T> {
        (0..=self.below(3)).filter_map(|_| self.pick(items)).collect()
    }

    fn id(&mut self) -> ObjectId {
        wanted(self.below(40) as u8).id
    }

    /// An object under an id that the client may tell of.
    fn named(&mut self, client: ClientId, data_bytes: u64) -> Named {
        let mut id = [0xbb; ObjectId::BYTES];
        id[..8].copy_from_slice(&client.0.to_le_bytes());
        id[8] = self.below(32) as u8;
        let flags = self.below(32);
        let metadata_bytes = if flags == 31 { 65_537 } else { (flags / 30) as u32 * 8 };
        let (id, evictable) = (ObjectId::new(id), flags.is_multiple_of(2));
        Named { id, data_bytes, metadata_bytes, format: Format::Raw, evictable }
    }

    fn ids(&mut self) -> Vec<ObjectId> {
        (0..self.below(4)).map(|_| self.id()).collect()
    }

    fn timeout(&mut self) -> u64 {
        match self.below(8) {
            0..3 => 0,
            3 => FOREVER,
            _ => self.below(256) * 8,
        }
    }

    fn size(&mut self) -> u64 {
        let unit = match self.below(16) {
            0 => 1,
            1..6 => 64,
            6..10 => 1000,
            10..13 => 64 * 1024,
            13 => return 1024 * 1024 + self.below(256) * 4096,
            14 => return CAPACITY_BYTES,
            _ => return u64::MAX - self.below(2),
        };
        self.below(16) * unit
    }

    fn objects(&mut self, inline: bool) -> Vec<Wanted> {
        let count = [1, 1, 1, 2, 3, 0][self.below(6) as usize];
        (0..count).map(|_| self.object(inline)).collect()
    }

    fn object(&mut self, inline: bool) -> Wanted {
        let id = self.below(40) as u8;
        let data_bytes = self.size();
        let flags = self.below(32);
        let metadata_bytes = if flags == 31 { 65_537 } else { (flags % 4) as u32 * 40 };
        let evictable = flags % 8 < 4;
        let mut object = Wanted { data_bytes, metadata_bytes, evictable, ..wanted(id) };
        if inline && data_bytes <= 16 * 1000 && metadata_bytes <= 65_536 {
            let (data, metadata) = (vec![0; data_bytes as usize], vec![0; metadata_bytes as usize]);
            object.payload = Some(Payload { data, metadata });
        }
        object
    }
}

fn wanted(id: u8) -> Wanted {
    let id = ObjectId::from_slice(&[id, 1]).expect("two bytes are an id");
    Wanted { id, data_bytes: 0, metadata_bytes: 0, format: Format::Raw, evictable: false, payload: None }
}

/// Room for two objects that start on a page.
const CAPACITY_BYTES: u64 = 5 * 512 * 1024;

/// The clock's end, far enough away that whatever begins then can end.
const TIME_MAX: Nanos = u64::MAX - (1 << 32);

/// Fewer than the ids.
const SLOTS: u32 = 40;

const PIN_WORDS: usize = 6;

const CLIENTS_MAX: usize = 5;

/// Handles and pins that are remembered.
const KNOWN_MAX: usize = 16;

const REFUSALS: [&str; 16] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
