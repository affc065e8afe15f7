//! A store and a full fence behind it, as one step.
//!
//! On x86-64 every locked instruction is a full fence already, and costs half of `mfence`; elsewhere, and in the models
//! of `orders`, the fence is written out. Both give what the protocols of index and pages ask for: what follows is not read before the store
//! is visible to everybody.

#[cfg(any(loom, not(target_arch = "x86_64")))]
use std::sync::atomic::Ordering::Release;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::atomic::AtomicU64;
#[cfg(any(loom, not(target_arch = "x86_64")))]
use crate::atomic::fence;
use crate::faults::{Fault, before_a_claim};

/// Stores with release, then fences.
#[inline]
pub(crate) fn store_then_fence(word: &AtomicU64, value: u64) {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    word.swap(value, SeqCst);
    #[cfg(any(loom, not(target_arch = "x86_64")))]
    {
        word.store(value, Release);
        fence(SeqCst);
    }
}

/// Stores into a word that is zero, then fences; `false` and no store if it isn't.
#[inline]
pub(crate) fn set_if_zero_then_fence(word: &AtomicU64, value: u64) -> bool {
    before_a_claim();
    if Fault::NoFence.is_in() {
        let is_free = word.load(Relaxed) == 0;
        if is_free {
            word.store(value, Relaxed);
        }
        return is_free;
    }
    let stored = word.compare_exchange(0, value, SeqCst, Relaxed).is_ok();
    #[cfg(any(loom, not(target_arch = "x86_64")))]
    fence(SeqCst);
    stored
}
