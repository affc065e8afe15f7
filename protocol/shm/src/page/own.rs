//! The client's side of its page: claims without the daemon.
//!
//! Invariant: a cell belongs to the thread that set its claim until that thread clears it; so its count of uses
//! needs no atomic addition.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

use super::{
    LAYOUT_VERSION, MAGIC, OWN_CELL_BYTES, OWN_CELLS, OWN_OFFSET, OWN_USED_OFFSET, PAGE_BYTES, RECENCY_OFFSET,
    RECENCY_WORDS, RECENCY_WRITTEN_OFFSET, claim,
};
use crate::atomic::AtomicU64;
use crate::fork::process_token;
use crate::index::AttachError;
use crate::memfd;
use crate::ordering::{set_if_zero_then_fence, store_then_fence};
use crate::words::Words;

/// A client's own cells, in its page.
#[derive(Debug)]
pub struct OwnPage {
    /// `None` only while this is dropped.
    words: Option<Words>,
    /// The process that mapped it.
    process: u64,
}

impl OwnPage {
    /// Maps a page that a daemon sent. Forked children don't inherit the mapping: it is not theirs.
    pub fn attach(fd: impl AsFd) -> Result<Self, AttachError> {
        let bytes = memfd::check_seals(fd.as_fd())?;
        if bytes != PAGE_BYTES {
            return Err(AttachError::Layout);
        }
        let words = Words::new(fd, bytes)?;
        if words.u64_at(0).load(Relaxed) != MAGIC || words.u64_at(8).load(Relaxed) != u64::from(LAYOUT_VERSION) {
            return Err(AttachError::Layout);
        }
        words.keep_from_children()?;
        Ok(Self { words: Some(words), process: process_token() })
    }

    /// Writes a claim into a free cell near `hint`, and fences. `None`: those looked at are taken.
    #[inline(always)]
    pub(crate) fn claim(&self, slot: u32, generation: u64, hint: u32) -> Option<u32> {
        let claim = claim(slot, generation);
        (0..PROBES_MAX).map(|step| hint.wrapping_add(step) % OWN_CELLS).find(|cell| {
            // Before the claim: whoever sees the claim looks far enough to see it.
            self.note_used(*cell);
            set_if_zero_then_fence(self.claim_word(*cell), claim)
        })
    }

    /// Clears a claim, and fences: what is read next tells whether the daemon waited for it.
    #[inline]
    pub fn release(&self, cell: u32) {
        store_then_fence(self.claim_word(cell), 0);
    }

    /// Is anything claimed? Whoever claims something after this was asked has to know that by other means.
    pub fn has_claims(&self) -> bool {
        let used = self.words().u32_at(OWN_USED_OFFSET).load(Relaxed).min(OWN_CELLS);
        (0..used).any(|cell| self.claim_word(cell).load(Relaxed) != 0)
    }

    /// The claim in `cell` holds: counts it, and notes that the slot was used.
    #[inline]
    pub(crate) fn note_use(&self, cell: u32, slot: u32) {
        let count = self.words().u64_at(OWN_OFFSET + OWN_CELL_BYTES * u64::from(cell) + 8);
        count.store(count.load(Relaxed) + 1, Relaxed);
        let recent = self.words().u32_at(RECENCY_OFFSET + 4 * u64::from(slot % RECENCY_WORDS));
        // Written only when different, so that a hot object's line stays shared.
        if recent.load(Relaxed) != slot + 1 {
            recent.store(slot + 1, Relaxed);
            self.words().u32_at(RECENCY_WRITTEN_OFFSET).store(1, Relaxed);
        }
    }

    #[inline]
    pub(super) fn words(&self) -> &Words {
        self.words.as_ref().expect("there until this is dropped")
    }

    #[inline]
    fn note_used(&self, cell: u32) {
        let used = self.words().u32_at(OWN_USED_OFFSET);
        if used.load(Relaxed) <= cell {
            used.fetch_max(cell + 1, Relaxed);
        }
    }

    #[inline]
    fn claim_word(&self, cell: u32) -> &AtomicU64 {
        self.words().u64_at(OWN_OFFSET + OWN_CELL_BYTES * u64::from(cell))
    }
}

impl Drop for OwnPage {
    fn drop(&mut self) {
        if let Some(words) = self.words.take().filter(|_| self.process != process_token()) {
            words.forget();
        }
    }
}

/// Cells looked at before a get goes over the socket.
const PROBES_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::ClientPage;

    #[test]
    fn cells_are_taken_beside_one_another_and_used_again() {
        let page = ClientPage::create(1).unwrap();
        let pins = OwnPage::attach(page.fd()).unwrap();
        assert_eq!(pins.claim(1, 1, 8), Some(8));
        assert_eq!(pins.claim(1, 1, 8), Some(9));
        pins.release(8);
        assert_eq!(pins.claim(2, 1, 8), Some(8));
        assert!(pins.has_claims());
        [8, 9].into_iter().for_each(|cell| pins.release(cell));
        assert!(!pins.has_claims());
    }

    #[test]
    fn a_crowded_stretch_sends_the_get_over_the_socket() {
        let page = ClientPage::create(1).unwrap();
        let pins = OwnPage::attach(page.fd()).unwrap();
        for _ in 0..PROBES_MAX {
            assert!(pins.claim(1, 1, OWN_CELLS - 10).is_some());
        }
        assert_eq!(pins.claim(1, 1, OWN_CELLS - 10), None);
        let mut count = 0;
        page.scan(&mut |slot, generation| count += u32::from((slot, generation) == (1, 1)));
        assert_eq!(count, PROBES_MAX);
    }

    #[test]
    fn a_file_that_is_no_page_is_refused() {
        let zeros = memfd::create("test", PAGE_BYTES).unwrap();
        assert!(matches!(OwnPage::attach(&zeros), Err(AttachError::Layout)));
        let short = memfd::create("test", 4096).unwrap();
        assert!(matches!(OwnPage::attach(&short), Err(AttachError::Layout)));
    }
}
