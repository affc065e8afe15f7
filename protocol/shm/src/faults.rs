//! Faults that a build for the torture test can be told to have, and the moments in which they would show, held open.
//!
//! Invariant: without `--cfg plasmad_broken` no fault is in and nothing is held open; not a byte of it is compiled.
//! With it, and no fault named, the protocol is whole and only slower: the control that has to stay clean.

/// A mistake in the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A claim without the fence behind it.
    NoFence,
    /// The commit word is not read again behind a claim.
    NoRecheck,
    /// Memory is given out again without a look at the claims.
    EagerFree,
    /// Non-temporal stores without the store fence behind them.
    NoSfence,
}

impl Fault {
    /// Is it in? `PLASMAD_BROKEN` names the one that is.
    #[inline(always)]
    pub fn is_in(self) -> bool {
        #[cfg(loom)]
        return crate::orders::has(self);
        #[cfg(all(plasmad_broken, not(loom)))]
        return open::named() == Some(self);
        #[cfg(not(any(plasmad_broken, loom)))]
        false
    }
}

/// Called between the look that found a slot and the claim on it.
#[inline(always)]
pub(crate) fn before_a_claim() {
    #[cfg(plasmad_broken)]
    open::before_a_claim();
}

#[cfg(plasmad_broken)]
mod open {
    use std::cell::Cell;
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicU64;

    use super::Fault;

    /// # Panics
    /// If the variable names none of them: a canary that isn't there must not pass for one that was missed.
    pub(super) fn named() -> Option<Fault> {
        static NAMED: OnceLock<Option<Fault>> = OnceLock::new();
        *NAMED.get_or_init(|| match std::env::var("PLASMAD_BROKEN").unwrap_or_default().as_str() {
            "" => None,
            "no_fence" => Some(Fault::NoFence),
            "no_recheck" => Some(Fault::NoRecheck),
            "eager_free" => Some(Fault::EagerFree),
            "no_sfence" => Some(Fault::NoSfence),
            other => panic!("PLASMAD_BROKEN names no fault: {other}"),
        })
    }

    /// Most gets go on at once, so that the store stays busy.
    pub(super) fn before_a_claim() {
        let random = random();
        match random % 4096 {
            // What was found may go, and its memory be used again, before it is claimed.
            0 => std::thread::yield_now(),
            1..8 => (0..random >> 12 & 0xfff).for_each(|_| std::hint::spin_loop()),
            // The claim waits behind these in the processor's store buffer. Without a fence the second look overtakes
            // it, and the daemon can look for the claim before it is to be seen.
            8..2048 => (0..STORES).for_each(|number| crowd(random.wrapping_add(number))),
            _ => (),
        }
    }

    /// A store that takes long: it goes past the caches.
    fn crowd(random: u64) {
        static LINES: [Line; LINES_COUNT] = [const { Line(AtomicU64::new(0)) }; LINES_COUNT];
        let line = random.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let word = &LINES[line as usize % LINES_COUNT].0;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the word is 8 bytes on its alignment, for ever, and may be written through a shared reference; who
        // else writes it does it here, and nobody reads it.
        unsafe {
            std::arch::x86_64::_mm_stream_si64(word.as_ptr().cast(), random as i64);
        }
        #[cfg(not(target_arch = "x86_64"))]
        word.store(random, std::sync::atomic::Ordering::Relaxed);
    }

    /// Xorshift, by George Marsaglia; each process has its own sequence, each thread its own place in it.
    fn random() -> u64 {
        thread_local!(static STATE: Cell<u64> = const { Cell::new(0) });
        let mut state = match STATE.get() {
            0 => u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            state => state,
        };
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        STATE.set(state);
        state
    }

    #[repr(align(64))]
    struct Line(AtomicU64);

    /// So many that no two of those in flight meet on a line and become one.
    const LINES_COUNT: usize = 1 << 12;
    /// As many as a store buffer has room for, and no more: the claim has to get in.
    const STORES: u64 = 50;
}
