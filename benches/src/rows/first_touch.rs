//! A large put into memory that the daemon has made present and this client has never touched.
//!
//! In huge pages a first touch costs next to nothing, so it is held to the best copy loop over memory that was written
//! before; in small ones, to a bare loop over present pages that are new to its mapping.

use plasmad_client::CreateOptions;

use super::large_puts::{best, source};
use crate::bench::Bench;
use crate::daemon::{stat, wait_for_memory};
use crate::error::Result;
use crate::limits::{CopyLoop, PresentMemory, Way};
use crate::row::{Bar, Row, Unit};
use crate::slice::Slice;

pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let source = source(BYTES as usize);
    let daemon = bench.daemon(&["--memory", &ARENA_BYTES.to_string(), "--populate", "all"])?;
    let store = daemon.connect()?;
    wait_for_memory(bench, &store, ARENA_BYTES)?;
    // The last stretch is counted a little after it is there.
    let is_huge = stat(&store, "/memory/huge_bytes")? >= BYTES / 10 * 9;
    let memory = PresentMemory::new(BYTES)?;
    let mut warm = CopyLoop::over(memory.map()?);
    warm.touch();
    let mut ours = Vec::new();
    let mut loops = Way::ALL.map(|way| (way, Vec::new()));
    let rounds = bench.rounds();
    for round in 0..rounds {
        bench.round("put_1g_first", round, rounds)?;
        // A new connection maps the arena anew.
        let store = daemon.connect()?;
        let mut slice = Slice::default();
        let id = slice.time(1, || store.put(&source, &CreateOptions::default()))?;
        ours.push(slice);
        store.delete(&[id])?;
        drop(store);
        for (way, slices) in &mut loops {
            bench.check()?;
            let mut cold = CopyLoop::over(memory.map()?);
            let copies = if is_huge { &mut warm } else { &mut cold };
            let mut slice = Slice::default();
            slice.time(1, || copies.copy(*way, &source));
            slices.push(slice);
        }
    }
    let unit = Unit::GigabytesPerSecond(BYTES);
    let (best, all) = best(unit, &loops);
    let (reference, pages) = match is_huge {
        true => ("best copy loop", "the store's memory is in huge pages"),
        false => ("best first-touch loop", "the store's memory is in small pages"),
    };
    let row = Row::new("put_1g_first", unit, &ours)
        .reference(reference, best)
        .bar(Bar::ratio_min(0.9))
        .note(format!("{pages}; {all}"));
    Ok(vec![row])
}

const BYTES: u64 = 1 << 30;
const ARENA_BYTES: u64 = 1040 << 20;
/// The arena, the loop's memory, and what is copied.
pub(super) const MEMORY_BYTES: u64 = 3200 << 20;
