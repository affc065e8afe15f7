//! Large puts beside the best copy loop this machine has, both into memory that is present and was written before.
//!
//! Same source, places rotating over 2 GiB on either side. The best loop is the way with the highest median.

use std::time::Duration;

use plasmad_client::{CreateOptions, ObjectId, Store};

use crate::bench::Bench;
use crate::daemon::{Daemon, wait_for_memory};
use crate::error::Result;
use crate::limits::{CopyLoop, Way};
use crate::row::{Bar, Row, Unit};
use crate::slice::{Budget, Slice};
use crate::statistics::median;
use crate::syscalls::Operation;

pub(crate) fn measure(bench: &mut Bench<'_>, wanted: &[&str]) -> Result<Vec<Row>> {
    let wanted: Vec<&Size> = SIZES.iter().filter(|size| wanted.contains(&size.row)).collect();
    let largest = wanted.iter().map(|size| size.bytes).max().unwrap_or(0);
    let source = source(largest.max(SIZES[1].bytes));
    let arena = format!("{ROTATION_BYTES}");
    let daemon = bench.daemon(&["--memory", &arena, "--populate", "all"])?;
    let store = daemon.connect()?;
    wait_for_memory(bench, &store, ROTATION_BYTES)?;
    let mut copies = CopyLoop::new(ROTATION_BYTES)?;
    copies.touch();
    let mut puts = Puts { store, made: Vec::new() };
    // Every page of the arena is written once before anything counts.
    (0..places(SIZES[1].bytes)).try_for_each(|_| {
        bench.check()?;
        puts.put(&source[..SIZES[1].bytes], &mut Slice::default())
    })?;
    puts.clear()?;
    let mut rows = Vec::new();
    for size in wanted {
        rows.push(put(bench, &daemon, size, &mut puts, &mut copies, &source[..size.bytes])?);
    }
    Ok(rows)
}

struct Size {
    row: &'static str,
    bytes: usize,
    bar: Option<Bar>,
    /// Counting needs many of them in the arena at once.
    counted: Option<Operation>,
}

fn put(
    bench: &mut Bench<'_>,
    daemon: &Daemon,
    size: &Size,
    puts: &mut Puts,
    copies: &mut CopyLoop,
    source: &[u8],
) -> Result<Row> {
    let mut ours = Vec::new();
    let mut loops = Way::ALL.map(|way| (way, Vec::new()));
    let rounds = bench.rounds();
    for round in 0..rounds {
        bench.round(size.row, round, rounds)?;
        let mut slice = Slice::default();
        while !BUDGET.is_spent(&slice) {
            puts.put(source, &mut slice)?;
        }
        ours.push(slice);
        for (way, slices) in &mut loops {
            slices.push(Slice::run(BUDGET, || {
                copies.copy(*way, source);
                Ok(())
            })?);
        }
    }
    puts.clear()?;
    let unit = Unit::GigabytesPerSecond(source.len() as u64);
    let (best, all) = best(unit, &loops);
    let mut row = Row::new(size.row, unit, &ours).reference("best copy loop", best).note(all);
    if let Some(operation) = size.counted {
        row = row.syscalls(bench.syscalls(operation, daemon)?);
    }
    Ok(match size.bar {
        Some(bar) => row.bar(bar),
        None => row,
    })
}

/// The rounds of the way with the highest median, and a note of all.
pub(super) fn best(unit: Unit, loops: &[(Way, Vec<Slice>)]) -> (&[Slice], String) {
    let rate = |slices: &[Slice]| median(&unit.values(slices));
    let all: Vec<String> = loops.iter().map(|(way, slices)| format!("{} {:.1}", way.name(), rate(slices))).collect();
    let (_, best) = loops.iter().max_by(|a, b| rate(&a.1).total_cmp(&rate(&b.1))).expect("there are ways to copy");
    (best, format!("loops: {}", all.join(", ")))
}

/// Bytes that aren't all the same, so that every page of theirs is present.
pub(crate) fn source(bytes: usize) -> Vec<u8> {
    let mut source = vec![0; bytes];
    source.chunks_mut(64).enumerate().for_each(|(at, some)| some.fill(at as u8));
    source
}

struct Puts {
    store: Store,
    made: Vec<ObjectId>,
}

impl Puts {
    /// The oldest object makes room first, so that places rotate; only the put is under the clock.
    fn put(&mut self, source: &[u8], slice: &mut Slice) -> Result<()> {
        if self.made.len() == places(source.len()) {
            let oldest = self.made.remove(0);
            self.store.delete(&[oldest])?;
        }
        let put = slice.time(1, || self.store.put(source, &CreateOptions::default()))?;
        self.made.push(put);
        Ok(())
    }

    fn clear(&mut self) -> Result<()> {
        let made = std::mem::take(&mut self.made);
        self.store.delete(&made)?;
        Ok(())
    }
}

/// How many of this size the arena holds.
fn places(bytes: usize) -> usize {
    ROTATION_BYTES as usize / bytes
}

const SIZES: [Size; 3] = [
    Size { row: "put_1m", bytes: 1 << 20, bar: None, counted: Some(Operation::Put1M) },
    Size { row: "put_100m", bytes: 100 << 20, bar: Some(Bar::ratio_min(0.95)), counted: Some(Operation::Put100M) },
    Size { row: "put_1g", bytes: 1 << 30, bar: Some(Bar::ratio_min(0.95)), counted: None },
];
/// 21 objects of 100 MiB, 2 of 1 GiB: more than any cache holds.
const ROTATION_BYTES: u64 = 2100 << 20;
/// The arena, the copy loop's memory, and 1 GiB to copy from.
pub(super) const MEMORY_BYTES: u64 = 2 * ROTATION_BYTES + (1 << 30);
const BUDGET: Budget = Budget { time: Duration::from_millis(50), ..Budget::EACH };
