//! A large put into memory that the daemon has made present and this client has never touched, beside a bare loop
//! over present pages that are new to its mapping.

use plasmad_client::CreateOptions;

use super::large_puts::{best, source};
use crate::bench::Bench;
use crate::daemon::wait_for_memory;
use crate::error::Result;
use crate::limits::{CopyLoop, PresentMemory, Way};
use crate::row::{Bar, Row, Unit};
use crate::slice::Slice;

pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let source = source(BYTES as usize);
    let daemon = bench.daemon(&["--memory", "1040MiB", "--populate", "all"])?;
    wait_for_memory(bench, &daemon.connect()?, BYTES)?;
    let memory = PresentMemory::new(BYTES)?;
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
            let mut copies = CopyLoop::over(memory.map()?);
            let mut slice = Slice::default();
            slice.time(1, || copies.copy(*way, &source));
            slices.push(slice);
        }
    }
    let unit = Unit::GigabytesPerSecond(BYTES);
    let (best, all) = best(unit, &loops);
    let row = Row::new("put_1g_first", unit, &ours)
        .reference("best first-touch loop", best)
        .bar(Bar::ratio_min(0.9))
        .note(all);
    Ok(vec![row])
}

const BYTES: u64 = 1 << 30;
/// The arena, the loop's memory, and what is copied.
pub(super) const MEMORY_BYTES: u64 = 3200 << 20;
