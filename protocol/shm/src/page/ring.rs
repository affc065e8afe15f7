//! The ring: what a client has done, told without a system call.
//!
//! Invariant: an entry is whole before the tail counts it, and is not written again before the daemon has read it.
//! The daemon keeps the head to itself; what it shows in the page is for the client's eyes only. Every byte here is the
//! client's to write at any time: the daemon copies an entry out once, and judges the copy.
//!
//! ```text
//! client: entry, tail (release), full fence, is anybody waiting?
//! daemon: tail (acquire), entries, head (release)
//! ```

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{ClientPage, ENTRY_BYTES, Entry, OwnPage, RING_ENTRIES, RING_HEAD_OFFSET, RING_OFFSET, RING_TAIL_OFFSET};

impl OwnPage {
    /// Tells an entry; `false` if the ring is full. `tail` counts all entries told so far: the caller's own, and in
    /// one thread at a time.
    #[inline]
    pub fn push(&self, tail: &mut u64, entry: &Entry) -> bool {
        if self.ring_waiting(*tail) >= RING_ENTRIES {
            return false;
        }
        let place = self.words().line_at(entry_offset(*tail));
        place.iter().zip(entry.words()).for_each(|(word, value)| word.store(value, Relaxed));
        *tail += 1;
        self.words().u64_at(RING_TAIL_OFFSET).store(*tail, Release);
        true
    }

    /// How many entries the daemon has not read.
    #[inline]
    pub fn ring_waiting(&self, tail: u64) -> u64 {
        tail.wrapping_sub(self.words().u64_at(RING_HEAD_OFFSET).load(Acquire))
    }
}

impl ClientPage {
    /// Reads the entries there are; `None` in place of one that says nothing.
    ///
    /// # Errors
    /// The tail is not one that a ring can have. Nothing is read then.
    pub fn drain(&mut self, visit: &mut dyn FnMut(Option<Entry>)) -> Result<(), Overrun> {
        let tail = self.words().u64_at(RING_TAIL_OFFSET).load(Acquire);
        if tail == self.ring_head {
            return Ok(());
        }
        if tail.wrapping_sub(self.ring_head) > RING_ENTRIES {
            return Err(Overrun);
        }
        while self.ring_head != tail {
            let place = self.words().line_at(entry_offset(self.ring_head));
            visit(Entry::from_words(std::array::from_fn(|number| place[number].load(Relaxed))));
            self.ring_head += 1;
        }
        self.words().u64_at(RING_HEAD_OFFSET).store(tail, Release);
        Ok(())
    }
}

/// A tail behind the head, or further before it than the ring is long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overrun;

#[inline]
fn entry_offset(number: u64) -> u64 {
    RING_OFFSET + ENTRY_BYTES * (number % RING_ENTRIES)
}

#[cfg(test)]
mod tests {
    use super::super::EntryKind;
    use super::*;

    fn drained(page: &mut ClientPage) -> Vec<u32> {
        let mut slots = Vec::new();
        page.drain(&mut |entry| slots.push(entry.unwrap().slot)).unwrap();
        slots
    }

    #[test]
    fn entries_come_in_their_order_and_once() {
        let mut page = ClientPage::create(1).unwrap();
        let own = OwnPage::attach(page.fd()).unwrap();
        let mut tail = 0;
        assert_eq!(drained(&mut page), []);
        for slot in 0..RING_ENTRIES as u32 {
            assert!(own.push(&mut tail, &Entry::of(EntryKind::Seal, slot, 1)));
        }
        assert!(!own.push(&mut tail, &Entry::of(EntryKind::Seal, 0, 1)), "the ring is full");
        assert_eq!(own.ring_waiting(tail), RING_ENTRIES);
        assert_eq!(drained(&mut page).len(), RING_ENTRIES as usize);
        assert_eq!(own.ring_waiting(tail), 0);
        assert!(own.push(&mut tail, &Entry::of(EntryKind::Seal, 77, 1)));
        assert_eq!(drained(&mut page), [77]);
        assert_eq!(drained(&mut page), []);
    }

    #[test]
    fn a_tail_that_no_ring_can_have_is_an_overrun() {
        let mut page = ClientPage::create(1).unwrap();
        let own = OwnPage::attach(page.fd()).unwrap();
        let mut tail = 0;
        assert!(own.push(&mut tail, &Entry::of(EntryKind::Seal, 1, 1)));
        assert_eq!(drained(&mut page), [1]);
        for wrong in [0, 2 + RING_ENTRIES, u64::MAX] {
            own.words().u64_at(RING_TAIL_OFFSET).store(wrong, Relaxed);
            assert_eq!(page.drain(&mut |_| panic!("nothing is read")), Err(Overrun));
        }
    }

    #[test]
    fn the_head_in_the_page_is_not_believed() {
        let mut page = ClientPage::create(1).unwrap();
        let own = OwnPage::attach(page.fd()).unwrap();
        let mut tail = 0;
        assert!(own.push(&mut tail, &Entry::of(EntryKind::Seal, 1, 1)));
        assert_eq!(drained(&mut page), [1]);
        own.words().u64_at(RING_HEAD_OFFSET).store(0, Relaxed);
        assert_eq!(drained(&mut page), []);
    }
}
