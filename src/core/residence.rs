//! Shared memory as the core sees it: the one port through which it changes what clients can see at once.
//!
//! Implemented over the real index and client pages by the daemon, and by the simulator, which lies about pins
//! from a seed. Every method answers at once and never fails halfway.

use alloc::vec::Vec;

use plasmad_wire::{Extent, Format, Handle, ObjectId, Pin};

use crate::clients::ClientId;
use crate::slot::{SlotNumber, SlotSet};

/// What the core asks of shared memory.
pub trait Residence {
    /// Writes a sealed-to-be object's bytes into the arena: the data, then the metadata directly behind it.
    fn fill(&mut self, extent: Extent, data: &[u8], metadata: &[u8]) -> Result<(), FillFailed>;

    /// Reads what the client told on its ring since the last time, in its order: copied out once, and not judged.
    fn drain(&mut self, client: ClientId, into: &mut Vec<Entry>);

    /// Hands slots to a client to fill.
    fn grant(&mut self, client: ClientId, grants: &[Grant]);

    /// Marks granted slots as being taken back, fences, and tells which of them their client claims. What it had told
    /// of the others by then stands on its ring: only behind a drain that follows is known which are unused.
    fn revoke(&mut self, client: ClientId, slots: &[SlotNumber], claimed: &mut SlotSet);

    /// A slot that was being taken back stays with its client.
    fn keep(&mut self, slot: SlotNumber);

    /// Somebody waits for these ids, or nobody any more: whoever puts one of them rings. Fences: what was put before
    /// without a sound is on a ring by now.
    fn expect(&mut self, ids: &[ObjectId], expected: bool);

    /// Makes a sealed object visible: the record first, the commit word last.
    fn publish(&mut self, slot: SlotNumber, record: &Record);

    /// Writes a claim of the client's on the slot into its page. `None`: no word is free there.
    fn pin(&mut self, client: ClientId, slot: SlotNumber, generation: u64) -> Option<u32>;

    /// Clears a claim. `false`: the client's page holds no such claim.
    fn unpin(&mut self, client: ClientId, pin: Pin) -> bool;

    /// Whether the client's page holds a claim that was written there by [`Self::pin`].
    fn holds(&mut self, client: ClientId, pin: Pin) -> bool;

    /// One scan of all pages; nothing is changed. Claims on another generation of a slot don't count.
    fn pinned(&mut self, into: &mut SlotSet);

    /// The same of one client's page.
    fn pinned_by(&mut self, client: ClientId, into: &mut SlotSet);

    /// Claims on this use of a slot count from here on, though its object isn't sealed, or not in memory, and nobody can
    /// find it.
    fn reserve(&mut self, slot: SlotNumber, generation: u64);

    /// One scan of all pages, telling who claims what, a call for each claim.
    fn holders(&mut self, visit: &mut dyn FnMut(ClientId, SlotNumber));

    /// Tells which slots clients have used by themselves since the last call. They may name any slot.
    fn recent(&mut self, visit: &mut dyn FnMut(SlotNumber));

    /// Asks clients, from now on or no longer, to ring when they release something by themselves. Fences: who
    /// releases after it rings, and what was released before it is seen by the next scan.
    fn want(&mut self, wanted: bool);

    /// Takes sealed objects out of sight, all or none: marks them leaving, fences, scans. If any is pinned, all
    /// are as before, and the pinned ones are named.
    fn retract(&mut self, window: &[SlotNumber]) -> Result<(), Pinned>;

    /// Takes a sealed object out of sight for good, pinned or not; its memory stays until [`Self::free`].
    fn doom(&mut self, slot: SlotNumber);

    /// The slot's memory is free from here on; the slot has this generation when it is used again.
    fn free(&mut self, slot: SlotNumber, next_generation: u64);

    /// The client is gone and so are all its claims.
    fn leave(&mut self, client: ClientId);
}

/// What a client says it did with a slot it was handed. Nothing of it is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// It wrote an object there.
    Put(Handle, Named),
    /// It is writing one there.
    Create(Handle, Named),
    /// It wrote the one it had created.
    Seal(Handle),
    /// It gave the one up that it had created.
    Abort(Handle),
    /// Nothing that makes sense.
    Unreadable(&'static str),
}

/// An object as its client describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named {
    /// Its id.
    pub id: ObjectId,
    /// Length of the data.
    pub data_bytes: u64,
    /// Length of the metadata.
    pub metadata_bytes: u32,
    /// How the data is encoded.
    pub format: Format,
    /// May be dropped when memory is short.
    pub evictable: bool,
}

/// A slot handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The slot.
    pub slot: SlotNumber,
    /// Which use of it.
    pub generation: u64,
    /// Where it lies, and what it holds.
    pub extent: Extent,
}

/// A sealed object, as the index shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its id.
    pub id: ObjectId,
    /// The slot's generation while it lives there.
    pub generation: u64,
    /// Where it lies; data and metadata together.
    pub extent: Extent,
    /// Length of the data.
    pub data_bytes: u64,
    /// Length of the metadata.
    pub metadata_bytes: u32,
    /// How the data is encoded.
    pub format: Format,
}

/// The slots of a window that turned out to be pinned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pinned(pub Vec<SlotNumber>);

/// The arena could not be written; the machine has no memory for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FillFailed;
