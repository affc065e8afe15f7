//! How much memory something needed.
//!
//! The count is of the whole process: whoever measures must be the only one that runs.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Runs something; the most bytes it had allocated at a time, what it returns included.
pub fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.peak_usage();
    let value = run();
    (value, ALLOCATOR.peak_usage().saturating_sub(before))
}

/// The most that decoding a body of so many bytes may need.
///
/// The worst is a list of described objects: the shortest takes 65 bytes on the wire and 232 in memory, 3.6 times as
/// much.
pub const fn bound(body_bytes: usize) -> usize {
    4 * body_bytes
}
