//! What is done without the daemon: the index and this client's page.
//!
//! Invariant: a claim made here is in the page before the object is looked at, and every claim is given back through
//! the session that made it, in the process that made it.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use plasmad_shm::index::{AttachError, Granted, IndexReader, Missed, Place};
use plasmad_shm::page::{Entry, Grant, OwnPage};
use plasmad_wire::ObjectId;

use crate::error::{Error, Result};
use crate::forks;
use crate::pushing::Pushing;

/// The index to read, and the page to claim and to tell in.
#[derive(Debug)]
pub(crate) struct Fast {
    index: IndexReader,
    page: OwnPage,
    /// Puts by ring, where they were agreed upon.
    pub(crate) pushing: Option<Pushing>,
}

impl Fast {
    /// Maps both.
    pub(crate) fn attach(index: &OwnedFd, page: &OwnedFd, pushes: bool) -> Result<Self> {
        let refused = |error: AttachError| Error::protocol(error.to_string());
        let index = IndexReader::attach(index).map_err(refused)?;
        let page = OwnPage::attach(page).map_err(refused)?;
        Ok(Self { index, page, pushing: pushes.then(Pushing::new) })
    }

    /// Pins a sealed object in memory: the cell of the claim, and where the object lies. A miss proves nothing.
    // As in `Reader::get`.
    #[inline(always)]
    pub(crate) fn pin(&self, id: &ObjectId) -> std::result::Result<(u32, Place), Missed> {
        let hash = id.hash(self.index.hash_seed());
        let found = self.index.pin(id.as_bytes(), hash, &self.page, first_cell())?;
        if forks::is_closed() {
            return Err(self.pinned_during_fork(found.word));
        }
        CELL.set(found.word);
        Ok((found.word, found.place))
    }

    /// A thread forks, so what is claimed now may not be handed out: as if it had been missed.
    #[cold]
    fn pinned_during_fork(&self, cell: u32) -> Missed {
        let ring = self.release(cell);
        forks::wait();
        Missed { ring }
    }

    /// Gives a claim back; `true` if the daemon wants to hear of it.
    #[inline]
    pub(crate) fn release(&self, cell: u32) -> bool {
        self.page.release(cell);
        CELL.set(cell);
        self.index.is_wanted()
    }

    /// Has this process claimed anything by itself?
    pub(crate) fn has_claims(&self) -> bool {
        self.page.has_claims()
    }

    /// Pins a place that was granted, to fill it.
    #[inline]
    pub(crate) fn pin_granted(&self, grant: Grant) -> std::result::Result<Granted, Missed> {
        let granted = self.index.pin_granted(grant, &self.page, first_cell())?;
        CELL.set(granted.word);
        Ok(granted)
    }

    /// Pins an object of this client's own, by its place.
    pub(crate) fn pin_own(&self, slot: u32, generation: u64) -> std::result::Result<u32, Missed> {
        let cell = self.index.pin_own(slot, generation, &self.page, first_cell())?;
        if forks::is_closed() {
            return Err(self.pinned_during_fork(cell));
        }
        CELL.set(cell);
        Ok(cell)
    }

    /// The next place the daemon granted, and what it holds.
    pub(crate) fn next_grant(&self, taken: &mut u64) -> Option<(u64, Grant)> {
        loop {
            let grant = self.page.next_grant(taken)?;
            if let Some(bytes) = self.index.granted_bytes(grant) {
                return Some((bytes, grant));
            }
        }
    }

    /// Tells an entry; how many the daemon has not read, or `None` if the ring is full.
    #[inline]
    pub(crate) fn push(&self, tail: &mut u64, entry: &Entry) -> Option<u64> {
        self.page.push(tail, entry).then(|| self.page.ring_waiting(*tail))
    }

    /// What was told before is to be seen before what is read behind this; `true` if the daemon wants to hear of it.
    pub(crate) fn fence(&self) -> bool {
        fence(Ordering::SeqCst);
        self.index.is_wanted()
    }

    /// Does anybody wait for an object of this id, or of one like it?
    #[inline]
    pub(crate) fn is_expected(&self, id: &ObjectId) -> bool {
        self.index.is_expected(id.hash(self.index.hash_seed()))
    }

    /// Is the object there? `false` proves nothing.
    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
        self.index.contains(id.as_bytes(), id.hash(self.index.hash_seed()))
    }
}

/// Where this thread looks for a free cell: the one it had last, at first a cache line of its own. It takes that line
/// once, found or not: the daemon looks at all cells up to the highest ever used.
#[inline]
fn first_cell() -> u32 {
    if CELL.get() == NONE_YET {
        CELL.set(THREADS.fetch_add(1, Ordering::Relaxed).wrapping_mul(CELLS_PER_LINE));
    }
    CELL.get()
}

thread_local! {
    static CELL: Cell<u32> = const { Cell::new(NONE_YET) };
}

static THREADS: AtomicU32 = AtomicU32::new(0);
const NONE_YET: u32 = u32::MAX;
const CELLS_PER_LINE: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_finds_nothing_keeps_to_its_line() {
        let line = || {
            let first = first_cell();
            assert_eq!((first % CELLS_PER_LINE, first_cell(), first_cell()), (0, first, first));
            first
        };
        let other = std::thread::spawn(line).join().unwrap();
        assert_ne!(std::thread::spawn(line).join().unwrap(), other);
    }
}
