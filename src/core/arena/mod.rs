//! Where objects lie: the allocator, the geometry of making room, and the memory behind it all.
//!
//! All records live in the daemon's own heap: nothing a client can write decides where anything is.

mod allocator;
pub mod fill;
mod span_set;
mod spans;
pub mod window;

pub use allocator::{Allocator, Block, PAGE_ALIGNED_FROM_BYTES, PAGE_BYTES, UNIT_BYTES};
pub use span_set::SPAN_BYTES;
pub use spans::{Spans, Stretch, Upkeep};
