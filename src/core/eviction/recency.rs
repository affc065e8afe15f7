//! The exact order in which objects that may leave memory were last used.
//!
//! The store has three: of those that may be dropped for good, of those that are on disk too, and of those that have to be
//! written first. Invariant: a slot stands in one of them exactly while its object is sealed, in memory, and of that kind.

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

    /// An object that is older than all others here.
    pub fn insert_oldest(&mut self, slot: SlotNumber) {
        self.order.put(slot, ());
        self.order.demote(&slot);
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
        recency.insert_oldest(SlotNumber(5));
        assert_eq!(recency.oldest_first().next(), Some(SlotNumber(5)));
    }
}
