//! Which cells of the page this thread claims in: a block of its own while it lives, if one is to be had.
//!
//! Invariant: a block belongs to one thread at a time, in all pages of the process. What a thread had claimed there and
//! not given back stays when it ends; whoever has the block next passes over it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use plasmad_shm::page::{BLOCK_CELLS, BLOCKS};

/// Where this thread looks for a free cell: the one it had last.
#[inline]
pub(crate) fn near() -> u32 {
    // A thread that is ending has no block any more.
    MINE.try_with(Mine::near).unwrap_or(SHARED)
}

/// It has just had this one.
#[inline]
pub(crate) fn had(cell: u32) {
    let _ = MINE.try_with(|mine| mine.had(cell));
}

/// What a thread has.
struct Mine {
    near: Cell<u32>,
}

impl Mine {
    #[inline]
    fn near(&self) -> u32 {
        if self.near.get() == NONE_YET {
            self.near.set(take_block());
        }
        self.near.get()
    }

    /// Another thread's is not to be claimed in.
    #[inline]
    fn had(&self, cell: u32) {
        let near = self.near.get();
        let is_in_block = cell / BLOCK_CELLS == near / BLOCK_CELLS;
        if is_in_block || (near >= SHARED && near != NONE_YET && cell >= SHARED) {
            self.near.set(cell);
        }
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        let block = self.near.get() / BLOCK_CELLS;
        if block < BLOCKS {
            // What was claimed in it is seen by the next who has it.
            TAKEN.fetch_and(!(1 << block), Ordering::Release);
        }
    }
}

/// The first cell of a free block, or one of those for everybody.
#[cold]
fn take_block() -> u32 {
    let lowest_free = |taken: u32| Some(taken | (taken + 1)).filter(|_| taken.trailing_ones() < BLOCKS);
    match TAKEN.fetch_update(Ordering::Acquire, Ordering::Relaxed, lowest_free) {
        Ok(taken) => taken.trailing_ones() * BLOCK_CELLS,
        Err(_) => SHARED + OTHERS.fetch_add(CELLS_PER_LINE, Ordering::Relaxed) % SHARED,
    }
}

thread_local! {
    static MINE: Mine = const { Mine { near: Cell::new(NONE_YET) } };
}

/// Blocks that threads have, a bit for each.
static TAKEN: AtomicU32 = AtomicU32::new(0);
/// Threads without one start in lines of their own.
static OTHERS: AtomicU32 = AtomicU32::new(0);
const SHARED: u32 = BLOCKS * BLOCK_CELLS;
const NONE_YET: u32 = u32::MAX;
const CELLS_PER_LINE: u32 = 4;
const _: () = assert!(BLOCKS < u32::BITS);

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    /// One test, since blocks are the whole process's.
    #[test]
    fn threads_that_live_at_once_have_blocks_of_their_own_and_leave_them_behind() {
        let count = 2 * BLOCKS as usize;
        let all = Barrier::new(count);
        let block = || {
            let first = near();
            had(first + 1);
            assert_eq!(near(), first + 1);
            // What another thread claimed is given back here: nothing to claim in.
            had((first + BLOCK_CELLS) % SHARED);
            assert!(first >= SHARED || near() == first + 1);
            all.wait();
            first / BLOCK_CELLS
        };
        for _ in 0..3 {
            let mut blocks: Vec<u32> = thread::scope(|scope| {
                let threads: Vec<_> = (0..count).map(|_| scope.spawn(block)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).filter(|block| *block < BLOCKS).collect()
            });
            blocks.sort_unstable();
            let had = blocks.len();
            blocks.dedup();
            assert_eq!(blocks.len(), had, "two threads had one block");
            // Other tests of this process may have some.
            assert!(had > 0);
        }
    }
}
