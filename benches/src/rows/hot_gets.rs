//! Get and release of small sealed objects, beside look-ups of the same ids in a hash map of this process.

use std::collections::HashMap;
use std::hint::black_box;

use plasmad_client::{ObjectId, Reader, Timeout};

use super::Made;
use crate::bench::Bench;
use crate::error::Result;
use crate::row::{Bar, Row, Unit};
use crate::slice::{Budget, Slice};
use crate::syscalls::Operation;

/// A thousand objects, one after the other, again and again: all that is touched stays in the cache.
pub(crate) fn get_hot(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let rounds = bench.rounds();
    measure(bench, Workload { row: "get_hot", objects: 1000, rounds, stride: 1, ratio_max: 1.2 })
}

/// Half a million objects in an order that no prefetcher guesses.
pub(crate) fn get_random(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    // A cache miss more or less is decided by where pages lie, so more rounds are needed to say something.
    let rounds = bench.rounds().max(15);
    // Prime, and near the golden ratio of the whole: every object comes once before any comes again.
    measure(bench, Workload { row: "get_random", objects: 500_000, rounds, stride: 309_017, ratio_max: 1.5 })
}

struct Workload {
    row: &'static str,
    objects: usize,
    rounds: usize,
    /// From one object to the next.
    stride: usize,
    ratio_max: f64,
}

fn measure(bench: &mut Bench<'_>, workload: Workload) -> Result<Vec<Row>> {
    let Workload { row, objects, rounds, stride, ratio_max } = workload;
    let daemon = bench.daemon(&["--memory", "128MiB"])?;
    let store = daemon.connect()?;
    let mut made = Made::new(&store);
    made.put_small(bench, objects)?;
    let map: HashMap<ObjectId, [u8; 16]> = made.ids.iter().map(|id| (*id, [1; 16])).collect();
    // Both sides read the ids in the same order, from a list that is walked from its front.
    let order: Vec<ObjectId> = (0..objects).map(|at| made.ids[at * stride % objects]).collect();
    let reader = store.reader()?;
    let (mut ours, mut theirs) = (Walk::new(&order), Walk::new(&order));
    let pair = bench.pair(
        row,
        rounds,
        || Slice::run(Budget::batches(BATCH), || get(&reader, ours.next())),
        || {
            Slice::run(Budget::batches(BATCH), || {
                black_box(map.get(black_box(theirs.next())));
                Ok(())
            })
        },
    )?;
    let syscalls = bench.syscalls(Operation::Get, &daemon)?;
    let measured = Row::new(row, Unit::Nanoseconds, &pair.ours)
        .reference("std HashMap look-up", &pair.theirs)
        .syscalls(syscalls)
        .bar(Bar::ratio_max(ratio_max).syscalls_max(0.0))
        .note(format!("get + release of 64 B through a Reader, {objects} objects"));
    Ok(vec![measured])
}

#[inline]
fn get(reader: &Reader, id: &ObjectId) -> Result<()> {
    let view = reader.get(*id, Timeout::NO_WAIT)?;
    // The bytes, as the map's side has them: a view that had to lie in memory would cost what no reader pays.
    black_box(&view[..]);
    Ok(())
}

/// Round and round through a list.
struct Walk<'a> {
    order: &'a [ObjectId],
    at: usize,
}

impl<'a> Walk<'a> {
    fn new(order: &'a [ObjectId]) -> Self {
        Self { order, at: 0 }
    }

    fn next(&mut self) -> &'a ObjectId {
        let id = &self.order[self.at];
        self.at = if self.at + 1 == self.order.len() { 0 } else { self.at + 1 };
        id
    }
}

const BATCH: u64 = 1000;
