//! Ids to slots: a bucket for each hash, and a chain of slots behind it.
//!
//! Invariant: a slot stands on one chain, that of its id's hash, from [`Chains::link`] until [`Chains::unlink`].
//!
//! The links are the slots' own, so a look-up touches one bucket and the slots it compares. There are four buckets for each
//! slot there can be, so that who looks for an id nobody has mostly meets no slot; they are never moved, and memory that was
//! never written takes none. Ids a client makes in a row have buckets in a row (see
//! [`ObjectId::hash`](plasmad_wire::ObjectId::hash)), so sixteen of them share a cache line.

use alloc::vec;
use alloc::vec::Vec;

use super::{Slot, SlotNumber};

/// All buckets. 0 is the end of a chain, else slot + 1.
#[derive(Clone, Debug)]
pub(super) struct Chains {
    heads: Vec<u32>,
    mask: u64,
    linked: usize,
}

impl Chains {
    /// Empty chains for at most so many slots.
    pub(super) fn new(slots_max: u32) -> Self {
        let buckets = (BUCKETS_PER_SLOT * slots_max as usize).next_power_of_two();
        Self { heads: vec![0; buckets], mask: buckets as u64 - 1, linked: 0 }
    }

    /// The first slot of a chain.
    pub(super) fn first(&self, hash: u64) -> Link {
        Link(self.heads[self.bucket(hash)])
    }

    /// Puts a slot at the front of its chain; returns the link that goes into it.
    pub(super) fn link(&mut self, hash: u64, slot: SlotNumber) -> Link {
        let bucket = self.bucket(hash);
        self.linked += 1;
        Link(core::mem::replace(&mut self.heads[bucket], slot.0 + 1))
    }

    /// Takes a slot off its chain: whoever stood before it leads to what stands behind it from now on.
    ///
    /// # Panics
    /// If it isn't on this chain.
    pub(super) fn unlink(&mut self, hash: u64, slot: SlotNumber, slots: &mut [Slot]) {
        self.linked -= 1;
        let next = slots[slot.0 as usize].next;
        let bucket = self.bucket(hash);
        let mut before = self.first(hash).slot();
        if before == Some(slot) {
            self.heads[bucket] = next.0;
            return;
        }
        while let Some(this) = before {
            let link = &mut slots[this.0 as usize].next;
            if link.slot() == Some(slot) {
                *link = next;
                return;
            }
            before = link.slot();
        }
        panic!("slot {} is not linked under its id", slot.0);
    }

    /// How many slots stand on chains.
    pub(super) fn linked_count(&self) -> usize {
        self.linked
    }

    fn bucket(&self, hash: u64) -> usize {
        (hash & self.mask) as usize
    }
}

/// What stands behind a slot in its chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Link(u32);

impl Link {
    /// The next slot, unless the chain ends here.
    pub(super) fn slot(self) -> Option<SlotNumber> {
        self.0.checked_sub(1).map(SlotNumber)
    }
}

const BUCKETS_PER_SLOT: usize = 4;
