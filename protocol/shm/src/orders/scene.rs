//! A daemon, a client, and the bytes of objects.
//!
//! Invariant: bytes are plain memory to loom: who reads them while somebody else may write them ends the run, also where
//! the value would be right.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::atomic;
use crate::index::{IndexReader, IndexWriter, Missed, Place, SlotFields, SlotState};
use crate::page::{ClientPage, Entry, EntryKind, OwnPage, fence_before_scan};

pub(super) const A: [u8; 28] = [1; 28];
pub(super) const B: [u8; 28] = [2; 28];
/// All ids have this hash, so all are on one chain.
pub(super) const HASH: u64 = 0;

/// Where the bytes of objects lie.
#[derive(Debug)]
pub(super) struct Extents([UnsafeCell<u64>; 2]);

// SAFETY: the cells are only touched through `read` and `write`, and loom ends the run where two of these are not ordered.
unsafe impl Sync for Extents {}

impl Extents {
    pub(super) fn read(&self, offset: u64) -> u64 {
        // SAFETY: the pointer is the cell's, which lives as long as `self`; loom checks that nobody writes meanwhile.
        self.0[offset as usize].with(|bytes| unsafe { bytes.read() })
    }

    pub(super) fn write(&self, offset: u64, value: u64) {
        // SAFETY: as in `read`; loom checks that nobody reads or writes meanwhile.
        self.0[offset as usize].with_mut(|bytes| unsafe { bytes.write(value) });
    }
}

/// A daemon with one client.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) index: IndexWriter,
    pub(super) page: ClientPage,
    pub(super) extents: Arc<Extents>,
}

/// The client. An object's bytes are as its length says, so that both can be compared.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) index: IndexReader,
    pub(super) page: OwnPage,
    pub(super) extents: Arc<Extents>,
}

/// Both, with so many slots.
pub(super) fn scene(slots: u32) -> (Daemon, Client) {
    let index = IndexWriter::create(slots, [7; 16], [1, 2]).unwrap();
    let page = ClientPage::create(1).unwrap();
    let extents = Arc::new(Extents(std::array::from_fn(|_| UnsafeCell::new(0))));
    let client = Client {
        index: IndexReader::attach(index.fd()).unwrap(),
        page: OwnPage::attach(page.fd()).unwrap(),
        extents: extents.clone(),
    };
    (Daemon { index, page, extents }, client)
}

/// Both at the same time.
pub(super) fn race<C: 'static, D>(client: impl FnOnce() -> C + 'static, daemon: impl FnOnce() -> D) -> (C, D) {
    atomic::watch(true);
    let client = thread::spawn(client);
    let done = daemon();
    let client = client.join().unwrap();
    atomic::watch(false);
    (client, done)
}

impl Daemon {
    /// An object of `value` bytes comes into a slot.
    pub(super) fn put(&self, slot: u32, generation: u64, id: [u8; 28], offset: u64, value: u64) {
        self.extents.write(offset, value);
        self.publish(slot, generation, id, offset, value);
    }

    pub(super) fn publish(&self, slot: u32, generation: u64, id: [u8; 28], offset: u64, data_bytes: u64) {
        let fields = SlotFields { generation, id, segment: 0, offset, data_bytes, metadata_bytes: 0, format: 0 };
        self.index.publish(slot, HASH, &fields);
    }

    /// `Residence::grant`.
    pub(super) fn grant(&mut self, slot: u32, generation: u64, bytes: u64) {
        self.grant_place(slot, generation, bytes);
        self.page.grant([(slot, generation)].into_iter());
    }

    /// Its first half.
    pub(super) fn grant_place(&self, slot: u32, generation: u64, bytes: u64) {
        let place = Place { segment: 0, format: 0, metadata_bytes: 0, offset: 0, data_bytes: bytes };
        self.index.grant(slot, generation, &place);
    }

    /// A fence, and all claims on objects that still are what they claim.
    fn claims(&self, slot: u32) -> bool {
        let mut claimed = false;
        if !slipped(Slip::NoScan) {
            fence_before_scan();
            self.page.scan(&mut |there, generation| {
                claimed |= there == slot && self.index.generation(slot) as u32 == generation;
            });
        }
        claimed
    }

    /// Whether nobody claims the slot, which is marked before that is looked at.
    fn unclaimed(&self, slot: u32, mark: SlotState) -> bool {
        if slipped(Slip::ScanFirst) {
            let claimed = self.claims(slot);
            self.index.set_state(slot, mark);
            return !claimed;
        }
        if !slipped(Slip::NoMark) {
            self.index.set_state(slot, mark);
        }
        !self.claims(slot)
    }

    /// `Residence::retract`, of one slot.
    pub(super) fn retract(&self, slot: u32) -> bool {
        let gone = self.unclaimed(slot, SlotState::Leaving);
        if !gone {
            self.index.set_state(slot, SlotState::Sealed);
        }
        gone
    }

    /// Takes an object out of memory, and lets somebody else use that; `false` if a client claims it.
    pub(super) fn evict(&self, slot: u32) -> bool {
        let gone = self.retract(slot);
        if gone {
            self.free(slot, 2);
            self.extents.write(0, 9);
        }
        gone
    }

    /// The same; who uses it is another object in the same slot.
    pub(super) fn evict_and_put(&self, slot: u32, id: [u8; 28], value: u64) -> bool {
        let gone = self.retract(slot);
        if gone {
            self.free(slot, 2);
            self.put(slot, 2, id, 0, value);
        }
        gone
    }

    /// `Residence::doom`.
    pub(super) fn doom(&self, slot: u32) {
        self.index.set_state(slot, SlotState::Doomed);
        self.index.unlink(slot, HASH);
    }

    /// `Residence::revoke`, and what the ring tells behind it: what was told of, or whether nobody claims the slot.
    pub(super) fn revoke(&mut self, slot: u32) -> Result<Entry, bool> {
        let before = if slipped(Slip::DrainFirst) { self.drain() } else { Vec::new() };
        let unclaimed = self.unclaimed(slot, SlotState::Revoking);
        let behind = if slipped(Slip::DrainFirst) || slipped(Slip::NoDrain) { Vec::new() } else { self.drain() };
        before.into_iter().chain(behind).next().ok_or(unclaimed)
    }

    pub(super) fn drain(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.page.drain(&mut |entry| entries.push(entry.expect(NO_ENTRY))).expect(NO_ENTRY);
        entries
    }

    /// `Residence::free`.
    pub(super) fn free(&self, slot: u32, next_generation: u64) {
        if self.index.state(slot) == Some(SlotState::Leaving) {
            self.index.unlink(slot, HASH);
        }
        self.index.free(slot, next_generation);
    }
}

impl Client {
    /// Gets an object, looks at it, and releases it; whether it was there, and whether the daemon wants to hear of it.
    pub(super) fn get(&self, id: [u8; 28], value: u64, hint: u32) -> (bool, bool) {
        match self.index.pin(&id, HASH, &self.page, hint) {
            Err(Missed { ring }) => (false, ring),
            Ok(found) => {
                assert_eq!(found.place.data_bytes, value, "another object's fields");
                assert_eq!(self.extents.read(found.place.offset), value, "another object's bytes");
                (true, self.release(found.word))
            }
        }
    }

    /// `Fast::release`.
    pub(super) fn release(&self, word: u32) -> bool {
        self.page.release(word);
        self.index.is_wanted()
    }

    /// `Session::put_here`, into the place granted next: the slot, if it was put, and whether to ring.
    pub(super) fn put(&self, id: [u8; 28], value: u64, tail: &mut u64) -> Option<(u32, bool)> {
        let grant = self.page.next_grant(&mut 0)?;
        let granted = self.index.pin_granted(grant, &self.page, 0).ok()?;
        self.extents.write(granted.place.offset, value);
        if slipped(Slip::ClearFirst) {
            self.page.release(granted.word);
        }
        let entry = Entry { id, data_bytes: value, ..Entry::of(EntryKind::Put, granted.slot, granted.generation) };
        assert!(self.page.push(tail, &entry));
        let expected_before = self.index.is_expected(HASH);
        let wanted = self.release(granted.word);
        let expected = if slipped(Slip::FilterFirst) { expected_before } else { self.index.is_expected(HASH) };
        Some((granted.slot, wanted || expected))
    }
}

/// Two steps exchanged, or one left out, on either side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slip {
    /// The daemon looks for claims before it marks the slot.
    ScanFirst,
    /// It doesn't look for claims.
    NoScan,
    /// It doesn't mark the slot.
    NoMark,
    /// It reads the ring before it looks for claims.
    DrainFirst,
    /// It doesn't read the ring.
    NoDrain,
    /// It reads the ring once more, and then says that somebody waits.
    ExpectLate,
    /// It looks once more, and then says that it wants to be told.
    WantLate,
    /// A client clears its claim before it tells.
    ClearFirst,
    /// A client looks who waits before it has told.
    FilterFirst,
}

thread_local! {
    static SLIP: Cell<Option<Slip>> = const { Cell::new(None) };
    static SEEN: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

pub(super) fn slip(slip: Option<Slip>) {
    SLIP.set(slip);
}

pub(super) fn slipped(slip: Slip) -> bool {
    SLIP.get() == Some(slip)
}

/// This situation came up.
pub(super) fn saw(situation: &'static str) {
    SEEN.with_borrow_mut(|seen| seen.insert(situation));
}

/// Those that came up since this was asked last.
pub(super) fn take_seen() -> BTreeSet<&'static str> {
    SEEN.take()
}

const NO_ENTRY: &str = "the ring holds what was told";
