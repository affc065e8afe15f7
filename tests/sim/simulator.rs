//! One run: random clients, the core, and shared memory that lies; the promises are checked after every event.

use std::collections::BTreeMap;

use plasmad_core::effect::Got;
use plasmad_core::{ClientId, Config, Effect, Event, Nanos, Reply, RequestTag, Store, Verb, WhenFull};
use plasmad_wire::limits::FOREVER;
use plasmad_wire::{Extent, Handle, ObjectId, Role};

use super::liar::Liar;
use super::listeners::Listeners;
use crate::support::{Checked, Violation, Workload, ensure, guarded};

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// Retractions don't look for claims.
    RetractsBlindly,
    /// Every answer at a deadline is lost.
    LosesExpired,
    /// The processes of closed connections are dead to the core.
    BuriesTheLiving,
    /// Now and then a change is taken and told to nobody.
    SwallowsChanges,
}

/// Runs so many events; the seed decides all of them.
pub(super) fn run(seed: u64, events: u64, fault: Fault) -> Checked {
    let mut simulator = Simulator::new(seed, fault);
    let result = guarded(|| simulator.run(events));
    result.map_err(|violation| Violation(format!("PLASMAD_SEED={seed}, event {}: {violation:?}", simulator.count)))
}

struct Simulator {
    store: Store,
    liar: Liar,
    listeners: Listeners,
    workload: Workload,
    fault: Fault,
    /// Requests without an answer, and when they must have one.
    open: BTreeMap<(ClientId, u64), Option<Nanos>>,
    /// Where clients write.
    unsealed: BTreeMap<(u32, u64), (ClientId, Extent)>,
    /// What the last abort gives up when it succeeds.
    aborting: Vec<Handle>,
    now: Nanos,
    count: u64,
}

impl Simulator {
    fn new(seed: u64, fault: Fault) -> Self {
        let when_full = [WhenFull::Evict, WhenFull::Spill, WhenFull::Evict, WhenFull::Refuse][(seed % 4) as usize];
        let config = Config { capacity_bytes: CAPACITY_BYTES, slots_max: SLOTS, hash_seed: [1, seed], when_full };
        let mut liar = Liar::new(seed, SLOTS, PIN_WORDS);
        liar.retracts_blindly = fault == Fault::RetractsBlindly;
        Self {
            store: Store::new(config),
            liar,
            listeners: Listeners::default(),
            workload: Workload::new(seed, CAPACITY_BYTES),
            fault,
            open: BTreeMap::new(),
            unsealed: BTreeMap::new(),
            aborting: Vec::new(),
            now: 0,
            count: 0,
        }
    }

    fn run(&mut self, events: u64) -> Checked {
        for _ in 0..events {
            for (client, pin) in self.liar.stir() {
                self.workload.has_pinned(client, pin);
            }
            let step = self.workload.step(self.store.next_deadline());
            self.liar.pages.set_fill_fails(step.fill_fails);
            self.now = step.now;
            self.happens(step.event)?;
            if step.takes > 0 {
                self.subscribers_listen(4 * step.takes)?;
            }
        }
        self.liar.pages.set_fill_fails(false);
        self.liar.honest = true;
        self.everybody_leaves()
    }

    fn happens(&mut self, event: Event) -> Checked {
        self.count += 1;
        match &event {
            Event::ClientJoined { client, .. } => {
                self.liar.alive.insert(*client, true);
            }
            Event::Asked { client, tag, verb } => {
                if self.open.contains_key(&(*client, tag.number)) {
                    return Ok(());
                }
                self.open.insert((*client, tag.number), self.deadline(verb));
                self.aborting = if let Verb::Abort { handles } = verb { handles.clone() } else { Vec::new() };
            }
            Event::ConnectionClosed { client } => {
                self.open.retain(|(whose, _), _| whose != client);
                self.liar.alive.entry(*client).and_modify(|connected| *connected = false);
            }
            Event::ClientGone { client } => {
                self.open.retain(|(whose, _), _| whose != client);
                self.liar.alive.remove(client);
                self.unsealed.retain(|_, (whose, _)| whose != client);
            }
            Event::Cancelled { .. } | Event::Rung | Event::Tick => {}
        }
        let event = match event {
            Event::ConnectionClosed { client } if self.fault == Fault::BuriesTheLiving => Event::ClientGone { client },
            event => event,
        };
        let mut effects = Vec::new();
        self.store.handle(self.now, event.clone(), &mut self.liar, &mut effects);
        self.liar.pages.take_calls();
        if self.fault == Fault::LosesExpired && matches!(event, Event::Tick) {
            effects.clear();
        }
        self.workload.told(&effects);
        let checked = effects.into_iter().try_for_each(|effect| self.check_effect(&event, effect));
        let checked = checked.and_then(|()| self.check_promises(&event));
        checked.map_err(|violation| Violation(format!("{}\n   after {event:?}", violation.0)))
    }

    fn subscribers_listen(&mut self, changes_max: usize) -> Checked {
        if self.fault == Fault::SwallowsChanges && self.count.is_multiple_of(3) {
            self.listeners.swallow_one(&mut self.store);
        }
        self.listeners.listen(&mut self.store, changes_max, &self.liar.visible_ids())
    }

    fn deadline(&self, verb: &Verb) -> Option<Nanos> {
        match verb {
            Verb::Create { timeout_ns, .. } | Verb::Get { timeout_ns, .. } | Verb::Wait { timeout_ns, .. } => {
                (*timeout_ns != FOREVER).then(|| self.now + timeout_ns)
            }
            _ => Some(self.now),
        }
    }

    fn check_effect(&mut self, event: &Event, effect: Effect) -> Checked {
        let Effect::Reply { client, tag, reply } = effect else { return Ok(()) };
        let known = self.open.remove(&(client, tag.number)).is_some();
        ensure!(known, "{client:?} has an answer too many, to {}: {reply:?}", tag.number);
        match reply {
            Reply::Created(made) => {
                for (handle, extent) in made {
                    self.unsealed.insert((handle.slot, handle.generation), (client, extent));
                }
            }
            Reply::Done(_) if matches!(event, Event::Asked { tag: asked, .. } if *asked == tag) => {
                for handle in std::mem::take(&mut self.aborting) {
                    self.unsealed.remove(&(handle.slot, handle.generation));
                }
            }
            // Answered again when it is cancelled.
            Reply::Subscribed => {
                self.open.insert((client, tag.number), None);
                let knows = matches!(event, Event::Asked { verb: Verb::Subscribe { existing: true, .. }, .. });
                self.listeners.join(client, knows);
            }
            Reply::Got { objects, .. } => objects.into_iter().try_for_each(|got| self.check_got(got))?,
            _ => {}
        }
        Ok(())
    }

    /// What a get tells of an object is true as long as the object is there.
    fn check_got(&self, got: Got) -> Checked {
        let Got::Pinned(pin, location) = got else { return Ok(()) };
        let shown = self.liar.index.get(&plasmad_core::SlotNumber(pin.handle.slot));
        let Some(record) = shown.map(|shown| shown.record).filter(|it| it.generation == pin.handle.generation) else {
            return Ok(());
        };
        let told = (location.offset, location.data_bytes, location.metadata_bytes);
        ensure!(told == (record.extent.offset, record.data_bytes, record.metadata_bytes), "{location:?}: {record:?}");
        Ok(())
    }

    fn check_promises(&mut self, event: &Event) -> Checked {
        ensure!(self.liar.crimes.is_empty(), "{:?}", self.liar.crimes);
        let late = |deadline: Option<Nanos>| deadline.is_some_and(|deadline| deadline <= self.now);
        match event {
            Event::Tick => {
                let forgotten: Vec<_> = self.open.iter().filter(|(_, deadline)| late(**deadline)).collect();
                ensure!(forgotten.is_empty(), "not answered in time: {forgotten:?}");
            }
            Event::Asked { client, tag, .. } => {
                let deadline = self.open.get(&(*client, tag.number)).copied().flatten();
                ensure!(!late(deadline), "not answered at once: {client:?} {tag:?}");
            }
            _ => {}
        }
        self.check_extents()
    }

    /// Nobody's bytes lie on anybody else's: objects with memory, and where clients write.
    fn check_extents(&mut self) -> Checked {
        for handle in self.liar.published.drain(..) {
            self.unsealed.remove(&(handle.slot, handle.generation));
        }
        let sealed = self.liar.index.values().map(|shown| shown.record.extent);
        let mut extents: Vec<Extent> = sealed.chain(self.unsealed.values().map(|(_, extent)| *extent)).collect();
        extents.retain(|extent| extent.bytes > 0);
        extents.sort_by_key(|extent| extent.offset);
        for pair in extents.windows(2) {
            ensure!(pair[0].offset + pair[0].bytes <= pair[1].offset, "given out twice: {pair:?}");
        }
        let end = extents.last().map_or(0, |extent| extent.offset + extent.bytes);
        ensure!(end <= CAPACITY_BYTES, "beyond the arena: {:?}", extents.last());
        Ok(())
    }

    /// With all clients dead and everything deleted, the arena is one hole.
    fn everybody_leaves(&mut self) -> Checked {
        self.workload.farewell().into_iter().try_for_each(|event| self.happens(event))?;
        ensure!(self.liar.pages.claims().count() == 0, "claims are left");
        self.happens(Event::ClientJoined { client: LAST, role: Role::Writer })?;
        let ids: Vec<ObjectId> = self.liar.index.values().map(|shown| shown.record.id).collect();
        let tag = |number| RequestTag { number, kind: 0, silent: false };
        self.happens(Event::Asked { client: LAST, tag: tag(1), verb: Verb::Delete { ids } })?;
        let mut effects = Vec::new();
        let stats = Event::Asked { client: LAST, tag: tag(2), verb: Verb::Stats };
        self.store.handle(self.now, stats, &mut self.liar, &mut effects);
        let Some(Effect::Reply { reply: Reply::Stats(stats), .. }) = effects.first() else {
            return Err(Violation(format!("no stats: {effects:?}")));
        };
        ensure!((stats.largest_hole_bytes, stats.slots_used) == (CAPACITY_BYTES, 0), "left behind: {stats:?}");
        Ok(())
    }
}

const CAPACITY_BYTES: u64 = 5 * 512 * 1024;

const SLOTS: u32 = 48;

const PIN_WORDS: usize = 8;

const LAST: ClientId = ClientId(u64::MAX);
