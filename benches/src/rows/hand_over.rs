//! An object from one process to another that is waiting for it.
//!
//! There and back, since two processes share no stop watch: this one puts what the other waits for, the other puts
//! what this one waits for. Half of that is one hand-over. On its way it wakes the daemon, and the daemon wakes the
//! one who waits; a bare round trip wakes twice, too.

use std::time::Duration;

use plasmad_client::{CreateOptions, ObjectId, Store, Timeout};

use super::Made;
use crate::bench::Bench;
use crate::daemon::engine_pid;
use crate::error::{Error, Result};
use crate::limits::Echo;
use crate::placement::Placement;
use crate::row::{Bar, Row, Unit};
use crate::slice::{Budget, Slice};

pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let daemon = bench.daemon(&["--memory", "64MiB"])?;
    let store = daemon.connect()?;
    let first = store.next_id()?;
    let other = bench.helper(&["answer", &daemon.socket_text(), &first.to_string()])?;
    let mut echo = Echo::start(bench)?;
    let placement = Placement::apart(&[other.pid()], &[echo.pid(), engine_pid(&store)?]);
    let trip = super::round_trips::get_lengths();
    let (mut number, mut made) = (0, Made::new(&store));
    let mut there_and_back = || {
        let [there, back] = ids(first, number);
        number += 1;
        // The other process may be late, or die: both are deleted whatever is there.
        made.ids.extend([there, back]);
        put(&store, there)?;
        drop(store.get(back, PATIENCE)?);
        Ok(())
    };
    // The other process connects in its own time.
    there_and_back()?;
    let rounds = bench.rounds();
    let pair = bench.pair(
        "hand_over",
        rounds,
        || Slice::run(Budget::EACH, &mut there_and_back).map(halved),
        || Slice::run(Budget::EACH, || echo.round_trip(trip)),
    )?;
    drop(other);
    let row = Row::new("hand_over", Unit::Microseconds, &pair.ours)
        .reference("1 bare round trip", &pair.theirs)
        .bar(Bar::ratio_max(1.3))
        .note(format!("64 B, half of there and back; {}", placement.note()));
    Ok(vec![row])
}

/// The other process: waits for what comes, and hands something back.
pub(crate) fn answer(socket: &str, first: &str) -> Result<()> {
    let store = Store::connect(socket)?;
    let first = ObjectId::from_hex(first).ok_or_else(|| Error::Helper(format!("{first:?} is no id")))?;
    for number in 0.. {
        let [there, back] = ids(first, number);
        drop(store.get(there, PATIENCE)?);
        put(&store, back)?;
    }
    Ok(())
}

fn put(store: &Store, id: ObjectId) -> Result<()> {
    store.put(&[7; 64], &CreateOptions { id: Some(id), ..CreateOptions::default() })?;
    Ok(())
}

/// The ids of one turn, there and back.
fn ids(first: ObjectId, number: u64) -> [ObjectId; 2] {
    let numbered = |number: u64| {
        let mut bytes = *first.as_bytes();
        bytes[20..].copy_from_slice(&number.to_le_bytes());
        ObjectId::new(bytes)
    };
    [numbered(2 * number), numbered(2 * number + 1)]
}

/// Each turn was two hand-overs.
fn halved(slice: Slice) -> Slice {
    let samples = slice.samples.iter().map(|seconds| seconds / 2.0).collect();
    Slice { seconds: slice.seconds / 2.0, samples, ..slice }
}

/// The daemon, or the other process, is stuck if it takes longer.
const PATIENCE: Timeout = Timeout::After(Duration::from_secs(10));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_processes_come_to_the_same_ids_and_none_is_used_twice() {
        let first = ObjectId::new([9; 28]);
        let mut all: Vec<_> = (0..300).flat_map(|number| ids(first, number)).map(|id| id.to_string()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 600);
    }
}
