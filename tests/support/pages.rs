//! Shared memory that tells the truth: an index, a page of pin words per client, and a record of every change.
//!
//! It judges nothing. Whoever checks the core reads what the core did from [`Pages::take_calls`].

use std::collections::{BTreeMap, VecDeque};

use plasmad_core::residence::{Entry, FillFailed, Grant, Pinned, Record};
use plasmad_core::slot::SlotSet;
use plasmad_core::{ClientId, Residence, SlotNumber};
use plasmad_wire::{Extent, Handle, ObjectId, Pin};

/// The pages of all clients, and the index.
pub(crate) struct Pages {
    words: usize,
    claims: BTreeMap<ClientId, Vec<Option<Handle>>>,
    index: BTreeMap<SlotNumber, Shown>,
    calls: Vec<Call>,
    fill_fails: bool,
    recent: Vec<SlotNumber>,
    /// What clients told and the core has not read.
    rings: BTreeMap<ClientId, Vec<Entry>>,
    /// What clients were handed and did not take.
    handed: BTreeMap<ClientId, VecDeque<Grant>>,
    /// Slots that are handed out, by their generation; whether they are being taken back.
    granted: BTreeMap<SlotNumber, (u64, bool)>,
    /// Unsealed objects that may be claimed, by their generation.
    reserved: BTreeMap<SlotNumber, u64>,
    /// How many wait for an id.
    expected: BTreeMap<ObjectId, u32>,
    wanted: bool,
    unpins_when_wanted: bool,
    /// What clients tell at the very moment the store begins to wait for an object, or marks a client's slots.
    told_when_expected: Vec<(ClientId, Entry)>,
    told_when_revoked: Vec<(ClientId, Entry)>,
    /// Some of these rang.
    rang: bool,
}

/// A change the core made, scans and pins left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    /// Bytes of data and metadata went to an extent, or did not.
    Fill { extent: Extent, data_bytes: usize, metadata_bytes: usize, failed: bool },
    /// An object was shown.
    Publish(SlotNumber, Record),
    /// Objects were taken out of sight.
    Retract(Vec<SlotNumber>),
    /// An object was taken out of sight for good.
    Doom(SlotNumber),
    /// A slot's memory is free; its next generation.
    Free(SlotNumber, u64),
    /// Slots were handed to a client.
    Grant(ClientId, Vec<Grant>),
    /// A client's slots were marked as being taken back.
    Revoke(ClientId, Vec<SlotNumber>),
    /// A slot stays with its client.
    Keep(SlotNumber),
    /// A client's claims are void.
    Leave(ClientId),
}

/// What the index shows of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    /// The object.
    pub(crate) record: Record,
    /// New claims are possible.
    pub(crate) visible: bool,
}

impl Pages {
    /// Pages of `words` pin words each.
    pub(crate) fn new(words: usize) -> Self {
        Self {
            words,
            claims: BTreeMap::new(),
            index: BTreeMap::new(),
            calls: Vec::new(),
            fill_fails: false,
            recent: Vec::new(),
            rings: BTreeMap::new(),
            handed: BTreeMap::new(),
            granted: BTreeMap::new(),
            reserved: BTreeMap::new(),
            expected: BTreeMap::new(),
            wanted: false,
            unpins_when_wanted: false,
            told_when_expected: Vec::new(),
            told_when_revoked: Vec::new(),
            rang: false,
        }
    }

    /// From now on the arena can, or cannot, be written.
    pub(crate) fn set_fill_fails(&mut self, fails: bool) {
        self.fill_fails = fails;
    }

    /// A client used a slot by itself.
    pub(crate) fn note_recent(&mut self, slot: SlotNumber) {
        self.recent.push(slot);
    }

    /// A client tells something on its ring.
    pub(crate) fn tell(&mut self, client: ClientId, entry: Entry) {
        self.rings.entry(client).or_default().push(entry);
    }

    /// A client takes the next slot it was handed, as long as it is still its own, and claims it; `None` for the word
    /// when its page is full.
    pub(crate) fn take_grant(&mut self, client: ClientId) -> Option<(Grant, Option<u32>)> {
        loop {
            let grant = self.next_handed(client)?;
            if self.is_granted(&grant) {
                return Some((grant, self.pin(client, grant.slot, grant.generation)));
            }
        }
    }

    /// A client takes the next slot it was handed, whether or not it is its own still.
    pub(crate) fn next_handed(&mut self, client: ClientId) -> Option<Grant> {
        self.handed.get_mut(&client)?.pop_front()
    }

    /// A slot is handed out, and nobody takes it back.
    pub(crate) fn is_granted(&self, grant: &Grant) -> bool {
        self.granted.get(&grant.slot) == Some(&(grant.generation, false))
    }

    /// All slots that were handed out and are no sealed objects, by their generation; whether they are being taken back.
    pub(crate) fn granted(&self) -> &BTreeMap<SlotNumber, (u64, bool)> {
        &self.granted
    }

    /// A slot is shown as being taken back.
    pub(crate) fn mark(&mut self, slot: SlotNumber) {
        self.granted.entry(slot).and_modify(|(_, revoking)| *revoking = true);
    }

    /// How many wait for each id.
    pub(crate) fn expected(&self) -> &BTreeMap<ObjectId, u32> {
        &self.expected
    }

    /// Somebody waits for this id, so whoever puts it rings.
    pub(crate) fn is_expected(&self, id: ObjectId) -> bool {
        self.expected.contains_key(&id)
    }

    /// Whoever holds anything lets go at the very moment the store asks clients to ring.
    pub(crate) fn unpin_all_when_wanted(&mut self) {
        self.unpins_when_wanted = true;
    }

    /// A client tells this, and lets go of its slot, just before the store asks to be told of what somebody begins to
    /// wait for: without a sound.
    pub(crate) fn tell_when_expected(&mut self, client: ClientId, entry: Entry) {
        self.told_when_expected.push((client, entry));
    }

    /// A client tells this, and lets go of its slot, just before the store looks which slots are claimed.
    pub(crate) fn tell_when_revoked(&mut self, client: ClientId, entry: Entry) {
        self.told_when_revoked.push((client, entry));
    }

    /// Clients are asked to ring.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// The changes since the last time.
    pub(crate) fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    /// Every claim: whose, in which word, on what.
    pub(crate) fn claims(&self) -> impl Iterator<Item = (ClientId, u32, Handle)> {
        self.claims.iter().flat_map(|(client, page)| {
            let words = page.iter().enumerate();
            words.filter_map(|(word, claim)| claim.map(|handle| (*client, word as u32, handle)))
        })
    }

    /// Does anybody claim what the slot holds now?
    pub(crate) fn is_claimed(&self, slot: SlotNumber) -> bool {
        self.claims().any(|(_, _, handle)| self.claimed_slot(handle) == Some(slot))
    }

    /// Takes slots out of sight without looking for pins: what a broken retraction does.
    pub(crate) fn retract_pinned_too(&mut self, window: &[SlotNumber]) {
        for slot in window {
            self.index.entry(*slot).and_modify(|shown| shown.visible = false);
        }
        self.calls.push(Call::Retract(window.to_vec()));
    }

    /// Claims on deleted objects only: what a broken scan sees.
    pub(crate) fn pinned_out_of_sight(&self, into: &mut SlotSet) {
        for (_, _, handle) in self.claims() {
            let slot = self.claimed_slot(handle);
            slot.filter(|slot| self.index.get(slot).is_some_and(|shown| !shown.visible)).into_iter().for_each(|slot| {
                into.insert(slot);
            });
        }
    }

    /// What was to be told at a moment that has not come.
    pub(crate) fn take_untold(&mut self) -> Vec<(ClientId, Entry)> {
        let mut untold = std::mem::take(&mut self.told_when_expected);
        untold.append(&mut self.told_when_revoked);
        untold
    }

    /// Somebody who told something at such a moment rang.
    pub(crate) fn take_rang(&mut self) -> bool {
        std::mem::take(&mut self.rang)
    }

    fn tell_and_let_go(&mut self, client: ClientId, entry: Entry) {
        self.tell(client, entry);
        if let Entry::Put(handle, named) | Entry::Create(handle, named) = entry {
            self.let_go(client, handle);
            self.rang |= self.wanted || self.is_expected(named.id);
        }
    }

    /// A client clears its claims on what it was handed.
    pub(crate) fn let_go(&mut self, client: ClientId, handle: Handle) {
        let words = self.claims.get_mut(&client).into_iter().flatten();
        words.filter(|claim| **claim == Some(handle)).for_each(|claim| *claim = None);
    }

    /// The slot a claim is on, unless the claim is stale.
    fn claimed_slot(&self, handle: Handle) -> Option<SlotNumber> {
        let slot = SlotNumber(handle.slot);
        let same = self.index.get(&slot).is_some_and(|shown| shown.record.generation == handle.generation)
            || self.granted.get(&slot).is_some_and(|(generation, _)| *generation == handle.generation)
            || self.reserved.get(&slot) == Some(&handle.generation);
        same.then_some(slot)
    }
}

impl Residence for Pages {
    fn fill(&mut self, extent: Extent, data: &[u8], metadata: &[u8]) -> Result<(), FillFailed> {
        let (data_bytes, metadata_bytes, failed) = (data.len(), metadata.len(), self.fill_fails);
        self.calls.push(Call::Fill { extent, data_bytes, metadata_bytes, failed });
        if failed { Err(FillFailed) } else { Ok(()) }
    }

    fn drain(&mut self, client: ClientId, into: &mut Vec<Entry>) {
        into.extend(self.rings.remove(&client).into_iter().flatten());
    }

    fn grant(&mut self, client: ClientId, grants: &[Grant]) {
        self.granted.extend(grants.iter().map(|grant| (grant.slot, (grant.generation, false))));
        self.handed.entry(client).or_default().extend(grants);
        self.calls.push(Call::Grant(client, grants.to_vec()));
    }

    fn revoke(&mut self, client: ClientId, slots: &[SlotNumber], claimed: &mut SlotSet) {
        self.calls.push(Call::Revoke(client, slots.to_vec()));
        slots.iter().for_each(|slot| self.mark(*slot));
        let told = std::mem::take(&mut self.told_when_revoked);
        told.into_iter().for_each(|(client, entry)| self.tell_and_let_go(client, entry));
        self.pinned_by(client, claimed);
    }

    fn keep(&mut self, slot: SlotNumber) {
        self.calls.push(Call::Keep(slot));
        self.granted.entry(slot).and_modify(|(_, revoking)| *revoking = false);
    }

    fn expect(&mut self, ids: &[ObjectId], expected: bool) {
        if expected {
            let told = std::mem::take(&mut self.told_when_expected);
            told.into_iter().for_each(|(client, entry)| self.tell_and_let_go(client, entry));
        }
        for id in ids {
            let count = self.expected.entry(*id).or_default();
            *count = if expected { *count + 1 } else { *count - 1 };
            if *count == 0 {
                self.expected.remove(id);
            }
        }
    }

    fn publish(&mut self, slot: SlotNumber, record: &Record) {
        self.granted.remove(&slot);
        self.index.insert(slot, Shown { record: *record, visible: true });
        self.calls.push(Call::Publish(slot, *record));
    }

    fn pin(&mut self, client: ClientId, slot: SlotNumber, generation: u64) -> Option<u32> {
        let page = self.claims.entry(client).or_insert_with(|| vec![None; self.words]);
        let word = page.iter().position(Option::is_none)?;
        page[word] = Some(Handle { slot: slot.0, generation });
        Some(word as u32)
    }

    fn unpin(&mut self, client: ClientId, pin: Pin) -> bool {
        let word = self.claims.get_mut(&client).and_then(|page| page.get_mut(pin.word as usize));
        word.is_some_and(|word| word.take_if(|claim| *claim == pin.handle).is_some())
    }

    fn holds(&mut self, client: ClientId, pin: Pin) -> bool {
        let word = self.claims.get(&client).and_then(|page| page.get(pin.word as usize));
        word.is_some_and(|claim| *claim == Some(pin.handle))
    }

    fn pinned(&mut self, into: &mut SlotSet) {
        for (_, _, handle) in self.claims() {
            if let Some(slot) = self.claimed_slot(handle) {
                into.insert(slot);
            }
        }
    }

    fn pinned_by(&mut self, client: ClientId, into: &mut SlotSet) {
        for (whose, _, handle) in self.claims() {
            if let Some(slot) = self.claimed_slot(handle).filter(|_| whose == client) {
                into.insert(slot);
            }
        }
    }

    fn reserve(&mut self, slot: SlotNumber, generation: u64) {
        self.reserved.insert(slot, generation);
    }

    fn holders(&mut self, visit: &mut dyn FnMut(ClientId, SlotNumber)) {
        for (client, _, handle) in self.claims() {
            if let Some(slot) = self.claimed_slot(handle) {
                visit(client, slot);
            }
        }
    }

    fn recent(&mut self, visit: &mut dyn FnMut(SlotNumber)) {
        self.recent.drain(..).for_each(visit);
    }

    fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
        if wanted && self.unpins_when_wanted {
            self.claims.clear();
        }
    }

    fn retract(&mut self, window: &[SlotNumber]) -> Result<(), Pinned> {
        let pinned: Vec<SlotNumber> = window.iter().copied().filter(|slot| self.is_claimed(*slot)).collect();
        if !pinned.is_empty() {
            return Err(Pinned(pinned));
        }
        self.retract_pinned_too(window);
        Ok(())
    }

    fn doom(&mut self, slot: SlotNumber) {
        self.index.entry(slot).and_modify(|shown| shown.visible = false);
        self.calls.push(Call::Doom(slot));
    }

    fn free(&mut self, slot: SlotNumber, next_generation: u64) {
        self.granted.remove(&slot);
        self.reserved.remove(&slot);
        self.index.remove(&slot);
        self.calls.push(Call::Free(slot, next_generation));
    }

    fn leave(&mut self, client: ClientId) {
        self.claims.remove(&client);
        self.rings.remove(&client);
        self.handed.remove(&client);
        self.calls.push(Call::Leave(client));
    }
}
