//! The store: what each event means.
//!
//! Invariant: an extent belongs to exactly one object from its allocation until [`Residence::free`] has been
//! told; shared memory is changed before the effect that tells of it exists.
//!
//! This file holds the entrance and what all verbs share; the verbs stand in `store/`:
//! `make` (create, seal, abort), `line` (creates that wait), `read` (get, release, wait, contains), `remove` (delete, departures),
//! `inspect` (stat, list, stats), `watch` (subscribe), `grants` (memory handed out ahead, and what clients tell of it),
//! `upkeep` (memory made present, and given back), `lease` (what children of a fork hold). Of the disk tell `spill` (which
//! objects go there), `room` (for whom), `restore` (how they come back), `view` (how they are read there), `compact`, and `adopt`
//! (what was there before).

mod adopt;
mod compact;
mod grants;
mod inspect;
mod lease;
mod line;
mod make;
mod read;
mod remove;
mod restore;
mod room;
mod spill;
mod upkeep;
mod view;
mod watch;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use plasmad_wire::Role;

use crate::Nanos;
use crate::arena::{Allocator, Spans, Upkeep};
use crate::clients::{ClientId, Clients, Ledger};
use crate::disk::SpillConfig;
use crate::effect::{Effect, Refusal, Reply};
use crate::event::{Event, RequestTag, Verb};
use crate::eviction::{Recency, WhenFull};
use crate::queue::{CreateQueue, Deadlines, GetWaits, Subscriptions, WaitKey, distinct};
use crate::residence::{Entry, Grant, Residence};
use crate::slot::{Move, SlotNumber, SlotSet, SlotTable};
use crate::spill::Disk;
use crate::stats::Totals;
use upkeep::Errand;

/// What the store is made with.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The arena's size, a multiple of 4096.
    pub capacity_bytes: u64,
    /// How many objects there can be.
    pub slots_max: u32,
    /// Keys the hash of ids; secret, so that nobody can aim at one bucket.
    pub hash_seed: [u64; 2],
    /// What happens when a create finds no room.
    pub when_full: WhenFull,
    /// What is done about memory that nobody uses.
    pub upkeep: Upkeep,
    /// Where objects go that [`WhenFull::Spill`] keeps; without it they stay in memory.
    pub spill: Option<SpillConfig>,
}

/// Everything the store knows.
pub struct Store {
    config: Config,
    arena: Allocator,
    spans: Spans,
    /// What the shell is doing about them.
    errand: Option<Errand>,
    slots: SlotTable,
    clients: Clients,
    /// Sealed objects that may be dropped for good.
    recency: Recency,
    /// Those that are on disk too.
    clean: Recency,
    /// Those that have to be written before they may leave memory.
    dirty: Recency,
    disk: Disk,
    creates: CreateQueue,
    gets: GetWaits,
    deadlines: Deadlines,
    subscriptions: Subscriptions,
    /// Deleted objects whose memory waits for the last release.
    doomed: Vec<SlotNumber>,
    /// Unsealed objects that were inherited by children of a fork.
    inherited: BTreeSet<SlotNumber>,
    /// A doomed object, or one that is viewed on disk, may have lost its last pin since the last sweep.
    sweep_due: bool,
    /// Something happened that may let the first create in line through.
    room_changed: bool,
    /// Clients are asked to ring when they release something by themselves.
    wanted: bool,
    /// Scratch for scans, kept so that a scan allocates nothing.
    pinned: SlotSet,
    /// The same for claims on grants.
    claimed: SlotSet,
    /// Scratch for what rings tell.
    entries: Vec<Entry>,
    /// Scratch for what is handed out.
    grants: Vec<Grant>,
    granted_bytes: u64,
    granted_count: u64,
    /// When rings were read last.
    drained_at: Nanos,
    /// When to look next for clients that don't use what they were handed.
    idle_check: Option<Nanos>,
    unsealed_bytes: u64,
    droppable_bytes: u64,
    clean_bytes: u64,
    /// What leaves memory when batches are done.
    spilling_bytes: u64,
    sealed_count: u64,
    totals: Totals,
}

impl Store {
    /// An empty store.
    pub fn new(config: Config) -> Self {
        let arena = Allocator::new(config.capacity_bytes);
        let spill = config.spill.filter(|_| config.when_full == WhenFull::Spill);
        Self {
            config,
            spans: Spans::new(config.upkeep, &arena),
            arena,
            errand: None,
            slots: SlotTable::new(config.slots_max, config.hash_seed),
            clients: Clients::default(),
            recency: Recency::new(),
            clean: Recency::new(),
            dirty: Recency::new(),
            disk: Disk::new(spill, config.capacity_bytes),
            creates: CreateQueue::new(if spill.is_some() { config.capacity_bytes / SHARE_FOR_LITTLE } else { 0 }),
            gets: GetWaits::default(),
            deadlines: Deadlines::default(),
            subscriptions: Subscriptions::default(),
            doomed: Vec::new(),
            inherited: BTreeSet::new(),
            sweep_due: false,
            room_changed: false,
            wanted: false,
            pinned: SlotSet::new(config.slots_max),
            claimed: SlotSet::new(config.slots_max),
            entries: Vec::new(),
            grants: Vec::new(),
            granted_bytes: 0,
            granted_count: 0,
            drained_at: 0,
            idle_check: None,
            unsealed_bytes: 0,
            droppable_bytes: 0,
            clean_bytes: 0,
            spilling_bytes: 0,
            sealed_count: 0,
            totals: Totals::default(),
        }
    }

    /// Takes one event and appends what is to be done about it.
    pub fn handle(&mut self, now: Nanos, event: Event, residence: &mut impl Residence, effects: &mut Vec<Effect>) {
        let turn = &mut Turn { now, residence, effects };
        self.drain(turn);
        match event {
            Event::ClientJoined { client, role, pushes } => self.clients.join(client, role, pushes),
            Event::Asked { client, tag, verb } => self.asked(turn, client, tag, verb),
            Event::Rung => self.rung(),
            Event::Cancelled { client, number } => self.cancelled(turn, client, number),
            Event::ConnectionClosed { client } => self.connection_closed(turn, client),
            Event::ClientGone { client } => self.client_gone(turn, client),
            Event::ErrandDone { succeeded } => self.errand_done(succeeded),
            Event::Written { batch, outcome } => self.written(turn, batch, outcome),
            Event::Restored { restore, outcome } => self.restored(turn, restore, outcome),
            Event::Adopted(records) => self.adopt(records),
            Event::Tick => self.tick(turn),
        }
        if self.room_changed || self.disk.restores_due {
            self.serve_waiting(turn);
        }
        self.use_disk(turn);
        self.spare_releases(turn);
        self.keep_up(turn);
        #[cfg(debug_assertions)]
        self.check_counts();
    }

    /// When [`Event::Tick`] is wanted at the latest.
    pub fn next_deadline(&self) -> Option<Nanos> {
        let deadlines =
            [self.deadlines.next(), self.next_look_at_rings(), self.spans.next_look(), self.disk.next_look()];
        deadlines.into_iter().flatten().min()
    }

    /// [`Event::Tick`] is wanted soon: deleted objects may have lost their last pin, or who waits for the disk wasn't
    /// looked at yet.
    pub fn wants_tick(&self) -> bool {
        self.sweep_due || self.disk.restores_due
    }

    /// Somebody waits for room.
    pub fn is_short_of_room(&self) -> bool {
        !self.creates.is_empty() || self.disk.is_short || !self.disk.parked.is_empty()
    }

    /// The highest address ever used.
    pub fn high_water_bytes(&self) -> u64 {
        self.arena.high_water_bytes()
    }

    fn asked<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId, tag: RequestTag, verb: Verb) {
        let Some(ledger) = self.clients.ledger(client) else { return };
        if ledger.role == Role::Reader && !readers_may(&verb) {
            return self.answer(turn, client, tag, Err(Refusal::Denied));
        }
        let answer = match verb {
            Verb::Create { timeout_ns, objects } => return self.create(turn, client, tag, timeout_ns, objects),
            Verb::Get { timeout_ns, partial, ids } => return self.get(turn, client, tag, timeout_ns, partial, ids),
            Verb::Wait { timeout_ns, count, ids } => return self.wait(turn, client, tag, timeout_ns, count, ids),
            Verb::Seal { handles } => self.seal(turn, client, &handles),
            Verb::Abort { handles } => self.abort(turn, client, &handles),
            Verb::View { pin } => self.view(turn, client, pin),
            Verb::Release { pins } => self.release(turn, client, &pins),
            Verb::Delete { ids } => return self.delete(turn, client, tag, &ids),
            Verb::Contains { ids } => Ok(self.present(&ids)),
            Verb::Stat { id } => self.stat(turn, id),
            Verb::List { cursor, limit } => Ok(self.list(turn, cursor, limit)),
            Verb::Stats => Ok(Reply::Stats(Box::new(self.snapshot(turn)))),
            Verb::Subscribe { existing, queue_max } => self.subscribe(client, tag, existing, queue_max),
            Verb::Evict { bytes } => return self.evict(turn, client, tag, bytes),
            Verb::Lease { lease } => self.lease(turn, client, lease),
            Verb::Grant { bytes, count } => self.grant(turn, client, bytes, count),
        };
        self.answer(turn, client, tag, answer);
    }

    fn cancelled<R: Residence>(&mut self, turn: &mut Turn<'_, R>, client: ClientId, number: u64) {
        if let Some(tag) = self.unsubscribe(client, number) {
            return self.answer(turn, client, tag, Err(Refusal::Cancelled));
        }
        self.stop_evicting(turn, client, number);
        let key = self.clients.ledger(client).and_then(|ledger| ledger.waiting.get(&number).copied());
        if let Some((client, tag)) = key.and_then(|key| self.stop_waiting(turn, key)) {
            self.answer(turn, client, tag, Err(Refusal::Cancelled));
        }
    }

    /// Answers everything whose time is up, then frees what nobody pins any more.
    fn tick<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        while let Some(key) = self.deadlines.due(turn.now) {
            match key {
                WaitKey::Create(place) => self.expire_create(turn, place),
                WaitKey::Get(number) => self.expire_get(turn, number),
            }
        }
        if self.sweep_due {
            self.sweep(turn);
        }
        self.room_changed |= self.disk.wakes(turn.now);
        self.take_back_from_the_idle(turn);
    }

    fn answer<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        tag: RequestTag,
        answer: Result<Reply, Refusal>,
    ) {
        let reply = answer.unwrap_or_else(|refusal| {
            self.totals.refused += 1;
            Reply::Refused(refusal)
        });
        turn.effects.push(Effect::Reply { client, tag, reply });
    }

    /// Moves an object on, and notes it for subscribers.
    fn advance(&mut self, slot: SlotNumber, made: Move) {
        self.slots.advance(slot, made);
        if !self.subscriptions.is_empty()
            && let Some(kind) = made.change()
        {
            self.subscriptions.note(kind, slot, &self.slots[slot]);
        }
    }

    /// Notes that a request waits, so that it can be taken back.
    fn note_waiting(&mut self, client: ClientId, tag: RequestTag, bytes: u64, deadline: Option<Nanos>, key: WaitKey) {
        self.deadlines.insert(deadline, key);
        if let Some(ledger) = self.clients.ledger(client) {
            ledger.waiting.insert(tag.number, key);
            ledger.waiting_bytes += bytes;
        }
    }

    /// Takes a waiting request out of everything it stands in.
    fn stop_waiting<R: Residence>(&mut self, turn: &mut Turn<'_, R>, key: WaitKey) -> Option<(ClientId, RequestTag)> {
        let (client, tag, bytes, deadline) = match key {
            WaitKey::Create(place) => {
                let wait = self.creates.remove(place)?;
                self.room_changed = true;
                (wait.client, wait.tag, wait.bytes(), wait.deadline)
            }
            WaitKey::Get(number) => {
                let wait = self.gets.remove(number)?;
                self.disk.restores_due |= self.disk.admitted.contains(&number);
                self.sweep_due |= self.disk.viewing.remove(&number);
                turn.residence.expect(&distinct(&wait.ids), false);
                (wait.client, wait.tag, wait.bytes(), wait.deadline)
            }
        };
        self.deadlines.remove(deadline, key);
        if let Some(ledger) = self.clients.ledger(client) {
            ledger.waiting.remove(&tag.number);
            ledger.waiting_bytes -= bytes;
        }
        Some((client, tag))
    }

    /// May this client wait with one more request of so many bytes, under this number?
    fn may_wait(&mut self, client: ClientId, tag: RequestTag, bytes: u64) -> Result<(), Refusal> {
        let ledger = self.clients.ledger(client);
        let Some(Ledger { waiting, waiting_bytes, .. }) = ledger else { return Err(Refusal::Cancelled) };
        let subscription = self.subscriptions.number(client) == Some(tag.number);
        if subscription || waiting.contains_key(&tag.number) {
            return Err(Refusal::Malformed("a request with this number is waiting already"));
        }
        if waiting.len() >= WAITING_MAX {
            return Err(Refusal::Limit { what: "requests of one client that wait", limit: WAITING_MAX as u64 });
        }
        if *waiting_bytes + bytes > WAITING_BYTES_MAX {
            let what = "bytes of one client's requests that wait";
            return Err(Refusal::Limit { what, limit: WAITING_BYTES_MAX });
        }
        Ok(())
    }
}

/// What one call of [`Store::handle`] works with.
struct Turn<'a, R> {
    now: Nanos,
    residence: &'a mut R,
    effects: &'a mut Vec<Effect>,
}

fn readers_may(verb: &Verb) -> bool {
    match verb {
        Verb::Create { .. }
        | Verb::Seal { .. }
        | Verb::Abort { .. }
        | Verb::Delete { .. }
        | Verb::Evict { .. }
        | Verb::Grant { .. } => false,
        Verb::Get { .. }
        | Verb::View { .. }
        | Verb::Release { .. }
        | Verb::Contains { .. }
        | Verb::Wait { .. }
        | Verb::Stat { .. }
        | Verb::List { .. }
        | Verb::Subscribe { .. }
        | Verb::Lease { .. }
        | Verb::Stats => true,
    }
}

/// The part of the arena that is there for who wants little, while others wait for the disk.
const SHARE_FOR_LITTLE: u64 = 16;
/// Requests of one client that may wait at a time.
pub const WAITING_MAX: usize = 1024;

/// What their ids, objects and inline bytes may take of the daemon's memory: fifteen of the largest inline puts.
pub const WAITING_BYTES_MAX: u64 = 16 * 1024 * 1024;
#[cfg(all(test, debug_assertions))]
#[path = "store/ledger_checks.rs"]
mod ledger_checks;
