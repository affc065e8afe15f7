//! Shared memory that lies about pins from a seed.
//!
//! Clients claim and let go of visible objects by themselves, and put objects, also while the core scans, marks and
//! reads; scans show claims that nobody has; retractions fail for no reason. The truth is kept beside the lies: nothing
//! may ever be freed, and no client that lives may be forgotten, under a true claim.

use std::collections::{BTreeMap, BTreeSet};

use plasmad_core::residence::{Entry, FillFailed, Grant, Pinned, Record};
use plasmad_core::slot::SlotSet;
use plasmad_core::{ClientId, Residence, SlotNumber};
use plasmad_wire::{Extent, Handle, ObjectId, Pin};

use super::disk::Disk;
use super::truth::Truth;
use super::turmoil::Seen;
use crate::support::{At, Did, Pages, Pushers, Random};

/// True pages, and what is told of them.
pub(super) struct Liar {
    pub(super) pages: Pages,
    random: Random,
    slots: u32,
    /// Every object that has memory, sealed or deleted.
    pub(super) index: BTreeMap<SlotNumber, Shown>,
    /// Processes that live; whether they are connected, and so go on pinning.
    pub(super) alive: BTreeMap<ClientId, bool>,
    /// Processes that died and whose death the core hasn't heard of: they pin nothing any more, and hold what they did.
    pub(super) dead: BTreeSet<ClientId>,
    /// One that is connected is to die during the next scan or retraction.
    pub(super) one_dies: bool,
    /// Leases that children of forks use, and that never let anything go.
    pub(super) leases: BTreeSet<ClientId>,
    /// Unsealed objects that were leased, or viewed on disk, and are to be freed though nobody sees them in memory.
    reserved: BTreeSet<SlotNumber>,
    /// Pins that were answered and not heard of yet: nobody can have let them go.
    pub(super) unheard: BTreeSet<Unheard>,
    /// What somebody let go of, or sealed, since a process began to fork: it may hold it again, and not have held it when its
    /// children began.
    pub(super) let_go: BTreeSet<(u32, u64)>,
    /// Nobody lies any more.
    pub(super) honest: bool,
    /// A fault to be noticed.
    pub(super) broken: Option<Broken>,
    pub(super) pushers: Pushers,
    pub(super) truth: Truth,
    /// The disk, where there is one.
    pub(super) disk: Option<Disk>,
    /// What deleted objects left of memory, where there is a disk, since somebody passed another.
    pub(super) left_bytes: u64,
    /// Those who rang, and were not heard yet.
    pub(super) rang: Vec<ClientId>,
    pub(super) seen: Seen,
    /// What was on a ring before its client's slots were marked, and was read only then.
    read_early: Vec<Entry>,
    /// Whose slots were marked last, and not read since.
    revoked: Option<(ClientId, BTreeSet<u32>)>,
    entries: u64,
    /// Who deletes something just now.
    pub(super) deletes: Option<(ClientId, u64)>,
    /// What the core must never do, and did.
    pub(super) crimes: Vec<String>,
}

/// What is wrong with shared memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Broken {
    /// Retractions don't look for claims.
    RetractsBlindly,
    /// Slots are taken back without being marked.
    MarksNothing,
    /// Rings are read before the look for claims, and not behind it.
    ReadsBeforeLooking,
    /// Nothing is claimed of what is taken back.
    SeesNoClaims,
    /// Now and then an entry is lost.
    LosesEntries,
    /// Nobody rings for what somebody waits for.
    ExpectsNothing,
    /// Scans pass over claims on what is viewed on disk.
    MissesViews,
    /// Clients write into a slot without a second look at it.
    LooksOnce,
}

/// A pin by whose it is, word, slot and generation.
pub(super) type Unheard = (ClientId, u32, u32, u64);

/// How a pin that was not heard of yet is noted.
pub(super) fn unheard(client: ClientId, pin: Pin) -> Unheard {
    (client, pin.word, pin.handle.slot, pin.handle.generation)
}

/// What the index shows of a slot.
pub(super) struct Shown {
    pub(super) record: Record,
    pub(super) visible: bool,
    doomed: bool,
}

impl Liar {
    pub(super) fn new(seed: u64, slots: u32, words: usize, broken: Option<Broken>) -> Self {
        let mut pushers = Pushers::new(seed);
        (pushers.lies_one_in, pushers.looks_once) = (80, broken == Some(Broken::LooksOnce));
        Self {
            pages: Pages::new(words),
            random: Random(!seed),
            slots,
            index: BTreeMap::new(),
            alive: BTreeMap::new(),
            dead: BTreeSet::new(),
            one_dies: false,
            leases: BTreeSet::new(),
            reserved: BTreeSet::new(),
            unheard: BTreeSet::new(),
            let_go: BTreeSet::new(),
            honest: false,
            broken,
            pushers,
            truth: Truth::default(),
            disk: None,
            rang: Vec::new(),
            seen: Seen::default(),
            read_early: Vec::new(),
            revoked: None,
            entries: 0,
            deletes: None,
            left_bytes: 0,
            crimes: Vec::new(),
        }
    }

    /// Clients pin and let go behind the core's back; the pins they made.
    pub(super) fn stir(&mut self) -> Vec<(ClientId, Pin)> {
        let mut made = Vec::new();
        while !self.honest && self.random.percent(30) {
            if self.random.percent(50) {
                made.extend(self.pin_unasked());
            } else {
                let may_go = |it: &(ClientId, u32, Handle)| {
                    !self.unheard.contains(&unheard(it.0, Pin { word: it.1, handle: it.2 }))
                        && !self.dead.contains(&it.0)
                        && !self.leases.contains(&it.0)
                        && !self.pushers.claims(it.0, it.1)
                };
                let claims: Vec<(ClientId, u32, Handle)> = self.pages.claims().filter(may_go).collect();
                if let Some((client, word, handle)) = self.random.pick(&claims).copied() {
                    self.pages.unpin(client, Pin { word, handle });
                    self.let_go.insert((handle.slot, handle.generation));
                }
            }
        }
        made
    }

    /// Clients put behind the core's back, some steps.
    pub(super) fn push(&mut self) {
        while !self.honest && self.random.percent(60) {
            let Some((client, did)) = self.pushers.step(&mut self.pages) else { return };
            self.note(client, did);
        }
    }

    /// The same for the one whose slots are being taken back: it is as busy as can be.
    fn push_for(&mut self, client: ClientId) {
        while !self.honest && self.random.percent(70) {
            let Some((client, did)) = self.pushers.step_for(client, &mut self.pages) else { return };
            self.note(client, did);
        }
    }

    fn note(&mut self, client: ClientId, did: Did) {
        self.truth.note(client, did);
        match did {
            Did::Confirmed(Grant { slot, generation, .. }) => {
                let is_its_own = self.pages.granted().get(&slot).is_some_and(|(granted, _)| *granted == generation);
                if !is_its_own {
                    self.crimes.push(format!("{client:?} writes into {slot:?}, which was taken from it"));
                }
            }
            Did::LetGo { told: false, .. } => self.seen.claims_let_go += 1,
            Did::Told(_) if self.revoked.is_some() => self.seen.told_while_taken_back += 1,
            Did::Lied(_) => self.seen.lies += 1,
            Did::Returned { rang: true } => self.rang.push(client),
            _ => {}
        }
    }

    /// A process dies, in the middle of whatever it does.
    pub(super) fn dies(&mut self, client: ClientId) {
        self.dead.insert(client);
        for hand in self.pushers.end(client) {
            match hand.at {
                At::Claimed(_) | At::Writes(_) => self.seen.deaths_before_telling += 1,
                At::Told(..) | At::LetGo(_) => self.seen.deaths_after_telling += 1,
                At::Took | At::Seen => {}
            }
        }
    }

    /// The ids of all objects that can be seen.
    pub(super) fn visible_ids(&self) -> BTreeSet<ObjectId> {
        self.index.values().filter(|shown| shown.visible).map(|shown| shown.record.id).collect()
    }

    /// An object of this id can be seen.
    pub(super) fn is_visible(&self, id: ObjectId) -> bool {
        self.index.values().any(|shown| shown.visible && shown.record.id == id)
    }

    fn pin_unasked(&mut self) -> Option<(ClientId, Pin)> {
        let connected: Vec<ClientId> = self.able_to_pin();
        let visible: Vec<Handle> = self
            .index
            .iter()
            .filter(|(_, shown)| shown.visible)
            .map(|(slot, shown)| Handle { slot: slot.0, generation: shown.record.generation })
            .collect();
        let (client, handle) = (*self.random.pick(&connected)?, *self.random.pick(&visible)?);
        let word = self.pages.pin(client, SlotNumber(handle.slot), handle.generation)?;
        Some((client, Pin { word, handle }))
    }

    /// Clients that are connected and whose process lives.
    pub(super) fn able_to_pin(&self) -> Vec<ClientId> {
        self.alive.iter().filter(|it| *it.1 && !self.dead.contains(it.0)).map(|it| *it.0).collect()
    }

    /// A process dies while the core looks at the pages, if one is to.
    fn may_die(&mut self) {
        if std::mem::take(&mut self.one_dies) {
            let all = self.able_to_pin();
            if let Some(client) = self.random.pick(&all).copied() {
                self.dies(client);
            }
        }
    }

    /// A slot that is said to be claimed: any, used or not.
    fn imagined(&mut self) -> Option<SlotNumber> {
        let lies = !self.honest && self.random.percent(15);
        lies.then(|| SlotNumber(self.random.below(self.slots.into()) as u32))
    }
}

impl Residence for Liar {
    fn fill(&mut self, extent: Extent, data: &[u8], metadata: &[u8]) -> Result<(), FillFailed> {
        if let Some(disk) = &mut self.disk {
            disk.memory_given(extent);
        }
        self.pages.fill(extent, data, metadata)
    }

    fn drain(&mut self, client: ClientId, into: &mut Vec<Entry>) {
        self.push();
        let behind_look = self.revoked.take_if(|(whose, _)| *whose == client);
        if self.broken == Some(Broken::ReadsBeforeLooking) && behind_look.is_some() {
            return into.append(&mut self.read_early);
        }
        self.pages.drain(client, into);
        if let Some((_, marked)) = behind_look {
            let on_marked =
                |entry: &Entry| matches!(entry, Entry::Put(it, _) | Entry::Create(it, _) if marked.contains(&it.slot));
            self.seen.told_and_taken_back += u64::from(into.iter().any(on_marked));
        }
        if self.disk.is_some() {
            into.iter_mut().for_each(judge);
        }
        self.entries += into.len() as u64;
        if self.broken == Some(Broken::LosesEntries) && self.entries.is_multiple_of(7) {
            into.pop();
        }
        self.push();
    }

    fn grant(&mut self, client: ClientId, grants: &[Grant]) {
        if let Some(disk) = &mut self.disk {
            grants.iter().for_each(|grant| disk.memory_given(grant.extent));
        }
        // A view of what was there before may have told of such a slot.
        grants.iter().for_each(|grant| _ = self.reserved.remove(&grant.slot));
        self.pages.grant(client, grants);
    }

    fn revoke(&mut self, client: ClientId, slots: &[SlotNumber], claimed: &mut SlotSet) {
        self.push_for(client);
        self.may_die();
        if self.broken != Some(Broken::MarksNothing) {
            slots.iter().for_each(|slot| self.pages.mark(*slot));
        }
        self.revoked = Some((client, slots.iter().map(|slot| slot.0).collect()));
        self.push_for(client);
        if self.broken == Some(Broken::ReadsBeforeLooking) {
            self.pages.drain(client, &mut self.read_early);
            self.push_for(client);
        }
        self.pages.pinned_by(client, claimed);
        let is_claimed = slots.iter().any(|slot| claimed.contains(*slot));
        self.seen.claimed_and_taken_back += u64::from(is_claimed);
        self.seen.stopped_and_taken_back += u64::from(is_claimed && self.pushers.stopped.contains(&client));
        if self.broken == Some(Broken::SeesNoClaims) {
            claimed.clear();
        }
        if let Some(slot) = self.imagined() {
            claimed.insert(slot);
        }
        self.push_for(client);
    }

    fn keep(&mut self, slot: SlotNumber) {
        self.pages.keep(slot);
    }

    fn expect(&mut self, ids: &[ObjectId], expected: bool) {
        self.push();
        if self.broken != Some(Broken::ExpectsNothing) {
            self.pages.expect(ids, expected);
        }
        self.push();
    }

    fn publish(&mut self, slot: SlotNumber, record: &Record) {
        self.pages.publish(slot, record);
        self.truth.published(slot, record);
        self.let_go.insert((slot.0, record.generation));
        if let Some(disk) = &mut self.disk {
            let is_viewed = disk.viewed.contains_key(&(slot.0, record.generation));
            if is_viewed && self.pages.is_claimed(slot) {
                self.crimes.push(format!("{slot:?} came back while it was viewed"));
            }
            disk.published(slot.0, record);
        }
        if self.index.insert(slot, Shown { record: *record, visible: true, doomed: false }).is_some() {
            self.crimes.push(format!("{slot:?} was published over another object"));
        }
    }

    fn pin(&mut self, client: ClientId, slot: SlotNumber, generation: u64) -> Option<u32> {
        // From this moment, not from its answer on: the core may scan once more in between.
        let word = self.pages.pin(client, slot, generation)?;
        if !self.leases.contains(&client) {
            self.unheard.insert((client, word, slot.0, generation));
        }
        Some(word)
    }

    fn unpin(&mut self, client: ClientId, pin: Pin) -> bool {
        // The core takes its pins back when a page is full; a client may guess a pin, and so give it back unheard.
        let cleared = self.pages.unpin(client, pin);
        if cleared {
            self.unheard.remove(&unheard(client, pin));
        }
        cleared
    }

    fn holds(&mut self, client: ClientId, pin: Pin) -> bool {
        self.pages.holds(client, pin)
    }

    fn pinned(&mut self, into: &mut SlotSet) {
        self.may_die();
        self.pages.pinned(into);
        if self.broken == Some(Broken::MissesViews) {
            let (viewed, all) = (self.disk.as_ref().map(|disk| &disk.viewed), into.clone());
            let is_viewed = |slot: &SlotNumber| {
                let mut claims = self.pages.claims().filter(|(_, _, handle)| handle.slot == slot.0);
                claims.any(|(.., it)| viewed.is_some_and(|viewed| viewed.contains_key(&(it.slot, it.generation))))
            };
            into.clear();
            all.members().iter().filter(|slot| !is_viewed(slot)).for_each(|slot| _ = into.insert(*slot));
        }
        if let Some(slot) = self.imagined() {
            into.insert(slot);
        }
        self.stir();
        self.push();
    }

    fn pinned_by(&mut self, client: ClientId, into: &mut SlotSet) {
        self.pages.pinned_by(client, into);
        if let Some(slot) = self.imagined() {
            into.insert(slot);
        }
        self.stir();
    }

    fn reserve(&mut self, slot: SlotNumber, generation: u64) {
        self.reserved.insert(slot);
        self.pages.reserve(slot, generation);
    }

    fn holders(&mut self, visit: &mut dyn FnMut(ClientId, SlotNumber)) {
        self.pages.holders(visit);
        if let Some(slot) = self.imagined() {
            visit(ClientId(1), slot);
        }
        self.stir();
    }

    fn recent(&mut self, visit: &mut dyn FnMut(SlotNumber)) {
        self.pages.recent(visit);
    }

    fn want(&mut self, wanted: bool) {
        self.pages.want(wanted);
    }

    fn retract(&mut self, window: &[SlotNumber]) -> Result<(), Pinned> {
        self.may_die();
        self.stir();
        let mut pinned: Vec<SlotNumber> = window.iter().copied().filter(|slot| self.pages.is_claimed(*slot)).collect();
        if !self.honest && self.random.percent(15) {
            pinned.extend(self.random.pick(window));
        }
        if !pinned.is_empty() && self.broken != Some(Broken::RetractsBlindly) {
            return Err(Pinned(pinned));
        }
        for slot in window {
            self.index.entry(*slot).and_modify(|shown| shown.visible = false);
        }
        self.pages.retract_pinned_too(window);
        Ok(())
    }

    fn doom(&mut self, slot: SlotNumber) {
        self.index.entry(slot).and_modify(|shown| (shown.visible, shown.doomed) = (false, true));
        if let (Some(disk), Some(shown)) = (&mut self.disk, self.index.get(&slot)) {
            disk.gone(shown.record.id, self.deletes);
        }
        self.pages.doom(slot);
    }

    fn free(&mut self, slot: SlotNumber, next_generation: u64) {
        let granted = self.pages.granted().get(&slot).copied().filter(|_| !self.reserved.contains(&slot));
        if let Some((generation, _)) = granted {
            if next_generation <= generation {
                self.crimes.push(format!("{slot:?} keeps its generation {generation}"));
            }
            self.truth.freed(slot, generation);
            return self.pages.free(slot, next_generation);
        }
        if self.pages.is_claimed(slot) {
            self.crimes.push(format!("{slot:?} was freed under a claim"));
        }
        let was_reserved = self.reserved.remove(&slot);
        let is_wrong = match self.index.remove(&slot) {
            Some(shown) => {
                if let Some(disk) = &mut self.disk {
                    disk.memory_given(shown.record.extent);
                    if shown.doomed {
                        self.left_bytes += shown.record.extent.bytes.next_multiple_of(64);
                    } else {
                        disk.left_memory(shown.record.id);
                    }
                }
                shown.visible || next_generation <= shown.record.generation
            }
            None => !was_reserved,
        };
        if is_wrong {
            self.crimes.push(format!("{slot:?} was freed while it was visible, or twice"));
        }
        self.pages.free(slot, next_generation);
    }

    fn leave(&mut self, client: ClientId) {
        // What it claims of a slot that was taken back in the meantime is no claim.
        let mut claimed = SlotSet::new(self.slots);
        self.pages.pinned_by(client, &mut claimed);
        let claims = claimed.members().len();
        if self.alive.contains_key(&client) && claims > 0 {
            self.crimes.push(format!("{client:?} lives, and its {claims} claims were forgotten"));
        }
        self.pages.leave(client);
    }
}

/// Whether an object may be dropped is known by its id, where there is a disk.
fn judge(entry: &mut Entry) {
    if let Entry::Put(_, named) | Entry::Create(_, named) = entry {
        named.evictable = Disk::is_evictable(named.id);
    }
}
