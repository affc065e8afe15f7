//! A set of slots that is cheap to clear: its cost follows the members, not the table.

use alloc::vec;
use alloc::vec::Vec;

use super::SlotNumber;

/// A bit for each slot, and the members in the order they came.
#[derive(Clone, Debug)]
pub struct SlotSet {
    bits: Vec<u64>,
    members: Vec<SlotNumber>,
}

impl SlotSet {
    /// An empty set over `slots` slots.
    pub fn new(slots: u32) -> Self {
        Self { bits: vec![0; (slots as usize).div_ceil(64)], members: Vec::new() }
    }

    /// Adds a slot; `false` if it was a member already.
    pub fn insert(&mut self, slot: SlotNumber) -> bool {
        let (word, bit) = position(slot);
        let new = self.bits[word] & bit == 0;
        if new {
            self.bits[word] |= bit;
            self.members.push(slot);
        }
        new
    }

    /// Is it a member?
    pub fn contains(&self, slot: SlotNumber) -> bool {
        let (word, bit) = position(slot);
        self.bits[word] & bit != 0
    }

    /// The members, each once.
    pub fn members(&self) -> &[SlotNumber] {
        &self.members
    }

    /// Empties the set.
    pub fn clear(&mut self) {
        for slot in self.members.drain(..) {
            self.bits[position(slot).0] = 0;
        }
    }
}

fn position(slot: SlotNumber) -> (usize, u64) {
    (slot.0 as usize / 64, 1 << (slot.0 % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleared_set_has_no_members() {
        let mut set = SlotSet::new(200);
        assert!(set.insert(SlotNumber(199)));
        assert!(!set.insert(SlotNumber(199)));
        set.insert(SlotNumber(1));
        assert_eq!(set.members(), [SlotNumber(199), SlotNumber(1)]);
        set.clear();
        assert!(!set.contains(SlotNumber(199)));
        assert!(set.members().is_empty());
    }
}
