//! What a former engine left in a folder: every record of every file, told by headers alone.
//!
//! Invariant: a record is told only if its batch was written to its end, as something lies where the batch begins; that
//! is written last. Data isn't looked at: whether it is whole shows when it is wanted.
//!
//! ```text
//! header there       its record is skipped, the next header is looked for behind it
//! no header there    the next one is looked for at the next place where a record may start
//! ```

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use plasmad_core::disk::{
    BLOCK_BYTES, DiskPlace, DiskRecord, FileNumber, RECORD_ALIGNMENT, RECORD_HEADER_BYTES, record_bytes, record_start,
};

use super::buffer::BLOCK;
use super::read::{Shelf, Trouble, Window};
use super::record::Header;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Every record that counts, in no order.
    pub(crate) records: Vec<(DiskRecord, DiskPlace)>,
    /// Files in which there is none.
    pub(crate) empty: Vec<FileNumber>,
    /// Behind all that there are.
    pub(crate) next_file: u32,
    /// Behind all that there are.
    pub(crate) next_sequence: u64,
}

/// Looks at all files. A file that can't be read is left alone, and told in the log.
pub(crate) fn scan(shelf: &Shelf<'_>) -> io::Result<Found> {
    let numbers = shelf.files.files()?;
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Found::default());
    thread::scope(|scope| {
        for _ in 0..numbers.len().min(THREADS) {
            scope.spawn(|| {
                while let Some(file) = numbers.get(next.fetch_add(1, Relaxed)) {
                    let scanned = scan_file(shelf, *file);
                    let mut found = found.lock().expect("no other thread panicked");
                    match scanned {
                        Ok(records) if records.is_empty() => found.empty.push(*file),
                        Ok(mut records) => found.records.append(&mut records),
                        Err(why) => {
                            tracing::error!("what is in {} is lost: {why}", shelf.files.path(*file).display());
                        }
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().expect("no thread panicked");
    found.next_file = numbers.iter().map(|file| file.0).max().map_or(1, |last| last.saturating_add(1));
    found.next_sequence = found.records.iter().map(|(record, _)| record.sequence).max().map_or(1, |last| last + 1);
    Ok(found)
}

fn scan_file(shelf: &Shelf<'_>, file: FileNumber) -> Result<Vec<(DiskRecord, DiskPlace)>, String> {
    let end = shelf.files.bytes(file).map_err(|error| error.to_string())?;
    let window = Window::new(WINDOW_BYTES);
    let mut eye = Eye { shelf, file, end, window, sees: WINDOW_BYTES as u64, missed_bytes: 0 };
    let (mut records, mut trouble) = (Vec::new(), None);
    let (mut at, mut batch) = (0, (u64::MAX, false));
    loop {
        match eye.look(at) {
            Seen::End => break,
            Seen::Nothing => at += RECORD_ALIGNMENT,
            Seen::Unreadable(why) => {
                trouble.get_or_insert((at, why));
                at = (at + 1).next_multiple_of(BLOCK_BYTES);
            }
            Seen::Record(place, header) => {
                if batch.0 != header.batch_offset {
                    batch = (header.batch_offset, header.batch_offset == at || eye.is_begun(header.batch_offset));
                }
                if batch.1 {
                    records.push((header.record, place));
                }
                at = place.offset + place.bytes;
            }
        }
    }
    match trouble {
        Some((at, why)) if records.is_empty() => Err(format!("it can't be read at {at}: {why}")),
        Some((at, why)) => {
            tracing::error!("records of {} at {at} and behind may be lost: {why}", shelf.files.path(file).display());
            Ok(records)
        }
        None => Ok(records),
    }
}

/// What there is at a place.
enum Seen {
    Record(DiskPlace, Header),
    Nothing,
    Unreadable(String),
    End,
}

/// Looks for headers, and sees as far at a time as pays.
struct Eye<'a> {
    shelf: &'a Shelf<'a>,
    file: FileNumber,
    /// Where the file ends.
    end: u64,
    window: Window,
    /// Little where records are long, so that nothing is read of them but their headers; else as much as fits.
    sees: u64,
    /// For so long there was no header.
    missed_bytes: u64,
}

impl Eye<'_> {
    fn look(&mut self, at: u64) -> Seen {
        if at + RECORD_HEADER_BYTES > self.end {
            return Seen::End;
        }
        let until = self.end.min(at / BLOCK_BYTES * BLOCK_BYTES + self.sees);
        let seen = self.window.look(self.shelf.files, self.file, at, RECORD_HEADER_BYTES as usize, until);
        let header = match seen {
            Ok(seen) => {
                let bytes = seen[..RECORD_HEADER_BYTES as usize].try_into().expect("as many as asked for");
                Header::decode(bytes, self.shelf.key, self.file, at)
            }
            // It was cut behind our back.
            Err(Trouble::Lost(_)) => return Seen::End,
            Err(Trouble::Failed(why)) => return Seen::Unreadable(why),
        };
        let record = header.filter(|it| it.record.data_bytes < self.end).and_then(|header| {
            let DiskRecord { data_bytes, metadata_bytes, .. } = header.record;
            let place = DiskPlace { file: self.file, offset: at, bytes: record_bytes(data_bytes, metadata_bytes) };
            let is_whole = record_start(at, data_bytes) == at && at + place.bytes <= self.end;
            is_whole.then_some((place, header))
        });
        let is_long = record.as_ref().map(|(place, _)| place.bytes > LONG_RECORD_BYTES);
        self.missed_bytes = if record.is_some() { 0 } else { self.missed_bytes + RECORD_ALIGNMENT };
        self.sees = match is_long {
            // The next header may be on the block behind the one that this record ends in.
            Some(true) => 2 * BLOCK_BYTES,
            None if self.missed_bytes < BLOCK_BYTES => self.sees,
            Some(false) | None => WINDOW_BYTES as u64,
        };
        record.map_or(Seen::Nothing, |(place, header)| Seen::Record(place, header))
    }

    /// Something was written where a batch begins. It may be damaged; that is one record then, and not all of them.
    fn is_begun(&self, batch: u64) -> bool {
        let mut window = Window::new(BLOCK);
        let seen = window.look(self.shelf.files, self.file, batch, RECORD_HEADER_BYTES as usize, batch);
        // Where it can't be read, the others aren't lost for that.
        seen.map_or(true, |seen| seen[..RECORD_HEADER_BYTES as usize].iter().any(|byte| *byte != 0))
    }
}

/// Each waits for the disk most of the time.
const THREADS: usize = 8;
/// How much is read at a time where records are short.
const WINDOW_BYTES: usize = 256 << 10;
/// Reading so much takes as long as another read of a block.
const LONG_RECORD_BYTES: u64 = 32 << 10;

const _: () = assert!(BLOCK.is_multiple_of(RECORD_ALIGNMENT as usize) && WINDOW_BYTES.is_multiple_of(BLOCK));

#[cfg(test)]
mod tests {
    use nix::errno::Errno;
    use plasmad_core::disk::WriteOutcome;

    use super::*;
    use crate::spill::testing::{Fault, KEY, Scene, behind, places};

    fn found(scene: &Scene) -> Found {
        scan(&Shelf { files: &scene.disk, key: &KEY }).unwrap()
    }

    fn numbers(found: &Found) -> Vec<u64> {
        let mut numbers: Vec<u64> = found.records.iter().map(|(record, _)| record.sequence).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Two batches in one file and one in another, with records of all kinds.
    fn batches(scene: &mut Scene) -> [plasmad_core::disk::Batch; 3] {
        let first = vec![scene.record(0, 5, 9), scene.record(64, 3 << 20, 0), scene.record(128, 70_000, 1)];
        let first = scene.batch(4, 0, first);
        let second = vec![scene.record(0, 2 << 20, 7), scene.tombstone(first.records[0].0.id), scene.record(0, 0, 0)];
        let second = scene.batch(4, behind(&first), second);
        let third = vec![scene.record(192, 100, 0)];
        [first, second, scene.batch(9, 0, third)]
    }

    #[test]
    fn every_record_is_found_where_it_lies() {
        let mut scene = Scene::new();
        let batches = batches(&mut scene);
        batches.iter().for_each(|batch| assert_eq!(scene.write(batch), WriteOutcome::Written));
        let mut found = found(&scene);
        found.records.sort_by_key(|(record, _)| record.sequence);
        let mut wanted: Vec<_> = (batches.iter())
            .flat_map(|batch| batch.records.iter().map(|(record, _)| *record).zip(places(batch)))
            .collect();
        wanted.sort_by_key(|(record, _)| record.sequence);
        assert_eq!(found.records, wanted);
        assert_eq!((found.next_file, found.next_sequence, found.empty.len()), (10, 8, 0));
    }

    #[test]
    fn nothing_is_found_in_an_empty_folder() {
        let found = found(&Scene::new());
        assert_eq!((found.records.len(), found.next_file, found.next_sequence), (0, 1, 1));
    }

    /// At each write of a batch the machine stops, half of that write being done.
    #[test]
    fn of_a_batch_that_was_cut_off_nothing_is_found_and_all_that_is_found_is_whole() {
        for stop in 0.. {
            let mut scene = Scene::new();
            let [first, second, _] = batches(&mut scene);
            assert_eq!(scene.write(&first), WriteOutcome::Written);
            scene.disk.state().fault = Some(Fault::Torn(stop));
            let outcome = scene.write(&second);
            scene.disk.state().fault = None;
            let found = found(&scene);
            if outcome == WriteOutcome::Written {
                assert!(stop > 2, "a batch takes several writes");
                assert_eq!(numbers(&found), [1, 2, 3, 4, 5, 6]);
                break;
            }
            // Half of the first block is a whole header, and then all of the rest is there too.
            let all_but_the_first_block_was_written = numbers(&found).len() == 6;
            assert!(numbers(&found) == [1, 2, 3] || all_but_the_first_block_was_written, "{stop}: {found:?}");
            for (record, place) in found.records.iter().filter(|(record, _)| !record.tombstone) {
                let at = [0, 64, 128, 0, 0, 0][record.sequence as usize - 1];
                scene.restore(record, place, at).unwrap();
            }
        }
    }

    #[test]
    fn behind_a_batch_that_was_cut_off_others_are_found() {
        let mut scene = Scene::new();
        let [first, second, third] = batches(&mut scene);
        let third = scene.batch(4, behind(&second), third.records);
        scene.disk.state().fault = Some(Fault::Torn(1));
        assert_eq!(scene.write(&first), WriteOutcome::Failed);
        scene.disk.state().fault = None;
        assert_eq!([scene.write(&second), scene.write(&third)], [WriteOutcome::Written; 2]);
        assert_eq!(numbers(&found(&scene)), [4, 5, 6, 7]);
    }

    #[test]
    fn a_damaged_header_loses_its_record_alone_and_a_cut_file_what_was_cut_off() {
        let mut scene = Scene::new();
        let [_, _, third] = batches(&mut scene);
        let blocks = |scene: &mut Scene| (0..5).map(|at| scene.record(at * 4096, 3968, 0)).collect();
        let records = blocks(&mut scene);
        let batch = scene.batch(1, 0, records);
        assert_eq!([scene.write(&batch), scene.write(&third)], [WriteOutcome::Written; 2]);
        for header in 0..5 {
            scene.disk.state().files.get_mut(&FileNumber(1)).unwrap()[header * 4096 + 50] ^= 1;
            let left: Vec<u64> = [7, 8, 9, 10, 11, 12].into_iter().filter(|it| *it != 8 + header as u64).collect();
            assert_eq!(numbers(&found(&scene)), left);
            scene.disk.state().files.get_mut(&FileNumber(1)).unwrap()[header * 4096 + 50] ^= 1;
        }
        scene.disk.state().files.get_mut(&FileNumber(1)).unwrap()[2 * 4096 + 50] ^= 1;
        scene.disk.state().files.get_mut(&FileNumber(1)).unwrap().truncate(4 * 4096 + 3000);
        assert_eq!(numbers(&found(&scene)), [7, 8, 9, 11]);
        scene.disk.state().files.get_mut(&FileNumber(1)).unwrap().truncate(7);
        let found = found(&scene);
        assert_eq!((numbers(&found), &found.empty[..]), (vec![7], &[FileNumber(1)][..]));
        assert_eq!(found.next_file, 10, "the number of a file without records isn't used again either");
    }

    #[test]
    fn a_damaged_header_among_short_records_loses_its_record_alone() {
        let mut scene = Scene::new();
        let records: Vec<_> = (0..50).map(|at| scene.record(at * 64, 10 + at * 7, 0)).collect();
        let batch = scene.batch(1, 0, records);
        assert_eq!(scene.write(&batch), WriteOutcome::Written);
        for (at, place) in places(&batch).iter().enumerate() {
            scene.disk.state().files.get_mut(&FileNumber(1)).unwrap()[place.offset as usize + 77] ^= 4;
            let left: Vec<u64> = (1..=50).filter(|it| *it != at as u64 + 1).collect();
            assert_eq!(numbers(&found(&scene)), left);
            scene.disk.state().files.get_mut(&FileNumber(1)).unwrap()[place.offset as usize + 77] ^= 4;
        }
    }

    /// A client reads a record through the descriptor of a file, makes it part of an object's data, as it is and
    /// changed, and that object's own header is lost.
    #[test]
    fn records_that_were_copied_into_data_are_not_found() {
        let mut scene = Scene::new();
        let small = vec![scene.record(0, 128, 0), scene.record(4096, 8192, 0)];
        let first = scene.batch(1, 0, small);
        assert_eq!(scene.write(&first), WriteOutcome::Written);
        let copied = scene.disk.state().files[&FileNumber(1)][..256].to_vec();
        let mut renamed = copied.clone();
        renamed[40..68].fill(9);
        scene.arena.write(4096, &copied).unwrap();
        scene.arena.write(4096 + 1024, &renamed).unwrap();
        let records = vec![scene.record(4096, 8192, 0), scene.record(0, 50, 0)];
        let second = scene.batch(1, behind(&first), records);
        assert_eq!(scene.write(&second), WriteOutcome::Written);
        assert_eq!(numbers(&found(&scene)), [1, 2, 3, 4]);
        let header = second.offset as usize;
        scene.disk.state().files.get_mut(&FileNumber(1)).unwrap()[header + 50] ^= 1;
        assert_eq!(numbers(&found(&scene)), [1, 2, 4]);
        let copy = &scene.disk.state().files[&FileNumber(1)][header + 128..][..256];
        assert!(copy == copied, "the copy lies where a record might");
    }

    #[test]
    fn files_that_cannot_be_read_are_left_alone() {
        let mut scene = Scene::new();
        let batches = batches(&mut scene);
        batches.iter().for_each(|batch| assert_eq!(scene.write(batch), WriteOutcome::Written));
        scene.disk.state().fault = Some(Fault::Read(Errno::EIO));
        let found = found(&scene);
        assert_eq!((found.records.len(), found.empty.len(), found.next_file), (0, 0, 10));
    }

    #[test]
    fn of_long_records_little_is_read_and_short_ones_are_read_many_at_a_time() {
        let mut scene = Scene::new();
        let long: Vec<_> = (0..10).map(|at| scene.record(at * 64, 1_000_000, 0)).collect();
        let short: Vec<_> = (0..2000).map(|at| scene.record(at * 64, 100, 0)).collect();
        let batches = [scene.batch(1, 0, long), scene.batch(2, 0, short)];
        batches.iter().for_each(|batch| assert_eq!(scene.write(batch), WriteOutcome::Written));
        scene.disk.state().reads.clear();
        assert_eq!(found(&scene).records.len(), 2010);
        let reads = |of: u32| -> (usize, usize) {
            let state = scene.disk.state();
            let reads = state.reads.iter().filter(|(file, ..)| file.0 == of).map(|(_, _, bytes)| *bytes);
            (reads.clone().count(), reads.sum())
        };
        let (long, short) = (reads(1), reads(2));
        assert!(long.0 <= 12 && long.1 <= WINDOW_BYTES + 12 * 8192, "{long:?}");
        assert!(short.0 <= 3, "{short:?}");
    }
}
