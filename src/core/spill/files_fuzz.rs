//! Files beside naive ones: a list of records with what is known of each, looked through for every question.

use alloc::vec::Vec;

use super::*;
use crate::arena::fill::Random;
use crate::testing::{Compared, agree, notice, same};

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// What is forgotten still counts as wanted.
    KeepsDeadBytes,
    /// A tombstone goes though what it buries may be there.
    ForgetsTombstones,
    /// A file goes while somebody reads it.
    RemovesUnderReaders,
    /// A batch that failed takes no room.
    ForgetsFailed,
}

struct NaiveRecord {
    place: DiskPlace,
    sequence: u64,
    is_tombstone: bool,
    wanted: bool,
}

/// A record's offset, length and number, and whether it is a tombstone.
type Written = (u64, u64, u64, bool);

#[derive(Default)]
struct NaiveFile {
    number: u32,
    bytes: u64,
    readers: u32,
}

struct Pair {
    files: Files,
    known: Vec<NaiveFile>,
    records: Vec<NaiveRecord>,
    /// Batches in flight: file, bytes, records.
    batches: Vec<(FileNumber, u64, Vec<Written>)>,
    sequence: u64,
    fault: Fault,
}

impl Pair {
    fn write(&mut self, random: &mut Random) {
        let (mut records, mut bytes) = (Vec::new(), 0);
        for _ in 0..1 + random.below(6) {
            let is_tombstone = random.below(3) == 0;
            let length = if is_tombstone { 128 } else { 64 * (3 + random.below(100)) };
            self.sequence += 1;
            records.push((bytes, length, self.sequence, is_tombstone));
            bytes += length;
        }
        let bytes = bytes.next_multiple_of(BLOCK_BYTES);
        let oldest = records.iter().filter(|it| !it.3).map(|it| it.2).min();
        let (file, offset) = self.files.allot(bytes, oldest);
        match self.known.iter_mut().find(|it| it.number == file.0) {
            Some(known) => known.bytes += bytes,
            None => self.known.push(NaiveFile { number: file.0, bytes, readers: 0 }),
        }
        records.iter_mut().for_each(|it| it.0 += offset);
        self.batches.push((file, bytes, records));
    }

    fn done(&mut self, random: &mut Random) {
        if self.batches.is_empty() {
            return;
        }
        let (file, bytes, records) = self.batches.swap_remove(random.below(self.batches.len() as u64) as usize);
        let written = random.below(4) > 0;
        self.files.settle(file, bytes, written);
        if !written && self.fault == Fault::ForgetsFailed {
            self.files.bytes -= bytes;
            self.files.files.get_mut(&file).expect("it is there").bytes -= bytes;
        }
        for (offset, length, sequence, is_tombstone) in records {
            let place = DiskPlace { file, offset, bytes: length };
            // What failed may be there all the same, and so may what a tombstone buries.
            self.records.push(NaiveRecord { place, sequence, is_tombstone, wanted: written });
            if written {
                let tombstone = Kept::Tombstone { id: ObjectId::default(), sequence };
                let kept = if is_tombstone { tombstone } else { Kept::Object(SlotNumber(sequence as u32)) };
                self.files.keep(place, kept);
                if is_tombstone && self.fault == Fault::ForgetsTombstones {
                    self.files.forget(file, offset);
                }
            }
        }
    }

    fn forget(&mut self, random: &mut Random) {
        let wanted: Vec<usize> =
            (0..self.records.len()).filter(|it| self.records[*it].wanted && !self.records[*it].is_tombstone).collect();
        if wanted.is_empty() {
            return;
        }
        let record = &mut self.records[wanted[random.below(wanted.len() as u64) as usize]];
        record.wanted = false;
        self.files.forget(record.place.file, record.place.offset);
        if self.fault == Fault::KeepsDeadBytes {
            self.files.live_bytes += record.place.bytes;
        }
    }

    fn read(&mut self, random: &mut Random) {
        if self.known.is_empty() {
            return;
        }
        let at = random.below(self.known.len() as u64) as usize;
        let known = &mut self.known[at];
        let ends = known.readers > 0 && random.below(2) == 0;
        known.readers = if ends { known.readers - 1 } else { known.readers + 1 };
        let number = FileNumber(known.number);
        match self.fault {
            Fault::RemovesUnderReaders => {}
            _ if ends => self.files.end_read(number),
            _ => self.files.begin_read(number),
        }
    }

    fn is_used(&self, number: u32) -> bool {
        self.batches.iter().any(|(file, ..)| file.0 == number)
            || self.known.iter().any(|it| it.number == number && it.readers > 0)
    }

    /// An object's record older than this may be in another file than this one.
    fn buries(&self, file: FileNumber, sequence: u64) -> bool {
        let old =
            |other: FileNumber, number: u64, is_tombstone: bool| other != file && number < sequence && !is_tombstone;
        self.records.iter().any(|it| old(it.place.file, it.sequence, it.is_tombstone))
            || self.batches.iter().any(|(other, _, all)| all.iter().any(|it| old(*other, it.2, it.3)))
    }

    /// Files go one after the other, until none can.
    fn take_emptied(&mut self) -> Compared {
        let mut expected = Vec::new();
        loop {
            for at in 0..self.records.len() {
                let NaiveRecord { place, sequence, is_tombstone, wanted } = self.records[at];
                self.records[at].wanted = wanted && (!is_tombstone || self.buries(place.file, sequence));
            }
            let is_wanted = |number: u32| self.records.iter().any(|it| it.place.file.0 == number && it.wanted);
            let gone: Vec<u32> =
                self.known.iter().map(|it| it.number).filter(|it| !is_wanted(*it) && !self.is_used(*it)).collect();
            if gone.is_empty() {
                break;
            }
            self.known.retain(|it| !gone.contains(&it.number));
            self.records.retain(|it| !gone.contains(&it.place.file.0));
            expected.extend(gone);
        }
        let mut found: Vec<u32> = self.files.take_emptied().into_iter().map(|it| it.0).collect();
        found.sort_unstable();
        expected.sort_unstable();
        same("files that go", found, expected)
    }

    fn compare(&self) -> Compared {
        let (files, in_flight) = (&self.files, self.batches.iter().map(|it| it.1).sum::<u64>());
        let wanted = self.records.iter().filter(|it| it.wanted).map(|it| it.place.bytes).sum::<u64>();
        let bytes = self.known.iter().map(|it| it.bytes).sum::<u64>();
        same("bytes", files.bytes(), bytes)?;
        same("wanted bytes", files.live_bytes(), wanted)?;
        same("bytes in flight", files.in_flight_bytes(), in_flight)?;
        same("dead bytes", files.dead_bytes(), bytes - wanted - in_flight)?;
        same("count", files.count(), self.known.len())?;
        for known in &self.known {
            let its = self.records.iter().filter(|it| it.place.file.0 == known.number && it.wanted);
            let found = files.kept_in(FileNumber(known.number)).count();
            same("kept in a file", found, its.count())?;
        }
        Ok(())
    }

    /// A file is rewritten only if that gives back more than half of it.
    fn compact(&mut self) -> Compared {
        let live = |number: u32| -> u64 {
            let its = self.records.iter().filter(|it| it.place.file.0 == number && it.wanted);
            its.map(|it| it.place.bytes).sum::<u64>().next_multiple_of(BLOCK_BYTES)
        };
        let writes = |number: u32| self.batches.iter().any(|(file, ..)| file.0 == number);
        let worth = |it: &NaiveFile| live(it.number) * 2 < it.bytes && live(it.number) > 0 && !writes(it.number);
        let best = self.known.iter().filter(|it| worth(it)).map(|it| it.bytes - live(it.number)).max();
        let found = self.files.take_for_compaction();
        let found = found.and_then(|file| self.known.iter().find(|it| it.number == file.0));
        same("rewritten", found.map(|it| it.bytes - live(it.number)), best)
    }
}

fn run(seed: u64, operations: u64, fault: Fault) -> Compared {
    let mut random = Random(seed);
    let files = Files::new(FileNumber(3), 16 * BLOCK_BYTES);
    let mut pair = Pair { files, known: Vec::new(), records: Vec::new(), batches: Vec::new(), sequence: 0, fault };
    for _ in 0..operations {
        match random.below(12) {
            0..2 => pair.write(&mut random),
            2..5 => pair.done(&mut random),
            5..9 => pair.forget(&mut random),
            9 => pair.compact()?,
            _ => pair.read(&mut random),
        }
        pair.take_emptied()?;
        pair.compare()?;
    }
    Ok(())
}

#[test]
fn files_and_lists_agree() {
    agree(0..20, |seed| run(seed, 1000, Fault::None));
}

#[test]
#[ignore = "the long run: some seconds with optimisation"]
fn files_and_lists_agree_for_long() {
    agree(100..200, |seed| run(seed, 5000, Fault::None));
}

#[test]
fn broken_files_are_noticed() {
    notice(0..4, "wanted bytes", |seed| run(seed, 1000, Fault::KeepsDeadBytes));
    notice(0..4, "wanted bytes", |seed| run(seed, 1000, Fault::ForgetsTombstones));
    notice(0..4, "files that go", |seed| run(seed, 1000, Fault::RemovesUnderReaders));
    notice(0..4, "bytes", |seed| run(seed, 1000, Fault::ForgetsFailed));
}
