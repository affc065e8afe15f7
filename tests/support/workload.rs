//! Random clients. They know what they were told and nothing else, and are wrong now and then: stale handles,
//! repeated ids, requests beyond every limit.

use std::collections::BTreeMap;

use plasmad_core::effect::Got;
use plasmad_core::event::{Payload, Wanted};
use plasmad_core::{ClientId, Effect, Event, Nanos, Reply, RequestTag, Verb};
use plasmad_wire::limits::{FOREVER, GRANT_BYTES_MAX, GRANTS_MAX, METADATA_BYTES_MAX};
use plasmad_wire::{Format, Handle, ObjectId, Pin, Role};

use super::{Random, own_id};

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// When.
    pub(crate) now: Nanos,
    /// What.
    pub(crate) event: Event,
    /// The arena cannot be written meanwhile.
    pub(crate) fill_fails: bool,
    /// Then subscribers take up to so many changes each; 0: they don't.
    pub(crate) takes: usize,
}

/// All clients of one run.
pub(crate) struct Workload {
    random: Random,
    capacity_bytes: u64,
    now: Nanos,
    clients: BTreeMap<ClientId, Known>,
    next_client: u64,
    next_number: u64,
    stale: Vec<Handle>,
    /// Objects that somebody made, and nobody has deleted yet; some were evicted.
    made: Vec<ObjectId>,
    /// The largest hole there is.
    hole_bytes: u64,
    /// What a client is about to tell of.
    awaited: Option<ObjectId>,
    /// Clients that rang, which was not heard yet.
    rings: u64,
    /// Clients that are to be disconnected for what they told.
    expelled: Vec<ClientId>,
}

/// What a client knows.
#[derive(Default)]
struct Known {
    closed: bool,
    /// It may tell on a ring.
    pushes: bool,
    unsealed: Vec<Handle>,
    /// Objects it created over the socket and ends on its ring.
    for_ring: Vec<(Handle, ObjectId)>,
    /// The ids in its requests to create and, marked, to delete.
    about: BTreeMap<u64, (bool, Vec<ObjectId>)>,
    /// How many objects it has begun by itself.
    begun: u64,
    pins: Vec<Pin>,
    waiting: Vec<u64>,
}

impl Workload {
    /// Clients of a store with an arena of this size.
    pub(crate) fn new(seed: u64, capacity_bytes: u64) -> Self {
        let random = Random(seed);
        let (clients, stale) = (BTreeMap::new(), vec![Handle { slot: 0, generation: 0 }]);
        Self {
            random,
            capacity_bytes,
            now: 0,
            clients,
            next_client: 1,
            next_number: 1,
            stale,
            made: Vec::new(),
            hole_bytes: 0,
            awaited: None,
            rings: 0,
            expelled: Vec::new(),
        }
    }

    /// Chooses what happens next; time may pass up to, or a little over, the next deadline.
    pub(crate) fn step(&mut self, deadline: Option<Nanos>) -> Step {
        self.now += self.random.below(400);
        let event = self.event(deadline);
        let takes = if self.random.percent(20) { 1 + self.random.below(9) as usize } else { 0 };
        Step { now: self.now, event, fill_fails: self.random.percent(2), takes }
    }

    /// Time jumps forward; it never goes back.
    pub(crate) fn jump(&mut self, by: Nanos) -> Nanos {
        self.now += by;
        self.now
    }

    /// A new client, who knows what another one knew: a process that connected again.
    pub(crate) fn comes_again(&mut self, before: ClientId) -> Option<(ClientId, Event)> {
        let known = self.clients.get(&before)?;
        let (unsealed, pins) = (known.unsealed.clone(), known.pins.clone());
        let client = ClientId(self.next_client);
        self.next_client += 1;
        self.clients.insert(client, Known { unsealed, pins, ..Known::default() });
        Some((client, Event::ClientJoined { client, role: Role::Writer, pushes: true }))
    }

    /// A client's socket is closed.
    pub(crate) fn closes(&mut self, client: ClientId) -> Event {
        self.clients.entry(client).and_modify(|known| known.closed = true);
        Event::ConnectionClosed { client }
    }

    /// A client's process is dead, and the shell knows.
    pub(crate) fn dies(&mut self, client: ClientId) -> Event {
        self.clients.remove(&client);
        Event::ClientGone { client }
    }

    /// Everybody leaves.
    pub(crate) fn farewell(&mut self) -> Vec<Event> {
        let clients = std::mem::take(&mut self.clients);
        clients.into_keys().map(|client| Event::ClientGone { client }).collect()
    }

    /// A client has pinned by itself, and may give that back like any other pin.
    pub(crate) fn has_pinned(&mut self, client: ClientId, pin: Pin) {
        self.clients.entry(client).and_modify(|known| known.pins.push(pin));
    }

    /// A client has created an object by itself, and ends it over the socket.
    pub(crate) fn has_created(&mut self, client: ClientId, handle: Handle) {
        self.clients.entry(client).and_modify(|known| known.unsealed.push(handle));
    }

    /// A client has begun so many objects by itself: others may ask for them, and delete them.
    pub(crate) fn has_begun(&mut self, client: ClientId, count: u64) {
        let Some(known) = self.clients.get_mut(&client) else { return };
        self.made.extend((known.begun + 1..=count).map(|number| own_id(client, number)));
        known.begun = count;
    }

    /// So much is free in one piece: somebody may well take most of it.
    pub(crate) fn may_fill(&mut self, hole_bytes: u64) {
        self.hole_bytes = hole_bytes;
    }

    /// A client is about to tell of an object: somebody may well wait for it.
    pub(crate) fn may_await(&mut self, id: Option<ObjectId>) {
        self.awaited = id;
    }

    /// A client rings, if it is connected.
    pub(crate) fn rings(&mut self, client: ClientId) {
        self.rings += u64::from(self.clients.get(&client).is_some_and(|known| !known.closed));
    }

    /// Somebody rang while the store was at work.
    pub(crate) fn rings_late(&mut self) {
        self.rings += 1;
    }

    /// Somebody rang, and the store has not heard it.
    pub(crate) fn is_ringing(&self) -> bool {
        self.rings > 0
    }

    /// Objects created over the socket that their clients end on their rings.
    pub(crate) fn take_for_ring(&mut self) -> Vec<(ClientId, Handle, ObjectId)> {
        let all = self.clients.iter_mut();
        all.flat_map(|(client, known)| known.for_ring.drain(..).map(|(handle, id)| (*client, handle, id))).collect()
    }

    /// The clients hear their answers; whoever told what cannot be is disconnected soon.
    pub(crate) fn told(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Expel { client, .. } = effect {
                self.expelled.push(*client);
            }
            let Effect::Reply { client, tag, reply } = effect else { continue };
            let Some(known) = self.clients.get_mut(client) else { continue };
            known.waiting.retain(|number| *number != tag.number);
            let (deletes, ids) = known.about.remove(&tag.number).unwrap_or_default();
            if matches!(reply, Reply::Refused(_)) == deletes {
                self.made.extend(&ids);
            }
            match reply {
                // Answered, and yet to be cancelled like what waits.
                Reply::Subscribed => known.waiting.push(tag.number),
                Reply::Created(made) if known.pushes && self.random.percent(30) => {
                    known.for_ring.extend(made.iter().map(|(handle, _)| *handle).zip(ids));
                }
                Reply::Created(made) => known.unsealed.extend(made.iter().map(|(handle, _)| *handle)),
                Reply::Got { objects, .. } => known.pins.extend(objects.iter().filter_map(|it| match it {
                    Got::Pinned(pin, _) | Got::OnDisk(pin, ..) => Some(*pin),
                    Got::Not(_) => None,
                })),
                _ => {}
            }
        }
    }

    fn event(&mut self, deadline: Option<Nanos>) -> Event {
        if self.rings > 0 && self.random.percent(50) {
            self.rings -= 1;
            return Event::Rung;
        }
        if !self.expelled.is_empty() && self.random.percent(50) {
            let client = self.expelled.remove(0);
            return self.closes(client);
        }
        let open: Vec<ClientId> = self.clients.iter().filter(|it| !it.1.closed).map(|it| *it.0).collect();
        let Some(client) = self.random.pick(&open).copied().filter(|_| !self.random.percent(1)) else {
            return self.somebody_comes_or_goes();
        };
        let verb = match self.random.below(100) {
            0..18 => self.create(),
            18..22 => self.grant(),
            22..35 => self.seal_or_abort(client),
            35..49 => Verb::Get { timeout_ns: self.timeout(), partial: self.random.percent(30), ids: self.ids() },
            49..58 => self.release(client),
            58..66 => self.create(),
            66..69 => self.grant(),
            69..75 => Verb::Delete { ids: self.ids_to_delete() },
            75..77 => Verb::Contains { ids: self.ids() },
            77..81 => {
                let ids = self.ids();
                Verb::Wait { timeout_ns: self.timeout(), count: self.random.below(ids.len() as u64 + 2) as u32, ids }
            }
            81..83 => Verb::Stat { id: self.id() },
            83..85 => Verb::List { cursor: self.random.below(30) as u32, limit: self.random.below(20) as u32 },
            85..88 => Verb::Stats,
            88..90 => Verb::Evict { bytes: self.bytes() },
            90..92 => Verb::Subscribe { existing: self.random.percent(60), queue_max: self.random.below(12) as u32 },
            92..95 => return self.cancel(client),
            _ => return self.time_passes(deadline),
        };
        let number = self.number(client);
        let about = match &verb {
            Verb::Create { objects, .. } => Some((false, objects.iter().map(|wanted| wanted.id).collect())),
            Verb::Delete { ids } => Some((true, ids.clone())),
            _ => None,
        };
        if let Some(about) = about {
            self.clients.entry(client).and_modify(|known| drop(known.about.insert(number, about)));
        }
        Event::Asked { client, tag: RequestTag { number, kind: 7, silent: false }, verb }
    }

    fn somebody_comes_or_goes(&mut self) -> Event {
        let all: Vec<ClientId> = self.clients.keys().copied().collect();
        let leaving = self.random.pick(&all).copied().filter(|_| all.len() >= CLIENTS_MAX || self.random.percent(40));
        let Some(client) = leaving else {
            let client = ClientId(self.next_client);
            self.next_client += 1;
            let role = if self.random.percent(15) { Role::Reader } else { Role::Writer };
            let pushes = self.random.percent(85);
            self.clients.insert(client, Known { pushes, ..Known::default() });
            return Event::ClientJoined { client, role, pushes };
        };
        if self.random.percent(50) {
            self.clients.entry(client).and_modify(|known| known.closed = true);
            return Event::ConnectionClosed { client };
        }
        self.clients.remove(&client);
        Event::ClientGone { client }
    }

    fn time_passes(&mut self, deadline: Option<Nanos>) -> Event {
        if self.random.percent(20) {
            return Event::Rung;
        }
        if self.random.percent(3) {
            self.now += IDLE_NS;
        } else if let Some(deadline) = deadline.filter(|_| self.random.percent(70)) {
            self.now = self.now.max(deadline + self.random.below(3) * 500);
        }
        Event::Tick
    }

    fn cancel(&mut self, client: ClientId) -> Event {
        let waiting = self.clients[&client].waiting.clone();
        let number = self.random.pick(&waiting).copied().unwrap_or(self.next_number);
        Event::Cancelled { client, number }
    }

    /// A new number, rarely that of a request that waits.
    fn number(&mut self, client: ClientId) -> u64 {
        self.next_number += 1;
        let waiting = &mut self.clients.get_mut(&client).expect("the client is one of ours").waiting;
        if let Some(taken) = waiting.first().copied().filter(|_| self.random.percent(2)) {
            return taken;
        }
        waiting.push(self.next_number);
        // Those whose answer came at once are forgotten in `told`; nothing grows.
        self.next_number
    }

    fn create(&mut self) -> Verb {
        let count = if self.random.percent(20) { self.random.below(5) } else { 1 };
        let inline = self.random.percent(45);
        let objects = (0..count).map(|_| self.wanted(inline)).collect();
        // Whoever is first in line holds up all others, so it rarely stays for ever.
        let timeout_ns = if self.random.percent(97) { self.random.below(5000) } else { FOREVER };
        Verb::Create { timeout_ns: if self.random.percent(20) { 0 } else { timeout_ns }, objects }
    }

    fn wanted(&mut self, inline: bool) -> Wanted {
        let data_bytes = if inline { self.random.below(6000) } else { self.bytes() };
        let metadata_bytes = match self.random.below(100) {
            0 => METADATA_BYTES_MAX + u32::from(!inline),
            1..20 => self.random.below(300) as u32,
            _ => 0,
        };
        let payload =
            inline.then(|| Payload { data: vec![0; data_bytes as usize], metadata: vec![0; metadata_bytes as usize] });
        let format = if self.random.percent(10) { Format::Arrow } else { Format::Raw };
        let evictable = self.random.percent(50);
        Wanted { id: self.id(), data_bytes, metadata_bytes, format, evictable, payload }
    }

    /// Most clients ask for few small ones.
    fn grant(&mut self) -> Verb {
        let bytes = match self.random.below(40) {
            0 => 0,
            1 => GRANT_BYTES_MAX + 1,
            2 => 1 + self.random.below(GRANT_BYTES_MAX),
            3..6 => 1 + self.random.below(64 * 1024),
            6..16 => 1 + self.random.below(self.capacity_bytes / 256),
            _ => 1 + self.random.below(2000),
        };
        let count = if self.random.percent(2) { GRANTS_MAX + 1 } else { self.random.below(9) as u32 };
        Verb::Grant { bytes, count }
    }

    fn seal_or_abort(&mut self, client: ClientId) -> Verb {
        let known = self.clients.get_mut(&client).expect("the client is one of ours");
        let count = 1 + self.random.below(2) as usize;
        let kept = known.unsealed.len().saturating_sub(count);
        let mut handles = known.unsealed.split_off(kept);
        if self.random.percent(8) {
            // Refused as a whole, so the rightful ones are kept for later.
            known.unsealed.extend(&handles);
            handles.extend(self.random.pick(&self.stale));
            handles.extend(known.unsealed.last().filter(|_| self.random.percent(50)));
        }
        self.remember(handles.first().copied());
        if self.random.percent(80) { Verb::Seal { handles } } else { Verb::Abort { handles } }
    }

    fn release(&mut self, client: ClientId) -> Verb {
        let known = self.clients.get_mut(&client).expect("the client is one of ours");
        let mut pins = Vec::new();
        for _ in 0..=self.random.below(2) {
            if !known.pins.is_empty() {
                pins.push(known.pins.swap_remove(self.random.below(known.pins.len() as u64) as usize));
            }
        }
        if self.random.percent(5) {
            let handle = self.stale[0];
            pins.extend(pins.first().copied());
            pins.push(Pin { word: self.random.below(20) as u32, handle });
        }
        self.remember(pins.first().map(|pin| pin.handle));
        Verb::Release { pins }
    }

    fn remember(&mut self, handle: Option<Handle>) {
        self.stale.extend(handle);
        if self.stale.len() > 8 {
            self.stale.remove(0);
        }
    }

    fn timeout(&mut self) -> u64 {
        match self.random.below(10) {
            0..3 => 0,
            3..5 => FOREVER,
            _ => 1 + self.random.below(20_000),
        }
    }

    fn ids(&mut self) -> Vec<ObjectId> {
        if let Some(awaited) = self.awaited.filter(|_| self.random.percent(25)) {
            return vec![awaited];
        }
        let count = if self.random.percent(60) { 1 } else { self.random.below(5) };
        (0..count).map(|_| self.id()).collect()
    }

    /// Any; or, in two of three stretches of time, some that were made: else the table would be full most of the time,
    /// and the arena never.
    fn ids_to_delete(&mut self) -> Vec<ObjectId> {
        if (self.next_number / STRETCH).is_multiple_of(3) || self.random.percent(20) {
            return self.ids();
        }
        let count = self.random.below(9).min(self.made.len() as u64);
        (0..count).map(|_| self.made.swap_remove(self.random.below(self.made.len() as u64) as usize)).collect()
    }

    fn id(&mut self) -> ObjectId {
        if let Some(awaited) = self.awaited.filter(|_| self.random.percent(2)) {
            return awaited;
        }
        if self.random.percent(12)
            && let Some(id) = self.id_of_somebody()
        {
            return id;
        }
        let ids = if self.random.percent(50) { HOT_IDS } else { IDS };
        ObjectId::from_slice(&[1 + self.random.below(ids) as u8, 0xaa]).expect("two bytes are an id")
    }

    /// Of an object that a client has begun lately by itself, or is about to begin.
    fn id_of_somebody(&mut self) -> Option<ObjectId> {
        let all: Vec<(ClientId, u64)> = self.clients.iter().map(|(client, known)| (*client, known.begun)).collect();
        let (client, begun) = *self.random.pick(&all)?;
        let next = if self.random.percent(60) { begun + 1 } else { (begun + self.random.below(3)).saturating_sub(1) };
        Some(own_id(client, next))
    }

    fn bytes(&mut self) -> u64 {
        // The smaller the piece, the more likely: else the arena would never be full.
        let often = if self.hole_bytes < 128 * 1024 { 40 } else { 8 };
        if self.hole_bytes > 0 && self.random.percent(often) {
            return self.hole_bytes - self.random.below(self.hole_bytes.min(3000));
        }
        let most = match self.random.below(20) {
            0 => 1,
            1..10 => 1000,
            10..15 => 64 * 1024,
            15..18 => 512 * 1024,
            18 => return 1024 * 1024 + self.random.below(1024 * 1024),
            _ => match self.random.below(6) {
                0 => return self.capacity_bytes,
                1 => return self.capacity_bytes + 1,
                2 => return u64::MAX,
                _ => self.capacity_bytes,
            },
        };
        self.random.below(most)
    }
}

const CLIENTS_MAX: usize = 5;

/// How many requests go by before more, or fewer, objects are deleted.
const STRETCH: u64 = 300;

/// Who tells nothing for so long gives back what it was handed.
const IDLE_NS: Nanos = 1_000_000_000;

/// Few, so that requests meet.
const HOT_IDS: u64 = 12;

/// More than fit, so that there is always something new to create.
const IDS: u64 = 200;
