//! The exact order in which objects that may be dropped were last used.
//!
//! Invariant: a slot stands here exactly while its object is sealed, in memory, and may be dropped.

use lru::LruCache;

use crate::slot::SlotNumber;

/// Least recently used first.
pub struct Recency {
    order: LruCache<SlotNumber, ()>,
}

impl Recency {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { order: LruCache::unbounded() }
    }

    /// A new object, used just now.
    pub fn insert(&mut self, slot: SlotNumber) {
        self.order.put(slot, ());
    }

    /// The object was used just now. Objects that stand here in no order are passed over.
    pub fn touch(&mut self, slot: SlotNumber) {
        self.order.promote(&slot);
    }

    /// The object is gone, or may not be dropped any more.
    pub fn remove(&mut self, slot: SlotNumber) {
        self.order.pop(&slot);
    }

    /// All of them, least recently used first.
    pub fn oldest_first(&self) -> impl Iterator<Item = SlotNumber> {
        self.order.iter().rev().map(|(slot, ())| *slot)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.order.len()
    }
}

impl Default for Recency {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_touched_object_goes_last() {
        let mut recency = Recency::new();
        (0..3).for_each(|slot| recency.insert(SlotNumber(slot)));
        recency.touch(SlotNumber(0));
        recency.touch(SlotNumber(7));
        recency.remove(SlotNumber(1));
        let order: Vec<u32> = recency.oldest_first().map(|slot| slot.0).collect();
        assert_eq!(order, [2, 0]);
    }
}
