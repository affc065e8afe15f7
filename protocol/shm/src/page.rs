//! A client's page: every claim of the client on a slot is a word here.
//!
//! Invariant: the daemon believes nothing it reads here but the words themselves: which words are free, and how far
//! to look, it keeps in its own heap. A client that scribbles over its page can only lie about its own claims.
//!
//! ```text
//! header, 4096 bytes: magic, layout version, client | pin words, 8 bytes each
//!                                                     0: free, else low 32 bits of generation | slot + 1
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::fence;

use crate::words::Words;

/// The daemon's side of one client's page.
#[derive(Debug)]
pub struct ClientPage {
    words: Words,
    /// Words below the high-water mark that are free, lowest first, so that the mark stays low.
    free: BinaryHeap<Reverse<u32>>,
    high_water: u32,
}

impl ClientPage {
    /// A page without claims. Its file is sparse: an idle client costs one page of memory.
    pub fn create(client: u64) -> io::Result<Self> {
        let bytes = HEADER_BYTES + 8 * u64::from(PIN_WORDS);
        let words = Words::create("plasmad-client", bytes)?;
        words.u64_at(0).store(MAGIC, Relaxed);
        words.u64_at(8).store(u64::from(LAYOUT_VERSION), Relaxed);
        words.u64_at(16).store(client, Release);
        Ok(Self { words, free: BinaryHeap::new(), high_water: 0 })
    }

    /// The file.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.words.fd()
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
        if word >= self.high_water || self.word(word).load(Relaxed) != claim(slot, generation) {
            return false;
        }
        self.word(word).store(0, Release);
        self.free.push(Reverse(word));
        true
    }

    /// Visits every claim: the slot and the low 32 bits of its generation. A hostile page may hold slots that don't
    /// exist. The caller fences first, once for all pages.
    pub fn scan(&self, visit: &mut dyn FnMut(u32, u32)) {
        for word in 0..self.high_water {
            let claim = self.word(word).load(Acquire);
            if let Some(slot) = (claim as u32).checked_sub(1) {
                visit(slot, (claim >> 32) as u32);
            }
        }
    }

    fn word(&self, word: u32) -> &std::sync::atomic::AtomicU64 {
        self.words.u64_at(HEADER_BYTES + 8 * u64::from(word))
    }
}

/// Stands between a change of commit words and the scan that asks who pinned before it: either the client sees the
/// change, or the scan sees the pin.
pub fn fence_before_scan() {
    fence(SeqCst);
}

fn claim(slot: u32, generation: u64) -> u64 {
    generation << 32 | u64::from(slot + 1)
}

/// How many claims one client can have at a time: 2 MiB of words.
pub const PIN_WORDS: u32 = 262_144;

/// "PLSMPAG\0".
const MAGIC: u64 = u64::from_le_bytes(*b"PLSMPAG\0");
const LAYOUT_VERSION: u32 = 1;
const HEADER_BYTES: u64 = 4096;

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
    fn a_full_page_says_so() {
        let mut page = ClientPage::create(1).unwrap();
        (0..PIN_WORDS).for_each(|slot| assert!(page.pin(slot, 1).is_some()));
        assert_eq!(page.pin(0, 1), None);
    }
}
