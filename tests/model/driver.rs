//! Drives the core and the model side by side and compares after every operation.

use plasmad_core::{ClientId, Config, Effect, Event, Nanos, RequestTag, Store, Upkeep, Verb, WhenFull};
use plasmad_wire::{Handle, ObjectId, Role};

use super::faulty::{Fault, Faulty};
use super::state::{Model, Seen};
use super::transcript::Transcript;
use crate::support::{At, Checked, Did, Hand, Pages, Pushers, Then, Violation, Workload, ensure, guarded};

/// Where a run went wrong.
#[derive(Debug)]
pub(super) struct Failure {
    /// The seed that shows it again.
    pub(super) seed: u64,
    /// After so many operations.
    pub(super) operation: u64,
    /// How.
    pub(super) violation: Violation,
}

/// Runs so many operations; the seed decides all of them, and how the store behaves when it is full.
pub(super) fn run(seed: u64, operations: u64, fault: Fault) -> Result<Seen, Failure> {
    let mut driver = Driver::new(seed, fault);
    let result = guarded(|| driver.run(operations));
    match result {
        Ok(()) => Ok(driver.model.seen),
        Err(violation) => Err(Failure { seed, operation: driver.operation, violation }),
    }
}

struct Driver {
    store: Store,
    model: Model,
    faulty: Faulty,
    workload: Workload,
    /// What the workload's clients do by themselves.
    pushers: Pushers,
    operation: u64,
    high_water_bytes: u64,
}

impl Driver {
    fn new(seed: u64, fault: Fault) -> Self {
        let when_full = [WhenFull::Spill, WhenFull::Evict, WhenFull::Refuse][(seed % 3) as usize];
        let config = Config {
            capacity_bytes: CAPACITY_BYTES,
            slots_max: SLOTS,
            hash_seed: [seed, 1],
            when_full,
            upkeep: Upkeep::NONE,
            spill: None,
        };
        let mut pushers = Pushers::new(seed);
        pushers.lies_one_in = 60;
        Self {
            pushers,
            store: Store::new(config),
            model: Model::new(config, PIN_WORDS),
            faulty: Faulty::new(Pages::new(PIN_WORDS), fault),
            workload: Workload::new(seed, CAPACITY_BYTES),
            operation: 0,
            high_water_bytes: 0,
        }
    }

    fn run(&mut self, operations: u64) -> Checked {
        for _ in 0..operations {
            self.clients_push();
            self.nobody_waits_unheard()?;
            self.workload.may_await(self.pushers.next_told());
            self.workload.may_fill(self.model.largest_hole_bytes());
            let step = self.workload.step(self.store.next_deadline());
            self.faulty.pages.set_fill_fails(step.fill_fails);
            if self.faulty.is_betrayed_by(&step.event) {
                continue;
            }
            self.operate(step.now, step.event)?;
            self.subscribers_take(step.takes)?;
        }
        self.faulty.pages.set_fill_fails(false);
        self.empty_the_store()
    }

    /// Clients go on by themselves, some steps.
    fn clients_push(&mut self) {
        while let Some((client, did)) = self.pushers.step(&mut self.faulty.pages) {
            match did {
                Did::Claimed(pin) => self.model.claims(client, pin),
                Did::Told(entry) | Did::Lied(entry) => self.model.tells(client, entry),
                Did::LetGo { pin, .. } => self.model.lets_go(client, pin),
                Did::Returned { rang } if rang && self.faulty.fault != Fault::NobodyRings => {
                    self.workload.rings(client)
                }
                Did::Returned { .. } | Did::Confirmed(_) | Did::Nothing => {}
            }
            self.workload.has_begun(client, self.pushers.begun(client));
            if self.pushers.pauses() {
                return;
            }
        }
    }

    /// Who waits for what somebody has put is told of it, without another request: whoever put it rings.
    fn nobody_waits_unheard(&self) -> Checked {
        let asks = |hand: &Hand| matches!(hand.at, At::Told(_, Then::There(_)) | At::LetGo(Then::There(_)));
        if self.workload.is_ringing() || self.pushers.all_hands().any(|(_, hand)| asks(hand)) {
            return Ok(());
        }
        let unheard = self.model.unheard();
        ensure!(unheard.is_none(), "nobody rang for {unheard:?}");
        Ok(())
    }

    /// One operation; the clients hear what came of it.
    fn operate(&mut self, now: Nanos, event: Event) -> Checked {
        self.operation += 1;
        let asked = match &event {
            Event::Asked { verb: Verb::Get { ids, .. } | Verb::Wait { ids, .. }, .. } => &ids[..],
            _ => &[],
        };
        let late = self.pushers.finish_late(&mut self.faulty.pages, asked);
        if let Some(late) = late {
            self.model.will_tell(late);
            self.workload.has_begun(late.client, self.pushers.begun(late.client));
        }
        if let Event::ClientGone { client } = event {
            self.pushers.end(client);
        }
        self.faulty.is_waited_for = false;
        let mut effects = Vec::new();
        self.store.handle(now, event.clone(), &mut self.faulty, &mut effects);
        for effect in &effects {
            // Nobody looks at its page any more, whatever it does there.
            if let Effect::Forget { client } = effect {
                self.pushers.end(*client);
            }
        }
        self.faulty.corrupt(&mut effects);
        self.workload.told(&effects);
        let mut said = Transcript::new(effects, self.faulty.pages.take_calls());
        let followed = self.model.follow(now, event.clone(), &mut said).and_then(|()| said.finish());
        let followed = followed.and_then(|()| self.after(&event, late.is_some()));
        let compared = followed.and_then(|()| self.compare());
        compared.map_err(|violation| Violation(format!("{}\n   after {event:?}", violation.0)))
    }

    /// The clients that come and go, and those that were late.
    fn after(&mut self, event: &Event, late: bool) -> Checked {
        let untold = self.pushers.take_late(&mut self.faulty.pages);
        let told = (late && untold.is_empty(), late && self.model.take_untold().is_empty());
        ensure!(told.0 == told.1, "what was told late was told: {told:?}");
        if self.faulty.pages.take_rang() {
            self.workload.rings_late();
        }
        match event {
            Event::ClientJoined { client, pushes: true, .. } => self.pushers.join(*client),
            Event::ClientGone { client } => drop(self.pushers.end(*client)),
            _ => {}
        }
        for (client, handle, id) in self.workload.take_for_ring() {
            self.pushers.will_end(client, handle, id);
        }
        if let Some((client, handle)) = self.pushers.give_away() {
            self.workload.has_created(client, handle);
        }
        Ok(())
    }

    /// Each subscriber takes up to so many changes, and hears what it should.
    fn subscribers_take(&mut self, changes_max: usize) -> Checked {
        let subscribers: Vec<ClientId> = self.model.subscribers.keys().copied().collect();
        for client in subscribers.into_iter().filter(|_| changes_max > 0) {
            let mut heard = self.store.take_changes(client, changes_max);
            heard.iter_mut().for_each(|heard| self.faulty.corrupt_heard(heard));
            let Some(heard) = heard else {
                return Err(Violation(format!("{client:?} has no subscription")));
            };
            let expected = self.model.heard(client, &heard);
            ensure!(Some(&heard) == expected.as_ref(), "{client:?} has heard {heard:?}\n   not {expected:?}");
            // A walk that told everything has still to see that nothing more is there.
            let more = (self.store.has_changes(client), self.model.has_changes(client));
            ensure!(more.0 || !more.1, "{client:?} has more to hear: {more:?}");
        }
        Ok(())
    }

    fn compare(&mut self) -> Checked {
        let deadlines = (self.store.next_deadline(), self.model.deadlines());
        ensure!(deadlines.1.contains(&deadlines.0), "deadlines: the core's and the model's {deadlines:?}");
        let expected = (self.faulty.pages.expected(), &self.model.expected());
        ensure!(expected.0 == expected.1, "expected are, and should be {expected:?}");
        let granted = (self.faulty.pages.granted(), &self.model.granted_slots());
        ensure!(granted.0 == granted.1, "granted are, and should be {granted:?}");
        ensure!(self.store.wants_tick() == self.model.sweep_due, "wants a tick: {}", self.store.wants_tick());
        let reached = self.store.high_water_bytes();
        let possible = self.model.high_water_bytes.max(self.high_water_bytes)..=CAPACITY_BYTES;
        ensure!(possible.contains(&reached), "high water at {reached}, not in {possible:?}");
        self.high_water_bytes = reached;
        let wanted = (self.faulty.pages.is_wanted(), self.model.creates_waiting() > 0);
        ensure!(wanted.0 == wanted.1, "clients are asked to ring, and somebody waits: {wanted:?}");
        let clients = self.model.clients.iter();
        let pins: Vec<(ClientId, u32, Handle)> = clients
            .flat_map(|(client, known)| known.pins.iter().map(|(word, handle)| (*client, *word, *handle)))
            .collect();
        let claims: Vec<_> = self.faulty.pages.claims().collect();
        ensure!(pins == claims, "pages hold {claims:?}\n   not {pins:?}");
        Ok(())
    }

    /// When all clients are gone and everything is deleted, the arena is one hole again.
    fn empty_the_store(&mut self) -> Checked {
        // A walk may need one look more than it has objects to tell of.
        [SLOTS as usize; 3].into_iter().try_for_each(|changes_max| self.subscribers_take(changes_max))?;
        let waiting = self.model.subscribers.keys().find(|client| self.store.has_changes(**client));
        ensure!(waiting.is_none(), "{waiting:?} has heard everything and is told to wait");
        let now = self.model.now;
        self.workload.farewell().into_iter().try_for_each(|event| self.operate(now, event))?;
        self.operate(now, Event::ClientJoined { client: LAST, role: Role::Writer, pushes: false })?;
        let ids: Vec<ObjectId> = self.model.objects.values().map(|object| object.record.id).collect();
        let tag = RequestTag { number: 1, kind: 7, silent: false };
        self.operate(now, Event::Asked { client: LAST, tag, verb: Verb::Delete { ids } })?;
        let objects = &self.model.objects;
        ensure!(objects.is_empty(), "left behind: {objects:?}");
        self.operate(now, Event::Asked { client: LAST, tag, verb: Verb::Stats })?;
        ensure!(self.model.largest_hole_bytes() == CAPACITY_BYTES, "the arena is not whole");
        let mut effects = Vec::new();
        self.store.handle(now, Event::ClientGone { client: LAST }, &mut self.faulty, &mut effects);
        ensure!(effects == [Effect::Forget { client: LAST }], "the last one's farewell: {effects:?}");
        Ok(())
    }
}

/// Small, so that memory is short most of the time; large enough for two objects that start on a page.
const CAPACITY_BYTES: u64 = 5 * 512 * 1024;

/// Fewer than the ids of the workload, so that the table is full at times.
const SLOTS: u32 = 64;

/// Few, so that pages are full at times.
const PIN_WORDS: usize = 6;

const LAST: ClientId = ClientId(u64::MAX);
