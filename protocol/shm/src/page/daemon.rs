//! The daemon's side of a client's page. Which of its own words are free it keeps in its own heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::{
    LAYOUT_VERSION, MAGIC, OWN_CELL_BYTES, OWN_CELLS, OWN_OFFSET, OWN_USED_OFFSET, PAGE_BYTES, PIN_WORDS,
    RECENCY_OFFSET, RECENCY_WORDS, RECENCY_WRITTEN_OFFSET, WORDS_OFFSET, claim,
};
use crate::atomic::{AtomicU64, fence};
use crate::words::Words;

/// The daemon's side of one client's page.
#[derive(Debug)]
pub struct ClientPage {
    fd: OwnedFd,
    words: Words,
    /// Words below the high-water mark that are free, lowest first, so that the mark stays low.
    free: BinaryHeap<Reverse<u32>>,
    high_water: u32,
    /// How many entries of the ring were read.
    pub(super) ring_head: u64,
    /// How many slots were handed out.
    pub(super) grants_tail: u64,
}

impl ClientPage {
    /// A page without claims. Its file is sparse: an idle client costs one page of memory.
    pub fn create(client: u64) -> io::Result<Self> {
        let (fd, words) = Words::create("plasmad-client", PAGE_BYTES)?;
        words.u64_at(0).store(MAGIC, Relaxed);
        words.u64_at(8).store(u64::from(LAYOUT_VERSION), Relaxed);
        words.u64_at(16).store(client, Release);
        Ok(Self { fd, words, free: BinaryHeap::new(), high_water: 0, ring_head: 0, grants_tail: 0 })
    }

    /// The file.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Writes a claim; tells which word holds it. `None`: all words are taken.
    pub fn pin(&mut self, slot: u32, generation: u64) -> Option<u32> {
        let word = match self.free.pop() {
            Some(Reverse(word)) => word,
            None if self.high_water < PIN_WORDS => {
                self.high_water += 1;
                self.high_water - 1
            }
            None => return None,
        };
        self.word(word).store(claim(slot, generation), Release);
        Some(word)
    }

    /// Clears a claim; `false` if the word doesn't hold it.
    pub fn unpin(&mut self, word: u32, slot: u32, generation: u64) -> bool {
        if !self.holds(word, slot, generation) {
            return false;
        }
        self.word(word).store(0, Release);
        self.free.push(Reverse(word));
        true
    }

    /// The word holds this claim.
    pub fn holds(&self, word: u32, slot: u32, generation: u64) -> bool {
        word < self.high_water && self.word(word).load(Relaxed) == claim(slot, generation)
    }

    /// Visits every claim: the slot and the low 32 bits of its generation. A hostile page may hold slots that don't
    /// exist. The caller fences first, once for all pages.
    pub fn scan(&self, visit: &mut dyn FnMut(u32, u32)) {
        let own = (0..self.own_cells_used()).map(|cell| self.own_cell(cell));
        let words = (0..self.high_water).map(|word| self.word(word));
        for claim in own.chain(words).map(|word| word.load(Acquire)) {
            if let Some(slot) = (claim as u32).checked_sub(1) {
                visit(slot, (claim >> 32) as u32);
            }
        }
    }

    /// How many claims the client says it has made by itself.
    pub fn own_pins_total(&self) -> u64 {
        let uses = (0..self.own_cells_used()).map(|cell| {
            let count = self.words.u64_at(OWN_OFFSET + OWN_CELL_BYTES * u64::from(cell) + 8);
            count.load(Relaxed)
        });
        uses.fold(0, u64::wrapping_add)
    }

    /// Visits the slots the client says it has used since the last call, and forgets them. They may not exist.
    pub fn take_recent(&self, visit: &mut dyn FnMut(u32)) {
        let written = self.words.u32_at(RECENCY_WRITTEN_OFFSET);
        if written.load(Relaxed) == 0 || written.swap(0, Relaxed) == 0 {
            return;
        }
        for word in 0..RECENCY_WORDS {
            let recent = self.words.u32_at(RECENCY_OFFSET + 4 * u64::from(word));
            if recent.load(Relaxed) != 0
                && let Some(slot) = recent.swap(0, Relaxed).checked_sub(1)
            {
                visit(slot);
            }
        }
    }

    pub(super) fn words(&self) -> &Words {
        &self.words
    }

    fn own_cells_used(&self) -> u32 {
        self.words.u32_at(OWN_USED_OFFSET).load(Relaxed).min(OWN_CELLS)
    }

    fn own_cell(&self, cell: u32) -> &AtomicU64 {
        self.words.u64_at(OWN_OFFSET + OWN_CELL_BYTES * u64::from(cell))
    }

    fn word(&self, word: u32) -> &AtomicU64 {
        self.words.u64_at(WORDS_OFFSET + 8 * u64::from(word))
    }
}

/// Stands between a change of commit words and the scan that asks who pinned before it: either the client sees the
/// change, or the scan sees the pin.
pub fn fence_before_scan() {
    fence(SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(page: &ClientPage) -> Vec<(u32, u32)> {
        let mut claims = Vec::new();
        page.scan(&mut |slot, generation| claims.push((slot, generation)));
        claims
    }

    #[test]
    fn a_claim_is_seen_until_it_is_cleared() {
        let mut page = ClientPage::create(1).unwrap();
        let word = page.pin(0, (1 << 40) + 7).unwrap();
        assert_eq!(claims(&page), [(0, 7)]);
        assert!(!page.unpin(word, 0, 8), "another generation is another claim");
        assert!(!page.unpin(word + 1, 0, 7));
        assert_eq!([page.holds(word, 0, 7), page.holds(word, 1, 7), page.holds(9, 0, 7)], [true, false, false]);
        assert!(page.unpin(word, 0, 7));
        assert!(!page.unpin(word, 0, 7), "a claim is cleared once");
        assert_eq!(claims(&page), []);
    }

    #[test]
    fn a_cleared_word_is_used_again() {
        let mut page = ClientPage::create(1).unwrap();
        let words: Vec<u32> = (0..3).map(|slot| page.pin(slot, 1).unwrap()).collect();
        assert!(page.unpin(words[1], 1, 1));
        assert_eq!(page.pin(9, 1), Some(words[1]));
    }

    #[test]
    fn what_was_used_lately_is_told_once() {
        let page = ClientPage::create(1).unwrap();
        let pins = crate::page::OwnPage::attach(page.fd()).unwrap();
        let recent = || {
            let mut recent = Vec::new();
            page.take_recent(&mut |slot| recent.push(slot));
            recent
        };
        assert_eq!(recent(), []);
        for slot in [5, 9, 5, 9 + RECENCY_WORDS] {
            let cell = pins.claim(slot, 1, 0).unwrap();
            pins.note_use(cell, slot);
            pins.release(cell);
        }
        assert_eq!(recent(), [5, 9 + RECENCY_WORDS]);
        assert_eq!(recent(), []);
        assert_eq!(page.own_pins_total(), 4);
    }

    #[test]
    fn a_hostile_page_is_read_within_bounds() {
        let page = ClientPage::create(1).unwrap();
        let theirs = Words::new(page.fd(), PAGE_BYTES).unwrap();
        (0..PAGE_BYTES).step_by(8).for_each(|offset| theirs.u64_at(offset).store(u64::MAX, Relaxed));
        let mut claims = 0;
        page.scan(&mut |_, _| claims += 1);
        assert_eq!(claims, OWN_CELLS);
        page.take_recent(&mut |_| ());
        page.own_pins_total();
    }

    #[test]
    fn a_full_page_says_so() {
        let mut page = ClientPage::create(1).unwrap();
        (0..PIN_WORDS).for_each(|slot| assert!(page.pin(slot, 1).is_some()));
        assert_eq!(page.pin(0, 1), None);
    }
}
