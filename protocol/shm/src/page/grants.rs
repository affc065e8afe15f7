//! Slots handed to a client to fill: the daemon writes them here, the client takes them in turn.
//!
//! Invariant: what stands here is a hint. Whether a slot is still the client's, only its commit word says, which the
//! client reads behind a claim; so the daemon may take slots back, and write over those that were not taken.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{ClientPage, GRANTS_OFFSET, GRANTS_QUEUED, GRANTS_TAIL_OFFSET, OwnPage, claim};

/// A slot that was handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The slot.
    pub slot: u32,
    /// The low 32 bits of its generation.
    pub generation_low: u32,
}

impl ClientPage {
    /// Hands out slots, each with its generation. Their commit words say so already.
    pub fn grant(&mut self, slots: impl Iterator<Item = (u32, u64)>) {
        for (slot, generation) in slots {
            let word = self.words().u64_at(offset(self.grants_tail));
            word.store(claim(slot, generation), Relaxed);
            self.grants_tail += 1;
        }
        self.words().u64_at(GRANTS_TAIL_OFFSET).store(self.grants_tail, Release);
    }
}

impl OwnPage {
    /// Takes the next slot that was handed out, if there is one. `taken` counts all that were, and is the caller's own.
    pub fn next_grant(&self, taken: &mut u64) -> Option<Grant> {
        let tail = self.words().u64_at(GRANTS_TAIL_OFFSET).load(Acquire);
        // Those that were written over are lost to this client; the daemon takes them back when it wants them.
        *taken = (*taken).max(tail.saturating_sub(GRANTS_QUEUED));
        while *taken < tail {
            let word = self.words().u64_at(offset(*taken));
            let claim = word.load(Relaxed);
            // The daemon may have come round, and this be a slot whose turn is later: then it is not there any more.
            word.store(0, Relaxed);
            *taken += 1;
            if let Some(slot) = (claim as u32).checked_sub(1) {
                return Some(Grant { slot, generation_low: (claim >> 32) as u32 });
            }
        }
        None
    }
}

fn offset(number: u64) -> u64 {
    GRANTS_OFFSET + 8 * (number % GRANTS_QUEUED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_taken_in_the_order_they_were_handed_out() {
        let mut page = ClientPage::create(1).unwrap();
        let own = OwnPage::attach(page.fd()).unwrap();
        let mut taken = 0;
        assert_eq!(own.next_grant(&mut taken), None);
        page.grant([(5, 1 << 40 | 7), (0, 1)].into_iter());
        assert_eq!(own.next_grant(&mut taken), Some(Grant { slot: 5, generation_low: 7 }));
        assert_eq!(own.next_grant(&mut taken), Some(Grant { slot: 0, generation_low: 1 }));
        assert_eq!(own.next_grant(&mut taken), None);
    }

    #[test]
    fn a_slot_that_is_taken_before_its_turn_is_not_taken_again() {
        let mut page = ClientPage::create(1).unwrap();
        let own = OwnPage::attach(page.fd()).unwrap();
        page.grant((0..GRANTS_QUEUED as u32).map(|slot| (slot, 1)));
        let mut taken = 0;
        let mut next = || own.next_grant(&mut taken).map(|grant| grant.slot);
        // The daemon has come round: it has written the next one over the first, and not counted it yet.
        page.words().u64_at(offset(GRANTS_QUEUED)).store(claim(99_999, 1), Relaxed);
        assert_eq!(next(), Some(99_999));
        page.words().u64_at(GRANTS_TAIL_OFFSET).store(GRANTS_QUEUED + 1, Release);
        assert_eq!(std::iter::from_fn(next).collect::<Vec<_>>(), (1..GRANTS_QUEUED as u32).collect::<Vec<_>>());
    }

    #[test]
    fn who_comes_late_takes_the_last_ones() {
        let mut page = ClientPage::create(1).unwrap();
        let own = OwnPage::attach(page.fd()).unwrap();
        page.grant((0..GRANTS_QUEUED as u32 + 3).map(|slot| (slot, 1)));
        let mut taken = 0;
        assert_eq!(own.next_grant(&mut taken).map(|grant| grant.slot), Some(3));
        assert_eq!((0..).take_while(|_| own.next_grant(&mut taken).is_some()).count() as u64, GRANTS_QUEUED - 1);
    }
}
