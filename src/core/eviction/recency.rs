//! The exact order in which objects that may leave memory were last used.
//!
//! The store has three: of those that may be dropped for good, of those that are on disk too, and of those that have to be
//! written first. Invariant: a slot stands in one of them exactly while its object is sealed, in memory, and of that kind.
//!
//! A ring of links, one for each slot and one for the two ends, in which nothing is searched for and nothing allocated: an
//! object comes here with each put, when it is in no cache yet. When they were used stands there as well, in *ages* that
//! orders count alike, so that the oldest of two can be told apart.

use alloc::vec;
use alloc::vec::Vec;

use crate::slot::SlotNumber;

/// Least recently used first.
#[derive(Clone, Debug)]
pub struct Recency {
    /// By place: that of the ends, then one for each slot.
    links: Vec<Links>,
    count: usize,
    /// The age that is now.
    age: u32,
}

/// The neighbours of a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Links {
    /// Used before it; of the ends, the newest.
    older: u32,
    /// Used after it; of the ends, the oldest.
    newer: u32,
    /// In which age it was used.
    age: u32,
}

impl Recency {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { links: vec![Links { older: ENDS, newer: ENDS, age: 0 }], count: 0, age: 0 }
    }

    /// An object, used just now.
    pub fn insert(&mut self, slot: SlotNumber) {
        let place = self.take_out(slot);
        self.put_between(self.links[ENDS as usize].older, place, ENDS, self.age);
    }

    /// An object that is older than all others here.
    pub fn insert_oldest(&mut self, slot: SlotNumber) {
        let place = self.take_out(slot);
        let age = self.oldest_age().unwrap_or(self.age);
        self.put_between(ENDS, place, self.links[ENDS as usize].newer, age);
    }

    /// From here on it is another age.
    pub fn begin_age(&mut self) {
        self.age += 1;
    }

    /// In which age the least recently used one was used.
    pub fn oldest_age(&self) -> Option<u32> {
        let oldest = self.links[ENDS as usize].newer;
        (oldest != ENDS).then(|| self.links[oldest as usize].age)
    }

    /// In which age one that stands here was used.
    pub fn age_of(&self, slot: SlotNumber) -> u32 {
        self.links[slot.0 as usize + 1].age
    }

    /// The object was used just now. Objects that don't stand here are passed over.
    pub fn touch(&mut self, slot: SlotNumber) {
        if self.links.get(slot.0 as usize + 1).is_some_and(|links| *links != NOWHERE) {
            self.insert(slot);
        }
    }

    /// The object is gone, or may not be dropped any more.
    pub fn remove(&mut self, slot: SlotNumber) {
        self.take_out(slot);
    }

    /// All of them, least recently used first.
    pub fn oldest_first(&self) -> impl Iterator<Item = SlotNumber> {
        let next = |place: &u32| Some(self.links[*place as usize].newer);
        let places = core::iter::successors(next(&ENDS), next);
        places.take_while(|place| *place != ENDS).map(|place| SlotNumber(place - 1))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where a slot stands, after it was taken out of there.
    fn take_out(&mut self, slot: SlotNumber) -> u32 {
        let place = slot.0 + 1;
        if self.links.len() <= place as usize {
            self.links.resize(place as usize + 1, NOWHERE);
        }
        let links = core::mem::replace(&mut self.links[place as usize], NOWHERE);
        if links != NOWHERE {
            self.links[links.older as usize].newer = links.newer;
            self.links[links.newer as usize].older = links.older;
            self.count -= 1;
        }
        place
    }

    fn put_between(&mut self, older: u32, place: u32, newer: u32, age: u32) {
        self.links[place as usize] = Links { older, newer, age };
        self.links[older as usize].newer = place;
        self.links[newer as usize].older = place;
        self.count += 1;
    }
}

impl Default for Recency {
    fn default() -> Self {
        Self::new()
    }
}

/// The place of both ends.
const ENDS: u32 = 0;
/// Of a slot that doesn't stand here.
const NOWHERE: Links = Links { older: u32::MAX, newer: u32::MAX, age: 0 };

#[cfg(test)]
mod tests {
    use lru::LruCache;

    use super::*;
    use crate::arena::fill::Random;

    /// Beside the crate that is known for it, over random uses.
    #[test]
    fn the_order_is_that_of_an_lru_cache() {
        for seed in 0..20 {
            let mut random = Random(seed);
            let (mut recency, mut cache) = (Recency::new(), LruCache::unbounded());
            for _ in 0..2000 {
                let slot = SlotNumber(random.below(40) as u32);
                match random.below(4) {
                    0 => {
                        recency.insert(slot);
                        cache.put(slot, ());
                    }
                    1 | 2 => {
                        recency.touch(slot);
                        cache.promote(&slot);
                    }
                    _ => {
                        recency.remove(slot);
                        cache.pop(&slot);
                    }
                }
                let expected: Vec<SlotNumber> = cache.iter().rev().map(|(slot, ())| *slot).collect();
                assert_eq!(recency.oldest_first().collect::<Vec<_>>(), expected, "seed {seed}");
                assert_eq!(recency.count(), expected.len());
            }
        }
    }

    #[test]
    fn an_object_is_as_old_as_its_last_use() {
        let mut recency = Recency::new();
        assert_eq!(recency.oldest_age(), None);
        for slot in 0..3 {
            recency.insert(SlotNumber(slot));
            recency.begin_age();
        }
        assert_eq!(recency.oldest_age(), Some(0));
        recency.touch(SlotNumber(0));
        assert_eq!([0, 1, 2].map(|slot| recency.age_of(SlotNumber(slot))), [3, 1, 2]);
        assert_eq!(recency.oldest_age(), Some(1));
        recency.insert_oldest(SlotNumber(9));
        assert_eq!((recency.oldest_age(), recency.age_of(SlotNumber(9))), (Some(1), 1));
    }

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
