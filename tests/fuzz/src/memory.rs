//! How much memory something needed.
//!
//! The count is of the whole process: whoever measures must be the only one that runs.

use peak_alloc::PeakAlloc;
use plasmad_wire::codec::Wire;
use plasmad_wire::error::Holder;
use plasmad_wire::response::ObjectInfo;

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
/// A count reserves no more items than the bytes behind it could fill. A list in an item of a list does so with the
/// same bytes, so both add up: described objects (168 bytes in memory, 65 on the wire at least), and in the first of
/// them its holders (48 and 26) make 2.58 + 1.85 = 4.43 times the body. No other two lists stand in each other.
pub const fn bound(body_bytes: usize) -> usize {
    body_bytes * size_of::<ObjectInfo>() / ObjectInfo::BYTES_MIN + body_bytes * size_of::<Holder>() / Holder::BYTES_MIN
}
