//! Objects to disk and back, beside the best loop that writes and reads one file past the page cache, in the same folder.
//!
//! A round spills eight times as much as memory holds, and ends that when all of it has left memory and would survive a
//! power failure. Then two clients read all of it back, in the order it was written in and in no order, an object at a
//! time; small ones in no order many at a time as well. All start with nothing in memory.

use std::path::Path;

use plasmad_client::{CreateOptions, ObjectId, Store, Timeout};

use super::Made;
use crate::bench::Bench;
use crate::daemon::{Daemon, stat};
use crate::disk::{self, BestWays, DiskFile};
use crate::error::{Error, Result};
use crate::random::Random;
use crate::row::{Bar, Row, Unit};
use crate::slice::Slice;

pub(crate) fn measure(bench: &mut Bench<'_>, wanted: &[&str]) -> Result<Vec<Row>> {
    // As much as the row may take of memory and finds on the disk, up to what it needs to tell something.
    let arena_bytes = bench.memory_bytes() / MEMORY_SHARE;
    let mut arena_bytes = arena_bytes.clamp(ARENA_BYTES_MIN, ARENA_BYTES_MAX) / ARENA_BYTES_STEP * ARENA_BYTES_STEP;
    let (daemon, folder) = loop {
        let bytes = arena_bytes * ARENAS_SPILLED;
        match bench.spilling_daemon(wanted[0], &["--memory", &arena_bytes.to_string()], 2 * bytes) {
            Err(Error::Impossible { .. }) if arena_bytes > ARENA_BYTES_MIN => arena_bytes = ARENA_BYTES_MIN,
            other => break other?,
        }
    };
    let bytes = arena_bytes * ARENAS_SPILLED;
    let scene = Scene {
        store: &daemon.connect()?,
        daemon: &daemon,
        ways: &BestWays::find(bench, &folder, bytes / 8)?,
        folder: &folder,
        bytes,
    };
    let mut rows = Vec::new();
    for workload in WORKLOADS.iter().filter(|workload| workload.rows().any(|row| wanted.contains(&row))) {
        let figures = workload.measure(bench, scene)?;
        rows.extend(workload.report(&figures, scene).into_iter().filter(|row| wanted.contains(&row.name)));
    }
    Ok(rows)
}

/// What both sides have.
#[derive(Clone, Copy)]
struct Scene<'a> {
    daemon: &'a Daemon,
    store: &'a Store,
    folder: &'a Path,
    ways: &'a BestWays,
    /// As much is spilled in a round.
    bytes: u64,
}

/// Objects of these lengths, again and again.
struct Workload {
    spill: &'static str,
    restore: &'static str,
    restore_random: &'static str,
    restore_many: Option<&'static str>,
    cached: Option<&'static str>,
    lengths: &'static [usize],
    ratio_min: f64,
    what: &'static str,
}

/// A slice of each kind for every round.
#[derive(Default)]
struct Figures {
    spill: Vec<Slice>,
    restore: Vec<Slice>,
    restore_random: Vec<Slice>,
    restore_many: Vec<Slice>,
    write: Vec<Slice>,
    read: Vec<Slice>,
    cached: Vec<Slice>,
}

impl Workload {
    fn rows(&self) -> impl Iterator<Item = &'static str> {
        [self.spill, self.restore, self.restore_random].into_iter().chain(self.restore_many).chain(self.cached)
    }

    fn measure(&self, bench: &mut Bench<'_>, scene: Scene<'_>) -> Result<Figures> {
        let mut figures = Figures::default();
        let rounds = bench.rounds();
        for round in 0..rounds {
            bench.round(self.spill, round, rounds)?;
            if round % 2 == 0 {
                scene.theirs(&mut figures)?;
                self.ours(bench, scene, &mut figures)?;
            } else {
                self.ours(bench, scene, &mut figures)?;
                scene.theirs(&mut figures)?;
            }
        }
        Ok(figures)
    }

    fn ours(&self, bench: &Bench<'_>, scene: Scene<'_>, figures: &mut Figures) -> Result<()> {
        let Scene { daemon, store, folder, bytes, .. } = scene;
        let mut made = Made::new(store);
        let mut slice = Slice::default();
        slice.time(1, || self.spill(bench, &mut made, scene))?;
        figures.spill.push(slice);
        let files = disk::spill_files(folder).map_err(Error::system("the spill files"))?;
        let cached = disk::cached_bytes(&files).map_err(Error::system("how much of the spill files is cached"))?;
        figures.cached.push(Slice::of(cached as f64 / bytes as f64));
        let mut order: Vec<usize> = (0..made.ids.len()).collect();
        figures.restore.push(self.restore(bench, daemon, &made.ids, &order, 1)?);
        store.evict(u64::MAX)?;
        Random::new(bytes).shuffle(&mut order);
        figures.restore_random.push(self.restore(bench, daemon, &made.ids, &order, 1)?);
        if self.restore_many.is_some() {
            store.evict(u64::MAX)?;
            figures.restore_many.push(self.restore(bench, daemon, &made.ids, &order, MANY)?);
        }
        Ok(())
    }

    /// Puts all objects, and returns when they are on disk alone.
    fn spill(&self, bench: &Bench<'_>, made: &mut Made<'_>, scene: Scene<'_>) -> Result<()> {
        let Scene { store, folder, bytes: all, .. } = scene;
        let mut source = super::source(*self.lengths.iter().max().expect("there are lengths"));
        let mut left = all;
        for bytes in self.lengths.iter().cycle() {
            if left == 0 {
                break;
            }
            bench.check()?;
            stamp(&mut source[..*bytes], made.ids.len());
            made.push(store.put(&source[..*bytes], &CreateOptions::default())?);
            left -= *bytes as u64;
        }
        store.evict(u64::MAX)?;
        let (in_memory, written) = (stat(store, "/objects/sealed")?, stat(store, "/spill/live_bytes")?);
        if in_memory > 0 || written < all {
            let what = format!("{in_memory} objects stay in memory, and {written} bytes of {all} are on disk");
            return Err(Error::Daemon(what));
        }
        let files = disk::spill_files(folder).map_err(Error::system("the spill files"))?;
        files.iter().try_for_each(|file| file.sync_data()).map_err(Error::system("a spill file"))
    }

    /// Two clients, each with every other object of an order, so many in each get.
    fn restore(
        &self,
        bench: &Bench<'_>,
        daemon: &Daemon,
        ids: &[ObjectId],
        order: &[usize],
        at_once: usize,
    ) -> Result<Slice> {
        let stores = [daemon.connect()?, daemon.connect()?];
        let read = |first: usize, store: &Store| -> Result<()> {
            let own: Vec<usize> = order.iter().skip(first).step_by(stores.len()).copied().collect();
            for numbers in own.chunks(at_once) {
                let wanted: Vec<ObjectId> = numbers.iter().map(|number| ids[*number]).collect();
                let buffers = store.get_many(&wanted, Timeout::None)?;
                for (number, buffer) in numbers.iter().zip(buffers) {
                    let bytes = self.lengths[number % self.lengths.len()];
                    if buffer.len() != bytes || !is_stamped(&buffer, *number) {
                        return Err(Error::Daemon(format!("object {number} came back with other bytes than were put")));
                    }
                }
            }
            Ok(())
        };
        let mut slice = Slice::default();
        slice.time(1, || {
            std::thread::scope(|scope| {
                let clients = stores.iter().enumerate().map(|(first, store)| scope.spawn(move || read(first, store)));
                let clients: Vec<_> = clients.collect();
                clients.into_iter().try_for_each(|client| client.join().expect("it doesn't panic"))
            })
        })?;
        bench.check()?;
        Ok(slice)
    }

    fn report(&self, figures: &Figures, scene: Scene<'_>) -> Vec<Row> {
        let Scene { ways, folder, bytes, .. } = scene;
        let unit = Unit::GigabytesPerSecond(bytes);
        let gib = bytes as f64 / f64::from(1 << 30);
        let row = |name, ours, theirs, way: &str| {
            Row::new(name, unit, ours)
                .reference("best direct loop", theirs)
                .bar(Bar::ratio_min(self.ratio_min))
                .note(format!("{gib} GiB in {}; the loop: {way}", self.what))
        };
        let (write, read) = (ways.write.name(), ways.read.name());
        let all_ways = format!("all loops in {}, {}", folder.display(), ways.note);
        let mut rows = vec![
            row(self.spill, &figures.spill, &figures.write, &write).note(all_ways),
            row(self.restore, &figures.restore, &figures.read, &read),
            row(self.restore_random, &figures.restore_random, &figures.read, &read),
        ];
        rows.extend(self.restore_many.map(|name| {
            row(name, &figures.restore_many, &figures.read, &read).note(format!("in no order, {MANY} in each get"))
        }));
        rows.extend(self.cached.map(|name| {
            Row::new(name, Unit::Share, &figures.cached)
                .bar(Bar::value_max(0.05))
                .note(format!("what the page cache holds of {gib} GiB that were just spilled"))
        }));
        rows
    }
}

impl Scene<'_> {
    /// The loop, over as many bytes.
    fn theirs(&self, figures: &mut Figures) -> Result<()> {
        let file = DiskFile::new(self.folder)?;
        let (mut write, mut read) = (Slice::default(), Slice::default());
        write.time(1, || file.write(self.ways.write, self.bytes))?;
        read.time(1, || file.read(self.ways.read, self.bytes))?;
        figures.write.push(write);
        figures.read.push(read);
        Ok(())
    }
}

/// Has an object's first and last bytes tell which one it is.
pub(super) fn stamp(object: &mut [u8], number: usize) {
    let number = number.to_le_bytes();
    let end = object.len() - number.len();
    object[..number.len()].copy_from_slice(&number);
    object[end..].copy_from_slice(&number);
}

pub(super) fn is_stamped(object: &[u8], number: usize) -> bool {
    let number = number.to_le_bytes();
    object.starts_with(&number) && object.ends_with(&number)
}

/// Half of the bytes in objects of 1 MiB, half in such of 16 MiB.
const LARGE: [usize; 17] = {
    let mut lengths = [1 << 20; 17];
    lengths[16] = 16 << 20;
    lengths
};
const WORKLOADS: [Workload; 2] = [
    Workload {
        spill: "spill",
        restore: "restore",
        restore_random: "restore_random",
        restore_many: None,
        cached: Some("spill_cached"),
        lengths: &LARGE,
        ratio_min: 0.8,
        what: "objects of 1 and of 16 MiB, as many bytes of both",
    },
    Workload {
        spill: "spill_64k",
        restore: "restore_64k",
        restore_random: "restore_64k_random",
        restore_many: Some("restore_64k_many"),
        cached: None,
        lengths: &[64 << 10],
        ratio_min: 0.5,
        what: "objects of 64 KiB",
    },
];
/// Objects in a get, where there are many: as many as the daemon reads at a time.
const MANY: usize = 16;
/// Of what a row may take: the arena, what is put, and the buffers of both sides.
const MEMORY_SHARE: u64 = 4;
const ARENA_BYTES_MAX: u64 = 512 << 20;
const ARENA_BYTES_MIN: u64 = 32 << 20;
/// So that what is spilled is a multiple of what all of a workload's lengths are together.
const ARENA_BYTES_STEP: u64 = 4 << 20;
/// So much is spilled in a round: 4 GiB, if there is memory and disk for it.
const ARENAS_SPILLED: u64 = 8;
pub(super) const MEMORY_BYTES: u64 = ARENA_BYTES_MIN * MEMORY_SHARE;
