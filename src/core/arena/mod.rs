//! Where objects lie: the allocator, and the geometry of making room.
//!
//! All records live in the daemon's own heap: nothing a client can write decides where anything is.

mod allocator;
pub mod fill;
pub mod window;

pub use allocator::{Allocator, Block, PAGE_ALIGNED_FROM_BYTES, PAGE_BYTES, UNIT_BYTES};
