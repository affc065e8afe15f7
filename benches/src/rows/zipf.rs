//! Gets from twice as much as memory holds, some objects wanted much more often than others, beside what a program
//! would make of the same memory by itself: its own cache over one file, least recently used first, read past the page
//! cache.
//!
//! That tells what a get of the store costs beyond the disk and the choice of what stays; a daemon with memory for all
//! would only tell how slow the disk is.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use plasmad_client::{CreateOptions, Store, Timeout};
use plasmad_core::arena::Allocator;
use plasmad_wire::Extent;

use super::Made;
use super::spilling::{is_stamped, stamp};
use crate::bench::Bench;
use crate::daemon::stat;
use crate::disk::{DiskFile, DiskWay};
use crate::error::{Error, Result};
use crate::limits::CopyLoop;
use crate::random::Random;
use crate::row::{Row, Unit};
use crate::slice::{Budget, Slice};

pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let arena = ARENA_BYTES.to_string();
    let (daemon, folder) = bench.spilling_daemon("zipf_2x", &["--memory", &arena], 2 * SET_BYTES)?;
    let store = daemon.connect()?;
    let lengths = lengths();
    let mut made = Made::new(&store);
    let mut source = super::source(LENGTH_MAX as usize);
    for (number, bytes) in lengths.iter().enumerate() {
        bench.check()?;
        stamp(&mut source[..*bytes as usize], number);
        made.push(store.put(&source[..*bytes as usize], &CreateOptions::default())?);
    }
    let mut cache = Cache::new(&folder, &lengths)?;
    let popularity = Popularity::new(lengths.len());
    // Both see the same gets. Ours begins with what the puts left in memory, as a program's store would.
    let mut ours = popularity.trace();
    let mut theirs = popularity.trace();
    for _ in 0..WARM_UP_GETS {
        get(&store, &made, ours())?;
        cache.get(theirs())?;
    }
    let (before, missed_before) = (stat(&store, READ)?, cache.missed_bytes);
    let rounds = bench.rounds();
    let pair = bench.pair(
        "zipf_2x",
        rounds,
        || Slice::run(BUDGET, || get(&store, &made, ours())),
        || Slice::run(BUDGET, || cache.get(theirs())),
    )?;
    let gets = |slices: &[Slice]| slices.iter().map(|slice| slice.operations).sum::<u64>() as f64 * 1024.0;
    let per_get = |bytes: u64, slices: &[Slice]| bytes as f64 / gets(slices);
    let ours = per_get(stat(&store, READ)? - before, &pair.ours);
    let theirs = per_get(cache.missed_bytes - missed_before, &pair.theirs);
    let row = Row::new("zipf_2x", Unit::PerSecond, &pair.ours)
        .reference("an LRU cache of its own", &pair.theirs)
        .note(format!("get, touch, release; {} objects of 64 KiB to 1 MiB, Zipf {EXPONENT}", lengths.len()))
        .note(format!("read from disk for a get: {ours:.0} KiB, the other {theirs:.0} KiB"));
    Ok(vec![row])
}

fn get(store: &Store, made: &Made<'_>, number: usize) -> Result<()> {
    let buffer = store.get(made.ids[number], Timeout::None)?;
    touch(&buffer, number)
}

/// A byte of each page, and that it is the object that was wanted.
fn touch(object: &[u8], number: usize) -> Result<()> {
    std::hint::black_box(object.iter().step_by(4096).fold(0u8, |sum, byte| sum.wrapping_add(*byte)));
    match is_stamped(object, number) {
        true => Ok(()),
        false => Err(Error::Daemon(format!("object {number} came back with other bytes than were put"))),
    }
}

/// Lengths of all objects: whole blocks, each as likely as the other, as many as make up the set.
fn lengths() -> Vec<u64> {
    let (mut random, mut left, mut lengths) = (Random::new(1), SET_BYTES, Vec::new());
    while left > 0 {
        let bytes = (LENGTH_MIN * (1 + random.below(LENGTH_MAX / LENGTH_MIN))).min(left);
        lengths.push(bytes);
        left -= bytes;
    }
    lengths
}

/// How often each object is wanted.
struct Popularity {
    /// The share of gets that want an object of this rank or a better one.
    up_to: Vec<f64>,
    /// Which object has which rank.
    ranked: Vec<usize>,
}

impl Popularity {
    fn new(objects: usize) -> Self {
        let weights: Vec<f64> = (1..=objects).map(|rank| (rank as f64).powf(-EXPONENT)).collect();
        let all: f64 = weights.iter().sum();
        let up_to = weights.iter().scan(0.0, |sum, weight| {
            *sum += weight / all;
            Some(*sum)
        });
        let mut ranked: Vec<usize> = (0..objects).collect();
        Random::new(2).shuffle(&mut ranked);
        Self { up_to: up_to.collect(), ranked }
    }

    /// Objects as they are wanted, the same in every trace.
    fn trace(&self) -> impl FnMut() -> usize + use<'_> {
        let mut random = Random::new(3);
        move || {
            let share = random.share();
            let rank = self.up_to.partition_point(|up_to| *up_to <= share);
            self.ranked[rank.min(self.ranked.len() - 1)]
        }
    }
}

/// Objects of a file in this process's own memory, as many as fit.
struct Cache {
    file: DiskFile,
    /// Where each object begins in the file, and how long it is.
    places: Vec<(u64, u64)>,
    memory: CopyLoop,
    arena: Allocator,
    /// Where each object that is in memory lies, the most recently used last.
    held: lru::LruCache<usize, Extent>,
    missed_bytes: u64,
}

impl Cache {
    fn new(folder: &Path, lengths: &[u64]) -> Result<Self> {
        let places = lengths.iter().scan(0, |end, bytes| {
            *end += bytes;
            Some((*end - bytes, *bytes))
        });
        let places: Vec<(u64, u64)> = places.collect();
        let file = DiskFile::new(folder)?;
        file.write(DiskWay { block_bytes: 1 << 20, threads: 1 }, SET_BYTES)?;
        let mut memory = CopyLoop::new(ARENA_BYTES)?;
        memory.touch();
        for (number, (offset, bytes)) in places.iter().enumerate() {
            let block = memory.place(0, *bytes as usize);
            stamp(block, number);
            file.file().write_all_at(block, *offset).map_err(Error::system("a bare write to the disk"))?;
        }
        let (arena, held) = (Allocator::new(ARENA_BYTES), lru::LruCache::unbounded());
        Ok(Self { file, places, memory, arena, held, missed_bytes: 0 })
    }

    fn get(&mut self, number: usize) -> Result<()> {
        let extent = match self.held.get(&number) {
            Some(extent) => *extent,
            None => self.fetch(number)?,
        };
        touch(self.memory.place(extent.offset as usize, extent.bytes as usize), number)
    }

    /// Reads an object into memory, in the place of those that were used least recently.
    fn fetch(&mut self, number: usize) -> Result<Extent> {
        let (offset, bytes) = self.places[number];
        let extent = loop {
            match self.arena.allocate(bytes) {
                Some(extent) => break extent,
                None => self.arena.free(self.held.pop_lru().expect("a whole arena holds any object").1),
            }
        };
        let place = self.memory.place(extent.offset as usize, bytes as usize);
        self.file.file().read_exact_at(place, offset).map_err(Error::system("a bare read from the disk"))?;
        self.held.put(number, extent);
        self.missed_bytes += bytes;
        Ok(extent)
    }
}

const ARENA_BYTES: u64 = 512 << 20;
const SET_BYTES: u64 = 2 * ARENA_BYTES;
const LENGTH_MIN: u64 = 64 << 10;
const LENGTH_MAX: u64 = 1 << 20;
const EXPONENT: f64 = 0.99;
const WARM_UP_GETS: usize = 10_000;
const BUDGET: Budget = Budget { time: Duration::from_secs(1), ..Budget::EACH };
/// The arena, the cache's memory, and what is put.
pub(super) const MEMORY_BYTES: u64 = 2 * ARENA_BYTES + (64 << 20);
const READ: &str = "/spill/read_bytes_total";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_wanted_of_a_thousand_is_wanted_every_seventh_time() {
        let popularity = Popularity::new(1000);
        let mut next = popularity.trace();
        let mut wanted = vec![0u32; 1000];
        (0..100_000).for_each(|_| wanted[next()] += 1);
        // The sum of all weights is 7.73; the most wanted weighs 1, the second half of all together 0.74.
        let most = wanted[popularity.ranked[0]];
        assert!((12_400..13_500).contains(&most), "{most}");
        let seldom: u32 = popularity.ranked[500..].iter().map(|object| wanted[*object]).sum();
        assert!((8_900..10_300).contains(&seldom), "{seldom}");
    }

    #[test]
    fn the_cache_gives_what_the_file_has_and_reads_only_what_it_does_not_hold() {
        let lengths = lengths();
        assert_eq!(lengths.iter().sum::<u64>(), SET_BYTES);
        let mut cache = Cache::new(Path::new("/var/tmp"), &lengths).unwrap();
        for number in (0..lengths.len()).chain([lengths.len() - 1]) {
            cache.get(number).unwrap();
        }
        assert_eq!(cache.missed_bytes, SET_BYTES, "each once, the last one twice from memory");
        cache.get(0).unwrap();
        assert_eq!(cache.missed_bytes, SET_BYTES + lengths[0], "the first was used least recently");
    }
}
