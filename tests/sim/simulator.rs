//! One run: random clients, the core, and shared memory that lies; the promises are checked after every event.

use std::collections::{BTreeMap, BTreeSet};

use plasmad_core::disk::FileNumber;
use plasmad_core::effect::Got;
use plasmad_core::{
    ClientId, Config, Effect, Event, Nanos, Refusal, Reply, RequestTag, Residence, Store, Upkeep, Verb, WhenFull,
};
use plasmad_wire::limits::FOREVER;
use plasmad_wire::{Extent, Handle, Location, ObjectId, Pin, Role};

use super::disk::{Disk, Met, Wrong};
use super::liar::{Broken, Liar, unheard};
use super::line::Line;
use super::listeners::Listeners;
use super::spilling::list;
use super::turmoil::{Seen, Surprise, Turmoil};
use crate::support::{At, Checked, Random, Then, Violation, Workload, ensure, guarded};

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// Shared memory.
    Memory(Broken),
    /// The disk.
    Disk(Wrong),
    /// Every answer at a deadline is lost.
    LosesExpired,
    /// The processes of closed connections are dead to the core.
    BuriesTheLiving,
    /// Now and then a change is taken and told to nobody.
    SwallowsChanges,
    /// The core never hears of a death.
    HidesDeaths,
    /// Pins are lost between their answer and its arrival.
    LosesUnheardPins,
    /// Of all that is due at one moment, only the first is answered.
    AnswersOneAtATime,
    /// A process that connects again is dead to the core under its old number.
    BuriesTheReconnected,
    /// What a new connection asks is asked in the name of the former one.
    MistakesConnections,
    /// What a lease claims is forgotten at once.
    ForgetsLeases,
    /// A client whose ring makes no sense is taken for dead.
    BuriesLiars,
    /// Who comes last is said to be first.
    LastIsFirst,
}

/// Runs so many events; the seed decides all of them. Tells which situations it met.
pub(super) fn run(seed: u64, events: u64, fault: Fault) -> Checked<([Seen; 2], Met)> {
    let mut simulator = Simulator::new(seed, fault);
    let result = guarded(|| simulator.run(events));
    result
        .map(|()| {
            let met = simulator.liar.disk.as_ref().map_or_else(Met::default, |disk| disk.met);
            ([simulator.turmoil.seen, simulator.liar.seen], met)
        })
        .map_err(|violation| Violation(format!("PLASMAD_SEED={seed}, event {}: {violation:?}", simulator.count)))
}

/// One run.
pub(super) struct Simulator {
    pub(super) store: Store,
    pub(super) config: Config,
    pub(super) liar: Liar,
    listeners: Listeners,
    pub(super) workload: Workload,
    pub(super) disk_random: Random,
    turmoil: Turmoil,
    fault: Fault,
    /// The connection that each new one of the same process replaced.
    before: BTreeMap<ClientId, ClientId>,
    /// Requests without an answer, and when they must have one.
    pub(super) open: BTreeMap<(ClientId, u64), Option<Nanos>>,
    /// What children of a fork have inherited, by lease, and from whom.
    inherited: BTreeMap<ClientId, (ClientId, Held)>,
    /// What the process that forks holds.
    forking: Held,
    forks: u64,
    /// Creates among them in the order they came, and what was served before the first.
    line: Line,
    /// What gets and waits among them need: how many of which.
    pub(super) needs: BTreeMap<(ClientId, u64), (usize, Vec<ObjectId>)>,
    /// Who was told that something is pinned on disk, and didn't ask for its file: the pin, the file, where in it.
    pub(super) heard_of: Vec<(ClientId, Pin, FileNumber, Location)>,
    /// Who takes all of memory just now, in runs in which somebody does.
    pub(super) hoarder: Option<ClientId>,
    pub(super) has_hoarders: bool,
    /// The largest hole in memory, when somebody last asked.
    pub(super) hole_bytes: u64,
    /// What is to be answered to those who ask for a file.
    pub(super) viewing: BTreeMap<(ClientId, u64), Reply>,
    /// What the last abort gives up when it succeeds.
    aborting: Vec<Handle>,
    pub(super) now: Nanos,
    count: u64,
}

/// Objects by slot and generation, and where they lie.
type Held = BTreeMap<(u32, u64), Extent>;

impl Simulator {
    fn new(seed: u64, fault: Fault) -> Self {
        let others = [WhenFull::Spill, WhenFull::Refuse][(seed / 5 % 2) as usize];
        let (when_full, has_disk) = match seed % 5 {
            0 | 2 => (WhenFull::Evict, false),
            1 | 4 => (WhenFull::Spill, true),
            _ => (others, false),
        };
        let wrong = if let Fault::Disk(wrong) = fault { Some(wrong) } else { None };
        let disk = has_disk.then(|| Disk::new(seed, wrong));
        let slots = if has_disk { SLOTS_WITH_DISK } else { SLOTS };
        let config = Config {
            capacity_bytes: CAPACITY_BYTES,
            slots_max: slots,
            hash_seed: [1, seed],
            when_full,
            upkeep: Upkeep::NONE,
            spill: disk.as_ref().map(|disk| disk.config),
        };
        let broken = if let Fault::Memory(broken) = fault { Some(broken) } else { None };
        let mut liar = Liar::new(seed, slots, PIN_WORDS, broken);
        liar.disk = disk;
        Self {
            store: Store::new(config),
            liar,
            config,
            listeners: Listeners::default(),
            workload: Workload::new(seed, CAPACITY_BYTES),
            disk_random: Random(seed ^ 0xd0e5),
            turmoil: Turmoil::new(seed),
            fault,
            before: BTreeMap::new(),
            open: BTreeMap::new(),
            line: Line::new(if has_disk { CAPACITY_BYTES / 16 } else { 0 }),
            inherited: BTreeMap::new(),
            forking: BTreeMap::new(),
            forks: 0,
            needs: BTreeMap::new(),
            heard_of: Vec::new(),
            hoarder: None,
            hole_bytes: 0,
            has_hoarders: has_disk && seed % 5 == 4,
            viewing: BTreeMap::new(),
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
            self.clients_push()?;
            self.surprise()?;
            self.disk_works()?;
            self.clients_view()?;
            self.somebody_hoards()?;
            self.somebody_reads()?;
            let step = self.workload.step(self.store.next_deadline());
            if matches!(&step.event, Event::Asked { client, .. } | Event::Cancelled { client, .. } if self.liar.dead.contains(client))
            {
                continue;
            }
            self.liar.pages.set_fill_fails(step.fill_fails);
            self.now = step.now;
            self.happens(step.event)?;
            if step.takes > 0 {
                self.subscribers_listen(4 * step.takes)?;
            }
        }
        self.liar.pages.set_fill_fails(false);
        self.liar.honest = true;
        if let Some(disk) = &mut self.liar.disk {
            disk.honest = true;
        }
        let heard = self.turmoil.arrive(&mut self.liar, true)?;
        self.workload.told(&heard);
        self.everybody_leaves()
    }

    /// Clients go on by themselves; whoever waits for what they put hears of it, because they ring.
    fn clients_push(&mut self) -> Checked {
        self.liar.push();
        for client in std::mem::take(&mut self.liar.rang) {
            self.liar.seen.rings += 1;
            self.workload.rings(client);
        }
        for (client, handle, id) in self.workload.take_for_ring() {
            self.liar.pushers.will_end(client, handle, id);
        }
        if let Some((client, handle)) = self.liar.pushers.give_away() {
            self.workload.has_created(client, handle);
        }
        let all: Vec<ClientId> = self.liar.alive.keys().copied().collect();
        all.into_iter().for_each(|client| self.workload.has_begun(client, self.liar.pushers.begun(client)));
        self.workload.may_await(self.liar.pushers.next_told());
        self.nobody_waits_unheard()
    }

    /// No get waits for what is there, or told of, when nothing is on its way that would tell the store.
    fn nobody_waits_unheard(&self) -> Checked {
        let asks = |at: At| matches!(at, At::Told(_, Then::There(_)) | At::LetGo(Then::There(_)));
        if self.workload.is_ringing() || self.liar.pushers.all_hands().any(|(_, hand)| asks(hand.at)) {
            return Ok(());
        }
        // Those who died before they could ring are heard of; those who are not connected can't.
        let can_ring =
            |client: &ClientId| self.liar.alive.get(client) == Some(&true) && !self.liar.dead.contains(client);
        let told = self.liar.truth.sealed_ids().filter(|(client, _)| can_ring(client)).map(|(_, id)| id);
        let told: BTreeSet<ObjectId> = told.collect();
        let waits = |ids: &[ObjectId]| ids.iter().any(|id| told.contains(id));
        let there = self.needs.values().find(|(count, ids)| {
            waits(ids) && ids.iter().filter(|id| told.contains(id) || self.liar.is_visible(**id)).count() >= *count
        });
        ensure!(there.is_none(), "nobody rang for {there:?}");
        Ok(())
    }

    /// Something out of turn, now and then.
    fn surprise(&mut self) -> Checked {
        match self.turmoil.surprise(&mut self.liar) {
            Surprise::None => Ok(()),
            Surprise::Jump(by) => {
                self.now = self.workload.jump(by);
                let late = self.open.values().filter(|deadline| deadline.is_some_and(|it| it <= self.now)).count();
                self.turmoil.seen.jumps_over_deadlines += u64::from(late >= 2);
                self.happens(Event::Tick)
            }
            Surprise::Reconnects(client) => {
                let holds = self.liar.pages.claims().any(|(whose, ..)| whose == client);
                let holds = holds || self.liar.truth.owned.values().any(|owned| owned.client == client);
                let Some((new, joins)) = self.workload.comes_again(client) else { return Ok(()) };
                self.turmoil.seen.reconnections_with_claims += u64::from(holds);
                self.turmoil.leaves(client);
                let closes = self.workload.closes(client);
                self.happens(closes)?;
                self.before.insert(new, client);
                self.happens(joins)
            }
            Surprise::Forks(client) => self.forks(client),
            Surprise::LeaseEnds(lease) => self.happens(Event::ClientGone { client: lease }),
            Surprise::DeathIsTold(client) => {
                let event = self.workload.dies(client);
                self.happens(event)
            }
        }
    }

    fn forks(&mut self, client: ClientId) -> Checked {
        self.forks += 1;
        let lease = ClientId(LEASES.0 + self.forks);
        self.liar.leases.insert(lease);
        self.forking = self.held_by(client);
        self.liar.let_go.clear();
        let tag = RequestTag { number: LEASES.0 + self.forks, kind: 0, silent: false };
        self.happens(Event::Asked { client, tag, verb: Verb::Lease { lease } })?;
        if !self.inherited.contains_key(&lease) {
            self.liar.leases.remove(&lease);
        }
        Ok(())
    }

    /// What a process pins, and where it writes.
    fn held_by(&self, client: ClientId) -> Held {
        // What it claims to put something is let go of at any moment, also while it forks.
        let is_held =
            |claim: &(ClientId, u32, Handle)| claim.0 == client && !self.liar.pushers.claims(claim.0, claim.1);
        let claims = self.liar.pages.claims().filter(is_held);
        let pinned = claims.filter_map(|(_, _, Handle { slot, generation })| {
            let record = self.liar.index.get(&plasmad_core::SlotNumber(slot))?.record;
            (record.generation == generation).then_some(((slot, generation), record.extent))
        });
        pinned.chain(self.liar.truth.unsealed_of(client)).collect()
    }

    /// What was held before, and is held without a break, was held when the children began.
    fn note_lease(&mut self, client: ClientId, lease: ClientId) {
        let (mut held, still) = (std::mem::take(&mut self.forking), self.held_by(client));
        held.retain(|handle, _| still.contains_key(handle) && !self.liar.let_go.contains(handle));
        let owned = &self.liar.truth.owned;
        self.turmoil.seen.forks_with_unsealed += u64::from(held.keys().any(|handle| owned.contains_key(handle)));
        self.turmoil.seen.forks_with_pins += u64::from(held.keys().any(|handle| !owned.contains_key(handle)));
        self.inherited.insert(lease, (client, held));
        self.liar.alive.insert(lease, false);
        if self.fault == Fault::ForgetsLeases {
            self.liar.pages.leave(lease);
        }
    }

    fn note_death(&mut self, client: ClientId) {
        let seen = &mut self.turmoil.seen;
        seen.deaths_in_a_scan += u64::from(self.liar.dead.contains(&client));
        seen.deaths_with_pins += u64::from(self.liar.pages.claims().any(|(whose, ..)| whose == client));
        seen.leases_outlived += u64::from(self.inherited.values().any(|(from, _)| *from == client));
        seen.deaths_with_waits += u64::from(self.open.keys().any(|(whose, _)| *whose == client));
        seen.deaths_with_unsealed += u64::from(self.liar.truth.owned.values().any(|owned| owned.client == client));
    }

    /// Events so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn happens(&mut self, mut event: Event) -> Checked {
        self.count += 1;
        self.aborting.clear();
        self.judge(&mut event);
        let before = match (&self.liar.disk, &event) {
            (Some(disk), Event::Asked { verb: Verb::Delete { .. }, .. }) => {
                disk.out_of_memory(&self.liar.visible_ids())
            }
            _ => BTreeMap::new(),
        };
        match &event {
            Event::ClientJoined { client, pushes, .. } => {
                self.liar.alive.insert(*client, true);
                if *pushes {
                    self.liar.pushers.join(*client);
                }
            }
            Event::Asked { client, tag, verb } => {
                if self.open.contains_key(&(*client, tag.number)) {
                    return Ok(());
                }
                self.open.insert((*client, tag.number), self.deadline(verb));
                match verb {
                    Verb::Abort { handles } => self.aborting.clone_from(handles),
                    Verb::Create { objects, .. } => {
                        self.liar.truth.note_asked(objects.iter().map(|wanted| wanted.id));
                        self.line.joins((*client, tag.number), objects, self.fault == Fault::LastIsFirst);
                    }
                    Verb::Get { ids, .. } => _ = self.needs.insert((*client, tag.number), (ids.len(), ids.clone())),
                    Verb::Wait { count, ids, .. } => {
                        self.needs.insert((*client, tag.number), (*count as usize, ids.clone()));
                    }
                    _ => {}
                }
            }
            Event::ConnectionClosed { client } => {
                self.liar.alive.entry(*client).and_modify(|connected| *connected = false);
            }
            Event::ClientGone { client } => {
                if self.inherited.remove(client).is_none() {
                    self.note_death(*client);
                }
                self.liar.leases.remove(client);
                self.liar.dead.remove(client);
                self.liar.alive.remove(client);
                self.liar.pushers.end(*client);
                self.liar.truth.gone(*client);
            }
            Event::Cancelled { .. } | Event::Rung | Event::ErrandDone { .. } | Event::Tick => {}
            Event::Written { .. } | Event::Restored { .. } | Event::Adopted(_) => {}
        }
        if let Event::ConnectionClosed { client } | Event::ClientGone { client } = &event {
            self.line.is_leaving(*client);
        }
        let mut effects = Vec::new();
        self.liar.truth.before_event(&self.aborting);
        self.store.handle(self.now, self.distorted(event.clone()), &mut self.liar, &mut effects);
        self.liar.pages.take_calls();
        self.note_disk(&event, &effects, &before)?;
        if matches!(event, Event::Tick) {
            match self.fault {
                Fault::LosesExpired => effects.clear(),
                Fault::AnswersOneAtATime => effects.truncate(1),
                _ => {}
            }
        }
        self.turmoil.send(&effects);
        if self.fault == Fault::LosesUnheardPins {
            self.lose_unheard_pins();
        }
        let heard = self.turmoil.arrive(&mut self.liar, false)?;
        self.workload.told(&heard);
        let checked = effects.into_iter().try_for_each(|effect| self.check_effect(&event, effect));
        // What rings told may have answered those who leave.
        if let Event::ConnectionClosed { client } | Event::ClientGone { client } = &event {
            self.open.retain(|(whose, _), _| whose != client);
            self.line.has_left(*client);
            self.needs.retain(|(whose, _), _| whose != client);
        }
        let checked = checked.and_then(|()| self.check_promises(&event));
        checked.map_err(|violation| Violation(format!("{}\n   after {event:?}", violation.0)))
    }

    fn subscribers_listen(&mut self, changes_max: usize) -> Checked {
        if self.fault == Fault::SwallowsChanges && self.count.is_multiple_of(3) {
            self.listeners.swallow_one(&mut self.store);
        }
        let there = self.liar.disk.as_ref().map_or_else(|| self.liar.visible_ids(), Disk::ids);
        self.listeners.listen(&mut self.store, changes_max, &there)
    }

    /// What the core is told, where what is broken lies in the telling.
    fn distorted(&self, event: Event) -> Event {
        match (self.fault, event) {
            (Fault::BuriesTheLiving, Event::ConnectionClosed { client }) => Event::ClientGone { client },
            (Fault::BuriesTheReconnected, Event::ConnectionClosed { client }) if self.turmoil.is_former(client) => {
                Event::ClientGone { client }
            }
            (Fault::HidesDeaths, Event::ClientGone { .. }) => Event::Tick,
            (Fault::BuriesLiars, Event::ConnectionClosed { client }) if self.liar.truth.liars.contains(&client) => {
                Event::ClientGone { client }
            }
            (Fault::MistakesConnections, Event::Asked { client, tag, verb }) => {
                Event::Asked { client: self.before.get(&client).copied().unwrap_or(client), tag, verb }
            }
            (_, event) => event,
        }
    }

    fn lose_unheard_pins(&mut self) {
        let claims: Vec<_> = self.liar.pages.claims().collect();
        for (client, word, handle) in claims {
            let pin = Pin { word, handle };
            if self.liar.unheard.contains(&unheard(client, pin)) && handle.slot.is_multiple_of(8) {
                self.liar.pages.unpin(client, pin);
            }
        }
    }

    fn deadline(&self, verb: &Verb) -> Option<Nanos> {
        match verb {
            Verb::Create { timeout_ns, .. } | Verb::Get { timeout_ns, .. } | Verb::Wait { timeout_ns, .. } => {
                (*timeout_ns != FOREVER).then(|| self.now + timeout_ns)
            }
            // They may wait for the disk.
            Verb::Delete { .. } | Verb::Evict { .. } if self.liar.disk.is_some() => None,
            _ => Some(self.now),
        }
    }

    fn check_effect(&mut self, event: &Event, effect: Effect) -> Checked {
        let (client, tag, reply) = match effect {
            Effect::Reply { client, tag, reply } => (client, tag, reply),
            Effect::Expel { client, why } => {
                ensure!(self.liar.truth.liars.contains(&client), "{client:?} never lied, and is disconnected: {why}");
                return Ok(());
            }
            Effect::Forget { client } => {
                // Nobody looks at its page any more, whatever it does there.
                self.liar.pushers.end(client);
                return Ok(());
            }
            Effect::Populate(_) | Effect::GiveBack(_) => return Ok(()),
            Effect::Write(_) | Effect::Restore(_) | Effect::RemoveFile(_) => return Ok(()),
        };
        self.needs.remove(&(client, tag.number));
        if let Some(expected) = self.viewing.remove(&(client, tag.number)) {
            ensure!(reply == expected, "{client:?} asked for a file: {reply:?}, and not {expected:?}");
        }
        let known = self.open.remove(&(client, tag.number)).is_some();
        ensure!(known, "{client:?} has an answer too many, to {}: {reply:?}", tag.number);
        self.line.hears(event, (client, tag.number), &reply, &mut self.turmoil.seen, &mut self.liar.left_bytes)?;
        match reply {
            Reply::Created(made) => {
                made.into_iter().for_each(|(handle, extent)| self.liar.truth.note_created(client, handle, extent));
            }
            Reply::Done(_) if matches!(event, Event::Asked { tag: asked, .. } if *asked == tag) => {
                std::mem::take(&mut self.aborting).into_iter().for_each(|handle| self.liar.truth.note_aborted(handle));
            }
            // Answered again when it is cancelled.
            Reply::Subscribed => {
                self.open.insert((client, tag.number), None);
                let knows = matches!(event, Event::Asked { verb: Verb::Subscribe { existing: true, .. }, .. });
                self.listeners.join(client, knows);
            }
            Reply::Stats(stats) => self.hole_bytes = stats.largest_hole_bytes,
            Reply::Leased { lease, objects } if objects > 0 => self.note_lease(client, lease),
            Reply::Refused(Refusal::Limit { what: "objects of one lease", .. }) => {
                self.turmoil.seen.forks_refused += 1;
            }
            Reply::Refused(Refusal::NotHeld(handle)) => {
                let former = self.before.get(&client).copied();
                let theirs = self.liar.truth.owned.get(&(handle.slot, handle.generation)).map(|owned| owned.client);
                let pins = || self.liar.pages.claims().any(|(whose, _, it)| Some(whose) == former && it == handle);
                let foreign = former.is_some() && (theirs == former || pins());
                self.turmoil.seen.foreign_claims_refused += u64::from(foreign);
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
        let crimes = (&self.liar.crimes, &self.liar.truth.crimes);
        ensure!(crimes.0.is_empty() && crimes.1.is_empty(), "{crimes:?}");
        let crimes = self.liar.disk.as_ref().map_or(&[][..], |disk| &disk.crimes);
        ensure!(crimes.is_empty(), "{crimes:?}");
        self.liar.truth.after_event()?;
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
        if self.looks_closely() { self.check_extents() } else { Ok(()) }
    }

    /// What looks at all memory is half of what a run takes; what is wrong there stays wrong for more than some events.
    pub(super) fn looks_closely(&self) -> bool {
        self.count.is_multiple_of(8)
    }

    /// Nobody's bytes lie on anybody else's: objects with memory, where clients write, and what children inherited.
    fn check_extents(&mut self) -> Checked {
        let inherited =
            self.inherited.values().flat_map(|(_, held)| held.iter().map(|(handle, extent)| (*handle, *extent)));
        let owned = self.liar.truth.owned.iter().map(|(handle, owned)| (*handle, owned.extent));
        let sealed = self.liar.index.iter().map(|(slot, shown)| {
            let record = &shown.record;
            ((slot.0, record.generation), record.extent)
        });
        let all: Held = inherited.chain(owned).chain(sealed).collect();
        let mut extents: Vec<Extent> = all.into_values().collect();
        // What is being written is an object's as well, unless that was taken away under the disk's hands.
        let of_disk = self.liar.disk.iter().flat_map(Disk::extents);
        let of_disk: Vec<Extent> = of_disk.filter(|extent| !extents.contains(extent)).collect();
        extents.extend(of_disk);
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
        self.hoarder.take().map_or(Ok(()), |client| self.happens(Event::ClientGone { client }))?;
        let leases: Vec<ClientId> = self.inherited.keys().copied().collect();
        leases.into_iter().try_for_each(|client| self.happens(Event::ClientGone { client }))?;
        ensure!(self.liar.pages.claims().count() == 0, "claims are left");
        self.happens(Event::ClientJoined { client: LAST, role: Role::Writer, pushes: true })?;
        self.read_everything()?;
        let ids: Vec<ObjectId> =
            list(&mut self.store, self.now, &mut self.liar)?.into_iter().map(|object| object.id).collect();
        let tag = |number| RequestTag { number, kind: 0, silent: false };
        self.happens(Event::Asked { client: LAST, tag: tag(1), verb: Verb::Delete { ids } })?;
        self.disk_finishes()?;
        ensure!(self.open.is_empty(), "never answered: {:?}", self.open);
        let mut effects = Vec::new();
        let stats = Event::Asked { client: LAST, tag: tag(2), verb: Verb::Stats };
        self.store.handle(self.now, stats, &mut self.liar, &mut effects);
        let Some(Effect::Reply { reply: Reply::Stats(stats), .. }) = effects.first() else {
            return Err(Violation(format!("no stats: {effects:?}")));
        };
        ensure!((stats.largest_hole_bytes, stats.slots_used) == (CAPACITY_BYTES, 0), "left behind: {stats:?}");
        ensure!(
            (stats.disk_files, stats.disk_live_bytes, stats.disk_dead_bytes) == (0, 0, 0),
            "left behind: {stats:?}"
        );
        Ok(())
    }
}

pub(super) const CAPACITY_BYTES: u64 = 5 * 512 * 1024;

const SLOTS: u32 = 48;

/// Many more than memory has room for.
const SLOTS_WITH_DISK: u32 = 160;

pub(super) const PIN_WORDS: usize = 8;

/// Leases have the numbers behind this one.
const LEASES: ClientId = ClientId(1 << 40);

pub(super) const LAST: ClientId = ClientId(u64::MAX);
