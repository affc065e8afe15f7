//! Gets without the daemon: the index and this client's page.
//!
//! Invariant: a claim made here is in the page before the object is looked at, and every claim is given back through
//! the session that made it, in the process that made it.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use plasmad_shm::index::{AttachError, IndexReader, Missed, Place};
use plasmad_shm::page::OwnPage;
use plasmad_wire::ObjectId;

use crate::error::{Error, Result};

/// The index to read, and the cells to claim in.
#[derive(Debug)]
pub(crate) struct Fast {
    index: IndexReader,
    pins: OwnPage,
}

impl Fast {
    /// Maps both.
    pub(crate) fn attach(index: &OwnedFd, page: &OwnedFd) -> Result<Self> {
        let refused = |error: AttachError| Error::protocol(error.to_string());
        let index = IndexReader::attach(index).map_err(refused)?;
        Ok(Self { index, pins: OwnPage::attach(page).map_err(refused)? })
    }

    /// Pins a sealed object in memory: the cell of the claim, and where the object lies. A miss proves nothing.
    #[inline]
    pub(crate) fn pin(&self, id: &ObjectId) -> std::result::Result<(u32, Place), Missed> {
        let hash = id.hash(self.index.hash_seed());
        let found = self.index.pin(id.as_bytes(), hash, &self.pins, first_cell())?;
        CELL.set(found.word);
        Ok((found.word, found.place))
    }

    /// Gives a claim back; `true` if the daemon wants to hear of it.
    #[inline]
    pub(crate) fn release(&self, cell: u32) -> bool {
        self.pins.release(cell);
        CELL.set(cell);
        self.index.is_wanted()
    }

    /// Is the object there? `false` proves nothing.
    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
        self.index.contains(id.as_bytes(), id.hash(self.index.hash_seed()))
    }
}

/// Where this thread looks for a free cell: the one it had last, at first a cache line of its own.
#[inline]
fn first_cell() -> u32 {
    match CELL.get() {
        NONE_YET => THREADS.fetch_add(1, Ordering::Relaxed).wrapping_mul(CELLS_PER_LINE),
        cell => cell,
    }
}

thread_local! {
    static CELL: Cell<u32> = const { Cell::new(NONE_YET) };
}

static THREADS: AtomicU32 = AtomicU32::new(0);
const NONE_YET: u32 = u32::MAX;
const CELLS_PER_LINE: u32 = 4;
