//! The full fence between a store of one process and its next load, of which only one side pays.
//!
//! Clients store a claim and look again, or clear one and look whether anybody waits, at each get; the daemon changes
//! what they look at, and looks for claims, when it wants memory back. So the daemon fences for both: it has the kernel
//! run a full fence on every processor that runs a client just then, which takes it a microsecond, and a client only
//! keeps its compiler from exchanging the two. A client whose kernel won't let it be fenced so, or whose daemon says that
//! it doesn't, fences by itself, which costs as much as all the rest of a get.
//!
//! ```text
//! client: store A; (nothing)          load B
//! daemon: store B; fence everybody    load A       the client's store is out by then, or its load is still to come
//! ```
//!
//! In the models of `orders` everybody fences by itself: a fence of the daemon's stands in each client's program either
//! before the store, and then behind it all comes late enough, or between the two, or behind the load.

use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::sync::atomic::compiler_fence;

use nix::errno::Errno;

use crate::atomic::{AtomicU64, fence};
use crate::faults::{Fault, before_a_claim};

/// How a client fences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fences {
    /// By itself.
    Own,
    /// The daemon does it for this process too.
    Daemons,
}

impl Fences {
    /// The daemon does it if both the daemon, which `daemon_fences` tells of, and the kernel want to.
    pub fn agree(daemon_fences: bool) -> Self {
        if daemon_fences && be_fenced() { Self::Daemons } else { Self::Own }
    }

    /// Stores with release, then fences.
    #[inline]
    pub(crate) fn store_then_fence(self, word: &AtomicU64, value: u64) {
        // There every locked instruction is a full fence already, and costs half of one by itself.
        #[cfg(all(target_arch = "x86_64", not(loom)))]
        if self == Self::Own {
            word.swap(value, SeqCst);
            return;
        }
        word.store(value, Release);
        self.fence();
    }

    /// The same of a claim, in a cell where nobody else claims.
    #[inline]
    pub(crate) fn claim(self, word: &AtomicU64, claim: u64) {
        before_a_claim();
        if Fault::NoFence.is_in() { word.store(claim, Relaxed) } else { self.store_then_fence(word, claim) }
    }

    /// The same in a cell where others claim too; `false` and no claim if one has.
    #[inline]
    pub(crate) fn claim_if_free(self, word: &AtomicU64, claim: u64) -> bool {
        before_a_claim();
        let order = if Fault::NoFence.is_in() { Relaxed } else { SeqCst };
        let is_claimed = word.compare_exchange(0, claim, order, Relaxed).is_ok();
        #[cfg(any(loom, not(target_arch = "x86_64")))]
        if !Fault::NoFence.is_in() {
            self.fence();
        }
        is_claimed
    }

    /// What was stored is seen before what is loaded behind this.
    #[inline]
    pub fn fence(self) {
        match self {
            Self::Daemons => compiler_fence(SeqCst),
            Self::Own => fence(SeqCst),
        }
    }
}

/// Fences for every client that lets it, and for the caller.
pub fn fence_everybody() {
    if !Fault::NoFence.is_in() {
        // Who can't be fenced so was never told that it need not fence.
        #[cfg(not(loom))]
        let _ = membarrier(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED);
    }
    fence(SeqCst);
}

/// Can this process fence for others?
pub fn can_fence_everybody() -> bool {
    // A sandbox may allow the question and refuse the deed.
    let known = membarrier(libc::MEMBARRIER_CMD_QUERY).unwrap_or(0);
    known & libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED != 0 && membarrier(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED).is_ok()
}

/// Lets others fence for this process, and for its children, from here on.
fn be_fenced() -> bool {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED).is_ok()
}

fn membarrier(command: libc::c_int) -> nix::Result<libc::c_int> {
    // SAFETY: the call takes three integers and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    Errno::result(result).map(|result| result as libc::c_int)
}

// Loom's atomics are for its own threads.
#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn fences_are_left_to_the_daemon_only_if_it_makes_them() {
        assert_eq!(Fences::agree(false), Fences::Own);
        let expected = if can_fence_everybody() { Fences::Daemons } else { Fences::Own };
        assert_eq!(Fences::agree(true), expected);
    }

    /// Two threads that each store and then load what the other stores: with no fence on one side both may load what
    /// was before. It needs two processors to show.
    #[test]
    fn of_a_store_and_a_look_on_either_side_one_sees_the_other() {
        if Fences::agree(true) != Fences::Daemons {
            return println!("this kernel doesn't fence for others");
        }
        for fences in [Fences::Daemons, Fences::Own] {
            let unseen = both_missed(fences, fence_everybody);
            assert_eq!(unseen, 0, "neither saw the other, {fences:?}");
        }
        println!("without the daemon's fence neither saw the other {} times", both_missed(Fences::Daemons, || ()));
    }

    /// How often of many times neither saw the other.
    fn both_missed(fences: Fences, daemons_fence: impl Fn()) -> usize {
        use std::sync::atomic::Ordering::Acquire;
        use std::sync::atomic::{AtomicU64, AtomicUsize};

        const ROUNDS: u64 = 20_000;
        let (claim, mark, started, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let client_missed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    wait_for(&started, round);
                    fences.store_then_fence(&claim, round);
                    let saw = mark.load(Relaxed) == round;
                    client_missed.store(usize::from(!saw), Relaxed);
                    done.store(round, Release);
                }
            });
            let mut both = 0;
            for round in 1..=ROUNDS {
                started.store(round, Release);
                mark.store(round, Release);
                daemons_fence();
                let saw = claim.load(Acquire) == round;
                wait_for(&done, round);
                both += usize::from(!saw && client_missed.load(Relaxed) == 1);
            }
            both
        })
    }

    fn wait_for(word: &AtomicU64, value: u64) {
        let mut turns = 0;
        while word.load(std::sync::atomic::Ordering::Acquire) != value {
            turns += 1;
            if turns % 1000 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}
