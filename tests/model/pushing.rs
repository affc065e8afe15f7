//! What clients do by themselves, and how the core hears of it.

use std::collections::{BTreeMap, BTreeSet};

use plasmad_core::clients::Ring;
use plasmad_core::residence::{Entry, Named, Record};
use plasmad_core::{ClientId, Nanos};
use plasmad_wire::limits::METADATA_BYTES_MAX;
use plasmad_wire::{Extent, Handle, ObjectId, Pin};

use super::state::{Granted, Model, Object, Purpose};
use super::transcript::Transcript;
use crate::support::{Checked, Late};

impl Model {
    /// A client has written a claim by itself.
    pub(super) fn claims(&mut self, client: ClientId, pin: Pin) {
        self.clients.entry(client).and_modify(|known| _ = known.pins.insert(pin.word, pin.handle));
    }

    /// A client has cleared a claim by itself, unless it was guessed and released before.
    pub(super) fn lets_go(&mut self, client: ClientId, pin: Pin) {
        let Some(known) = self.clients.get_mut(&client) else { return };
        known.pins.retain(|word, held| (*word, *held) != (pin.word, pin.handle));
        // Granted or an object by now: the core may have looked just before, and hears of it by a ring.
        self.let_go.insert(pin.handle.slot);
    }

    /// A client tells something.
    pub(super) fn tells(&mut self, client: ClientId, entry: Entry) {
        self.rings.entry(client).or_default().push(entry);
    }

    /// A client will tell something when the core does.
    pub(super) fn will_tell(&mut self, late: Late) {
        let told = if late.when_expected { &mut self.told_when_expected } else { &mut self.told_when_revoked };
        told.push((late.client, late.entry));
    }

    /// That moment has come: each lets go of its slot as well.
    pub(super) fn told_late(&mut self, when_expected: bool) {
        let told = if when_expected { &mut self.told_when_expected } else { &mut self.told_when_revoked };
        for (client, entry) in std::mem::take(told) {
            self.tells(client, entry);
            let Entry::Put(handle, _) = entry else { continue };
            let words = self.clients.get(&client).into_iter().flat_map(|known| &known.pins);
            let claims: Vec<u32> = words.filter(|(_, held)| **held == handle).map(|(word, _)| *word).collect();
            claims.into_iter().for_each(|word| self.lets_go(client, Pin { word, handle }));
        }
    }

    /// What was to be told at moments that have not come.
    pub(super) fn take_untold(&mut self) -> Vec<(ClientId, Entry)> {
        let mut untold = std::mem::take(&mut self.told_when_expected);
        untold.append(&mut self.told_when_revoked);
        untold
    }

    /// How many wait for each id.
    pub(super) fn expected(&self) -> BTreeMap<ObjectId, u32> {
        let mut expected = BTreeMap::new();
        for wait in self.waits.values() {
            if let Purpose::Get { ids, .. } | Purpose::Look { ids, .. } = &wait.purpose {
                let distinct: BTreeSet<ObjectId> = ids.iter().copied().collect();
                distinct.into_iter().for_each(|id| *expected.entry(id).or_default() += 1);
            }
        }
        expected
    }

    /// When the core may want to look again. With subscribers it reads rings every 10 ms while anybody may push, and once
    /// more when nobody can any more.
    pub(super) fn deadlines(&self) -> Vec<Option<Nanos>> {
        let (waits, look) = (self.next_deadline(), Some(self.now + LISTENED_NS));
        let with_look = waits.into_iter().chain(look).min();
        if self.subscribers.is_empty() {
            return vec![waits];
        }
        let anybody = self.clients.keys().any(|client| self.may_push(*client));
        if anybody { vec![with_look] } else { vec![waits, with_look] }
    }

    /// What was told is sealed for whoever asks now, unless its client cannot ring any more.
    pub(super) fn told_ids(&self) -> BTreeSet<ObjectId> {
        let rings = self.rings.iter().filter(|(client, _)| self.may_push(**client) && self.clients[client].connected);
        let ids = rings.flat_map(|(_, ring)| ring).filter_map(|entry| match entry {
            Entry::Put(handle, named) => self.is_granted(*handle).then_some(named.id),
            Entry::Seal(handle) => self.objects.get(&handle.slot).map(|object| object.record.id),
            Entry::Create(..) | Entry::Abort(_) | Entry::Unreadable(_) => None,
        });
        ids.collect()
    }

    /// Somebody waits for what is told, and has all it waits for.
    pub(super) fn unheard(&self) -> Option<&[ObjectId]> {
        let told = self.told_ids();
        let there = |id: &ObjectId| told.contains(id) || self.find_sealed(*id).is_some();
        self.waits.values().find_map(|wait| match &wait.purpose {
            Purpose::Create(_) => None,
            Purpose::Get { ids, .. } => ids.iter().all(there).then_some(&ids[..]),
            Purpose::Look { count, ids } => {
                (ids.iter().filter(|id| there(id)).count() >= *count as usize).then_some(&ids[..])
            }
        })
    }

    /// The core reads all rings that may tell something.
    pub(super) fn read_rings(&mut self, said: &mut Transcript) -> Checked {
        let clients: Vec<ClientId> = self.clients.keys().copied().collect();
        let waiting = self.waits.len();
        for client in clients {
            if self.may_push(client) {
                self.read_ring(said, client)?;
            }
        }
        self.seen.woken_by_ring += u64::from(self.waits.len() < waiting);
        Ok(())
    }

    pub(super) fn read_ring(&mut self, said: &mut Transcript, client: ClientId) -> Checked {
        for entry in self.rings.remove(&client).unwrap_or_default() {
            let now = self.now;
            self.clients.entry(client).and_modify(|known| known.busy_at = now);
            self.seen.told += 1;
            if !self.told(said, client, entry)? {
                self.seen.lies += 1;
                self.clients.entry(client).and_modify(|known| known.ring = Ring::Distrusted);
                return said.expelled(client);
            }
        }
        Ok(())
    }

    /// One entry; `false`: nobody who keeps the protocol tells that.
    fn told(&mut self, said: &mut Transcript, client: ClientId, entry: Entry) -> Checked<bool> {
        match entry {
            Entry::Put(handle, named) | Entry::Create(handle, named) => {
                let granted = self.granted.get(&handle.slot).copied();
                let own = granted.filter(|it| it.client == client && it.generation == handle.generation);
                let bytes = named.data_bytes.checked_add(named.metadata_bytes.into());
                let fits = |granted: Granted| {
                    bytes.is_some_and(|bytes| bytes <= granted.extent.bytes)
                        && named.metadata_bytes <= METADATA_BYTES_MAX
                };
                let Some(granted) = own.filter(|it| fits(*it) && named.id.as_bytes()[..8] == client.0.to_le_bytes())
                else {
                    return Ok(false);
                };
                let is_put = matches!(entry, Entry::Put(..));
                if self.find(named.id).is_some() {
                    self.seen.in_vain += 1;
                    if !is_put {
                        self.clients.entry(client).and_modify(|known| _ = known.in_vain.insert(handle.slot));
                    }
                    return Ok(true);
                }
                self.name(client, handle, granted.extent, &named);
                if is_put {
                    self.totals.puts_by_ring += 1;
                    self.seal_one(said, handle.slot)?;
                }
                Ok(true)
            }
            Entry::Seal(handle) | Entry::Abort(handle) => {
                if self.is_granted(handle)
                    && self.clients.get_mut(&client).is_some_and(|it| it.in_vain.remove(&handle.slot))
                {
                    self.room_changed = true;
                    return Ok(true);
                }
                if !self.is_current(handle) || !self.unsealed(client).contains(&handle.slot) {
                    return Ok(false);
                }
                if matches!(entry, Entry::Abort(_)) {
                    self.give_up(said, handle.slot)?;
                    return Ok(true);
                }
                self.totals.puts_by_ring += 1;
                self.seal_one(said, handle.slot)?;
                Ok(true)
            }
            Entry::Unreadable(_) => Ok(false),
        }
    }

    /// A granted slot is an object now, and no longer than that.
    fn name(&mut self, client: ClientId, handle: Handle, granted: Extent, named: &Named) {
        let Named { id, data_bytes, metadata_bytes, format, evictable } = *named;
        let bytes = data_bytes + u64::from(metadata_bytes);
        let extent = if bytes == 0 { Extent::default() } else { Extent { bytes, ..granted } };
        let record = Record { id, generation: handle.generation, extent, data_bytes, metadata_bytes, format };
        let (created_at, sealed_at, doomed, was_granted) = (self.now, None, false, true);
        let object = Object { record, evictable, creator: client, created_at, sealed_at, doomed, was_granted };
        self.granted.remove(&handle.slot);
        self.let_go.remove(&handle.slot);
        self.objects.insert(handle.slot, object);
        self.totals.creates += 1;
        self.room_changed = true;
    }

    /// Something on this client's ring may mean something.
    pub(super) fn may_push(&self, client: ClientId) -> bool {
        let is_read = self.clients.get(&client).is_some_and(|known| known.ring == Ring::Read);
        is_read && (!self.granted_to(client).is_empty() || !self.unsealed(client).is_empty())
    }
}

/// How long a put may be news to subscribers.
const LISTENED_NS: Nanos = 10_000_000;
