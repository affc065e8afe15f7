//! The one place that copies payloads.
//!
//! Invariant: when a copy returns, every byte is visible to whoever learns of it afterwards. Non-temporal stores are
//! weakly ordered, so each thread that used them executes a store fence before it reports its part done; nobody else
//! has to think of it.
//!
//! Small copies stay in the cache, where their reader may want them. Large ones go around it: a plain store reads
//! the line it is about to overwrite, a non-temporal one doesn't. The largest are split among two threads.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::thread;

/// How bytes are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `memcpy`: through the cache.
    Plain,
    /// Around the cache, where the processor can; else as [`Method::Plain`].
    NonTemporal,
    /// The same, some pages in turn: of what no cache holds, stores into several pages keep more of the memory's banks at
    /// work than those into one.
    Striped,
}

/// Copies `source` over `target` in the way that suits their length.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub fn copy(target: &mut [u8], source: &[u8]) {
    if source.len() < NON_TEMPORAL_BYTES_MIN {
        // Here, a choice of methods would take as long as the copy.
        return target.copy_from_slice(source);
    }
    copy_large(target, source);
}

fn copy_large(target: &mut [u8], source: &[u8]) {
    let (method, threads) = plan(source.len());
    copy_with(method, threads, target, source);
}

/// As [`copy`], where memory may have to be made ready: `prepare` is told where a piece begins and how long it is, by
/// the thread that copies it next.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn copy_prepared(target: &mut [u8], source: &[u8], prepare: impl Fn(usize, usize) + Sync) {
    let (method, threads) = plan(source.len());
    in_parts(threads, target, source, |start, target, source| {
        let pieces = target.chunks_mut(PREPARED_BYTES).zip(source.chunks(PREPARED_BYTES));
        for (number, (target, source)) in pieces.enumerate() {
            prepare(start + number * PREPARED_BYTES, target.len());
            copy_part(method, target, source);
        }
    });
}

/// Copies in a given way, for measurements.
///
/// # Panics
/// If the lengths differ.
pub fn copy_with(method: Method, threads: NonZeroUsize, target: &mut [u8], source: &[u8]) {
    in_parts(threads, target, source, |_, target, source| copy_part(method, target, source));
}

/// Each thread has a part, which is told with its place in the whole.
fn in_parts(
    threads: NonZeroUsize,
    target: &mut [u8],
    source: &[u8],
    copy_part: impl Fn(usize, &mut [u8], &[u8]) + Sync,
) {
    assert_eq!(target.len(), source.len(), "a copy has one length");
    if threads == ONE || source.is_empty() {
        return copy_part(0, target, source);
    }
    let part = source.len().div_ceil(threads.get()).next_multiple_of(PART_ALIGNMENT);
    thread::scope(|scope| {
        let copy_part = &copy_part;
        let mut parts = target.chunks_mut(part).zip(source.chunks(part)).enumerate();
        let own = parts.next();
        for (number, (target, source)) in parts {
            let copied = move || copy_part(number * part, target, source);
            let spawned = thread::Builder::new().spawn_scoped(scope, copied);
            // The closure is lost with the error, and with it the part; a process out of threads can't go on.
            spawned.expect("a thread for a large copy");
        }
        if let Some((_, (target, source))) = own {
            copy_part(0, target, source);
        }
    });
}

/// The lengths at which the methods change were measured on two cores; `bench copy_sweep` shows them.
fn plan(bytes: usize) -> (Method, NonZeroUsize) {
    match bytes {
        0..NON_TEMPORAL_BYTES_MIN => (Method::Plain, ONE),
        NON_TEMPORAL_BYTES_MIN..THREADS_BYTES_MIN => (Method::NonTemporal, ONE),
        THREADS_BYTES_MIN..STRIPED_BYTES_MIN => (Method::NonTemporal, threads()),
        _ => (Method::Striped, threads()),
    }
}

/// Asked once: the answer takes some thirty system calls, for the limits of every cgroup.
fn threads() -> NonZeroUsize {
    static THREADS: OnceLock<NonZeroUsize> = OnceLock::new();
    *THREADS.get_or_init(|| thread::available_parallelism().unwrap_or(ONE).min(THREADS_MAX))
}

fn copy_part(method: Method, target: &mut [u8], source: &[u8]) {
    match method {
        Method::Plain => target.copy_from_slice(source),
        Method::NonTemporal => stream(target, source, 0),
        Method::Striped => stream(target, source, STRIPE_BYTES),
    }
}

/// In stripes of [`STRIPE_BYTES`], or 0 for none.
#[cfg(target_arch = "x86_64")]
fn stream(target: &mut [u8], source: &[u8], stripe_bytes: usize) {
    use std::arch::x86_64::_mm_sfence;

    // Whole cache lines: one that is written in two turns goes out twice.
    let head = target.as_ptr().align_offset(64).min(target.len());
    let body = (target.len() - head) / LINE * LINE;
    let striped = body.checked_div(stripe_bytes).unwrap_or(0) * stripe_bytes;
    let (target_head, target) = target.split_at_mut(head);
    let (source_head, source) = source.split_at(head);
    let (target_body, target_tail) = target.split_at_mut(body);
    let (source_body, source_tail) = source.split_at(body);
    target_head.copy_from_slice(source_head);
    if is_x86_feature_detected!("avx") {
        // SAFETY: the processor was just asked; the body starts on 32 bytes and is a multiple of `LINE` long.
        unsafe { stream_avx(target_body, source_body, striped) }
    } else {
        stream_sse2(target_body, source_body, striped);
    }
    target_tail.copy_from_slice(source_tail);
    if crate::faults::Fault::NoSfence.is_in() {
        return;
    }
    // SAFETY: every x86-64 processor has it.
    unsafe { _mm_sfence() };
}

/// Copies the lines of two slices of one length: of the first `striped` bytes a line of each page of a stripe in turn, and
/// then the rest. A macro, since a closure does not have the processor features of the function it is passed through.
#[cfg(target_arch = "x86_64")]
macro_rules! in_turn {
    ($target:expr, $source:expr, $striped:expr, |$to:ident, $from:ident| $copy:block) => {
        let (stripes, rest) = $target.split_at_mut($striped);
        let (source_stripes, source_rest) = $source.split_at($striped);
        let (stripes, source_stripes) = (stripes.as_chunks_mut::<STRIPE_BYTES>().0, source_stripes.as_chunks::<STRIPE_BYTES>().0);
        for (stripe, source_stripe) in stripes.iter_mut().zip(source_stripes) {
            for line in (0..PAGE_BYTES).step_by(LINE) {
                for page in (0..STRIPE_BYTES).step_by(PAGE_BYTES) {
                    let ($to, $from) = (&mut stripe[page + line..][..LINE], &source_stripe[page + line..][..LINE]);
                    $copy
                }
            }
        }
        for ($to, $from) in rest.chunks_exact_mut(LINE).zip(source_rest.chunks_exact(LINE)) $copy
    };
}

/// Streams whole lines.
///
/// # Safety
/// The processor must have AVX; the target must start on 32 bytes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn stream_avx(target: &mut [u8], source: &[u8], striped: usize) {
    use std::arch::x86_64::{_mm256_loadu_si256, _mm256_stream_si256};

    in_turn!(target, source, striped, |target, source| {
        for at in (0..LINE).step_by(32) {
            // SAFETY: 32 bytes from `at` lie inside the line; the load needs no alignment.
            let value = unsafe { _mm256_loadu_si256(source[at..at + 32].as_ptr().cast()) };
            // SAFETY: 32 bytes from `at` lie inside the line, which starts on 32 bytes as the caller promised.
            unsafe { _mm256_stream_si256(target[at..at + 32].as_mut_ptr().cast(), value) };
        }
    });
}

#[cfg(target_arch = "x86_64")]
fn stream_sse2(target: &mut [u8], source: &[u8], striped: usize) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm_stream_si128};

    assert!(target.as_ptr().align_offset(16) == 0, "the body starts on its alignment");
    in_turn!(target, source, striped, |target, source| {
        for at in (0..LINE).step_by(16) {
            // SAFETY: 16 bytes from `at` lie inside the line; the load needs no alignment.
            let value = unsafe { _mm_loadu_si128(source[at..at + 16].as_ptr().cast()) };
            // SAFETY: 16 bytes from `at` lie inside the line, and the body's alignment was just asserted.
            unsafe { _mm_stream_si128(target[at..at + 16].as_mut_ptr().cast(), value) };
        }
    });
}

/// Plain stores: other processors order them by the release store that publishes the object.
#[cfg(not(target_arch = "x86_64"))]
fn stream(target: &mut [u8], source: &[u8], _stripe_bytes: usize) {
    target.copy_from_slice(source);
}

const ONE: NonZeroUsize = NonZeroUsize::MIN;
/// More threads than this saturate no memory bus faster.
const THREADS_MAX: NonZeroUsize = NonZeroUsize::new(2).unwrap();
/// Below this, the target may still be in the cache when its reader comes.
const NON_TEMPORAL_BYTES_MIN: usize = if cfg!(plasmad_broken) { 1 << 10 } else { 1 << 20 };
/// Below this, starting a thread costs more than it saves.
const THREADS_BYTES_MIN: usize = 8 << 20;
/// One turn of the copying loop: two cache lines.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 128;
const PAGE_BYTES: usize = 4096;
/// Four pages are copied in turn.
const STRIPE_BYTES: usize = 4 * PAGE_BYTES;
/// Below this, the source is in some cache, and its lines are best read one after the other.
const STRIPED_BYTES_MIN: usize = 64 << 20;
/// So much is made ready at a time: what a thread then copies into is still known to its processor.
const PREPARED_BYTES: usize = 4 << 20;
/// Parts start on a page, so that two threads never share a line.
const PART_ALIGNMENT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_copies_every_byte_and_no_other() {
        let source: Vec<u8> = (0..80_000u32).map(|at| (at * 7 + at / 256) as u8).collect();
        for (method, threads) in [
            (Method::Plain, 1),
            (Method::NonTemporal, 1),
            (Method::NonTemporal, 3),
            (Method::Striped, 1),
            (Method::Striped, 2),
        ] {
            let threads = NonZeroUsize::new(threads).unwrap();
            for (start, bytes) in [(0, 0), (1, 1), (3, 127), (31, 4096), (7, 12_289), (5, 19_000), (9, 70_001)] {
                let mut target = vec![0xEE; 80_000];
                copy_with(method, threads, &mut target[start..start + bytes], &source[..bytes]);
                assert_eq!(target[start..start + bytes], source[..bytes], "{method:?} {threads} {start} {bytes}");
                assert!(target[..start].iter().chain(&target[start + bytes..]).all(|byte| *byte == 0xEE));
            }
        }
    }

    #[test]
    fn every_byte_is_prepared_once() {
        let bytes = 3 * THREADS_BYTES_MIN + 5000;
        let source: Vec<u8> = (0..bytes).map(|at| (at / 4096) as u8).collect();
        let (mut target, pieces) = (vec![0; bytes], std::sync::Mutex::new(Vec::new()));
        copy_prepared(&mut target, &source, |at, bytes| pieces.lock().unwrap().push((at, bytes)));
        assert_eq!(target, source);
        let mut pieces = pieces.into_inner().unwrap();
        pieces.sort_unstable();
        let end = pieces.iter().fold(0, |end, (at, bytes)| if *at == end { at + bytes } else { usize::MAX });
        assert_eq!(end, bytes);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_processor_without_avx_is_served_too() {
        let source = vec![7; 4096 + 32];
        let mut target = vec![0; 4096 + 32];
        let head = target.as_ptr().align_offset(32);
        stream_sse2(&mut target[head..head + 4096], &source[..4096], 0);
        assert!(target[head..head + 4096].iter().all(|byte| *byte == 7));
    }
}
