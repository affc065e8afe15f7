//! What the store knows of its disk: files, where each object's record lies, what is being written and read.
//!
//! Nothing is decided about objects here; that stands in `store/`: `spill` (which go, and what becomes of a batch), `room`
//! (who they go for), `restore`, `view`, `compact`, `adopt`.
//!
//! ```text
//! object in memory --Draft--> batch in flight --written--> home, and retracted unless it is pinned
//!        ^                                                   |  ^
//!        +----------------- restore in flight <--------------+  +--> view: pinned where it lies
//! deleted: its record is dead; a tombstone is written where an older record may lie
//! ```

mod ahead;
mod draft;
mod files;
mod order;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use plasmad_wire::{Handle, ObjectId};

use crate::Nanos;
use crate::clients::ClientId;
use crate::disk::{BLOCK_BYTES, DiskPlace, FileNumber, SpillConfig};
use crate::effect::DiskTrouble;
use crate::event::RequestTag;
use crate::slot::SlotNumber;

pub use ahead::Ahead;
pub use draft::{Cargo, Carried, Draft};
pub use files::{Files, Kept};
pub use order::{Evicting, Order};

/// All that is known of the disk.
#[derive(Debug)]
pub struct Disk {
    /// There is one. Without it all of this stays empty.
    pub exists: bool,
    bytes_max: u64,
    /// Files, and what in them is wanted.
    pub files: Files,
    /// Where the records of objects lie that are on disk whole.
    homes: HashMap<SlotNumber, Home, DefaultHashBuilder>,
    /// Objects of which a record may lie somewhere though its batch failed.
    doubtful: HashSet<SlotNumber, DefaultHashBuilder>,
    /// Objects whose memory the shell reads or writes.
    busy: HashSet<SlotNumber, DefaultHashBuilder>,
    batches: BTreeMap<u64, Writing>,
    /// Records being read.
    pub reads: BTreeMap<u64, Reading>,
    /// What they take of memory.
    pub reading_bytes: u64,
    tombstones: VecDeque<Tombstone>,
    /// Numbers of tombstones that somebody waits for.
    unwritten: BTreeSet<u64>,
    /// Deletes that are answered when their tombstones are written.
    deferred: Vec<Deferred>,
    /// Objects that are read where they lie on disk, and where that is: somebody pins them there, or a get is about to.
    pub views: BTreeMap<SlotNumber, DiskPlace>,
    /// Gets that are answered from disk, as soon as what they lack was looked at there.
    pub viewing: BTreeSet<u64>,
    /// What they lack, by where it lies.
    pub unchecked: BTreeMap<(FileNumber, u64), Handle>,
    /// Objects that gets want in memory, by where they lie.
    pub needed: BTreeMap<(FileNumber, u64), Handle>,
    /// Those of them that nobody waits for, but somebody asked for.
    pub asked: HashSet<SlotNumber, DefaultHashBuilder>,
    /// Where gets read on.
    pub reading_on: Ahead,
    /// Objects that they will likely want next, by where they lie.
    pub guessed: BTreeMap<(FileNumber, u64), Handle>,
    /// Gets whose objects stay in memory once they are there, until all are.
    pub admitted: BTreeSet<u64>,
    /// Gets for which there was no room, and no way to make it, when that was last looked at.
    pub parked: BTreeSet<u64>,
    /// Gets got in each other's way: one at a time.
    pub one_by_one: bool,
    /// A restore waits for memory, and goes before all creates.
    pub is_short: bool,
    /// Where the last restore was.
    pub head: (FileNumber, u64),
    /// Something changed for gets that wait for the disk.
    pub restores_due: bool,
    /// Who is next in line for memory may have a way to it now.
    pub room_due: bool,
    /// What has to leave memory for who is next in line.
    pub room: Option<Order>,
    /// What has to leave memory because somebody asked for that.
    pub evicting: BTreeMap<u64, Evicting>,
    next_order: u64,
    /// What is on disk too was dropped for restores: what was not used for longer, and isn't, may go as well.
    pub outlived: bool,
    /// Memory is short; objects are written ahead of need.
    pub ahead: bool,
    /// When to look again for what may leave memory.
    pub look_at: Option<Nanos>,
    /// The file that is being rewritten.
    pub compacting: Option<FileNumber>,
    retry_at: Option<Nanos>,
    /// What was tried last found no room.
    lacks_room: bool,
    delay_ns: Nanos,
    next_sequence: u64,
    next_batch: u64,
    next_restore: u64,
}

/// Where an object's record lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Home {
    /// There.
    pub place: DiskPlace,
    /// Its number.
    pub sequence: u64,
}

/// A batch that isn't done.
#[derive(Debug)]
pub struct Writing {
    /// In which file.
    pub file: FileNumber,
    /// How long it is.
    pub bytes: u64,
    /// What it carries.
    pub carried: Vec<Carried>,
    /// The file it reads from.
    pub moves_from: Option<FileNumber>,
}

/// A record being read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// For this object.
    pub object: Handle,
    /// There.
    pub place: DiskPlace,
    /// What for.
    pub reason: ReadingFor,
}

/// Why a record is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadingFor {
    /// Somebody asked for the object in memory.
    Get,
    /// Somebody may ask for it soon.
    Guess,
    /// It is only looked at, to be read where it lies.
    View,
}

/// An object was deleted whose record lies on disk, or may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tombstone {
    /// Above that of all records before.
    pub sequence: u64,
    /// The object's.
    pub id: ObjectId,
    /// When.
    pub deleted_at: Nanos,
}

/// A delete that is done in memory, and isn't answered.
#[derive(Clone, Copy, Debug)]
struct Deferred {
    client: ClientId,
    tag: RequestTag,
    count: u32,
    /// The last of its tombstones.
    last: u64,
}

impl Disk {
    /// An empty disk, or none, beside so much memory.
    pub fn new(config: Option<SpillConfig>, memory_bytes: u64) -> Self {
        let ahead_bytes_max = (memory_bytes / AHEAD_SHARE).min(AHEAD_BYTES_MAX);
        let exists = config.is_some();
        let config = config.unwrap_or(SpillConfig { max_bytes: 0, next_file: FileNumber(0), next_sequence: 1 });
        let file_bytes = (config.max_bytes / FILES_AIM).clamp(4 * BLOCK_BYTES, FILE_BYTES);
        Self {
            exists,
            bytes_max: config.max_bytes,
            files: Files::new(config.next_file, file_bytes),
            homes: HashMap::default(),
            doubtful: HashSet::default(),
            busy: HashSet::default(),
            batches: BTreeMap::new(),
            reads: BTreeMap::new(),
            reading_bytes: 0,
            tombstones: VecDeque::new(),
            unwritten: BTreeSet::new(),
            deferred: Vec::new(),
            views: BTreeMap::new(),
            viewing: BTreeSet::new(),
            unchecked: BTreeMap::new(),
            needed: BTreeMap::new(),
            asked: HashSet::default(),
            reading_on: Ahead::new(ahead_bytes_max),
            guessed: BTreeMap::new(),
            admitted: BTreeSet::new(),
            parked: BTreeSet::new(),
            one_by_one: false,
            is_short: false,
            head: (FileNumber(0), 0),
            restores_due: false,
            room_due: false,
            room: None,
            evicting: BTreeMap::new(),
            next_order: 0,
            outlived: false,
            ahead: false,
            look_at: None,
            compacting: None,
            retry_at: None,
            lacks_room: false,
            delay_ns: 0,
            next_sequence: config.next_sequence,
            next_batch: 0,
            next_restore: 0,
        }
    }

    /// Where an object's record lies, if it is on disk whole.
    pub fn home(&self, slot: SlotNumber) -> Option<Home> {
        self.homes.get(&slot).copied()
    }

    /// All of them.
    pub fn homes(&self) -> impl Iterator<Item = (SlotNumber, Home)> {
        self.homes.iter().map(|(slot, home)| (*slot, *home))
    }

    /// An object's record is whole, at this place and nowhere else that counts.
    pub fn settle_at(&mut self, slot: SlotNumber, place: DiskPlace, sequence: u64) {
        self.files.keep(place, Kept::Object(slot));
        if let Some(before) = self.homes.insert(slot, Home { place, sequence }) {
            self.files.forget(before.place.file, before.place.offset);
        }
    }

    /// An object's record doesn't count any more; where it was.
    pub fn unsettle(&mut self, slot: SlotNumber) -> Option<Home> {
        let home = self.homes.remove(&slot)?;
        self.files.forget(home.place.file, home.place.offset);
        Some(home)
    }

    /// A record of this object may lie somewhere though nobody counts on it.
    pub fn doubt(&mut self, slot: SlotNumber) {
        self.doubtful.insert(slot);
    }

    /// Nobody reads an object where it lies on disk any more.
    pub fn end_view(&mut self, slot: SlotNumber) {
        let Some(place) = self.views.remove(&slot) else { return };
        self.files.end_read(place.file);
        if let Some(home) = self.home(slot) {
            self.files.note_movable(home.place.file);
        }
    }

    /// An object is gone for good, unless it comes back from what lies on disk: in that case its tombstone is to be
    /// written, and this is its number.
    pub fn bury(&mut self, slot: SlotNumber, id: ObjectId, now: Nanos) -> Option<u64> {
        let may_lie_there = self.unsettle(slot).is_some() | self.doubtful.remove(&slot) | self.busy.contains(&slot);
        if !may_lie_there {
            return None;
        }
        let sequence = self.sequence();
        self.tombstones.push_back(Tombstone { sequence, id, deleted_at: now });
        self.unwritten.insert(sequence);
        Some(sequence)
    }

    /// The next tombstone to write.
    pub fn next_tombstone(&mut self) -> Option<Tombstone> {
        loop {
            let next = *self.tombstones.front()?;
            if self.files.needs_tombstone(next.sequence) {
                return Some(next);
            }
            // What it would bury is gone already.
            self.tombstones.pop_front();
            self.unwritten.remove(&next.sequence);
        }
    }

    /// It is in a batch.
    pub fn take_tombstone(&mut self) {
        self.tombstones.pop_front();
    }

    /// It is on disk.
    pub fn tombstone_done(&mut self, sequence: u64) {
        self.unwritten.remove(&sequence);
    }

    /// It was not written, and is to be tried again.
    pub fn tombstone_failed(&mut self, tombstone: Tombstone) {
        self.tombstones.push_back(tombstone);
    }

    /// Tombstones can't be written just now: nobody waits for them.
    pub fn give_up_waiting(&mut self) {
        self.unwritten.clear();
    }

    /// A delete is answered when all tombstones up to this one are written.
    pub fn defer(&mut self, client: ClientId, tag: RequestTag, count: u32, last: u64) {
        self.deferred.push(Deferred { client, tag, count, last });
    }

    /// Deletes that can be answered now: whose, which, how many objects.
    pub fn take_answerable(&mut self) -> Vec<(ClientId, RequestTag, u32)> {
        if self.deferred.is_empty() {
            return Vec::new();
        }
        let first = self.unwritten.first().copied().unwrap_or(u64::MAX);
        let is_answerable = |it: &&Deferred| it.last < first;
        let taken = self.deferred.iter().filter(is_answerable).map(|it| (it.client, it.tag, it.count)).collect();
        self.deferred.retain(|it| it.last >= first);
        taken
    }

    /// Nobody waits there any more.
    pub fn drop_client(&mut self, client: ClientId) {
        self.deferred.retain(|it| it.client != client);
        self.evicting.values_mut().filter(|it| it.client == client).for_each(|it| it.is_heard = false);
    }

    /// The shell reads or writes this object's memory.
    pub fn is_busy(&self, slot: SlotNumber) -> bool {
        self.busy.contains(&slot)
    }

    /// It does from now on.
    pub fn set_busy(&mut self, slot: SlotNumber) {
        self.busy.insert(slot);
    }

    /// It doesn't any more.
    pub fn set_idle(&mut self, slot: SlotNumber) {
        self.busy.remove(&slot);
    }

    /// How many are being written now.
    pub fn batches_in_flight(&self) -> usize {
        self.batches.len()
    }

    /// All that is being written.
    pub fn carried(&self) -> impl Iterator<Item = &Carried> {
        self.batches.values().flat_map(|batch| &batch.carried)
    }

    /// Records are being moved.
    pub fn is_moving(&self) -> bool {
        self.batches.values().any(|batch| batch.moves_from.is_some())
    }

    /// A batch begins.
    pub fn begin(&mut self, number: u64, batch: Writing) {
        self.batches.insert(number, batch);
    }

    /// A batch is done.
    ///
    /// # Panics
    /// If there is none: that is a mistake of the shell's.
    pub fn end(&mut self, number: u64) -> Writing {
        self.batches.remove(&number).expect("a batch that is done was begun")
    }

    /// What files may still take; with what is left for moves and tombstones, without which nothing could be given back.
    pub fn room_bytes(&self, with_spare: bool) -> u64 {
        let spare = if with_spare { 0 } else { self.bytes_max / SPARE_SHARE };
        (self.bytes_max - spare).saturating_sub(self.files.bytes()) / BLOCK_BYTES * BLOCK_BYTES
    }

    /// Writing is worth trying.
    pub fn may_write(&self) -> bool {
        self.exists && self.retry_at.is_none()
    }

    /// Why it is of no help to whoever asks for so much.
    pub fn trouble(&self, asked: u64) -> Option<DiskTrouble> {
        match self.retry_at {
            _ if !self.exists => None,
            Some(_) => Some(DiskTrouble::Failing),
            None if self.room_bytes(false) < asked => {
                Some(DiskTrouble::Full { taken: self.files.bytes(), max: self.bytes_max })
            }
            None => None,
        }
    }

    /// Something couldn't be written: for a while nothing is tried.
    pub fn back_off(&mut self, now: Nanos, lacks_room: bool) {
        self.lacks_room = lacks_room;
        self.delay_ns = (2 * self.delay_ns).clamp(DELAY_NS_MIN, DELAY_NS_MAX);
        self.retry_at = Some(now + self.delay_ns);
    }

    /// Files went: what found no room before may find some now.
    pub fn note_freed(&mut self, now: Nanos) {
        if let Some(retry_at) = self.retry_at.filter(|_| self.lacks_room) {
            self.delay_ns = 0;
            self.retry_at = Some(retry_at.min(now + DELAY_NS_MIN));
        }
    }

    /// Something was written.
    pub fn note_written(&mut self) {
        self.delay_ns = 0;
        self.retry_at = None;
    }

    /// Time has passed; whether something may be worth another try.
    pub fn wakes(&mut self, now: Nanos) -> bool {
        let is_due = |at: Option<Nanos>| at.is_some_and(|at| at <= now);
        let woken = is_due(self.retry_at) || is_due(self.look_at);
        self.retry_at = self.retry_at.filter(|at| *at > now);
        self.look_at = self.look_at.filter(|at| *at > now);
        woken
    }

    /// When time matters next.
    pub fn next_look(&self) -> Option<Nanos> {
        [self.retry_at, self.look_at].into_iter().flatten().min()
    }

    /// The next record's number.
    pub fn sequence(&mut self) -> u64 {
        next(&mut self.next_sequence)
    }

    /// The next batch's.
    pub fn batch_number(&mut self) -> u64 {
        next(&mut self.next_batch)
    }

    /// The next restore's.
    pub fn restore_number(&mut self) -> u64 {
        next(&mut self.next_restore)
    }

    /// The next order's.
    pub fn order_number(&mut self) -> u64 {
        next(&mut self.next_order)
    }
}

fn next(number: &mut u64) -> u64 {
    *number += 1;
    *number - 1
}

/// A file takes no more batches once it is this long. Smaller where there is little room: compaction needs some.
const FILE_BYTES: u64 = 64 << 20;
/// What is read ahead at a time, and the part of memory that this is at the most.
const AHEAD_BYTES_MAX: u64 = 2 << 20;
const AHEAD_SHARE: u64 = 64;
/// Room is for so many files at least.
const FILES_AIM: u64 = 16;
/// The part of the room that only moves and tombstones take.
const SPARE_SHARE: u64 = 8;
/// How long nothing is tried behind the first failure, and doubled with each one behind it up to the most.
const DELAY_NS_MIN: Nanos = 100_000_000;
const DELAY_NS_MAX: Nanos = 5_000_000_000;
