//! Which objects have to go so that one contiguous piece becomes free, or many of one length.
//!
//! Candidates are marked in the order of their eviction. Each mark joins the holes and the marked blocks beside it
//! into a run, until the runs hold what was asked for: then their objects are those that have been unused for longest.
//! Inside each, the cheapest stretch that holds its part is taken, so that no object goes for nothing.
//!
//! Invariant: runs are disjoint and known by both their ends, so a mark costs two look-ups, not a walk.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use plasmad_wire::Extent;

use super::allocator::{Allocator, Block, pieces_in, reserved};
use crate::slot::SlotNumber;

/// The victims whose going makes room for `bytes`, by address; `None` if not even all candidates would.
///
/// Candidates come least recently used first, each with the extent it has in `arena`.
pub fn plan(
    arena: &Allocator,
    mut candidates: impl Iterator<Item = (SlotNumber, Extent)>,
    bytes: u64,
) -> Option<Vec<SlotNumber>> {
    let victims = plan_pieces(arena, &mut candidates, bytes, 1);
    (!victims.is_empty()).then_some(victims)
}

/// The victims whose going makes room for so many pieces of `bytes`, each on its own; for as many as can be, if all
/// candidates are not enough. No hole takes such a piece now.
pub fn plan_pieces(
    arena: &Allocator,
    candidates: &mut dyn Iterator<Item = (SlotNumber, Extent)>,
    bytes: u64,
    count: u64,
) -> Vec<SlotNumber> {
    let mut candidates = candidates.filter(|(_, extent)| extent.bytes > 0);
    let (mut runs, mut marked) = (Runs::default(), BTreeMap::new());
    let held_by = |run: &Range<u64>| pieces_in(run.start, run.end, bytes);
    let (mut held, mut looked_at, mut enough) = (0, Vec::new(), 0);
    while held < count {
        let Some((slot, extent)) = candidates.next() else { break };
        looked_at.push((slot, extent));
        marked.insert(extent.offset, slot);
        let Joined { run, of } = runs.mark(arena, extent);
        let more = held_by(&run) - of.iter().map(held_by).sum::<u64>();
        if more > 0 {
            (held, enough) = (held + more, looked_at.len());
        }
    }
    // All of them are not enough for so many: those that made room for no more stay.
    if enough < looked_at.len() {
        return plan_pieces(arena, &mut looked_at.into_iter().take(enough), bytes, held);
    }
    let mut victims = Vec::new();
    let mut wanted = count;
    for run in runs.all() {
        let pieces = held_by(&run).min(wanted);
        if pieces > 0 {
            victims.extend(cheapest_stretch(arena, &marked, run, bytes, pieces));
            wanted -= pieces;
        }
    }
    victims
}

/// The longest piece there would be if these were free too.
pub fn largest_hole_without(arena: &Allocator, extents: impl Iterator<Item = Extent>) -> u64 {
    let mut runs = Runs::default();
    let joined = extents.filter(|extent| extent.bytes > 0).map(|extent| {
        let Range { start, end } = runs.mark(arena, extent).run;
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

/// What became of a mark.
struct Joined {
    /// The run it lies in.
    run: Range<u64>,
    /// The runs before and behind it that are in this one now; empty where there was none.
    of: [Range<u64>; 2],
}

impl Runs {
    /// Marks a block.
    fn mark(&mut self, arena: &Allocator, extent: Extent) -> Joined {
        let mut of = [0..0, 0..0];
        let (mut start, mut end) = (extent.offset, extent.offset + reserved(extent.bytes));
        if let Some(hole) = arena.block_before(start).filter(|block| block.is_hole) {
            start = hole.offset;
        }
        if let Some(hole) = arena.block_at(end).filter(|block| block.is_hole) {
            end = hole.end();
        }
        // A hole between two marked blocks belongs to both their runs: they overlap by it and become one.
        if let Some(run_start) = self.run_that_reaches(start, extent.offset) {
            of[0] = self.take(run_start);
            start = run_start;
        }
        if let Some(run_start) = self.run_that_starts(extent.offset + reserved(extent.bytes), end) {
            of[1] = self.take(run_start);
            end = of[1].end;
        }
        self.end_by_start.insert(start, end);
        self.start_by_end.insert(end, start);
        Joined { run: start..end, of }
    }

    /// All runs, by address.
    fn all(&self) -> impl Iterator<Item = Range<u64>> {
        self.end_by_start.iter().map(|(start, end)| *start..*end)
    }

    fn take(&mut self, start: u64) -> Range<u64> {
        let end = self.end_by_start.remove(&start).expect("a run is known by both its ends");
        self.start_by_end.remove(&end);
        start..end
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

/// The stretch of a run that holds so many pieces at the least cost in bytes dropped: two ends that move up in turn.
fn cheapest_stretch(
    arena: &Allocator,
    marked: &BTreeMap<u64, SlotNumber>,
    run: Range<u64>,
    bytes: u64,
    pieces: u64,
) -> Vec<SlotNumber> {
    let holds = |start, end| pieces_in(start, end, bytes) >= pieces;
    let blocks: Vec<Block> = arena.blocks_in(run).collect();
    let cost = |block: &Block| if block.is_hole { 0 } else { block.bytes };
    let (mut best, mut best_cost) = (0..blocks.len(), u64::MAX);
    let (mut last, mut dropped) = (0, 0);
    for first in 0..blocks.len() {
        let from = blocks[first].offset;
        while last < blocks.len() && (last == first || !holds(from, blocks[last - 1].end())) {
            dropped += cost(&blocks[last]);
            last += 1;
        }
        if !holds(from, blocks[last - 1].end()) {
            break;
        }
        if dropped < best_cost {
            (best, best_cost) = (first..last, dropped);
        }
        dropped -= cost(&blocks[first]);
    }
    blocks[best].iter().filter(|block| !block.is_hole).map(|block| marked[&block.offset]).collect()
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
    fn many_pieces_are_where_the_oldest_objects_are() {
        let (mut arena, objects) = full_of(16, 4096);
        let order = [9, 2, 12, 4, 3, 7].map(|index| objects[index]);
        let pieces = |arena: &Allocator, bytes, count| {
            plan_pieces(arena, &mut order.into_iter(), bytes, count).into_iter().map(|slot| slot.0).collect::<Vec<_>>()
        };
        assert_eq!(pieces(&arena, 4096, 3), [2, 9, 12]);
        assert_eq!(pieces(&arena, 2048, 3), [2, 9], "two of them in each");
        assert_eq!(pieces(&arena, 8192, 1), [2, 3]);
        assert_eq!(pieces(&arena, 4096, 9), [2, 3, 4, 7, 9, 12], "as many as can be");
        assert_eq!(pieces(&arena, 16_384, 1), []);
        arena.free(objects[8].1);
        assert_eq!(pieces(&arena, 8192, 2), [2, 3, 9], "with the hole beside it");
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
