//! Random clients. They know what they were told and nothing else, and are wrong now and then: stale handles,
//! repeated ids, requests beyond every limit.

use std::collections::BTreeMap;

use plasmad_core::effect::Got;
use plasmad_core::event::{Payload, Wanted};
use plasmad_core::{ClientId, Effect, Event, Nanos, Reply, RequestTag, Verb};
use plasmad_wire::limits::{FOREVER, METADATA_BYTES_MAX};
use plasmad_wire::{Format, Handle, ObjectId, Pin, Role};

use super::Random;

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
}

/// What a client knows.
#[derive(Default)]
struct Known {
    closed: bool,
    unsealed: Vec<Handle>,
    pins: Vec<Pin>,
    waiting: Vec<u64>,
}

impl Workload {
    /// Clients of a store with an arena of this size.
    pub(crate) fn new(seed: u64, capacity_bytes: u64) -> Self {
        let random = Random(seed);
        let (clients, stale) = (BTreeMap::new(), vec![Handle { slot: 0, generation: 0 }]);
        Self { random, capacity_bytes, now: 0, clients, next_client: 1, next_number: 1, stale }
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
        Some((client, Event::ClientJoined { client, role: Role::Writer, pushes: false }))
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

    /// The clients hear their answers.
    pub(crate) fn told(&mut self, effects: &[Effect]) {
        for effect in effects {
            let Effect::Reply { client, tag, reply } = effect else { continue };
            let Some(known) = self.clients.get_mut(client) else { continue };
            known.waiting.retain(|number| *number != tag.number);
            match reply {
                // Answered, and yet to be cancelled like what waits.
                Reply::Subscribed => known.waiting.push(tag.number),
                Reply::Created(made) => known.unsealed.extend(made.iter().map(|(handle, _)| *handle)),
                Reply::Got { objects, .. } => known.pins.extend(objects.iter().filter_map(|it| match it {
                    Got::Pinned(pin, _) => Some(*pin),
                    Got::Not(_) => None,
                })),
                _ => {}
            }
        }
    }

    fn event(&mut self, deadline: Option<Nanos>) -> Event {
        let open: Vec<ClientId> = self.clients.iter().filter(|it| !it.1.closed).map(|it| *it.0).collect();
        let Some(client) = self.random.pick(&open).copied().filter(|_| !self.random.percent(1)) else {
            return self.somebody_comes_or_goes();
        };
        let verb = match self.random.below(100) {
            0..20 => self.create(),
            20..34 => self.seal_or_abort(client),
            34..50 => Verb::Get { timeout_ns: self.timeout(), partial: self.random.percent(30), ids: self.ids() },
            50..59 => self.release(client),
            59..67 => self.create(),
            67..73 => Verb::Delete { ids: self.ids() },
            73..76 => Verb::Contains { ids: self.ids() },
            76..81 => {
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
        Event::Asked { client, tag: RequestTag { number, kind: 7, silent: false }, verb }
    }

    fn somebody_comes_or_goes(&mut self) -> Event {
        let all: Vec<ClientId> = self.clients.keys().copied().collect();
        let leaving = self.random.pick(&all).copied().filter(|_| all.len() >= CLIENTS_MAX || self.random.percent(40));
        let Some(client) = leaving else {
            let client = ClientId(self.next_client);
            self.next_client += 1;
            self.clients.insert(client, Known::default());
            let role = if self.random.percent(15) { Role::Reader } else { Role::Writer };
            return Event::ClientJoined { client, role, pushes: false };
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
        if let Some(deadline) = deadline.filter(|_| self.random.percent(70)) {
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
        let count = if self.random.percent(60) { 1 } else { self.random.below(5) };
        (0..count).map(|_| self.id()).collect()
    }

    fn id(&mut self) -> ObjectId {
        let ids = if self.random.percent(50) { HOT_IDS } else { IDS };
        ObjectId::from_slice(&[1 + self.random.below(ids) as u8, 0xaa]).expect("two bytes are an id")
    }

    fn bytes(&mut self) -> u64 {
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

/// Few, so that requests meet.
const HOT_IDS: u64 = 12;

/// More than fit, so that there is always something new to create.
const IDS: u64 = 200;
