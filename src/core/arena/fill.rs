//! How much live data the arena holds when it refuses: a workload that a test and a bench row share.
//!
//! Sizes are log-uniform from 64 B to 4 MiB. The arena is filled to its first refusal; then, a number of times, one
//! object at random goes and another comes (where it is refused, more go until it fits); then the arena is filled
//! to a refusal once more.

use alloc::vec::Vec;

use plasmad_wire::Extent;

use super::Allocator;

/// Live data as a part of the arena at both refusals, 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fill {
    /// At the first refusal of an arena that was only filled.
    pub fresh: f64,
    /// At the first refusal after all the coming and going.
    pub churned: f64,
    /// Freeing everything left one hole of the arena's size.
    pub whole_again: bool,
}

/// Runs the workload; the same seed gives the same figures.
pub fn run(seed: u64, capacity_bytes: u64, exchanges: u64) -> Fill {
    let mut arena = Allocator::new(capacity_bytes);
    let mut random = Random(seed);
    let mut live = Vec::new();
    let mut live_bytes = 0;
    let fresh = fill_up(&mut arena, &mut random, &mut live, &mut live_bytes);
    for _ in 0..exchanges {
        let bytes = random.object_bytes();
        remove_one(&mut arena, &mut random, &mut live, &mut live_bytes);
        let extent = loop {
            match arena.allocate(bytes) {
                Some(extent) => break extent,
                None => remove_one(&mut arena, &mut random, &mut live, &mut live_bytes),
            }
        };
        live_bytes += extent.bytes;
        live.push(extent);
    }
    let churned = fill_up(&mut arena, &mut random, &mut live, &mut live_bytes);
    live.into_iter().for_each(|extent| arena.free(extent));
    let whole_again = arena.hole_count() == 1 && arena.largest_hole_bytes() == capacity_bytes;
    Fill { fresh, churned, whole_again }
}

fn fill_up(arena: &mut Allocator, random: &mut Random, live: &mut Vec<Extent>, live_bytes: &mut u64) -> f64 {
    while let Some(extent) = arena.allocate(random.object_bytes()) {
        *live_bytes += extent.bytes;
        live.push(extent);
    }
    *live_bytes as f64 / arena.capacity_bytes() as f64
}

fn remove_one(arena: &mut Allocator, random: &mut Random, live: &mut Vec<Extent>, live_bytes: &mut u64) {
    let extent = live.swap_remove(random.below(live.len() as u64) as usize);
    *live_bytes -= extent.bytes;
    arena.free(extent);
}

/// SplitMix64, by Sebastiano Vigna: small, and good enough to choose sizes.
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Log-uniform from 64 B to 4 MiB: one of 16 doublings, then uniform inside it. Within a doubling that is a
    /// little flatter than the curve, and it needs no logarithm.
    fn object_bytes(&mut self) -> u64 {
        let base = 64 << self.below(16);
        base + self.below(base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_arena_is_nearly_all_data_and_gives_all_of_it_back() {
        let fill = run(1, 256 * 1024 * 1024, 20_000);
        assert!(fill.fresh >= 0.87 && fill.churned >= 0.87, "{fill:?}");
        assert!(fill.whole_again);
    }
}
