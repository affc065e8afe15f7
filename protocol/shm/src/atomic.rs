//! The atomics that index and pages are made of: the machine's, or those of the models in `orders`.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, fence};

#[cfg(loom)]
pub(crate) use crate::orders::atomic::{AtomicU64, fence};
