//! How much of the disk is nobody's when most of what was spilled is deleted: what the spill folder holds beside what is
//! still wanted of it, when files have been rewritten, while a client goes on reading what is left.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use plasmad_client::{CreateOptions, ObjectId, Store, Timeout};

use super::Made;
use super::spilling::{is_stamped, stamp};
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::random::Random;
use crate::row::{Bar, Row, Unit};
use crate::slice::Slice;
use crate::statistics::median;

pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let arena = ARENA_BYTES.to_string();
    let (daemon, folder) = bench.spilling_daemon("delete_spilled", &["--memory", &arena], BYTES + BYTES / 4)?;
    let store = daemon.connect()?;
    let (mut shares, mut seconds, mut gets, mut slowest) = (Vec::new(), Vec::new(), 0, 0.0);
    let rounds = bench.rounds();
    for round in 0..rounds {
        bench.round("delete_spilled", round, rounds)?;
        let mut made = Made::new(&store);
        put(bench, &mut made)?;
        let kept = delete_most(&mut made, round as u64)?;
        let reading = daemon.connect()?;
        let is_over = AtomicBool::new(false);
        let (shrunk, read) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| read(&reading, &kept, &is_over));
            let shrunk = wait_until_shrunk(bench, &folder, kept.len() as u64 * OBJECT_BYTES as u64);
            is_over.store(true, Ordering::Relaxed);
            (shrunk, reader.join().expect("it doesn't panic"))
        });
        let (shrunk, read) = (shrunk?, read?);
        shares.push(Slice::of(shrunk.share));
        seconds.push(shrunk.seconds);
        gets += read.operations;
        slowest = read.samples.iter().copied().fold(slowest, f64::max);
    }
    let row = Row::new("delete_spilled", Unit::Share, &shares).bar(Bar::value_max(SHARE_MAX)).note(format!(
        "bytes in the folder beside those that are wanted, at most {} s after a random {} % of {} GiB were deleted; \
         {SHARE_MAX} after {:.1} s; {gets} gets meanwhile, the slowest took {:.0} ms",
        TIME_MAX.as_secs(),
        DELETED_PERCENT,
        BYTES >> 30,
        median(&seconds),
        slowest * 1000.0,
    ));
    Ok(vec![row])
}

/// Puts all objects, and returns when they are on disk alone.
fn put(bench: &Bench<'_>, made: &mut Made<'_>) -> Result<()> {
    let mut source = super::source(OBJECT_BYTES);
    for number in 0..BYTES as usize / OBJECT_BYTES {
        bench.check()?;
        stamp(&mut source, number);
        made.push(made.store.put(&source, &CreateOptions::default())?);
    }
    made.store.evict(u64::MAX)?;
    Ok(())
}

/// Deletes most of them at random; the others, with their numbers.
fn delete_most(made: &mut Made<'_>, seed: u64) -> Result<Vec<(usize, ObjectId)>> {
    let mut all: Vec<(usize, ObjectId)> = made.ids.iter().copied().enumerate().collect();
    Random::new(seed).shuffle(&mut all);
    let kept = all.split_off(all.len() * DELETED_PERCENT / 100);
    let deleted: Vec<ObjectId> = all.into_iter().map(|(_, id)| id).collect();
    made.store.delete(&deleted)?;
    Ok(kept)
}

/// Gets of what is left, one after the other, until it is over.
fn read(store: &Store, kept: &[(usize, ObjectId)], is_over: &AtomicBool) -> Result<Slice> {
    let mut slice = Slice::default();
    for (number, id) in kept.iter().cycle() {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let buffer = slice.time(1, || store.get(*id, Timeout::None))?;
        if !is_stamped(&buffer, *number) {
            return Err(Error::Daemon(format!("object {number} came back with other bytes than were put")));
        }
    }
    Ok(slice)
}

/// What became of the folder.
struct Shrunk {
    /// What it holds beside what is wanted.
    share: f64,
    /// How long it took until that was little enough.
    seconds: f64,
}

/// Returns when the folder hasn't shrunk for a while, or the time is up.
fn wait_until_shrunk(bench: &Bench<'_>, folder: &Path, wanted_bytes: u64) -> Result<Shrunk> {
    let start = Instant::now();
    let mut shrunk = Shrunk { share: f64::MAX, seconds: TIME_MAX.as_secs_f64() };
    let mut last_change = start;
    while start.elapsed() < TIME_MAX && last_change.elapsed() < QUIET_TIME {
        bench.check()?;
        let share = folder_bytes(folder).map_err(Error::system("the spill folder"))? as f64 / wanted_bytes as f64;
        if share > SHARE_MAX {
            shrunk.seconds = TIME_MAX.as_secs_f64();
        } else if shrunk.share > SHARE_MAX {
            shrunk.seconds = start.elapsed().as_secs_f64();
        }
        if share != shrunk.share {
            last_change = Instant::now();
        }
        shrunk.share = share;
        sleep(Duration::from_millis(20));
    }
    Ok(shrunk)
}

/// What all files of a folder take of the disk.
fn folder_bytes(folder: &Path) -> std::io::Result<u64> {
    let blocks = fs::read_dir(folder)?.map(|entry| match entry?.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        found => Ok(found?.blocks()),
    });
    Ok(blocks.sum::<std::io::Result<u64>>()? * 512)
}

const ARENA_BYTES: u64 = 512 << 20;
/// The arena and what is put.
pub(super) const MEMORY_BYTES: u64 = ARENA_BYTES + (16 << 20);
const OBJECT_BYTES: usize = 1 << 20;
const BYTES: u64 = 4 << 30;
const DELETED_PERCENT: usize = 70;
const SHARE_MAX: f64 = 1.6;
const TIME_MAX: Duration = Duration::from_secs(10);
/// Rewriting a file and removing it takes less.
const QUIET_TIME: Duration = Duration::from_secs(1);
