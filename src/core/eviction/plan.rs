//! How a create gets its room: from holes that are there, or by dropping a set of objects that is enough.
//!
//! Nothing is changed here: a plan that fails has cost nobody anything, so a create that cannot fit evicts nothing.

use alloc::vec::Vec;

use crate::arena::{Allocator, window};
use crate::slot::SlotNumber;

/// What a create has to do to get its room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Plan {
    /// There are holes for all of it.
    Fits,
    /// Dropping these makes room for all of it.
    Drop(Vec<SlotNumber>),
    /// Not even dropping all candidates would.
    Impossible,
}

/// Plans room for extents of these sizes, given what may be dropped, least recently used first.
pub fn plan(arena: &Allocator, sizes: &[u64], candidates: impl Iterator<Item = Candidate>) -> Plan {
    match sizes {
        [] => Plan::Fits,
        [bytes] if arena.fits(*bytes) => Plan::Fits,
        [bytes] => match window::plan(arena, candidates, *bytes) {
            Some(victims) => Plan::Drop(victims),
            None => Plan::Impossible,
        },
        sizes => plan_batch(arena, sizes, &candidates.collect::<Vec<_>>()),
    }
}

/// Plans room for so many extents of one length, or for as many as can be.
pub fn plan_pieces(arena: &Allocator, bytes: u64, count: u64, mut candidates: impl Iterator<Item = Candidate>) -> Plan {
    if arena.fits(bytes) {
        return Plan::Fits;
    }
    match window::plan_pieces(arena, &mut candidates, bytes, count) {
        victims if victims.is_empty() => Plan::Impossible,
        victims => Plan::Drop(victims),
    }
}

/// An object that may be dropped, and where it lies.
pub type Candidate = (SlotNumber, plasmad_wire::Extent);

/// A batch needs many holes at once, so it is tried out on a copy of the allocator's records: the shortest run
/// of least recently used objects that lets all of it fit, found by halving.
fn plan_batch(arena: &Allocator, sizes: &[u64], candidates: &[Candidate]) -> Plan {
    let fits_without = |victims: &[Candidate]| {
        let mut trial = arena.clone();
        victims.iter().for_each(|victim| trial.free(victim.1));
        sizes.iter().all(|bytes| trial.allocate(*bytes).is_some())
    };
    if fits_without(&[]) {
        return Plan::Fits;
    }
    if !fits_without(candidates) {
        return Plan::Impossible;
    }
    let (mut too_few, mut enough) = (0, candidates.len());
    while enough - too_few > 1 {
        let middle = usize::midpoint(too_few, enough);
        if fits_without(&candidates[..middle]) {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    Plan::Drop(candidates[..enough].iter().map(|victim| victim.0).collect())
}
