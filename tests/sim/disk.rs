//! A disk that is slow, full, broken or forgetful, from a seed; and what it should hold.
//!
//! Bytes are marks: each object that is sealed gets one of its own, which lies where its extent does, is copied by batches
//! and restores when these are done and not before, and is compared whenever the object can be seen, or is viewed where it
//! lies on disk. A file may keep what a failed batch wrote. Promises: no object is lost unless its record was, and none
//! comes back, with other bytes or at all, once its delete was answered, whenever the store ends; files take no more than
//! they may, and stay as long as anybody views anything there.

use std::collections::{BTreeMap, BTreeSet};

use plasmad_core::disk::{
    BLOCK_BYTES, Batch, DiskPlace, DiskRecord, FileNumber, ReadOutcome, Restore, Source, SpillConfig, WriteOutcome,
    data_start, record_bytes, record_start,
};
use plasmad_core::residence::Record;
use plasmad_core::{ClientId, Effect, Event};
use plasmad_wire::{Extent, Handle, Location, ObjectId};

use crate::support::{Checked, Random, ensure};

/// The bytes of one object.
pub(super) type Mark = u64;

/// What is wrong with the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    /// A batch is said to be written before its bytes were read.
    TellsEarly,
    /// Tombstones aren't written.
    LosesTombstones,
    /// What can't be read is said to be read.
    ReadsAnything,
    /// What is only looked at is said to be whole.
    ChecksNothing,
    /// Now and then nobody is told that a batch is done.
    ForgetsToTell,
    /// When a file is to go, another goes with it.
    RemovesAnother,
    /// What failed is said to be written.
    HidesFailures,
}

/// How often each situation came up.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Met {
    pub(super) spills: u64,
    pub(super) restores: u64,
    pub(super) guesses: u64,
    pub(super) failed_writes: u64,
    pub(super) failed_reads: u64,
    pub(super) losses: u64,
    pub(super) deletes_on_disk: u64,
    pub(super) deletes_under_way: u64,
    pub(super) moves: u64,
    pub(super) moves_lost: u64,
    pub(super) tombstones: u64,
    pub(super) files_removed: u64,
    pub(super) restarts: u64,
    pub(super) views: u64,
    pub(super) deletes_viewed: u64,
    pub(super) restores_of_viewed: u64,
}

impl Met {
    /// The situations of several runs, by name.
    pub(super) fn total(runs: &[Self]) -> [(&'static str, u64); 16] {
        let total = |count: fn(&Self) -> u64| runs.iter().map(count).sum::<u64>();
        [
            ("spills", total(|met| met.spills)),
            ("restores", total(|met| met.restores)),
            ("restores that nobody asked for", total(|met| met.guesses)),
            ("failed writes", total(|met| met.failed_writes)),
            ("failed reads", total(|met| met.failed_reads)),
            ("losses", total(|met| met.losses)),
            ("deletes on disk", total(|met| met.deletes_on_disk)),
            ("deletes under way", total(|met| met.deletes_under_way)),
            ("moves", total(|met| met.moves)),
            ("moves of what is lost", total(|met| met.moves_lost)),
            ("tombstones", total(|met| met.tombstones)),
            ("files removed", total(|met| met.files_removed)),
            ("restarts", total(|met| met.restarts)),
            ("views", total(|met| met.views)),
            ("deletes of what is viewed", total(|met| met.deletes_viewed)),
            ("restores of what was viewed", total(|met| met.restores_of_viewed)),
        ]
    }
}

/// The disk, and the memory that its bytes come from and go to.
pub(super) struct Disk {
    random: Random,
    pub(super) config: SpillConfig,
    pub(super) wrong: Option<Wrong>,
    /// It does what it is told, and succeeds.
    pub(super) honest: bool,
    pub(super) met: Met,
    memory: BTreeMap<u64, (u64, Mark)>,
    next_mark: Mark,
    files: BTreeMap<FileNumber, File>,
    writing: Vec<Writing>,
    reading: Vec<Restore>,
    /// What was answered as lying on disk, and where, until it comes back or goes.
    pub(super) viewed: BTreeMap<(u32, u64), DiskPlace>,
    /// Sealed objects that are there.
    there: BTreeMap<ObjectId, There>,
    /// Bytes whose object was deleted, and nobody was told so yet: they may come back.
    limbo: BTreeMap<Mark, Option<(ClientId, u64)>>,
    /// What the event that is being handled brings back from disk.
    arriving: Option<(Extent, Option<Mark>)>,
    /// The last batch failed, or there is hardly room for another.
    troubled: bool,
    pub(super) crimes: Vec<String>,
}

#[derive(Default)]
struct File {
    bytes: u64,
    records: BTreeMap<u64, Stored>,
}

#[derive(Clone, Copy)]
struct Stored {
    record: DiskRecord,
    mark: Option<Mark>,
    /// It can be read.
    intact: bool,
}

struct Writing {
    batch: Batch,
    /// What lay in memory when it began.
    marks: Vec<Option<Mark>>,
}

#[derive(Clone, Copy, Debug)]
struct There {
    mark: Mark,
    on_disk: bool,
}

impl Disk {
    pub(super) fn new(seed: u64, wrong: Option<Wrong>) -> Self {
        let mut random = Random(seed ^ 0xd15c);
        let max_bytes = [16 << 20, 4 << 20, 512 << 10, 3 * BLOCK_BYTES][random.below(4) as usize];
        let config = SpillConfig { max_bytes, next_file: FileNumber(1), next_sequence: 1 };
        Self {
            random,
            config,
            wrong,
            honest: false,
            met: Met::default(),
            memory: BTreeMap::new(),
            next_mark: 1,
            files: BTreeMap::new(),
            writing: Vec::new(),
            reading: Vec::new(),
            viewed: BTreeMap::new(),
            there: BTreeMap::new(),
            limbo: BTreeMap::new(),
            arriving: None,
            troubled: false,
            crimes: Vec::new(),
        }
    }

    /// Objects may be dropped or not by their ids, so that who drops one can be judged.
    pub(super) fn is_evictable(id: ObjectId) -> bool {
        id.as_bytes()[0].is_multiple_of(3)
    }

    /// Ids of all objects that are there.
    pub(super) fn ids(&self) -> BTreeSet<ObjectId> {
        self.there.keys().copied().collect()
    }

    /// Objects that are nowhere but on disk, given those that can be seen.
    pub(super) fn out_of_memory(&self, visible: &BTreeSet<ObjectId>) -> BTreeMap<ObjectId, Mark> {
        let all = self.there.iter().filter(|(id, _)| !visible.contains(id));
        all.map(|(id, it)| (*id, it.mark)).collect()
    }

    /// Memory is free, or somebody may write there from now on.
    pub(super) fn memory_given(&mut self, extent: Extent) {
        let end = extent.offset + extent.bytes;
        self.memory.retain(|offset, (bytes, _)| *offset >= end || *offset + *bytes <= extent.offset);
    }

    /// Somebody was told that an object is pinned where it lies on disk.
    pub(super) fn was_viewed(&mut self, id: ObjectId, handle: Handle, place: DiskPlace, location: Location) -> Checked {
        self.met.views += 1;
        self.viewed.insert((handle.slot, handle.generation), place);
        let stored = self.stored(place).filter(|it| it.intact && it.record.id == id);
        let right = self.there.get(&id).map(|it| it.mark);
        let found = stored.and_then(|it| it.mark);
        ensure!(
            found.is_some() && found == right,
            "wrong bytes on disk: {id:?} has {found:?} at {place:?}, not {right:?}"
        );
        let told = stored.map(|Stored { record, .. }| Location {
            segment: 0,
            format: record.format,
            metadata_bytes: record.metadata_bytes,
            offset: place.offset + data_start(record.data_bytes),
            data_bytes: record.data_bytes,
        });
        ensure!(told == Some(location), "{id:?} is told to lie at {location:?}, not at {told:?}");
        Ok(())
    }

    /// An object can be seen: what came back is what it was, and anything else is new.
    pub(super) fn published(&mut self, slot: u32, record: &Record) {
        let was_viewed = self.viewed.remove(&(slot, record.generation)).is_some();
        self.met.restores_of_viewed += u64::from(was_viewed);
        if let Some((_, mark)) = self.arriving.take_if(|(extent, _)| *extent == record.extent) {
            let is_right = self.there.get(&record.id).map(|it| it.mark) == mark;
            if !is_right {
                self.crimes.push(format!("wrong bytes came back for {:?}", record.id));
            }
            return;
        }
        self.gone(record.id, None);
        let mark = self.next_mark;
        self.next_mark += 1;
        self.there.insert(record.id, There { mark, on_disk: false });
        if record.extent.bytes > 0 {
            self.memory_given(record.extent);
            self.memory.insert(record.extent.offset, (record.extent.bytes, mark));
        }
    }

    /// The object in this memory can't be seen any more, and wasn't deleted.
    pub(super) fn left_memory(&mut self, id: ObjectId) {
        let Some(it) = self.there.get(&id).copied() else { return };
        if it.on_disk {
            return;
        }
        if !Self::is_evictable(id) {
            self.crimes.push(format!("{id:?} was dropped, and is on no disk"));
        }
        self.gone(id, None);
    }

    /// An object is deleted, or lost.
    pub(super) fn gone(&mut self, id: ObjectId, by: Option<(ClientId, u64)>) {
        if let Some(it) = self.there.remove(&id) {
            self.limbo.insert(it.mark, by);
        }
    }

    /// Whoever deletes these in this request does so, if they are nowhere but on disk.
    pub(super) fn deleted(
        &mut self,
        ids: &[ObjectId],
        by: (ClientId, u64),
        before: &BTreeMap<ObjectId, Mark>,
        claimed: &BTreeSet<(u32, u64)>,
    ) {
        let viewed = self.viewed.iter().filter(|(handle, _)| claimed.contains(handle));
        let viewed: BTreeSet<ObjectId> = viewed.filter_map(|(_, place)| Some(self.stored(*place)?.record.id)).collect();
        for id in ids {
            // What was made anew since is another one.
            if self.there.get(id).is_some_and(|it| before.get(id) == Some(&it.mark)) {
                let reads = self.reading.iter().any(|it| it.record.id == *id);
                let writes = self.writing.iter().any(|it| it.batch.records.iter().any(|(record, _)| record.id == *id));
                self.met.deletes_under_way += u64::from(reads || writes);
                self.met.deletes_on_disk += 1;
                self.met.deletes_viewed += u64::from(viewed.contains(id));
                self.gone(*id, Some(by));
            }
        }
    }

    /// What this request deleted can't come back; but for the troubles of the disk, which the store doesn't wait for.
    pub(super) fn delete_answered(&mut self, by: (ClientId, u64)) {
        let is_durable = !self.troubled;
        self.limbo.retain(|_, whose| *whose != Some(by) || !is_durable);
    }

    /// The core asks for something; these are claimed by anybody.
    pub(super) fn asked(&mut self, effect: &Effect, claimed: &BTreeSet<(u32, u64)>) -> Checked {
        match effect {
            Effect::Write(batch) => {
                let mark = |source: &Source| match source {
                    Source::Memory(extent) => self.memory.get(&extent.offset).map(|(_, mark)| *mark),
                    Source::Disk(_) | Source::Nothing => None,
                };
                let marks = batch.records.iter().map(|(_, source)| mark(source)).collect();
                let file = self.files.entry(batch.file).or_default();
                ensure!(batch.offset >= file.bytes, "batches overlap: {batch:?}");
                file.bytes = batch.offset + batch_bytes(batch);
                self.writing.push(Writing { batch: batch.clone(), marks });
                let bytes: u64 = self.files.values().map(|file| file.bytes).sum();
                ensure!(bytes <= self.config.max_bytes, "files take {bytes} bytes, more than they may");
            }
            Effect::Restore(restore) => {
                ensure!(self.files.contains_key(&restore.place.file), "{restore:?} reads what was removed");
                restore.into.into_iter().for_each(|into| self.memory_given(into));
                self.reading.push(*restore);
            }
            Effect::RemoveFile(file) => {
                let used = self.reading.iter().any(|it| it.place.file == *file)
                    || self.writing.iter().any(|it| it.batch.file == *file || reads(&it.batch, *file));
                ensure!(!used, "{file:?} is removed while somebody reads or writes there");
                let viewed = self.viewed.iter().find(|(handle, at)| at.file == *file && claimed.contains(handle));
                ensure!(viewed.is_none(), "{file:?} is removed while something is viewed there: {viewed:?}");
                ensure!(self.files.remove(file).is_some(), "{file:?} is removed and isn't there");
                self.met.files_removed += 1;
                if self.wrong == Some(Wrong::RemovesAnother) {
                    self.files.pop_first();
                }
            }
            _ => {}
        }
        let room = self.config.max_bytes.saturating_sub(self.files.values().map(|file| file.bytes).sum());
        self.troubled |= room < 2 * BLOCK_BYTES;
        Ok(())
    }

    /// Something is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.writing.is_empty() || !self.reading.is_empty()
    }

    /// Memory that the disk writes to, or reads from.
    pub(super) fn extents(&self) -> impl Iterator<Item = Extent> {
        let sources = self.writing.iter().flat_map(|it| &it.batch.records);
        let sources = sources.filter_map(|(_, source)| match source {
            Source::Memory(extent) => Some(*extent),
            Source::Disk(_) | Source::Nothing => None,
        });
        sources.chain(self.reading.iter().filter_map(|it| it.into))
    }

    /// Something that is under way is done, or fails; what the core is told.
    pub(super) fn step(&mut self) -> Option<Event> {
        let under_way = (self.writing.len() + self.reading.len()) as u64;
        if under_way == 0 {
            return None;
        }
        let which = self.random.below(under_way) as usize;
        if which < self.writing.len() {
            let writing = self.writing.swap_remove(which);
            return self.write(writing);
        }
        let restore = self.reading.swap_remove(which - self.writing.len());
        Some(self.read(restore))
    }

    fn write(&mut self, Writing { batch, marks }: Writing) -> Option<Event> {
        let number = batch.number;
        let told = |outcome| Some(Event::Written { batch: number, outcome });
        if self.wrong == Some(Wrong::TellsEarly) && self.random.percent(30) {
            // What lies in memory later is what is written.
            let later = self.memory.values().map(|(_, mark)| *mark).max();
            self.store(&batch, &vec![later; marks.len()], batch.records.len());
            self.note_written(&batch, &marks);
            return told(WriteOutcome::Written);
        }
        let mut now = Vec::new();
        for (at, (record, source)) in batch.records.iter().enumerate() {
            now.push(match source {
                Source::Memory(extent) => {
                    let mark = self.memory.get(&extent.offset).map(|(_, mark)| *mark);
                    if mark != marks[at] {
                        self.crimes.push(format!("the memory of {record:?} was given away while it was written"));
                    }
                    mark
                }
                Source::Disk(place) => {
                    let Some(stored) = self.stored(*place).filter(|it| it.intact && it.record.id == record.id) else {
                        self.met.moves_lost += 1;
                        if !self.is_coming_back(*place) {
                            self.note_lost(record.id, *place);
                        }
                        return told(WriteOutcome::SourceLost { record: at as u32 });
                    };
                    stored.mark
                }
                Source::Nothing => None,
            });
        }
        let fails = !self.honest && self.random.percent(12);
        if fails {
            self.met.failed_writes += 1;
            // Some of it may be there, and be found later.
            let whole = self.random.below(batch.records.len() as u64 + 1) as usize;
            self.store(&batch, &now, whole);
            if self.wrong == Some(Wrong::HidesFailures) {
                self.note_written(&batch, &now);
                return told(WriteOutcome::Written);
            }
            self.troubled = true;
            return told(if self.random.percent(50) { WriteOutcome::NoRoom } else { WriteOutcome::Failed });
        }
        self.troubled = false;
        self.store(&batch, &now, batch.records.len());
        self.note_written(&batch, &now);
        let forgets = self.wrong == Some(Wrong::ForgetsToTell) && self.random.percent(10);
        told(WriteOutcome::Written).filter(|_| !forgets)
    }

    /// The first records of a batch are there.
    fn store(&mut self, batch: &Batch, marks: &[Option<Mark>], whole: usize) {
        let rots = self.random.percent(4) && !self.honest;
        let records = batch.records.iter().zip(places(batch)).zip(marks).take(whole);
        let Some(file) = self.files.get_mut(&batch.file) else { return };
        for (((record, _), place), mark) in records {
            if record.tombstone && self.wrong == Some(Wrong::LosesTombstones) {
                continue;
            }
            let stored = Stored { record: *record, mark: *mark, intact: !rots || record.tombstone };
            file.records.insert(place.offset, stored);
        }
    }

    fn note_written(&mut self, batch: &Batch, marks: &[Option<Mark>]) {
        for ((record, source), mark) in batch.records.iter().zip(marks) {
            match source {
                Source::Memory(_) => self.met.spills += 1,
                Source::Disk(_) => self.met.moves += 1,
                Source::Nothing => self.met.tombstones += 1,
            }
            if let Some(it) = self.there.get_mut(&record.id) {
                it.on_disk |= Some(it.mark) == *mark && !record.tombstone;
            }
        }
    }

    fn read(&mut self, restore: Restore) -> Event {
        let told = |outcome| Event::Restored { restore: restore.number, outcome };
        if !self.honest && self.random.percent(8) {
            self.met.failed_reads += 1;
            return told(ReadOutcome::Failed);
        }
        let stored = self.stored(restore.place).filter(|it| it.record == restore.record);
        let Some(stored) = stored.filter(|it| it.intact) else {
            let is_lied_about = match self.wrong {
                Some(Wrong::ReadsAnything) => true,
                Some(Wrong::ChecksNothing) => restore.into.is_none(),
                _ => false,
            };
            if is_lied_about {
                return self.arrives(restore, None);
            }
            self.met.losses += 1;
            // Of what was only guessed to be wanted, whoever asks for it will find that out.
            let is_found_out = !restore.is_guess && restore.into.is_some();
            if is_found_out || restore.into.is_none() && !self.is_coming_back(restore.place) {
                self.note_lost(restore.record.id, restore.place);
            }
            return told(ReadOutcome::Lost);
        };
        self.met.restores += u64::from(restore.into.is_some());
        self.met.guesses += u64::from(restore.is_guess);
        self.arrives(restore, stored.mark)
    }

    fn arrives(&mut self, restore: Restore, mark: Option<Mark>) -> Event {
        if let Some(into) = restore.into {
            self.memory.insert(into.offset, (into.bytes, mark.unwrap_or(0)));
            self.arriving = Some((into, mark));
        }
        Event::Restored { restore: restore.number, outcome: ReadOutcome::Read }
    }

    /// A read of this record is on its way into memory, and will find out what is wrong with it.
    fn is_coming_back(&self, place: DiskPlace) -> bool {
        self.reading.iter().any(|it| it.into.is_some() && it.place == place)
    }

    /// An object's record can't be read; if it is nowhere else, it is gone.
    fn note_lost(&mut self, id: ObjectId, place: DiskPlace) {
        let mark = self.stored(place).and_then(|it| it.mark);
        let Some(it) = self.there.get_mut(&id).filter(|it| mark.is_none_or(|mark| mark == it.mark)) else { return };
        it.on_disk = false;
        let mark = it.mark;
        if !self.memory.values().any(|(_, other)| *other == mark) {
            self.gone(id, None);
        }
    }

    fn stored(&self, place: DiskPlace) -> Option<Stored> {
        self.files.get(&place.file)?.records.get(&place.offset).copied()
    }

    /// The event that was to bring something back is handled.
    pub(super) fn after_event(&mut self) {
        self.arriving = None;
    }

    /// What can be seen in memory is what was put there.
    pub(super) fn check_memory<'a>(&self, visible: impl Iterator<Item = &'a Record>) -> Checked {
        for record in visible.filter(|record| record.extent.bytes > 0) {
            let found = self.memory.get(&record.extent.offset).map(|(_, mark)| *mark);
            let right = self.there.get(&record.id).map(|it| it.mark);
            ensure!(found == right, "wrong bytes in memory: {record:?} has {found:?}, not {right:?}");
        }
        Ok(())
    }

    /// All records that would be found if the store ended now; of what is being written, some.
    pub(super) fn survives(&mut self) -> Vec<(DiskRecord, DiskPlace)> {
        self.met.restarts += 1;
        if self.random.percent(50) {
            self.write_some();
        }
        let mut found = Vec::new();
        for (number, file) in &self.files {
            found.extend(file.records.iter().map(|(offset, stored)| {
                let record = stored.record;
                let bytes = record_bytes(record.data_bytes, record.metadata_bytes);
                (record, DiskPlace { file: *number, offset: *offset, bytes })
            }));
        }
        if self.random.percent(50) {
            found.reverse();
        }
        found
    }

    /// Of batches that aren't done, the first records are there.
    fn write_some(&mut self) {
        let under_way: Vec<(Batch, Vec<Option<Mark>>)> =
            self.writing.iter().map(|it| (it.batch.clone(), it.marks.clone())).collect();
        for (batch, mut marks) in under_way {
            let moved = batch.records.iter().zip(&mut marks);
            moved.for_each(|((_, source), mark)| {
                if let Source::Disk(place) = source {
                    *mark = self.stored(*place).filter(|it| it.intact).and_then(|it| it.mark);
                }
            });
            let is_whole = |at: &usize| marks[*at].is_some() || batch.records[*at].0.tombstone;
            let whole = (0..batch.records.len()).take_while(is_whole).count();
            let some = self.random.below(whole as u64 + 1) as usize;
            self.store(&batch, &marks, some);
        }
    }

    /// An object would come back from this place, or nothing would.
    pub(super) fn check_survivor(&self, id: ObjectId, place: DiskPlace) -> Checked {
        let mark = self.stored(place).and_then(|it| it.mark);
        let is_there = mark.is_some() && self.there.get(&id).map(|it| it.mark) == mark;
        let may_be_there = mark.is_some_and(|mark| self.limbo.contains_key(&mark));
        ensure!(is_there || may_be_there, "{id:?} came back with {mark:?}, and is {:?}", self.there.get(&id));
        Ok(())
    }

    /// Objects that have to be among those that come back, with their own bytes.
    pub(super) fn check_survivors(&self, found: &BTreeMap<ObjectId, DiskPlace>) -> Checked {
        for (id, it) in self.there.iter().filter(|(_, it)| it.on_disk) {
            let mark = found.get(id).and_then(|place| self.stored(*place)).and_then(|it| it.mark);
            ensure!(mark == Some(it.mark), "{id:?} was lost: {mark:?} came back, not {it:?}");
        }
        Ok(())
    }
}

fn reads(batch: &Batch, file: FileNumber) -> bool {
    batch.records.iter().any(|(_, source)| matches!(source, Source::Disk(place) if place.file == file))
}

/// Where the records of a batch lie, by the layout alone.
fn places(batch: &Batch) -> Vec<DiskPlace> {
    let mut end = batch.offset;
    let place = |(record, _): &(DiskRecord, Source)| {
        let offset = record_start(end, record.data_bytes);
        let bytes = record_bytes(record.data_bytes, record.metadata_bytes);
        end = offset + bytes;
        DiskPlace { file: batch.file, offset, bytes }
    };
    batch.records.iter().map(place).collect()
}

fn batch_bytes(batch: &Batch) -> u64 {
    let last = places(batch).last().map_or(batch.offset, |place| place.offset + place.bytes);
    (last - batch.offset).next_multiple_of(BLOCK_BYTES)
}
