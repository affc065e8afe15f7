//! The core's port over real shared memory: the index, and a page for each client.
//!
//! Invariant: every order of stores that readers rely on is kept inside `plasmad-shm`; here is only who is told what.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use plasmad_core::residence::{Entry, FillFailed, Grant, Named, Pinned, Record};
use plasmad_core::slot::SlotSet;
use plasmad_core::{ClientId, Residence, SlotNumber};
use plasmad_shm::faults::Fault;
use plasmad_shm::index::{IndexWriter, Place, SlotFields, SlotState, WAITERS, waiter_number};
use plasmad_shm::memfd;
use plasmad_shm::page;
use plasmad_shm::page::{ClientPage, EntryKind, fence_before_scan};
use plasmad_shm::populate::HUGE_PAGE_BYTES;
use plasmad_wire::{Extent, Format, Handle, ObjectId, Pin};

use super::Arena;

/// Arena, index and client pages.
pub struct SharedMemory {
    arena: Arc<Arena>,
    arena_read_only: OwnedFd,
    index: IndexWriter,
    index_read_only: OwnedFd,
    /// What clients that are gone had pinned by themselves.
    own_pins_before: u64,
    pages: BTreeMap<ClientId, ClientPage>,
    hash_seed: [u64; 2],
    /// How many wait for an id, by the bit its hash has in the index.
    expected: Vec<u32>,
    /// Scratch for retractions.
    claimed: SlotSet,
    slots: u32,
    /// Slots that were used, up to the highest of them.
    slots_used: u32,
    /// How much of the index was sent to become huge pages.
    index_huge_bytes: u64,
}

impl SharedMemory {
    /// Takes over an arena and makes an empty index for it.
    pub fn new(arena: Arc<Arena>, slots: u32, store_id: [u8; 16], hash_seed: [u64; 2]) -> io::Result<Self> {
        let index = IndexWriter::create(slots, store_id, hash_seed)?;
        Ok(Self {
            arena_read_only: memfd::reopen_read_only(arena.as_fd())?,
            arena,
            index_read_only: memfd::reopen_read_only(index.fd())?,
            index,
            own_pins_before: 0,
            pages: BTreeMap::new(),
            hash_seed,
            expected: vec![0; WAITERS],
            claimed: SlotSet::new(slots),
            slots,
            slots_used: 0,
            index_huge_bytes: 0,
        })
    }

    /// The index's file.
    pub fn index(&self) -> BorrowedFd<'_> {
        self.index.fd()
    }

    /// The piece of the index, of [`HUGE_PAGE_BYTES`], that is to become a huge page now; each is told once.
    ///
    /// A get in a large store goes to places in the index that no cache of page tables remembers: in huge pages it takes
    /// half as long. A small store is not worth 2 MiB, a larger one is ready up to twice what it uses.
    pub fn next_index_piece(&mut self) -> Option<u64> {
        let piece = self.index_huge_bytes;
        if self.slots_used < SLOTS_WORTH_HUGE_PAGES || piece >= self.index.reach(self.slots_used.saturating_mul(2)) {
            return None;
        }
        self.index_huge_bytes += HUGE_PAGE_BYTES as u64;
        Some(piece)
    }

    /// What a client maps, in the order of its `Welcome`: the arena to read; to write, for writers; and for those
    /// who get objects by themselves the index to read, and their own page.
    pub fn descriptors(&self, client: ClientId, writes: bool, gets_by_itself: bool) -> Vec<BorrowedFd<'_>> {
        let mut fds = vec![self.arena_read_only.as_fd()];
        fds.extend(writes.then(|| self.arena.as_fd()));
        if let Some(page) = self.pages.get(&client).filter(|_| gets_by_itself) {
            fds.extend([self.index_read_only.as_fd(), page.fd()]);
        }
        fds
    }

    /// Objects that clients pinned by themselves, since the engine started. Clients count that.
    pub fn own_pins_total(&self) -> u64 {
        let now = self.pages.values().map(ClientPage::own_pins_total);
        now.fold(self.own_pins_before, u64::wrapping_add)
    }

    /// Memory the arena takes from the machine now.
    pub fn present_bytes(&self) -> io::Result<u64> {
        self.arena.present_bytes()
    }

    /// Makes a page for a client, before the core hears of it.
    pub fn join(&mut self, client: ClientId) -> io::Result<()> {
        self.pages.insert(client, ClientPage::create(client.0)?);
        Ok(())
    }

    /// Visits every claim on an object that still is what it claims.
    fn scan(&self, visit: &mut dyn FnMut(ClientId, SlotNumber)) {
        if Fault::EagerFree.is_in() {
            return;
        }
        fence_before_scan();
        for (client, page) in &self.pages {
            self.scan_page(page, &mut |slot| visit(*client, slot));
        }
    }

    fn scan_page(&self, page: &ClientPage, visit: &mut dyn FnMut(SlotNumber)) {
        page.scan(&mut |slot, generation| {
            if slot < self.slots && self.index.generation(slot) as u32 == generation {
                visit(SlotNumber(slot));
            }
        });
    }

    fn hash(&self, slot: SlotNumber) -> u64 {
        ObjectId::new(self.index.id(slot.0)).hash(self.hash_seed)
    }
}

impl Residence for SharedMemory {
    fn fill(&mut self, extent: Extent, data: &[u8], metadata: &[u8]) -> Result<(), FillFailed> {
        let written = self.arena.write(extent.offset, data);
        let written = written.and_then(|()| self.arena.write(extent.offset + data.len() as u64, metadata));
        written.map_err(|error| {
            tracing::error!("the arena can't be written: {error}");
            FillFailed
        })
    }

    fn drain(&mut self, client: ClientId, into: &mut Vec<Entry>) {
        let Some(page) = self.pages.get_mut(&client) else { return };
        let read = page.drain(&mut |entry| into.push(entry.map_or(Entry::Unreadable(NO_ENTRY), told)));
        if read.is_err() {
            into.push(Entry::Unreadable("its ring counts more entries than a ring has"));
        }
    }

    fn grant(&mut self, client: ClientId, grants: &[Grant]) {
        for Grant { slot, generation, extent } in grants {
            let (segment, offset, data_bytes) = (extent.segment, extent.offset, extent.bytes);
            let place = Place { segment, format: 0, metadata_bytes: 0, offset, data_bytes };
            self.index.grant(slot.0, *generation, &place);
            self.slots_used = self.slots_used.max(slot.0 + 1);
        }
        if let Some(page) = self.pages.get_mut(&client) {
            page.grant(grants.iter().map(|grant| (grant.slot.0, grant.generation)));
        }
    }

    fn revoke(&mut self, client: ClientId, slots: &[SlotNumber], claimed: &mut SlotSet) {
        slots.iter().for_each(|slot| self.index.set_state(slot.0, SlotState::Revoking));
        self.pinned_by(client, claimed);
    }

    fn keep(&mut self, slot: SlotNumber) {
        self.index.set_state(slot.0, SlotState::Granted);
    }

    fn expect(&mut self, ids: &[ObjectId], expected: bool) {
        for id in ids {
            let hash = id.hash(self.hash_seed);
            let count = &mut self.expected[waiter_number(hash)];
            *count = if expected { *count + 1 } else { *count - 1 };
            self.index.expect(hash, *count > 0);
        }
        fence_before_scan();
    }

    fn publish(&mut self, slot: SlotNumber, record: &Record) {
        let fields = SlotFields {
            generation: record.generation,
            id: *record.id.as_bytes(),
            segment: record.extent.segment,
            offset: record.extent.offset,
            data_bytes: record.data_bytes,
            metadata_bytes: record.metadata_bytes,
            format: record.format as u16,
        };
        self.index.publish(slot.0, record.id.hash(self.hash_seed), &fields);
        self.slots_used = self.slots_used.max(slot.0 + 1);
    }

    fn pin(&mut self, client: ClientId, slot: SlotNumber, generation: u64) -> Option<u32> {
        self.pages.get_mut(&client)?.pin(slot.0, generation)
    }

    fn unpin(&mut self, client: ClientId, pin: Pin) -> bool {
        let page = self.pages.get_mut(&client);
        page.is_some_and(|page| page.unpin(pin.word, pin.handle.slot, pin.handle.generation))
    }

    fn holds(&mut self, client: ClientId, pin: Pin) -> bool {
        let page = self.pages.get(&client);
        page.is_some_and(|page| page.holds(pin.word, pin.handle.slot, pin.handle.generation))
    }

    fn pinned(&mut self, into: &mut SlotSet) {
        self.scan(&mut |_, slot| {
            into.insert(slot);
        });
    }

    fn pinned_by(&mut self, client: ClientId, into: &mut SlotSet) {
        fence_before_scan();
        if let Some(page) = self.pages.get(&client) {
            self.scan_page(page, &mut |slot| {
                into.insert(slot);
            });
        }
    }

    fn reserve(&mut self, slot: SlotNumber, generation: u64) {
        // A slot that was granted shows its generation already, and the state that its client looks for.
        if self.index.generation(slot.0) != generation {
            self.index.free(slot.0, generation);
        }
    }

    fn holders(&mut self, visit: &mut dyn FnMut(ClientId, SlotNumber)) {
        self.scan(visit);
    }

    fn recent(&mut self, visit: &mut dyn FnMut(SlotNumber)) {
        self.pages.values().for_each(|page| page.take_recent(&mut |slot| visit(SlotNumber(slot))));
    }

    fn want(&mut self, wanted: bool) {
        self.index.want(wanted);
        fence_before_scan();
    }

    fn retract(&mut self, window: &[SlotNumber]) -> Result<(), Pinned> {
        window.iter().for_each(|slot| self.index.set_state(slot.0, SlotState::Leaving));
        let mut claimed = std::mem::replace(&mut self.claimed, SlotSet::new(0));
        claimed.clear();
        self.pinned(&mut claimed);
        let pinned: Vec<SlotNumber> = window.iter().copied().filter(|slot| claimed.contains(*slot)).collect();
        self.claimed = claimed;
        if pinned.is_empty() {
            return Ok(());
        }
        window.iter().for_each(|slot| self.index.set_state(slot.0, SlotState::Sealed));
        Err(Pinned(pinned))
    }

    fn doom(&mut self, slot: SlotNumber) {
        self.index.set_state(slot.0, SlotState::Doomed);
        self.index.unlink(slot.0, self.hash(slot));
    }

    fn free(&mut self, slot: SlotNumber, next_generation: u64) {
        // A doomed slot is off its chain already.
        if self.index.state(slot.0) == Some(SlotState::Leaving) {
            self.index.unlink(slot.0, self.hash(slot));
        }
        self.index.free(slot.0, next_generation);
    }

    fn leave(&mut self, client: ClientId) {
        if let Some(page) = self.pages.remove(&client) {
            self.own_pins_before = self.own_pins_before.wrapping_add(page.own_pins_total());
        }
    }
}

/// An entry of a ring in the core's words.
fn told(entry: page::Entry) -> Entry {
    let handle = Handle { slot: entry.slot, generation: entry.generation };
    let named = || {
        let format = Format::from_number(entry.format)?;
        let (id, data_bytes, metadata_bytes) = (ObjectId::new(entry.id), entry.data_bytes, entry.metadata_bytes);
        Some(Named { id, data_bytes, metadata_bytes, format, evictable: entry.evictable })
    };
    match (entry.kind, named()) {
        (EntryKind::Put, Some(named)) => Entry::Put(handle, named),
        (EntryKind::Create, Some(named)) => Entry::Create(handle, named),
        (EntryKind::Put | EntryKind::Create, None) => Entry::Unreadable("its ring tells of an unknown format"),
        (EntryKind::Seal, _) => Entry::Seal(handle),
        (EntryKind::Abort, _) => Entry::Abort(handle),
    }
}

/// A megabyte of the index.
const SLOTS_WORTH_HUGE_PAGES: u32 = 1 << 14;
const NO_ENTRY: &str = "its ring holds what is no entry";
