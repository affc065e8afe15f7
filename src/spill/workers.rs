//! The threads that read and write, and the engine's handle on them.
//!
//! Invariant: everything asked for is answered once, by an event, unless the engine ends; writes that were asked for are
//! done even then. What goes wrong is in the log, with path and offset.
//!
//! Reads go before writes: whoever writes lets them have the disk before each piece, for a moment that is bounded, since
//! a read may wait for room that only a write makes. Threads that write let every other thread of the machine go first.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use plasmad_core::Event;
use plasmad_core::disk::{Batch, FileNumber, ReadOutcome, Restore};
use plasmad_shm::populate;

use super::backend::Backend;
use super::meter::Meter;
use super::queue::{Job, Queue, Read, Run};
use super::read::{Shelf, Trouble, Window};
use super::record::FolderKey;
use super::write::{Desk, Surroundings};
use crate::memory::Arena;

/// The threads, which end with it.
pub(crate) struct Workers {
    shared: Arc<Shared>,
    done: Receiver<Event>,
    threads: Vec<JoinHandle<()>>,
}

/// What went by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) written_bytes: u64,
    pub(crate) written_bytes_per_second: u64,
    pub(crate) read_bytes: u64,
    pub(crate) read_bytes_per_second: u64,
}

struct Shared {
    files: Arc<dyn Backend>,
    key: FolderKey,
    arena: Arc<Arena>,
    work: Mutex<Work>,
    /// There is something to read, or the end.
    to_read: Condvar,
    /// There is something to write, or the end.
    to_write: Condvar,
    /// Nobody waits for a read.
    is_quiet: Condvar,
    written: Meter,
    read: Meter,
}

struct Work {
    queue: Queue,
    is_ending: bool,
}

/// Tells the engine what is done.
struct Voice {
    tell: Sender<Event>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Workers {
    /// Starts the threads. They call `wake` when something is done.
    pub(crate) fn start(
        files: Arc<dyn Backend>,
        key: FolderKey,
        arena: Arc<Arena>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> io::Result<Self> {
        let (tell, done) = channel();
        let work = Mutex::new(Work { queue: Queue::new(WINDOW_BYTES as u64), is_ending: false });
        let [to_read, to_write, is_quiet] = [(); 3].map(|()| Condvar::new());
        let [written, read] = [(); 2].map(|()| Meter::new());
        let shared = Arc::new(Shared { files, key, arena, work, to_read, to_write, is_quiet, written, read });
        let mut workers = Self { shared, done, threads: Vec::new() };
        for number in 0..READERS + WRITERS {
            let (shared, voice) = (workers.shared.clone(), Voice { tell: tell.clone(), wake: wake.clone() });
            let (name, run): (_, fn(&Shared, &Voice)) = match number < READERS {
                true => ("restore", Shared::keep_reading),
                false => ("spill", Shared::keep_writing),
            };
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(&shared, &voice))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    pub(crate) fn write(&self, batch: Batch) {
        self.shared.work().queue.write(batch);
        self.shared.to_write.notify_one();
    }

    pub(crate) fn restore(&self, restore: Restore) {
        let reads = self.shared.work().queue.restore(restore);
        (0..reads.min(READERS)).for_each(|_| self.shared.to_read.notify_one());
    }

    /// When it returns, nothing in the file will be found any more; the rest takes longer, and a thread does it.
    pub(crate) fn remove(&self, file: FileNumber) {
        match self.shared.files.condemn(file) {
            Ok(()) => {
                self.shared.work().queue.remove(file);
                self.shared.to_write.notify_one();
            }
            // Its first batch failed, or somebody else removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => tracing::error!("{} can't be removed: {error}", self.shared.files.path(file).display()),
        }
    }

    /// What is done, and was not told before.
    pub(crate) fn done(&self) -> impl Iterator<Item = Event> {
        self.done.try_iter()
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let (written_bytes, written_bytes_per_second) = self.shared.written.read();
        let (read_bytes, read_bytes_per_second) = self.shared.read.read();
        Traffic { written_bytes, written_bytes_per_second, read_bytes, read_bytes_per_second }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        {
            let mut work = self.shared.work();
            work.is_ending = true;
            work.queue.drop_reads();
        }
        self.shared.to_read.notify_all();
        self.shared.to_write.notify_all();
        for thread in self.threads.drain(..) {
            // It has said on standard error why it panicked.
            let _ = thread.join();
        }
        for file in self.shared.work().queue.unsynced() {
            self.shared.sync(file);
        }
    }
}

impl Shared {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelf(&self) -> Shelf<'_> {
        Shelf { files: &*self.files, key: &self.key }
    }

    fn keep_reading(&self, voice: &Voice) {
        let mut window = Window::new(WINDOW_BYTES);
        let mut work = self.work();
        loop {
            if let Some(run) = work.queue.next_run() {
                drop(work);
                self.read(&run, &mut window, voice);
                work = self.work();
                work.queue.run_done();
                if !work.queue.has_reads() {
                    self.is_quiet.notify_all();
                }
            } else if work.is_ending {
                return;
            } else {
                work = self.to_read.wait(work).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn read(&self, run: &Run, window: &mut Window, voice: &Voice) {
        window.close();
        for read in &run.reads {
            match read {
                Read::Whole(restore) => {
                    let outcome = self.shelf().restore(window, restore, run.end, &self.arena);
                    self.tell_read(restore, outcome, voice);
                }
                Read::Part(split, part, end) => {
                    let range = split.ranges().nth(*part).expect("it has so many parts");
                    let read = self.shelf().restore_part(window, &split.restore, range, *end, &self.arena);
                    if let Some(outcome) = split.done(*part, read) {
                        self.tell_read(&split.restore, outcome, voice);
                    }
                }
            }
        }
    }

    fn tell_read(&self, restore: &Restore, read: Result<(), Trouble>, voice: &Voice) {
        let log = |what: &str, why: String| {
            let (path, at) = (self.files.path(restore.place.file), restore.place.offset);
            tracing::error!("object {} {what}: {} at {at}: {why}", restore.record.id, path.display());
        };
        let outcome = match read {
            Ok(()) => {
                self.read.count(restore.place.bytes);
                ReadOutcome::Read
            }
            Err(Trouble::Lost(why)) => {
                log("is lost", why);
                ReadOutcome::Lost
            }
            Err(Trouble::Failed(why)) => {
                log("can't be restored just now", why);
                ReadOutcome::Failed
            }
        };
        voice.say(Event::Restored { restore: restore.number, outcome });
    }

    fn keep_writing(&self, voice: &Voice) {
        if let Err(error) = populate::lower_thread_priority(WRITERS_NICE) {
            tracing::warn!("spilling runs at normal priority: {error}");
        }
        // Where the disk's scheduler knows no priorities, nothing is lost.
        let _ = populate::lower_disk_priority();
        let mut desk = Desk::new(STAGED_BYTES);
        let mut work = self.work();
        loop {
            if let Some(job) = work.queue.next_job() {
                drop(work);
                self.perform(&job, &mut desk, voice);
                // What had to wait for this one may go on.
                self.to_write.notify_one();
                work = self.work();
            } else if work.is_ending {
                return;
            } else {
                work = self.to_write.wait(work).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn perform(&self, job: &Job, desk: &mut Desk, voice: &Voice) {
        match job {
            Job::Write(batch) => {
                let give_way = |bytes| self.give_way(bytes);
                let around = Surroundings { shelf: self.shelf(), arena: &self.arena, give_way: &give_way };
                let outcome = desk.write(batch, &around);
                // Before it is told: a file may be removed at once of which this has what was moved.
                self.work().queue.written(batch);
                voice.say(Event::Written { batch: batch.number, outcome });
            }
            Job::Sync(file) => {
                self.sync(*file);
                self.work().queue.tidied();
            }
            Job::Remove(before, file) => {
                self.remove(before, *file);
                self.work().queue.tidied();
            }
        }
    }

    /// Lets those go first who wait for a read, and counts what is then written.
    fn give_way(&self, bytes: usize) {
        let work = self.work();
        let until_quiet = |work: &mut Work| work.queue.has_reads() && !work.is_ending;
        drop(self.is_quiet.wait_timeout_while(work, PATIENCE, until_quiet));
        self.written.count(bytes as u64);
    }

    fn sync(&self, file: FileNumber) -> bool {
        let synced = self.files.sync(file);
        if let Err(error) = &synced {
            let path = self.files.path(file);
            tracing::error!("what was written to {} may not survive a power failure: {error}", path.display());
        }
        synced.is_ok()
    }

    fn remove(&self, before: &[FileNumber], file: FileNumber) {
        let path = || self.files.path(file);
        if !before.iter().all(|moved_to| self.sync(*moved_to)) {
            return tracing::error!("{} stays: what was moved from it may not be on disk", path().display());
        }
        if let Err(error) = self.files.remove(file) {
            tracing::error!("{} can't be removed: {error}", path().display());
        }
    }
}

impl Voice {
    fn say(&self, event: Event) {
        // A closed channel: the engine ends.
        let _ = self.tell.send(event);
        (self.wake)();
    }
}

/// Reads in flight. Together with what each shows at a time, they keep a disk busy.
const READERS: usize = 4;
const WINDOW_BYTES: usize = 2 << 20;
/// Writes in flight. One that fills its buffer leaves three at the disk, and four short ones at a time were what the
/// disk was quickest with: `plasmad bench --rows spill` notes what each number of threads makes of this one.
const WRITERS: usize = 4;
const STAGED_BYTES: usize = 1280 << 10;
/// A tenth of a processor that others want too.
const WRITERS_NICE: i32 = 10;
/// How long a piece waits for reads at most: a piece of each thread in that time is some 800 MB/s.
const PATIENCE: Duration = Duration::from_millis(6);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use nix::errno::Errno;
    use plasmad_core::disk::{DiskPlace, Source, WriteOutcome};
    use plasmad_shm::memfd;
    use plasmad_wire::Extent;

    use super::*;
    use crate::spill::testing::{ARENA_BYTES, FakeDisk, Fault, KEY, Scene, behind, pattern, places};

    struct Rig {
        scene: Scene,
        disk: Arc<FakeDisk>,
        arena: Arc<Arena>,
        workers: Workers,
        woken: Receiver<()>,
    }

    impl Rig {
        fn new() -> Self {
            let disk = Arc::new(FakeDisk::default());
            let arena = Arc::new(Arena::from(memfd::create("plasmad-spill-test", ARENA_BYTES).unwrap()));
            arena.write(0, pattern(0, 1 << 20)).unwrap();
            let (wake, woken) = channel();
            let wake = Mutex::new(wake);
            let wake = Arc::new(move || {
                let _ = wake.lock().unwrap().send(());
            });
            let workers = Workers::start(disk.clone(), KEY, arena.clone(), wake).unwrap();
            Self { scene: Scene::new(), disk, arena, workers, woken }
        }

        /// So many events.
        fn events(&self, count: usize) -> Vec<Event> {
            let mut events: Vec<Event> = self.workers.done().collect();
            while events.len() < count {
                self.woken.recv_timeout(Duration::from_secs(60)).expect("it wakes the engine when something is done");
                events.extend(self.workers.done());
            }
            events
        }

        fn written(&self, count: usize) -> BTreeMap<u64, WriteOutcome> {
            let written = |event| match event {
                Event::Written { batch, outcome } => (batch, outcome),
                other => panic!("{other:?}"),
            };
            self.events(count).into_iter().map(written).collect()
        }

        fn restored(&self, count: usize) -> BTreeMap<u64, ReadOutcome> {
            let restored = |event| match event {
                Event::Restored { restore, outcome } => (restore, outcome),
                other => panic!("{other:?}"),
            };
            self.events(count).into_iter().map(restored).collect()
        }

        fn batch(&mut self, file: u32, offset: u64) -> Batch {
            let records = (0..20).map(|at| self.scene.record(at * 4096, 3000 + at, 1)).collect();
            self.scene.batch(file, offset, records)
        }
    }

    #[test]
    fn batches_are_written_and_their_records_restored_each_told_once() {
        let mut rig = Rig::new();
        let mut batches = vec![rig.batch(1, 0)];
        batches.push(rig.batch(1, behind(&batches[0])));
        batches.push(rig.batch(2, 0));
        batches.iter().for_each(|batch| rig.workers.write(batch.clone()));
        assert_eq!(rig.written(3), BTreeMap::from([1, 2, 3].map(|batch| (batch, WriteOutcome::Written))));
        let into = |at: usize| ARENA_BYTES / 2 + at as u64 * 4096;
        let records: Vec<_> = batches.iter().flat_map(|it| it.records.iter().zip(places(it))).collect();
        for (at, ((record, _), place)) in records.iter().enumerate().rev() {
            let into = Extent { segment: 0, offset: into(at), bytes: record.data_bytes + 1 };
            rig.workers.restore(Restore {
                number: at as u64,
                place: *place,
                record: *record,
                into: Some(into),
                is_guess: false,
            });
        }
        let restored = rig.restored(60);
        assert_eq!(restored.len(), 60);
        assert!(restored.values().all(|outcome| *outcome == ReadOutcome::Read));
        for (at, ((record, source), _)) in records.iter().enumerate() {
            let Source::Memory(from) = source else { panic!("{source:?}") };
            let mut read = vec![0; record.data_bytes as usize + 1];
            rig.arena.read(into(at), &mut read).unwrap();
            assert_eq!(read, pattern(from.offset, read.len()));
        }
        let traffic = rig.workers.traffic();
        assert!(traffic.written_bytes > 60 * 3000 && traffic.read_bytes > 60 * 3000, "{traffic:?}");
    }

    #[test]
    fn a_long_record_is_read_by_several_threads_and_told_once() {
        let mut rig = Rig::new();
        rig.arena.write(0, pattern(0, ARENA_BYTES as usize / 2)).unwrap();
        let records = vec![rig.scene.record(0, 14 << 20, 777), rig.scene.record(64, 9 << 20, 0)];
        let batch = rig.scene.batch(1, 0, records);
        rig.workers.write(batch.clone());
        rig.written(1);
        let restore = |at: usize| {
            let record = batch.records[at].0;
            let bytes = record.data_bytes + u64::from(record.metadata_bytes);
            let into = Extent { segment: 0, offset: ARENA_BYTES / 2, bytes };
            Restore { number: at as u64, place: places(&batch)[at], record, into: Some(into), is_guess: false }
        };
        for (at, lay_at) in [(0, 0), (1, 64)] {
            rig.workers.restore(restore(at));
            assert_eq!(rig.restored(1), BTreeMap::from([(at as u64, ReadOutcome::Read)]));
            let mut read = vec![0; restore(at).into.unwrap().bytes as usize];
            rig.arena.read(ARENA_BYTES / 2, &mut read).unwrap();
            assert!(read == pattern(lay_at, read.len()), "the bytes of record {at}");
        }
        let last = places(&batch)[0].offset as usize + (14 << 20) + 4096 + 776;
        rig.disk.state().files.get_mut(&FileNumber(1)).unwrap()[last] ^= 1;
        rig.workers.restore(restore(0));
        assert_eq!(rig.restored(1), BTreeMap::from([(0, ReadOutcome::Lost)]));
    }

    #[test]
    fn each_failure_is_told_of_the_one_it_happened_to() {
        let mut rig = Rig::new();
        let (good, bad) = (rig.batch(1, 0), rig.batch(2, 0));
        rig.workers.write(good.clone());
        rig.written(1);
        rig.disk.state().fault = Some(Fault::Write(0, Errno::EIO));
        rig.workers.write(bad);
        assert_eq!(rig.written(1), BTreeMap::from([(2, WriteOutcome::Failed)]));
        rig.disk.state().fault = None;
        let place = places(&good)[3];
        rig.disk.state().files.get_mut(&FileNumber(1)).unwrap()[place.offset as usize + 500] ^= 1;
        for (at, ((record, _), place)) in good.records.iter().zip(places(&good)).enumerate() {
            let into = Extent { segment: 0, offset: ARENA_BYTES / 2 + at as u64 * 4096, bytes: record.data_bytes + 1 };
            rig.workers.restore(Restore {
                number: at as u64,
                place,
                record: *record,
                into: Some(into),
                is_guess: false,
            });
        }
        let lost: Vec<u64> =
            rig.restored(20).into_iter().filter(|(_, it)| *it == ReadOutcome::Lost).map(|it| it.0).collect();
        assert_eq!(lost, [3]);
        rig.disk.state().fault = Some(Fault::Read(Errno::EIO));
        let into = Extent { segment: 0, offset: ARENA_BYTES / 2, bytes: good.records[0].0.data_bytes + 1 };
        rig.workers.restore(Restore {
            number: 9,
            place: places(&good)[0],
            record: good.records[0].0,
            into: Some(into),
            is_guess: false,
        });
        assert_eq!(rig.restored(1), BTreeMap::from([(9, ReadOutcome::Failed)]));
    }

    #[test]
    fn what_was_moved_is_synced_before_its_source_goes() {
        let mut rig = Rig::new();
        let batch = rig.batch(1, 0);
        rig.workers.write(batch.clone());
        rig.written(1);
        let places: Vec<DiskPlace> = places(&batch);
        let moved =
            batch.records.iter().zip(places).map(|((record, _), place)| (*record, Source::Disk(place))).collect();
        let moved = rig.scene.batch(2, 0, moved);
        rig.workers.write(moved);
        rig.written(1);
        assert!(rig.disk.state().unsynced.contains(&FileNumber(2)));
        rig.workers.remove(FileNumber(1));
        drop(rig.workers);
        let state = rig.disk.state();
        assert!(!state.files.contains_key(&FileNumber(1)) && state.unsynced.is_empty());
        assert_eq!(state.order[..4], ["sync 1", "condemn 1", "sync 2", "remove 1"]);
    }

    #[test]
    fn writes_that_were_asked_for_are_done_before_the_end_and_all_is_synced() {
        let mut rig = Rig::new();
        let batches: Vec<Batch> = (1..30).map(|file| rig.batch(file, 0)).collect();
        batches.iter().for_each(|batch| rig.workers.write(batch.clone()));
        drop(rig.workers);
        let state = rig.disk.state();
        assert_eq!(state.files.len(), 29);
        assert!(state.unsynced.is_empty());
    }
}
