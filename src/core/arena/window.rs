//! Which objects have to go so that one contiguous piece becomes free.
//!
//! Candidates are marked in the order of their eviction. Each mark joins the holes and the marked blocks beside it
//! into a run; the first run that can hold the request is the one whose objects have been unused for longest.
//! Inside it, the cheapest stretch that holds the request is taken, so that no object goes for nothing.
//!
//! Invariant: runs are disjoint and known by both their ends, so a mark costs two look-ups, not a walk.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use plasmad_wire::Extent;

use super::allocator::{Allocator, Block, place_in, reserved};
use crate::slot::SlotNumber;

/// The victims whose going makes room for `bytes`, by address; `None` if not even all candidates would.
///
/// Candidates come least recently used first, each with the extent it has in `arena`.
pub fn plan(
    arena: &Allocator,
    candidates: impl Iterator<Item = (SlotNumber, Extent)>,
    bytes: u64,
) -> Option<Vec<SlotNumber>> {
    let mut runs = Runs::default();
    let mut marked = BTreeMap::new();
    for (slot, extent) in candidates.filter(|(_, extent)| extent.bytes > 0) {
        marked.insert(extent.offset, slot);
        let (start, end) = runs.mark(arena, extent);
        if place_in(start, end - start, bytes).is_some() {
            return Some(cheapest_stretch(arena, &marked, start, end, bytes));
        }
    }
    None
}

/// The longest piece there would be if these were free too.
pub fn largest_hole_without(arena: &Allocator, extents: impl Iterator<Item = Extent>) -> u64 {
    let mut runs = Runs::default();
    let joined = extents.filter(|extent| extent.bytes > 0).map(|extent| {
        let (start, end) = runs.mark(arena, extent);
        end - start
    });
    joined.max().unwrap_or(0).max(arena.largest_hole_bytes())
}

/// Runs of holes and marked blocks, known by their ends.
#[derive(Default)]
struct Runs {
    end_by_start: BTreeMap<u64, u64>,
    start_by_end: BTreeMap<u64, u64>,
}

impl Runs {
    /// Marks a block; returns the run it lies in now.
    fn mark(&mut self, arena: &Allocator, extent: Extent) -> (u64, u64) {
        let (mut start, mut end) = (extent.offset, extent.offset + reserved(extent.bytes));
        if let Some(hole) = arena.block_before(start).filter(|block| block.is_hole) {
            start = hole.offset;
        }
        if let Some(hole) = arena.block_at(end).filter(|block| block.is_hole) {
            end = hole.end();
        }
        // A hole between two marked blocks belongs to both their runs: they overlap by it and become one.
        if let Some(run_start) = self.run_that_reaches(start, extent.offset) {
            self.start_by_end.remove(&self.end_by_start[&run_start]);
            self.end_by_start.remove(&run_start);
            start = run_start;
        }
        if let Some(run_start) = self.run_that_starts(extent.offset + reserved(extent.bytes), end) {
            let run_end = self.end_by_start[&run_start];
            self.end_by_start.remove(&run_start);
            self.start_by_end.remove(&run_end);
            end = run_end;
        }
        self.end_by_start.insert(start, end);
        self.start_by_end.insert(end, start);
        (start, end)
    }

    /// The run that ends where the block begins, or where the hole before the block begins or ends.
    fn run_that_reaches(&self, hole_start: u64, block_start: u64) -> Option<u64> {
        self.start_by_end.range(hole_start..=block_start).next_back().map(|(_, start)| *start)
    }

    /// The run that starts where the block ends, or where the hole behind the block begins or ends.
    fn run_that_starts(&self, block_end: u64, hole_end: u64) -> Option<u64> {
        self.end_by_start.range(block_end..=hole_end).next().map(|(start, _)| *start)
    }
}

/// The stretch of a run that holds the request at the least cost in bytes dropped: two ends that move up in turn.
fn cheapest_stretch(
    arena: &Allocator,
    marked: &BTreeMap<u64, SlotNumber>,
    start: u64,
    end: u64,
    bytes: u64,
) -> Vec<SlotNumber> {
    let blocks: Vec<Block> = arena.blocks_in(start..end).collect();
    let cost = |block: &Block| if block.is_hole { 0 } else { block.bytes };
    let (mut best, mut best_cost) = (0..blocks.len(), u64::MAX);
    let (mut last, mut dropped) = (0, 0);
    for first in 0..blocks.len() {
        let from = blocks[first].offset;
        while last < blocks.len() && (last == first || !holds(from, blocks[last - 1].end(), bytes)) {
            dropped += cost(&blocks[last]);
            last += 1;
        }
        if !holds(from, blocks[last - 1].end(), bytes) {
            break;
        }
        if dropped < best_cost {
            (best, best_cost) = (first..last, dropped);
        }
        dropped -= cost(&blocks[first]);
    }
    blocks[best].iter().filter(|block| !block.is_hole).map(|block| marked[&block.offset]).collect()
}

fn holds(start: u64, end: u64, bytes: u64) -> bool {
    place_in(start, end - start, bytes).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(victims: Option<Vec<SlotNumber>>) -> Option<Vec<u32>> {
        victims.map(|victims| victims.into_iter().map(|slot| slot.0).collect())
    }

    fn full_of(count: u32, bytes: u64) -> (Allocator, Vec<(SlotNumber, Extent)>) {
        let mut arena = Allocator::new(u64::from(count) * bytes);
        let objects = (0..count).map(|slot| (SlotNumber(slot), arena.allocate(bytes).unwrap())).collect();
        (arena, objects)
    }

    #[test]
    fn the_oldest_goes_when_it_is_enough() {
        let (arena, objects) = full_of(4, 4096);
        let order = [2, 0, 1, 3].map(|index| objects[index]);
        assert_eq!(slots(plan(&arena, order.into_iter(), 4096)), Some([2].to_vec()));
    }

    #[test]
    fn neighbours_go_when_one_is_not_enough() {
        let (arena, objects) = full_of(4, 4096);
        let order = [0, 2, 3, 1].map(|index| objects[index]);
        assert_eq!(slots(plan(&arena, order.into_iter(), 8192)), Some([2, 3].to_vec()));
    }

    #[test]
    fn all_go_for_an_object_of_the_arenas_size() {
        let (mut arena, objects) = full_of(8, 4096);
        arena.free(objects[3].1);
        let order = [7, 5, 1, 0, 2, 4, 6].map(|index| objects[index]);
        assert_eq!(slots(plan(&arena, order.into_iter(), 8 * 4096)), Some([0, 1, 2, 4, 5, 6, 7].to_vec()));
    }

    #[test]
    fn nobody_goes_when_all_would_not_be_enough() {
        let (arena, objects) = full_of(4, 4096);
        let order = [0, 1, 3].map(|index| objects[index]);
        assert_eq!(plan(&arena, order.into_iter(), 3 * 4096), None);
    }
}
