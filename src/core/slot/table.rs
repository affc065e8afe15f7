//! The slot table: every object by its slot, and by its id while it can be found.
//!
//! Invariant: an id leads to a slot exactly while that slot is neither free nor doomed. A slot's generation grows
//! whenever its object goes, or its memory alone does because it is on disk: a handle kept too long names nothing instead
//! of the next tenant, and a claim made before keeps nothing in place.

use alloc::vec::Vec;
use core::ops::Range;

use plasmad_wire::{Extent, Format, Handle, Location, ObjectId};

use super::chains::{Chains, Link};
use super::{Move, SlotNumber, State};
use crate::Nanos;
use crate::clients::ClientId;
use crate::disk::DiskRecord;
use crate::residence::{Named, Record};

/// One object.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Grows each time the slot's memory is freed. 56 bits on the wire; it starts at 1.
    pub generation: u64,
    /// Where the object is in its life.
    pub state: State,
    /// Its id.
    pub id: ObjectId,
    /// Who created it.
    pub creator: ClientId,
    /// Where it lies.
    pub extent: Extent,
    /// Length of the data; the metadata follows it in the extent.
    pub data_bytes: u64,
    /// Length of the metadata.
    pub metadata_bytes: u32,
    /// How the data is encoded.
    pub format: Format,
    /// May be dropped when memory is short.
    pub evictable: bool,
    /// When it was created.
    pub created_at: Nanos,
    /// When it was sealed.
    pub sealed_at: Option<Nanos>,
    /// The number of its seal among all of this store; 0 until then.
    pub seal: u64,
    /// It was handed out before it had an id, so its commit word tells of it.
    pub was_granted: bool,
    /// The next of its chain.
    pub(super) next: Link,
}

impl Slot {
    /// Where a reader finds the bytes.
    pub fn location(&self) -> Location {
        Location {
            segment: self.extent.segment,
            format: self.format,
            metadata_bytes: self.metadata_bytes,
            offset: self.extent.offset,
            data_bytes: self.data_bytes,
        }
    }

    /// What the index shows of it.
    pub fn record(&self) -> Record {
        Record {
            id: self.id,
            generation: self.generation,
            extent: self.extent,
            data_bytes: self.data_bytes,
            metadata_bytes: self.metadata_bytes,
            format: self.format,
        }
    }
}

/// All slots.
pub struct SlotTable {
    slots: Vec<Slot>,
    free: Vec<SlotNumber>,
    by_id: Chains,
    slots_max: u32,
    hash_seed: [u64; 2],
    /// How many slots are in each state, but for those that are free.
    counts: [u64; State::COUNT],
}

impl SlotTable {
    /// An empty table of at most `slots_max` objects.
    pub fn new(slots_max: u32, hash_seed: [u64; 2]) -> Self {
        let (by_id, counts) = (Chains::new(slots_max), [0; State::COUNT]);
        Self { slots: Vec::new(), free: Vec::new(), by_id, slots_max, hash_seed, counts }
    }

    /// The slot an id leads to.
    pub fn find(&self, id: ObjectId) -> Option<SlotNumber> {
        let mut slot = self.by_id.first(id.hash(self.hash_seed)).slot()?;
        while self[slot].id != id {
            slot = self[slot].next.slot()?;
        }
        Some(slot)
    }

    /// The slot an id leads to, if its object can be read.
    pub fn find_readable(&self, id: ObjectId) -> Option<SlotNumber> {
        self.find(id).filter(|slot| self[*slot].state.is_readable())
    }

    /// The slot a handle means, if it still means the same object.
    pub fn resolve(&self, handle: Handle) -> Option<SlotNumber> {
        let slot = self.slots.get(handle.slot as usize)?;
        let same = slot.generation == handle.generation && slot.state != State::Free;
        same.then_some(SlotNumber(handle.slot))
    }

    /// The name a client may use for the slot's object.
    pub fn handle(&self, slot: SlotNumber) -> Handle {
        Handle { slot: slot.0, generation: self[slot].generation }
    }

    /// What a claim on a slot keeps in place. Claims are written by clients, so a slot may be named that holds
    /// no object, or never held one: such a claim keeps nothing.
    pub fn claimed_bytes(&self, slot: SlotNumber) -> u64 {
        let claimed = self.slots.get(slot.0 as usize);
        let claimed = claimed.filter(|object| !matches!(object.state, State::Free | State::Granted));
        claimed.map_or(0, |object| object.extent.bytes)
    }

    /// What a claim on a slot keeps in place of an object that its creator has sealed.
    pub fn pinned_bytes(&self, slot: SlotNumber) -> u64 {
        let is_unsealed = self.slots.get(slot.0 as usize).is_some_and(|object| object.state == State::Created);
        if is_unsealed { 0 } else { self.claimed_bytes(slot) }
    }

    /// What a client's claim on a slot that it was granted keeps in place; anybody else's keeps nothing there.
    pub fn granted_bytes(&self, slot: SlotNumber, client: ClientId) -> u64 {
        let claimed = self.slots.get(slot.0 as usize);
        let claimed = claimed.filter(|object| object.state == State::Granted && object.creator == client);
        claimed.map_or(0, |object| object.extent.bytes)
    }

    /// How many more objects the table takes.
    pub fn vacancies(&self) -> usize {
        self.free.len() + (self.slots_max as usize - self.slots.len())
    }

    /// Takes a free slot for a new object. The caller has looked: the id is new, and there is a vacancy.
    pub fn occupy(&mut self, named: &Named, extent: Extent, creator: ClientId, now: Nanos) -> SlotNumber {
        let slot = self.take_free(Move::Create, extent, creator, now);
        self.link(slot, named);
        slot
    }

    /// Takes a free slot to hand it out. The caller has looked: there is a vacancy.
    pub fn grant(&mut self, extent: Extent, creator: ClientId, now: Nanos) -> SlotNumber {
        let slot = self.take_free(Move::Grant, extent, creator, now);
        self.slots[slot.0 as usize].was_granted = true;
        slot
    }

    /// Makes an object of a slot that was handed out. The caller has looked: the id is new.
    pub fn name(&mut self, slot: SlotNumber, named: &Named, extent: Extent, now: Nanos) {
        let object = &mut self.slots[slot.0 as usize];
        let before = object.state;
        object.state = made(before, Move::Name);
        recount(&mut self.counts, before, object.state);
        (object.extent, object.created_at) = (extent, now);
        self.link(slot, named);
    }

    /// Takes a free slot for an object that is on disk. The caller has looked: the id is new, and there is a vacancy.
    pub fn adopt(&mut self, record: &DiskRecord) -> SlotNumber {
        let slot = self.take_free(Move::Adopt, Extent::default(), NOBODY, record.created_at);
        let DiskRecord { id, data_bytes, metadata_bytes, format, evictable, .. } = *record;
        self.link(slot, &Named { id, data_bytes, metadata_bytes, format, evictable });
        self.slots[slot.0 as usize].sealed_at = Some(record.sealed_at);
        slot
    }

    /// Gives memory to an object that comes back from disk.
    pub fn restore_into(&mut self, slot: SlotNumber, extent: Extent) {
        self.advance(slot, Move::RestoreStart);
        self.slots[slot.0 as usize].extent = extent;
    }

    fn take_free(&mut self, by: Move, extent: Extent, creator: ClientId, now: Nanos) -> SlotNumber {
        let slot = self.free.pop().unwrap_or(SlotNumber(self.slots.len() as u32));
        let generation = self.slots.get(slot.0 as usize).map_or(1, |before| before.generation);
        let object = Slot {
            generation,
            state: made(State::Free, by),
            id: ObjectId::default(),
            creator,
            extent,
            data_bytes: 0,
            metadata_bytes: 0,
            format: Format::Raw,
            evictable: false,
            created_at: now,
            sealed_at: None,
            seal: 0,
            was_granted: false,
            next: Link::default(),
        };
        recount(&mut self.counts, State::Free, object.state);
        match self.slots.get_mut(slot.0 as usize) {
            Some(place) => *place = object,
            None => {
                assert!(self.slots.len() < self.slots_max as usize, "the slot table is full");
                self.slots.push(object);
            }
        }
        slot
    }

    fn link(&mut self, slot: SlotNumber, named: &Named) {
        let object = &mut self.slots[slot.0 as usize];
        object.id = named.id;
        (object.data_bytes, object.metadata_bytes) = (named.data_bytes, named.metadata_bytes);
        (object.format, object.evictable) = (named.format, named.evictable);
        object.next = self.by_id.link(named.id.hash(self.hash_seed), slot);
    }

    /// Moves an object on. A move its state doesn't allow is our own mistake: callers look first.
    pub fn advance(&mut self, slot: SlotNumber, by: Move) {
        let before = self[slot].state;
        let after = made(before, by);
        if findable(before) && !findable(after) {
            self.unlink(slot);
        }
        recount(&mut self.counts, before, after);
        let object = &mut self.slots[slot.0 as usize];
        object.state = after;
        match after {
            State::Free => {
                object.generation += 1;
                self.free.push(slot);
            }
            State::Spilled => {
                object.generation += 1;
                object.extent = Extent::default();
            }
            State::Granted | State::Created | State::Sealed | State::Spilling | State::Restoring | State::Doomed => {}
        }
    }

    /// Notes when an object was sealed, and the number of its seal.
    pub fn note_sealed(&mut self, slot: SlotNumber, now: Nanos, seal: u64) {
        let object = &mut self.slots[slot.0 as usize];
        (object.sealed_at, object.seal) = (Some(now), seal);
    }

    /// Slots that are not free, from `first` on.
    pub fn occupied_from(&self, first: u32) -> impl Iterator<Item = (SlotNumber, &Slot)> {
        self.occupied_in(first..u32::MAX)
    }

    /// Slots that are not free, of a range that may end behind the last.
    pub fn occupied_in(&self, range: Range<u32>) -> impl Iterator<Item = (SlotNumber, &Slot)> {
        let slots = self.slots.iter().enumerate().take(range.end as usize).skip(range.start as usize);
        slots.filter(|(_, slot)| slot.state != State::Free).map(|(number, slot)| (SlotNumber(number as u32), slot))
    }

    /// How many slots hold an object or have held one; those behind never have.
    pub fn ever_used_count(&self) -> usize {
        self.slots.len()
    }

    /// How many slots are not free.
    pub fn occupied_count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many are in a state, other than free.
    pub fn count_in(&self, state: State) -> u64 {
        self.counts[state as usize]
    }

    /// How many objects can be found by their id.
    pub fn findable_count(&self) -> usize {
        self.by_id.linked_count()
    }

    fn unlink(&mut self, slot: SlotNumber) {
        let hash = self[slot].id.hash(self.hash_seed);
        self.by_id.unlink(hash, slot, &mut self.slots);
    }
}

impl core::ops::Index<SlotNumber> for SlotTable {
    type Output = Slot;

    fn index(&self, slot: SlotNumber) -> &Slot {
        &self.slots[slot.0 as usize]
    }
}

fn made(before: State, by: Move) -> State {
    match before.after(by) {
        Ok(after) => after,
        Err(refused) => panic!("an object that is {:?} cannot {:?}", refused.from, refused.tried),
    }
}

/// Free slots aren't counted: those that never held anything aren't even there.
fn recount(counts: &mut [u64; State::COUNT], before: State, after: State) {
    if before != State::Free {
        counts[before as usize] -= 1;
    }
    if after != State::Free {
        counts[after as usize] += 1;
    }
}

fn findable(state: State) -> bool {
    match state {
        State::Created | State::Sealed | State::Spilling | State::Spilled | State::Restoring => true,
        State::Free | State::Granted | State::Doomed => false,
    }
}

/// The creator of what was made before this store began.
const NOBODY: ClientId = ClientId(0);

/// Puts by ring are as quick as the slots of a table are small.
const _: () = assert!(size_of::<Slot>() <= 128);

#[cfg(test)]
#[path = "table_fuzz.rs"]
mod fuzz;
