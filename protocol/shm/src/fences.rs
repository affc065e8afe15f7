//! A store and a full fence behind it, as one step.
//!
//! On x86-64 every locked instruction is a full fence already, and costs half of `mfence`; elsewhere, and in the models
//! of `orders`, the fence is written out. Both give what the protocols of index and pages ask for: what follows is not
//! read before the store is visible to everybody.

#[cfg(any(loom, not(target_arch = "x86_64")))]
use std::sync::atomic::Ordering::Release;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::atomic::{AtomicU64, fence};
use crate::faults::{Fault, before_a_claim};

/// Stores with release, then fences.
#[inline]
pub(crate) fn store_then_fence(word: &AtomicU64, value: u64) {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    word.swap(value, SeqCst);
    #[cfg(any(loom, not(target_arch = "x86_64")))]
    {
        word.store(value, Release);
        full_fence();
    }
}

/// The same of a claim, in a cell where nobody else claims.
#[inline]
pub(crate) fn claim(word: &AtomicU64, claim: u64) {
    before_a_claim();
    if Fault::NoFence.is_in() { word.store(claim, Relaxed) } else { store_then_fence(word, claim) }
}

/// The same in a cell where others claim too; `false` and no claim if one has.
#[inline]
pub(crate) fn claim_if_free(word: &AtomicU64, claim: u64) -> bool {
    before_a_claim();
    let order = if Fault::NoFence.is_in() { Relaxed } else { SeqCst };
    let is_claimed = word.compare_exchange(0, claim, order, Relaxed).is_ok();
    #[cfg(any(loom, not(target_arch = "x86_64")))]
    if !Fault::NoFence.is_in() {
        full_fence();
    }
    is_claimed
}

/// What was stored is seen before what is loaded behind this. The daemon's stands between a change of commit words and
/// the scan that asks who pinned before it: either the client sees the change, or the scan sees the pin.
#[inline]
pub fn full_fence() {
    fence(SeqCst);
}
