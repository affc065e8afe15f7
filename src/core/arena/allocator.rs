//! Best fit with immediate coalescing.
//!
//! Invariant: blocks tile the arena without gaps or overlaps, no two holes touch, and `holes` lists every hole by
//! length and address. Best fit over an exact order never refuses what some hole could take.
//!
//! Extents of one length that were allocated side by side are one block until one of them is freed: handing out a
//! thousand costs what handing out one does.
//!
//! ```text
//!  offset 0                                       capacity
//!  | used 64 | hole 192 | used 1 MiB (page) | hole ... |
//!    blocks: 0 -> used, 64 -> hole, 4096 -> used ...      by address
//!    holes:  (192, 64), (..., ...)                        by length, then address
//! ```

use alloc::collections::{BTreeMap, BTreeSet};

use plasmad_wire::Extent;

use super::span_set::{SpanSet, touched};

/// The arena's map.
#[derive(Clone, Debug)]
pub struct Allocator {
    capacity_bytes: u64,
    used_bytes: u64,
    high_water_bytes: u64,
    /// All that was ever allocated, rounding included.
    allocated_bytes_total: u64,
    /// Holes that are out of reach for a while.
    withdrawn_bytes: u64,
    /// Spans in which something was allocated since [`Self::forget_used_lately`].
    used_lately: SpanSet,
    /// Every block by its offset.
    blocks: BTreeMap<u64, Block>,
    /// Every hole by its length, then its offset.
    holes: BTreeSet<(u64, u64)>,
}

/// A piece of the arena, used or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Where it starts.
    pub offset: u64,
    /// How long it is, rounding included.
    pub bytes: u64,
    /// Nothing lies there.
    pub is_hole: bool,
    /// The length of the extents in it; all of it for a hole.
    each: u64,
}

impl Block {
    /// Where it ends.
    pub fn end(&self) -> u64 {
        self.offset + self.bytes
    }

    fn used(offset: u64, bytes: u64) -> Self {
        Self { offset, bytes, is_hole: false, each: bytes }
    }

    fn hole(offset: u64, bytes: u64) -> Self {
        Self { offset, bytes, is_hole: true, each: bytes }
    }

    /// Its extents, each as a block.
    fn extents(self) -> impl Iterator<Item = Block> {
        let (start, each) = (self.offset, self.each);
        (0..self.bytes / each).map(move |number| Self { offset: start + number * each, bytes: each, ..self })
    }
}

impl Allocator {
    /// One hole of `capacity_bytes`, a multiple of the page size.
    pub fn new(capacity_bytes: u64) -> Self {
        assert!(capacity_bytes.is_multiple_of(PAGE_BYTES), "the arena is made of whole pages");
        let mut arena = Self {
            capacity_bytes,
            used_bytes: 0,
            high_water_bytes: 0,
            allocated_bytes_total: 0,
            withdrawn_bytes: 0,
            used_lately: SpanSet::new(capacity_bytes),
            blocks: BTreeMap::new(),
            holes: BTreeSet::new(),
        };
        if capacity_bytes > 0 {
            arena.insert_hole(0, capacity_bytes);
        }
        arena
    }

    /// The smallest hole that can take it, lowest address first; `None` if there is none.
    ///
    /// The extent is as long as asked for, and starts on 64 bytes, or on a page from 1 MiB up. Nothing takes
    /// nothing: zero bytes lie at offset 0 and need no room.
    pub fn allocate(&mut self, bytes: u64) -> Option<Extent> {
        if bytes == 0 {
            return Some(Extent::default());
        }
        let (hole_bytes, hole_offset) = self.find(bytes)?;
        let offset = place_in(hole_offset, hole_bytes, bytes)?;
        let (hole_end, end) = (hole_offset + hole_bytes, offset + reserved(bytes));
        self.remove_hole(hole_offset, hole_bytes);
        if hole_offset < offset {
            self.insert_hole(hole_offset, offset - hole_offset);
        }
        if end < hole_end {
            self.insert_hole(end, hole_end - end);
        }
        self.blocks.insert(offset, Block::used(offset, end - offset));
        self.used_bytes += end - offset;
        self.allocated_bytes_total += end - offset;
        self.used_lately.insert_all(touched(offset..end));
        self.high_water_bytes = self.high_water_bytes.max(end);
        Some(Extent { segment: 0, offset, bytes })
    }

    /// So many extents of one length side by side, each of which is freed on its own; `None` if no hole takes them all.
    ///
    /// # Panics
    /// If the length is zero, or so long that they would not all start on a page.
    pub fn allocate_run(&mut self, bytes: u64, count: u32) -> Option<impl Iterator<Item = Extent> + use<>> {
        let on_their_alignment = reserved(bytes).is_multiple_of(alignment(bytes));
        assert!(bytes > 0 && on_their_alignment, "extents of a run start on their alignment");
        let (each, count) = (reserved(bytes), u64::from(count));
        let place = |(hole_bytes, offset): &(u64, u64)| {
            let start = offset.next_multiple_of(alignment(bytes));
            (start + each * count <= offset + hole_bytes).then_some((*offset, *hole_bytes, start))
        };
        let (hole, hole_bytes, start) = self.holes.range((each * count, 0)..).find_map(place).filter(|_| count > 0)?;
        let end = start + each * count;
        self.remove_hole(hole, hole_bytes);
        if hole < start {
            self.insert_hole(hole, start - hole);
        }
        if end < hole + hole_bytes {
            self.insert_hole(end, hole + hole_bytes - end);
        }
        self.blocks.insert(start, Block { each, ..Block::used(start, each * count) });
        self.used_bytes += each * count;
        self.allocated_bytes_total += each * count;
        self.used_lately.insert_all(touched(start..end));
        self.high_water_bytes = self.high_water_bytes.max(end);
        Some((0..count).map(move |number| Extent { segment: 0, offset: start + number * each, bytes }))
    }

    /// Could it be allocated now?
    pub fn fits(&self, bytes: u64) -> bool {
        bytes == 0 || self.find(bytes).is_some()
    }

    /// Makes a hole of an extent, joined with the holes beside it.
    ///
    /// # Panics
    /// If the extent isn't allocated: that is a mistake of the store's own.
    pub fn free(&mut self, extent: Extent) {
        if extent.bytes == 0 {
            return;
        }
        let block = self.take_out(extent);
        self.used_bytes -= block.bytes;
        let (mut start, mut end) = (block.offset, block.end());
        if let Some(before) = self.block_before(start).filter(|before| before.is_hole) {
            self.remove_hole(before.offset, before.bytes);
            start = before.offset;
        }
        if let Some(after) = self.block_at(end).filter(|after| after.is_hole) {
            self.remove_hole(after.offset, after.bytes);
            end = after.end();
        }
        self.insert_hole(start, end - start);
    }

    /// Cuts an extent in two that are freed on their own, so that a part of it can become an object.
    ///
    /// # Panics
    /// If the cut doesn't lie inside, on a multiple of 64 bytes.
    pub fn split(&mut self, extent: Extent, head_bytes: u64) -> (Extent, Extent) {
        assert!(head_bytes.is_multiple_of(UNIT_BYTES), "an extent is cut between two units");
        assert!(0 < head_bytes && head_bytes < extent.bytes, "an extent is cut inside");
        let block = self.take_out(extent);
        let cut = block.offset + head_bytes;
        self.blocks.insert(block.offset, Block::used(block.offset, head_bytes));
        self.blocks.insert(cut, Block::used(cut, block.end() - cut));
        let head = Extent { bytes: head_bytes, ..extent };
        (head, Extent { offset: cut, bytes: extent.bytes - head_bytes, ..extent })
    }

    /// Puts a piece of a hole out of reach: it counts as free, and nothing is allocated in it.
    ///
    /// # Panics
    /// If it isn't a piece of one hole.
    pub fn withdraw(&mut self, extent: Extent) {
        let (start, end) = (extent.offset, extent.offset + extent.bytes);
        let hole = self.hole_around(start..end).unwrap_or_else(|| panic!("{extent:?} is no piece of a hole"));
        self.remove_hole(hole.offset, hole.bytes);
        if hole.offset < start {
            self.insert_hole(hole.offset, start - hole.offset);
        }
        if end < hole.end() {
            self.insert_hole(end, hole.end() - end);
        }
        self.blocks.insert(start, Block::used(start, extent.bytes));
        self.withdrawn_bytes += extent.bytes;
    }

    /// Puts what was withdrawn back.
    ///
    /// # Panics
    /// If it wasn't withdrawn.
    pub fn restore(&mut self, extent: Extent) {
        assert!(extent.bytes <= self.withdrawn_bytes, "{extent:?} is not withdrawn");
        self.withdrawn_bytes -= extent.bytes;
        self.used_bytes += extent.bytes;
        self.free(extent);
    }

    /// The hole that a range lies in, if it lies in one.
    pub fn hole_around(&self, bytes: core::ops::Range<u64>) -> Option<Block> {
        let (_, block) = self.blocks.range(..=bytes.start).next_back()?;
        (block.is_hole && bytes.end <= block.end()).then_some(*block)
    }

    /// Holes from a length on: the shorter ones first, as they are used, and of the same length by address.
    pub fn holes_from(&self, bytes: u64) -> impl DoubleEndedIterator<Item = Block> {
        let hole = |(bytes, offset): &(u64, u64)| Block::hole(*offset, *bytes);
        self.holes.range((bytes, 0)..).map(hole)
    }

    /// Spans in which something was allocated since the last [`Self::forget_used_lately`].
    pub fn used_lately(&self) -> &SpanSet {
        &self.used_lately
    }

    /// From here on counts as lately.
    pub fn forget_used_lately(&mut self) {
        self.used_lately.clear();
    }

    /// All that was ever allocated, rounding included.
    pub fn allocated_bytes_total(&self) -> u64 {
        self.allocated_bytes_total
    }

    /// The arena's size.
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// What extents take, rounding included.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// The rest.
    pub fn free_bytes(&self) -> u64 {
        self.capacity_bytes - self.used_bytes
    }

    /// The largest contiguous piece of the rest.
    pub fn largest_hole_bytes(&self) -> u64 {
        self.holes.last().map_or(0, |(bytes, _)| *bytes)
    }

    /// How many pieces the rest is in.
    pub fn hole_count(&self) -> usize {
        self.holes.len()
    }

    /// The highest address ever used.
    pub fn high_water_bytes(&self) -> u64 {
        self.high_water_bytes
    }

    /// What an extent takes, rounding included.
    pub fn reserved_bytes(&self, extent: Extent) -> u64 {
        reserved(extent.bytes)
    }

    /// The block that starts at an offset.
    pub fn block_at(&self, offset: u64) -> Option<Block> {
        self.blocks.get(&offset).copied()
    }

    /// The last block that starts below an offset.
    pub fn block_before(&self, offset: u64) -> Option<Block> {
        self.blocks.range(..offset).next_back().map(|(_, block)| *block)
    }

    /// Every hole and every extent, by address.
    pub fn blocks(&self) -> impl Iterator<Item = Block> {
        self.blocks.values().copied().flat_map(Block::extents)
    }

    /// Every hole and every extent that starts in a range, by address.
    pub fn blocks_in(&self, range: core::ops::Range<u64>) -> impl Iterator<Item = Block> {
        // The first may lie inside a block that starts before the range.
        let first = self.blocks.range(..=range.start).next_back().map_or(range.start, |(offset, _)| *offset);
        let extents = self.blocks.range(first..range.end).flat_map(|(_, block)| block.extents());
        extents.filter(move |block| range.contains(&block.offset))
    }

    /// Walks all records against the invariant; for tests.
    pub fn check_consistency(&self) {
        let (mut end, mut used, mut holes, mut hole_before) = (0, 0, 0, false);
        for block in self.blocks() {
            assert_eq!(block.offset, end, "blocks tile the arena");
            assert!(block.bytes > 0 && block.bytes.is_multiple_of(UNIT_BYTES), "blocks are made of units");
            assert!(!(hole_before && block.is_hole), "no two holes touch");
            if block.is_hole {
                holes += 1;
                assert!(self.holes.contains(&(block.bytes, block.offset)), "every hole is listed");
            } else {
                used += block.bytes;
            }
            (end, hole_before) = (block.end(), block.is_hole);
        }
        assert_eq!(end, self.capacity_bytes, "blocks reach the arena's end");
        assert_eq!(self.holes.len(), holes, "nothing but holes is listed");
        assert_eq!(self.used_bytes + self.withdrawn_bytes, used, "used bytes are counted");
    }

    /// The best hole for a request. A page-aligned request may not fit the first hole that is long enough; from
    /// a page more on, every hole does, so the walk ends there at the latest.
    fn find(&self, bytes: u64) -> Option<(u64, u64)> {
        if bytes > self.capacity_bytes {
            return None;
        }
        let mut long_enough = self.holes.range((reserved(bytes), 0)..);
        long_enough.find(|(hole_bytes, offset)| place_in(*offset, *hole_bytes, bytes).is_some()).copied()
    }

    /// Takes an extent off the list of blocks; what lies in one block with it stays there.
    fn take_out(&mut self, extent: Extent) -> Block {
        let (offset, bytes) = (extent.offset, reserved(extent.bytes));
        let block = self.blocks.range(..=offset).next_back().map(|(_, block)| *block);
        let is_in = |block: &Block| {
            let is_one = !block.is_hole && block.each == bytes && (offset - block.offset).is_multiple_of(bytes);
            is_one && offset < block.end()
        };
        let Some(block) = block.filter(is_in) else { panic!("{extent:?} is not allocated; there is {block:?}") };
        self.blocks.remove(&block.offset);
        for (start, end) in [(block.offset, offset), (offset + bytes, block.end())] {
            if start < end {
                self.blocks.insert(start, Block { each: bytes, ..Block::used(start, end - start) });
            }
        }
        Block::used(offset, bytes)
    }

    fn insert_hole(&mut self, offset: u64, bytes: u64) {
        self.blocks.insert(offset, Block::hole(offset, bytes));
        self.holes.insert((bytes, offset));
    }

    fn remove_hole(&mut self, offset: u64, bytes: u64) {
        self.blocks.remove(&offset);
        assert!(self.holes.remove(&(bytes, offset)), "a hole at {offset} of {bytes} bytes is listed");
    }
}

/// Where a request lies in a free range, if it fits: at the front, on the first multiple of its alignment.
///
/// From 1 MiB up that is a page, so an odd range keeps a sliver before it: 1 MiB in a range from 64 lies at 4096,
/// and 4032 bytes stay a hole.
pub(super) fn place_in(offset: u64, range_bytes: u64, bytes: u64) -> Option<u64> {
    let start = offset.next_multiple_of(alignment(bytes));
    (start.checked_add(reserved(bytes))? <= offset + range_bytes).then_some(start)
}

/// How many extents of one length fit a range side by side. Each of them ends where the next may start.
pub(super) fn pieces_in(start: u64, end: u64, bytes: u64) -> u64 {
    end.saturating_sub(start.next_multiple_of(alignment(bytes))) / reserved(bytes)
}

/// What a request takes: 100 bytes take 128.
pub(super) fn reserved(bytes: u64) -> u64 {
    // Requests are compared with the capacity before they are added to anything.
    bytes.checked_next_multiple_of(UNIT_BYTES).unwrap_or(u64::MAX)
}

fn alignment(bytes: u64) -> u64 {
    if bytes >= PAGE_ALIGNED_FROM_BYTES { PAGE_BYTES } else { UNIT_BYTES }
}

/// Extents start and end on multiples of this: a cache line.
pub const UNIT_BYTES: u64 = 64;

/// Extents from here on start on a page.
pub const PAGE_ALIGNED_FROM_BYTES: u64 = 1024 * 1024;

/// A page.
pub const PAGE_BYTES: u64 = 4096;

#[cfg(test)]
#[path = "allocator_fuzz.rs"]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_exactly_the_arenas_size_fits() {
        let mut arena = Allocator::new(64 * PAGE_BYTES);
        let all = arena.allocate(64 * PAGE_BYTES).unwrap();
        assert_eq!(arena.free_bytes(), 0);
        assert_eq!(arena.allocate(1), None);
        arena.free(all);
        assert_eq!(arena.largest_hole_bytes(), 64 * PAGE_BYTES);
    }

    #[test]
    fn freed_neighbours_become_one_hole() {
        let mut arena = Allocator::new(PAGE_BYTES);
        let extents: [Extent; 4] = core::array::from_fn(|_| arena.allocate(100).unwrap());
        for index in [0, 2, 1, 3] {
            arena.free(extents[index]);
            arena.check_consistency();
        }
        assert_eq!((arena.hole_count(), arena.largest_hole_bytes()), (1, PAGE_BYTES));
    }

    #[test]
    fn large_extents_start_on_a_page() {
        let mut arena = Allocator::new(4 * PAGE_ALIGNED_FROM_BYTES);
        arena.allocate(1).unwrap();
        let large = arena.allocate(PAGE_ALIGNED_FROM_BYTES).unwrap();
        assert!(large.offset.is_multiple_of(PAGE_BYTES));
        arena.check_consistency();
    }

    #[test]
    fn nothing_takes_nothing() {
        let mut arena = Allocator::new(PAGE_BYTES);
        let empty = arena.allocate(0).unwrap();
        arena.free(empty);
        assert_eq!(arena.used_bytes(), 0);
    }

    #[test]
    fn a_part_of_an_extent_can_be_freed_on_its_own() {
        let mut arena = Allocator::new(PAGE_BYTES);
        let whole = arena.allocate(1000).unwrap();
        let (head, tail) = arena.split(whole, 256);
        arena.free(head);
        arena.check_consistency();
        assert_eq!(arena.used_bytes(), 768);
        arena.free(tail);
        assert_eq!(arena.hole_count(), 1);
    }

    #[test]
    fn what_is_withdrawn_is_free_and_out_of_reach() {
        let mut arena = Allocator::new(4 * PAGE_BYTES);
        let object = arena.allocate(64).unwrap();
        let middle = Extent { segment: 0, offset: PAGE_BYTES, bytes: PAGE_BYTES };
        arena.withdraw(middle);
        arena.check_consistency();
        assert_eq!((arena.used_bytes(), arena.free_bytes()), (64, 4 * PAGE_BYTES - 64));
        assert_eq!(arena.allocate(2 * PAGE_BYTES).unwrap().offset, 2 * PAGE_BYTES);
        assert!(!arena.fits(PAGE_BYTES));
        arena.free(object);
        arena.restore(middle);
        arena.check_consistency();
        assert_eq!(arena.largest_hole_bytes(), 2 * PAGE_BYTES);
    }

    #[test]
    #[should_panic(expected = "is no piece of a hole")]
    fn withdrawing_what_is_used_is_our_own_mistake() {
        let mut arena = Allocator::new(PAGE_BYTES);
        let object = arena.allocate(64).unwrap();
        arena.withdraw(object);
    }

    #[test]
    fn a_length_nobody_can_count_is_refused() {
        let mut arena = Allocator::new(PAGE_BYTES);
        assert_eq!(arena.allocate(u64::MAX), None);
        assert!(!arena.fits(u64::MAX - 63));
    }

    #[test]
    #[should_panic(expected = "is not allocated")]
    fn freeing_twice_is_our_own_mistake() {
        let mut arena = Allocator::new(PAGE_BYTES);
        let extent = arena.allocate(64).unwrap();
        arena.free(extent);
        arena.free(extent);
    }
}
