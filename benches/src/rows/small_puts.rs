//! Puts of 1 KiB: many in a row, and each read back at once.

use std::hint::black_box;
use std::time::Duration;

use plasmad_client::{CreateOptions, Store, Timeout};
use plasmad_shm::copy::Method;

use super::Made;
use crate::bench::Bench;
use crate::daemon::{Daemon, engine_pid, wait_for_memory};
use crate::error::Result;
use crate::limits::{CopyLoop, Echo, ONE, Ring, Way};
use crate::placement::Placement;
use crate::row::{Bar, Row, Unit};
use crate::slice::{Budget, Slice};
use crate::syscalls::Operation;

pub(crate) fn measure(bench: &mut Bench<'_>, wanted: &[&str]) -> Result<Vec<Row>> {
    let daemon = bench.daemon(&["--memory", "1100MiB", "--populate", "all"])?;
    let store = daemon.connect()?;
    let mut rows = Vec::new();
    if wanted.contains(&"put_1k") {
        if daemon.is_own() {
            wait_for_memory(bench, &store, PUTS_MAX * BYTES as u64)?;
        }
        rows.push(put_1k(bench, &daemon, &store)?);
    }
    if wanted.contains(&"put_then_get") {
        rows.push(put_then_get(bench, &daemon, &store)?);
    }
    Ok(rows)
}

/// Up to a million, one after the other; they are deleted when the clock stands.
fn put_1k(bench: &mut Bench<'_>, daemon: &Daemon, store: &Store) -> Result<Row> {
    let options = CreateOptions::default();
    let source = [7; BYTES];
    let (mut memory, ring) = (CopyLoop::new(PUTS_MAX * BYTES as u64)?, Ring::new());
    memory.touch();
    let mut made = Made::new(store);
    made.ids.reserve(PUTS_MAX as usize);
    let rounds = bench.rounds();
    let pair = bench.pair(
        "put_1k",
        rounds,
        || {
            let slice = Slice::run(SUSTAINED, || {
                made.push(store.put(black_box(&source), &options)?);
                Ok(())
            })?;
            made.delete()?;
            Ok(slice)
        },
        || {
            Slice::run(SUSTAINED, || {
                memory.copy(Way { method: Method::Plain, threads: ONE }, black_box(&source));
                ring.push([BYTES as u64; 8]);
                Ok(())
            })
        },
    )?;
    Ok(Row::new("put_1k", Unit::Nanoseconds, &pair.ours)
        .reference("memcpy + ring push", &pair.theirs)
        .syscalls(bench.syscalls(Operation::Put1K, daemon)?)
        .bar(Bar::ratio_max(3.0).syscalls_max(0.01))
        .note("sustained, the copy over 1 GiB of present memory"))
}

/// What was put is there for a get that starts afterwards: the daemon must have heard of it by then.
fn put_then_get(bench: &mut Bench<'_>, daemon: &Daemon, store: &Store) -> Result<Row> {
    let options = CreateOptions::default();
    let source = [7; BYTES];
    let mut echo = Echo::start(bench)?;
    let placement = Placement::apart(&[], &[echo.pid(), engine_pid(store)?]);
    let trip = super::round_trips::get_lengths();
    let mut made = Made::new(store);
    let rounds = bench.rounds();
    let pair = bench.pair(
        "put_then_get",
        rounds,
        || {
            let slice = Slice::run(Budget::EACH, || {
                let id = store.put(&source, &options)?;
                drop(store.get(id, Timeout::NO_WAIT)?);
                made.push(id);
                Ok(())
            })?;
            made.delete()?;
            Ok(slice)
        },
        || Slice::run(Budget::EACH, || echo.round_trip(trip)),
    )?;
    Ok(Row::new("put_then_get", Unit::Microseconds, &pair.ours)
        .reference("1 bare round trip", &pair.theirs)
        .syscalls(bench.syscalls(Operation::PutThenGet, daemon)?)
        .note(format!("put of 1 KiB, get and release of the same; {}", placement.note())))
}

pub(super) const MEMORY_BYTES: u64 = 2400 << 20;
const BYTES: usize = 1024;
const PUTS_MAX: u64 = 1_000_000;
/// Long enough for a million at 400 ns.
const SUSTAINED: Budget = Budget { time: Duration::from_millis(400), operations_max: PUTS_MAX, ..Budget::batches(100) };
