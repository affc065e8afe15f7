//! What clients know of their own puts, kept beside the core.
//!
//! Promises: a slot that a client may write, or has told of, is not taken from it while its process lives; what was
//! told is there as soon as the core has handled anything else, as it was told.

use std::collections::{BTreeMap, BTreeSet};

use plasmad_core::residence::{Entry, Grant, Named, Record};
use plasmad_core::{ClientId, SlotNumber};
use plasmad_wire::{Extent, Handle, ObjectId};

use crate::support::{Checked, Did, ensure};

/// All that clients have begun by themselves.
#[derive(Default)]
pub(super) struct Truth {
    /// Memory that a client writes, or has told of, and that is no sealed object yet.
    pub(super) owned: BTreeMap<(u32, u64), Owned>,
    /// Those that the core has to seal before it has handled another event.
    due: BTreeSet<(u32, u64)>,
    /// Clients that have told what cannot be: nothing they tell from then on counts.
    pub(super) liars: BTreeSet<ClientId>,
    /// What somebody asks just now to give up.
    aborting: BTreeSet<(u32, u64)>,
    /// Ids that somebody asked for over the socket: whoever tells of one may have come too late, and isn't told.
    asked: BTreeSet<ObjectId>,
    /// What was published otherwise than it was told.
    pub(super) crimes: Vec<String>,
}

/// Memory of a client's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned {
    pub(super) client: ClientId,
    pub(super) extent: Extent,
    told: Option<Told>,
}

/// What a client told of it.
#[derive(Clone, Copy, Debug)]
struct Told {
    named: Option<Named>,
    is_sealed: bool,
}

impl Truth {
    /// Somebody asks to create these over the socket.
    pub(super) fn note_asked(&mut self, ids: impl Iterator<Item = ObjectId>) {
        self.asked.extend(ids);
    }

    /// An object was created over the socket, and its client may write it.
    pub(super) fn note_created(&mut self, client: ClientId, handle: Handle, extent: Extent) {
        let told = Some(Told { named: None, is_sealed: false });
        self.owned.insert((handle.slot, handle.generation), Owned { client, extent, told });
    }

    /// An object was given up.
    pub(super) fn note_aborted(&mut self, handle: Handle) {
        self.owned.remove(&(handle.slot, handle.generation));
    }

    /// A client did something by itself.
    pub(super) fn note(&mut self, client: ClientId, did: Did) {
        match did {
            Did::Confirmed(Grant { slot, generation, extent }) => {
                self.owned.insert((slot.0, generation), Owned { client, extent, told: None });
            }
            Did::Told(entry) if !self.liars.contains(&client) => self.note_told(entry),
            Did::Lied(_) => _ = self.liars.insert(client),
            Did::LetGo { pin, told: false } => self.note_aborted(pin.handle),
            Did::LetGo { pin, told: true } => {
                // A put that came too late is nobody's: its memory is its client's as long as it claims it.
                let key = (pin.handle.slot, pin.handle.generation);
                let too_late = |owned: &Owned| self.is_doubtful(owned) && owned.told.is_some_and(|told| told.is_sealed);
                if self.owned.get(&key).is_some_and(too_late) {
                    self.owned.remove(&key);
                }
            }
            Did::Told(_) | Did::Claimed(_) | Did::Returned { .. } | Did::Nothing => {}
        }
    }

    fn note_told(&mut self, entry: Entry) {
        match entry {
            Entry::Put(handle, named) | Entry::Create(handle, named) => {
                let is_sealed = matches!(entry, Entry::Put(..));
                if let Some(owned) = self.owned.get_mut(&(handle.slot, handle.generation)) {
                    owned.told = Some(Told { named: Some(named), is_sealed });
                    owned.extent.bytes = named.data_bytes + u64::from(named.metadata_bytes);
                }
            }
            Entry::Seal(handle) => {
                let key = (handle.slot, handle.generation);
                if let Some(told) = self.owned.get_mut(&key).and_then(|owned| owned.told.as_mut()) {
                    told.is_sealed = true;
                }
                if self.owned.get(&key).is_some_and(|owned| self.is_doubtful(owned)) {
                    self.owned.remove(&key);
                }
            }
            Entry::Abort(handle) => self.note_aborted(handle),
            Entry::Unreadable(_) => {}
        }
    }

    /// Ids of objects that were told of as sealed, and are not there yet; whose.
    pub(super) fn sealed_ids(&self) -> impl Iterator<Item = (ClientId, ObjectId)> {
        let sealed = self.owned.values().filter(|owned| owned.told.is_some_and(|told| told.is_sealed));
        sealed.filter_map(|owned| Some((owned.client, owned.told?.named?.id)))
    }

    /// Objects that a client has created, and writes.
    pub(super) fn unsealed_of(&self, client: ClientId) -> impl Iterator<Item = ((u32, u64), Extent)> {
        let unsealed = self.owned.iter().filter(move |(_, owned)| {
            owned.client == client && owned.told.is_some_and(|told| !told.is_sealed) && !self.is_doubtful(owned)
        });
        unsealed.map(|(handle, owned)| (*handle, owned.extent))
    }

    /// An object is shown.
    pub(super) fn published(&mut self, slot: SlotNumber, record: &Record) {
        let key = (slot.0, record.generation);
        self.due.remove(&key);
        let Some(Owned { client, extent, told }) = self.owned.remove(&key) else { return };
        let Some(told) = told else {
            return self.crimes.push(format!("{record:?} was published before {client:?} told of it"));
        };
        let Some(named) = told.named else { return };
        let as_told = (named.id, named.data_bytes, named.metadata_bytes, named.format);
        let offset = if record.extent.bytes == 0 { 0 } else { extent.offset };
        let shown = (record.id, record.data_bytes, record.metadata_bytes, record.format);
        if shown != as_told || (record.extent.offset, record.extent.bytes) != (offset, extent.bytes) {
            self.crimes.push(format!("told as {named:?} at {extent:?}, published as {record:?}"));
        }
    }

    /// A slot that was granted is taken away from its client.
    pub(super) fn freed(&mut self, slot: SlotNumber, generation: u64) {
        if self.aborting.contains(&(slot.0, generation)) {
            self.owned.remove(&(slot.0, generation));
        }
        if let Some(Owned { client, told, .. }) = self.owned.remove(&(slot.0, generation)) {
            let what = if told.is_some() { "with an entry on its ring" } else { "under a claim" };
            self.crimes.push(format!("{slot:?} was freed {what} of {client:?}"));
        }
    }

    /// A client's process is gone, and the core knows: what it had not told is nobody's.
    pub(super) fn gone(&mut self, client: ClientId) {
        let is_liar = self.liars.contains(&client);
        let is_sealed = |owned: &Owned| owned.told.is_some_and(|told| told.is_sealed) && !self.is_doubtful(owned);
        let kept = |owned: &Owned| owned.client != client || is_sealed(owned) && !is_liar;
        let gone: Vec<(u32, u64)> = self.owned.iter().filter(|(_, it)| !kept(it)).map(|(key, _)| *key).collect();
        gone.iter().for_each(|key| _ = self.owned.remove(key));
    }

    /// Another event is about to be handled, which may give these up: what was told by now is to be there behind it.
    pub(super) fn before_event(&mut self, aborting: &[Handle]) {
        self.aborting = aborting.iter().map(|handle| (handle.slot, handle.generation)).collect();
        let is_due = |owned: &Owned| {
            let is_sealed = owned.told.is_some_and(|told| told.is_sealed);
            is_sealed && !self.is_doubtful(owned) && !self.liars.contains(&owned.client)
        };
        self.due = self.owned.iter().filter(|(_, owned)| is_due(owned)).map(|(key, _)| *key).collect();
    }

    /// It was handled.
    pub(super) fn after_event(&mut self) -> Checked {
        let lost = self.due.iter().find(|key| self.owned.get(key).is_some_and(|it| !self.liars.contains(&it.client)));
        ensure!(lost.is_none(), "a put was lost: {lost:?} {:?}", lost.map(|key| self.owned[key]));
        Ok(())
    }

    /// Somebody may have taken its id.
    fn is_doubtful(&self, owned: &Owned) -> bool {
        let named = owned.told.and_then(|told| told.named);
        named.is_some_and(|named| self.asked.contains(&named.id))
    }
}
