//! What the disk is asked for and who does what next: reads in disk order, batches in theirs.
//!
//! Invariant: a file is synced when a later one has begun and nothing is being written to it any more; and before a file
//! is removed, every file is that records were moved to, so that what was moved is on disk before its source is not.
//!
//! Reads that lie close behind each other are done in one go, a *run*; parts of a long record are each a run of their own.
//! The next run is the one behind the last, as a lift goes from floor to floor; above the last it begins again. What is
//! only guessed to be wanted lets the rest go first, but not for ever.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use plasmad_core::disk::{Batch, DiskPlace, FileNumber, Restore, Source, data_start};

use super::split::Split;

/// Something for a thread that writes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Write this.
    Write(Batch),
    /// Have a file survive a power failure.
    Sync(FileNumber),
    /// Have the first files survive a power failure, then remove the other.
    Remove(Vec<FileNumber>, FileNumber),
}

/// A record to be read, or a part of a long one.
#[derive(Debug)]
pub(crate) enum Read {
    Whole(Restore),
    /// Which one, and where it ends in the file.
    Part(Arc<Split>, usize, u64),
}

/// Reads of one file in its order, close together.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) reads: Vec<Read>,
    /// Where the last of them ends.
    pub(crate) end: u64,
}

/// What is to be done, and what is being done.
#[derive(Debug)]
pub(crate) struct Queue {
    reads: Reads,
    /// What nobody had asked for when it came.
    guesses: Reads,
    /// How many runs were chosen before those since the last of them.
    runs_before_guesses: u32,
    /// Runs that are being read.
    reading: usize,
    /// Where the last run ended.
    head: (FileNumber, u64),
    /// Runs are no longer than this, but for those of one record.
    run_bytes_max: u64,
    batches: VecDeque<Batch>,
    chores: VecDeque<Chore>,
    /// A chore is being done. They are done one at a time, so that one may rely on what was done before.
    is_tidying: bool,
    files: BTreeMap<FileNumber, State>,
    newest: FileNumber,
}

/// By file, place and number.
type Reads = BTreeMap<(FileNumber, u64, u64), Read>;

#[derive(Clone, Copy, Debug)]
enum Chore {
    Sync(FileNumber),
    Remove(FileNumber),
}

/// What is known of a file that was written to and not synced since.
#[derive(Debug, Default)]
struct State {
    /// Batches that wait or are being written.
    pending: usize,
    /// Records were moved there.
    has_moved: bool,
}

impl Queue {
    pub(crate) fn new(run_bytes_max: u64) -> Self {
        Self {
            reads: BTreeMap::new(),
            guesses: BTreeMap::new(),
            runs_before_guesses: 0,
            reading: 0,
            head: (FileNumber(0), 0),
            run_bytes_max,
            batches: VecDeque::new(),
            chores: VecDeque::new(),
            is_tidying: false,
            files: BTreeMap::new(),
            newest: FileNumber(0),
        }
    }

    /// Tells how many reads that makes.
    pub(crate) fn restore(&mut self, restore: Restore) -> usize {
        let DiskPlace { file, offset, .. } = restore.place;
        let is_alone = !restore.is_guess && self.reads.is_empty();
        let reads = if restore.is_guess { &mut self.guesses } else { &mut self.reads };
        let Some(split) = Split::new(restore, is_alone) else {
            reads.insert((file, offset, restore.number), Read::Whole(restore));
            return 1;
        };
        let data = offset + data_start(restore.record.data_bytes);
        for (part, range) in split.ranges().enumerate() {
            let read = Read::Part(split.clone(), part, data + range.end);
            reads.insert((file, data + range.start, restore.number), read);
        }
        split.ranges().count()
    }

    pub(crate) fn write(&mut self, batch: Batch) {
        if batch.file > self.newest {
            self.newest = batch.file;
            let done = self.files.iter().filter(|(_, state)| state.pending == 0).map(|(file, _)| *file);
            self.chores.extend(done.map(Chore::Sync));
        }
        self.files.entry(batch.file).or_default().pending += 1;
        self.batches.push_back(batch);
    }

    pub(crate) fn remove(&mut self, file: FileNumber) {
        self.chores.push_back(Chore::Remove(file));
    }

    /// Forgets all that was to be read.
    pub(crate) fn drop_reads(&mut self) {
        self.reads.clear();
        self.guesses.clear();
    }

    /// Somebody waits for a read.
    pub(crate) fn has_reads(&self) -> bool {
        self.reading > 0 || !self.reads.is_empty() || !self.guesses.is_empty()
    }

    /// What to read next; it is over when [`Self::run_done`] is told.
    pub(crate) fn next_run(&mut self) -> Option<Run> {
        let from = (self.head.0, self.head.1, 0);
        // Somebody may wait for one of those by now.
        let is_their_turn = self.runs_before_guesses >= RUNS_BEFORE_GUESSES_MAX && !self.guesses.is_empty();
        let reads = if is_their_turn || self.reads.is_empty() {
            self.runs_before_guesses = 0;
            &mut self.guesses
        } else {
            self.runs_before_guesses += 1;
            &mut self.reads
        };
        let (first, _) = reads.range(from..).next().or_else(|| reads.first_key_value())?;
        let (file, start, _) = *first;
        let mut run = Run { reads: Vec::new(), end: start };
        let mut next = Some(*first);
        while let Some(key) = next {
            let read = reads.remove(&key).expect("it was just seen");
            run.end = run.end.max(read.end());
            let is_whole = read.is_whole();
            run.reads.push(read);
            let following = reads.range(key..).next().filter(|((its_file, offset, _), read)| {
                let is_near = *its_file == file && *offset <= run.end + GAP_BYTES_MAX;
                is_whole && read.is_whole() && is_near && read.end() - start <= self.run_bytes_max
            });
            next = following.map(|(key, _)| *key);
        }
        self.reading += 1;
        self.head = (file, run.end);
        Some(run)
    }

    pub(crate) fn run_done(&mut self) {
        self.reading -= 1;
    }

    /// What to do next for writing; [`Self::written`] is told of batches, [`Self::tidied`] of the others.
    pub(crate) fn next_job(&mut self) -> Option<Job> {
        while !self.is_tidying
            && let Some(chore) = self.chores.pop_front()
        {
            let job = match chore {
                // A batch that came meanwhile will have it synced.
                Chore::Sync(file) if self.files.get(&file).is_none_or(|state| state.pending > 0) => continue,
                Chore::Sync(file) => {
                    self.files.remove(&file);
                    Job::Sync(file)
                }
                Chore::Remove(file) => {
                    self.files.remove(&file);
                    let files = self.files.iter_mut();
                    let moved = files.filter_map(|(it, state)| std::mem::take(&mut state.has_moved).then_some(*it));
                    Job::Remove(moved.collect(), file)
                }
            };
            self.is_tidying = true;
            return Some(job);
        }
        self.batches.pop_front().map(Job::Write)
    }

    pub(crate) fn tidied(&mut self) {
        self.is_tidying = false;
    }

    /// A batch was written, or wasn't; in any case this is over.
    pub(crate) fn written(&mut self, batch: &Batch) {
        let Some(state) = self.files.get_mut(&batch.file) else { return };
        state.pending -= 1;
        state.has_moved |= batch.records.iter().any(|(_, source)| matches!(source, Source::Disk(_)));
        if state.pending == 0 && batch.file < self.newest {
            self.chores.push_back(Chore::Sync(batch.file));
        }
    }

    /// Files that were written to and not synced since.
    pub(crate) fn unsynced(&self) -> Vec<FileNumber> {
        self.files.keys().copied().collect()
    }
}

impl Read {
    fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// Where it ends in its file.
    fn end(&self) -> u64 {
        match self {
            Self::Whole(restore) => restore.place.offset + restore.place.bytes,
            Self::Part(_, _, end) => *end,
        }
    }
}

/// So many runs of what somebody waits for go before one of what is guessed.
const RUNS_BEFORE_GUESSES_MAX: u32 = 8;
/// Reading over so much that nobody wants takes as long as another read.
const GAP_BYTES_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use plasmad_core::disk::DiskRecord;
    use plasmad_wire::{Format, ObjectId};

    use super::*;
    use crate::spill::split::PART_BYTES_MAX as PART_BYTES;

    const RUN: u64 = 1 << 20;

    fn record() -> DiskRecord {
        DiskRecord {
            sequence: 1,
            id: ObjectId::new([0; 28]),
            tombstone: false,
            data_bytes: 0,
            metadata_bytes: 0,
            format: Format::Raw,
            evictable: false,
            created_at: 0,
            sealed_at: 0,
        }
    }

    fn restore(number: u64, file: u32, offset: u64, bytes: u64) -> Restore {
        let place = DiskPlace { file: FileNumber(file), offset, bytes };
        Restore { number, place, record: record(), into: None, is_guess: false }
    }

    fn batch(file: u32, moved: bool) -> Batch {
        let place = DiskPlace { file: FileNumber(1), offset: 0, bytes: 128 };
        let source = if moved { Source::Disk(place) } else { Source::Nothing };
        Batch { number: 0, file: FileNumber(file), offset: 0, records: vec![(record(), source)] }
    }

    fn runs(queue: &mut Queue) -> Vec<Vec<u64>> {
        std::iter::from_fn(|| queue.next_run()).map(|run| run.reads.iter().map(number).collect()).collect()
    }

    fn number(read: &Read) -> u64 {
        match read {
            Read::Whole(restore) => restore.number,
            Read::Part(split, part, _) => split.restore.number * 1000 + *part as u64,
        }
    }

    #[test]
    fn a_long_record_is_read_in_parts_each_by_itself() {
        let mut queue = Queue::new(RUN);
        let mut long = restore(1, 1, 4096, 4096 + 2 * PART_BYTES + 64);
        long.record.data_bytes = 2 * PART_BYTES + 64;
        queue.restore(restore(2, 1, 0, 4096));
        queue.restore(long);
        let ends: Vec<(u64, u64)> =
            std::iter::from_fn(|| queue.next_run()).map(|run| (number(&run.reads[0]), run.end)).collect();
        let data = 2 * 4096;
        let parts = [(1000, data + PART_BYTES), (1001, data + 2 * PART_BYTES), (1002, data + 2 * PART_BYTES + 64)];
        assert_eq!(ends[0], (2, 4096));
        assert_eq!(ends[1..], parts);
    }

    #[test]
    fn what_nobody_else_is_read_beside_goes_to_several_threads_if_it_is_not_short() {
        let with_data = |number, bytes| {
            let mut restore = restore(number, 1, number << 24, bytes + 4096);
            restore.record.data_bytes = bytes;
            restore
        };
        let mut queue = Queue::new(RUN);
        assert_eq!(queue.restore(with_data(1, 2 << 20)), 4);
        assert_eq!(queue.restore(with_data(2, 2 << 20)), 1);
        assert_eq!(runs(&mut queue), [vec![1000], vec![1001], vec![1002], vec![1003], vec![2]]);
        assert_eq!(queue.restore(Restore { is_guess: true, ..with_data(3, 2 << 20) }), 1);
        assert_eq!(queue.restore(with_data(4, 512 << 10)), 1);
    }

    #[test]
    fn reads_go_in_disk_order_neighbours_together_and_begin_again_behind_the_last() {
        let mut queue = Queue::new(RUN);
        let far = 10 << 20;
        for (number, file, offset) in [(1, 2, 0), (2, 1, far), (3, 1, 256), (4, 1, 128), (5, 1, 0), (6, 2, 70_000)] {
            queue.restore(restore(number, file, offset, 128));
        }
        assert_eq!(queue.next_run().unwrap().reads.len(), 3);
        // What comes now lies behind the head, so its turn is in the next round.
        queue.restore(restore(7, 1, 64, 64));
        queue.restore(restore(8, 1, far / 2, 64));
        assert_eq!(runs(&mut queue), [vec![8], vec![2], vec![1], vec![6], vec![7]]);
    }

    #[test]
    fn a_run_is_no_longer_than_fits_unless_it_is_one_record() {
        let mut queue = Queue::new(RUN);
        for number in 0..4 {
            queue.restore(restore(number, 1, number * (RUN / 2), RUN / 2));
        }
        queue.restore(restore(4, 1, 2 * RUN, 5 * RUN));
        queue.restore(restore(5, 1, 7 * RUN, 64));
        assert_eq!(runs(&mut queue), [vec![0, 1], vec![2, 3], vec![4], vec![5]]);
    }

    #[test]
    fn what_somebody_waits_for_goes_before_what_is_guessed() {
        let mut queue = Queue::new(RUN);
        for (number, is_guess) in [(1, true), (2, true), (3, false), (4, true), (5, false)] {
            queue.restore(Restore { is_guess, ..restore(number, 1, number * 128, 128) });
        }
        assert_eq!(runs(&mut queue), [vec![3, 5], vec![1, 2, 4]]);
        queue.restore(Restore { is_guess: true, ..restore(6, 1, 0, 128) });
        queue.drop_reads();
        assert!(queue.next_run().is_none());
    }

    #[test]
    fn what_is_guessed_has_its_turn_though_others_never_end() {
        let mut queue = Queue::new(RUN);
        queue.restore(Restore { is_guess: true, ..restore(100, 1, 0, 128) });
        let far = 1 << 20;
        let turns = (0..20).map(|number| {
            queue.restore(restore(number, 2, number * far, 128));
            self::number(&queue.next_run().unwrap().reads[0])
        });
        let turns: Vec<u64> = turns.collect();
        assert_eq!(turns.iter().position(|number| *number == 100), Some(8), "{turns:?}");
    }

    #[test]
    fn two_restores_of_one_place_are_both_done() {
        let mut queue = Queue::new(RUN);
        queue.restore(restore(1, 1, 0, 64));
        queue.restore(restore(2, 1, 0, 64));
        assert_eq!(runs(&mut queue), [vec![1, 2]]);
    }

    #[test]
    fn there_are_reads_until_the_last_run_is_done() {
        let mut queue = Queue::new(RUN);
        assert!(!queue.has_reads());
        queue.restore(restore(1, 1, 0, 64));
        assert!(queue.has_reads());
        queue.next_run().unwrap();
        assert!(queue.has_reads());
        queue.run_done();
        assert!(!queue.has_reads());
    }

    #[test]
    fn a_file_is_synced_when_a_later_one_has_begun_and_nothing_is_being_written_to_it() {
        let mut queue = Queue::new(RUN);
        queue.write(batch(1, false));
        queue.write(batch(1, false));
        let (one, two) = (queue.next_job(), queue.next_job());
        assert_eq!([one, two], [Some(Job::Write(batch(1, false))), Some(Job::Write(batch(1, false)))]);
        queue.written(&batch(1, false));
        queue.write(batch(2, false));
        assert_eq!(queue.next_job(), Some(Job::Write(batch(2, false))), "one of file 1 is being written still");
        queue.written(&batch(1, false));
        assert_eq!((queue.next_job(), queue.next_job()), (Some(Job::Sync(FileNumber(1))), None));
        queue.tidied();
        queue.written(&batch(2, false));
        assert_eq!(queue.unsynced(), [FileNumber(2)]);
        queue.write(batch(3, false));
        assert_eq!(queue.next_job(), Some(Job::Sync(FileNumber(2))));
    }

    #[test]
    fn what_was_moved_is_synced_before_its_source_is_removed() {
        let mut queue = Queue::new(RUN);
        queue.write(batch(5, true));
        queue.next_job();
        queue.written(&batch(5, true));
        queue.remove(FileNumber(1));
        queue.remove(FileNumber(2));
        assert_eq!(queue.next_job(), Some(Job::Remove(vec![FileNumber(5)], FileNumber(1))));
        assert_eq!(queue.next_job(), None, "the other has to wait for what this one syncs");
        queue.tidied();
        assert_eq!(queue.next_job(), Some(Job::Remove(vec![], FileNumber(2))), "once is enough");
        queue.tidied();
        queue.remove(FileNumber(5));
        assert_eq!(queue.next_job(), Some(Job::Remove(vec![], FileNumber(5))));
        assert!(queue.unsynced().is_empty());
    }
}
