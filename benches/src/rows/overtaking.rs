//! A large put into memory that nobody has made present yet, right after a daemon's start, beside the least that this
//! can cost: a bare loop that makes as much memory present and copies nothing.
//!
//! The daemon populates meanwhile, at its low priority, and goes on behind the object, as it does whenever somebody
//! overtakes it.

use std::fs::File;

use plasmad_client::CreateOptions;
use plasmad_shm::{memfd, populate};

use super::large_puts::source;
use crate::bench::Bench;
use crate::daemon::stat;
use crate::error::{Error, Result};
use crate::row::{Bar, Row, Unit};
use crate::slice::Slice;
use crate::statistics::median;

pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let source = source(BYTES as usize);
    let (mut ours, mut theirs, mut present) = (Vec::new(), Vec::new(), Vec::new());
    let rounds = bench.rounds();
    for round in 0..rounds {
        bench.round("put_overtaking", round, rounds)?;
        theirs.push(populate_bare()?);
        bench.check()?;
        let daemon = bench.daemon(&["--memory", "3GiB"])?;
        let store = daemon.connect()?;
        present.push(stat(&store, "/memory/populated_bytes")? as f64);
        let mut slice = Slice::default();
        slice.time(1, || store.put(&source, &CreateOptions::default()))?;
        ours.push(slice);
    }
    let ahead = median(&present) / f64::from(1 << 20);
    let row = Row::new("put_overtaking", Unit::GigabytesPerSecond(BYTES), &ours)
        .reference("bare MADV_POPULATE_WRITE loop", &theirs)
        .bar(Bar::ratio_min(0.9))
        .note(format!("{ahead:.0} MiB were present when the put began"));
    Ok(vec![row])
}

/// New memory is made present, as much at a time as the daemon does.
fn populate_bare() -> Result<Slice> {
    let system = |error| Error::system(format!("{BYTES} bytes of shared memory"))(error);
    let file = File::from(memfd::create("plasmad-bench", BYTES).map_err(system)?);
    let mut slice = Slice::default();
    slice
        .time(1, || {
            let mut pieces = (0..BYTES).step_by(PIECE_BYTES as usize);
            pieces.try_for_each(|offset| populate::populate(&file, offset, PIECE_BYTES))
        })
        .map_err(system)?;
    Ok(slice)
}

const BYTES: u64 = 1 << 30;
const PIECE_BYTES: u64 = 16 << 20;
/// What is copied, and the arena: the object, and what is kept ahead of use behind it.
pub(super) const MEMORY_BYTES: u64 = 3200 << 20;
