//! What spilling costs those whose objects are in memory: gets of hot objects and small puts, while another client puts
//! as much as the disk takes.
//!
//! Gets are beside the same gets while a bare loop writes to the same disk at the same rate: whoever shares a machine with
//! a disk that is written to pays that. Puts are beside the same puts in the same store, when it has nothing to write.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use plasmad_client::{CreateOptions, ObjectId, Store, Timeout};
use plasmad_shm::populate;

use super::Made;
use crate::bench::Bench;
use crate::daemon::{Daemon, stat};
use crate::disk::{DiskFile, DiskWay};
use crate::error::{Error, Result};
use crate::helper::{Helper, write_line};
use crate::row::{Bar, Row, Unit};
use crate::slice::{Budget, Slice};

pub(crate) fn measure(bench: &mut Bench<'_>, wanted: &[&str]) -> Result<Vec<Row>> {
    let arena = ARENA_BYTES.to_string();
    let (daemon, folder) = bench.spilling_daemon(wanted[0], &["--memory", &arena], LIVE_BYTES + RING_BYTES)?;
    let mut rows = Vec::new();
    if wanted.contains(&"gets_while_spilling") {
        rows.push(gets(bench, &daemon, &folder)?);
    }
    if wanted.contains(&"puts_while_spilling") {
        rows.push(puts(bench, &daemon)?);
    }
    Ok(rows)
}

/// Batches of gets, of which a round's figure is the 99th percentile.
fn gets(bench: &mut Bench<'_>, daemon: &Daemon, folder: &Path) -> Result<Row> {
    let store = daemon.connect()?;
    let mut made = Made::new(&store);
    made.put_small(bench, HOT_OBJECTS)?;
    let reader = store.reader()?;
    let mut next = made.ids.iter().cycle();
    // One that nobody wanted for a while may have been spilled, and is waited for.
    let mut get = || -> Result<()> {
        drop(reader.get(*next.next().expect("without end"), Timeout::None)?);
        Ok(())
    };
    let mut slice = || {
        (0..HOT_OBJECTS).try_for_each(|_| get())?;
        Slice::run(GETS, &mut get)
    };
    let (mut ours, mut theirs, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    let rounds = bench.rounds();
    for round in 0..rounds {
        bench.round("gets_while_spilling", round, rounds)?;
        let mut spiller = Spiller::start(bench, daemon)?;
        let (before, start) = (stat(&store, WRITTEN)?, Instant::now());
        ours.push(slice()?.at_percentile_99());
        let rate = (stat(&store, WRITTEN)? - before) as f64 / start.elapsed().as_secs_f64();
        spiller.stop()?;
        let mut writer = bench.helper(&["write", &folder.to_string_lossy(), &rate.to_string()])?;
        writer.read_line()?;
        theirs.push(slice()?.at_percentile_99());
        rates.push(rate);
    }
    let rate = crate::statistics::median(&rates) / 1e9;
    Ok(Row::new("gets_while_spilling", Unit::Nanoseconds, &ours)
        .reference("beside a bare writer", &theirs)
        .bar(Bar::ratio_max(2.0))
        .note(format!("p99 over batches of {BATCH} gets of {HOT_OBJECTS} objects, while {rate:.2} GB/s are spilled")))
}

fn puts(bench: &mut Bench<'_>, daemon: &Daemon) -> Result<Row> {
    let store = daemon.connect()?;
    let mut made = Made::new(&store);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let rounds = bench.rounds();
    for round in 0..rounds {
        bench.round("puts_while_spilling", round, rounds)?;
        theirs.push(small_puts(&mut made)?);
        let mut spiller = Spiller::start(bench, daemon)?;
        ours.push(small_puts(&mut made)?);
        spiller.stop()?;
    }
    Ok(Row::new("puts_while_spilling", Unit::PerSecond, &ours)
        .reference("nothing is spilled", &theirs)
        .bar(Bar::ratio_min(0.5))
        .note(format!("puts of {SMALL_BYTES} bytes, {PUTS_AT_ONCE} in a row, deleted when the clock stands")))
}

/// So few at a time that they don't fill the memory themselves.
fn small_puts(made: &mut Made<'_>) -> Result<Slice> {
    let (options, source, mut slice) = (CreateOptions::default(), [7; SMALL_BYTES], Slice::default());
    while slice.seconds < PUTS_TIME.as_secs_f64() {
        for _ in 0..PUTS_AT_ONCE / BATCH {
            slice.time(BATCH, || -> Result<()> {
                for _ in 0..BATCH {
                    made.push(made.store.put(&source, &options)?);
                }
                Ok(())
            })?;
        }
        made.delete()?;
    }
    Ok(slice)
}

/// A client that keeps the disk busy.
struct Spiller(Helper);

impl Spiller {
    /// Starts it, and returns when what it puts has to be written.
    fn start(bench: &Bench<'_>, daemon: &Daemon) -> Result<Self> {
        let mut helper = bench.helper(&["spill", &daemon.socket_text()])?;
        helper.read_line()?;
        Ok(Self(helper))
    }

    /// Returns when it has deleted all it put.
    fn stop(&mut self) -> Result<()> {
        self.0.write_line("stop")?;
        self.0.read_line().map(drop)
    }
}

/// The client: puts, and deletes the oldest of what it put, which is on disk by then. Says so when memory is full, and
/// ends when it is told to.
pub(crate) fn spill(mut channel: UnixStream, socket: &str) -> Result<()> {
    run_apart()?;
    let store = Store::connect(socket)?;
    let source = super::source(OBJECT_BYTES);
    let mut made: std::collections::VecDeque<ObjectId> = Default::default();
    channel.set_nonblocking(true).map_err(Error::system("a helper's channel"))?;
    let mut bytes = 0;
    while is_silent(&mut channel)? {
        made.push_back(store.put(&source, &CreateOptions::default())?);
        bytes += OBJECT_BYTES as u64;
        if bytes == 2 * ARENA_BYTES {
            write_line(&mut channel, "busy")?;
        }
        if made.len() as u64 * OBJECT_BYTES as u64 > LIVE_BYTES {
            let oldest: Vec<ObjectId> = made.drain(..DELETED_AT_ONCE).collect();
            store.delete(&oldest)?;
        }
    }
    store.delete(made.make_contiguous())?;
    write_line(&mut channel, "idle")
}

/// What is looked for is what the daemon takes, not what becomes of two processors that three busy processes share: so
/// what keeps the disk busy has no more right to them than the daemon's own writers.
fn run_apart() -> Result<()> {
    populate::lower_thread_priority(NICE).map_err(Error::system("a lower priority"))
}

/// Nothing was said at the other end, and it is there.
fn is_silent(channel: &mut UnixStream) -> Result<bool> {
    match channel.read(&mut [0; 16]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        other => other.map(|_| false).map_err(Error::system("a helper's channel")),
    }
}

/// The bare writer: so many bytes a second, by as many threads as the store has for it, until it is ended.
pub(crate) fn write(mut channel: UnixStream, folder: &str, rate: &str) -> Result<()> {
    let rate: f64 = rate.parse().map_err(|_| Error::Helper(format!("{rate:?} is no rate")))?;
    run_apart()?;
    let file = DiskFile::new(Path::new(folder))?;
    file.write(WRITER, RING_BYTES)?;
    let start = Instant::now();
    write_line(&mut channel, "busy")?;
    let written = file.drive(WRITER, u64::MAX, |at, block| {
        let due = Duration::from_secs_f64(at as f64 / rate);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        file.file().write_all_at(block, at % RING_BYTES)
    });
    written.map_err(Error::system("a bare write to the disk"))
}

const ARENA_BYTES: u64 = 256 << 20;
/// The arena and what both helpers write from.
pub(super) const MEMORY_BYTES: u64 = ARENA_BYTES + (64 << 20);
const NICE: i32 = 10;
const HOT_OBJECTS: usize = 1000;
const BATCH: u64 = 1000;
const GETS: Budget = Budget { time: Duration::from_millis(1500), ..Budget::batches(BATCH) };
const SMALL_BYTES: usize = 1024;
const PUTS_AT_ONCE: u64 = 20_000;
const PUTS_TIME: Duration = Duration::from_millis(600);
const OBJECT_BYTES: usize = 1 << 20;
/// What the client leaves on disk.
const LIVE_BYTES: u64 = 2 << 30;
const DELETED_AT_ONCE: usize = 64;
/// What the bare writer writes again and again.
const RING_BYTES: u64 = 1 << 30;
/// As the daemon does it.
const WRITER: DiskWay = DiskWay { block_bytes: 4 << 20, threads: 2 };
const WRITTEN: &str = "/spill/written_bytes_total";
