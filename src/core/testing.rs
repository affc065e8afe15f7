//! What the random tests of this crate's structures share.
//!
//! Each stands beside its structure, with a naive model and a mistake put in on purpose that it must notice.

use alloc::format;
use alloc::string::{String, ToString};
use core::ops::Range;

extern crate std;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result of a comparison: what differs.
pub(crate) type Compared = Result<(), String>;

/// Structure and model agree on one answer.
pub(crate) fn same<T: PartialEq + core::fmt::Debug>(what: &str, found: T, expected: T) -> Compared {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, the model has {expected:?}")) }
}

/// A panic, the structure's own asserts included, is a difference like any other.
pub(crate) fn guarded(run: impl FnOnce() -> Compared) -> Compared {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        Err(format!("panic: {}", said.unwrap_or_default()))
    })
}

/// No seed shows a difference.
pub(crate) fn agree(seeds: Range<u64>, run: impl Fn(u64) -> Compared) {
    for seed in seeds {
        if let Err(difference) = guarded(|| run(seed)) {
            panic!("seed {seed}: {difference}");
        }
    }
}

/// Some seed shows the difference that a mistake makes.
pub(crate) fn notice(seeds: Range<u64>, expected: &str, run: impl Fn(u64) -> Compared) {
    let found = seeds.into_iter().find_map(|seed| guarded(|| run(seed)).err());
    let found = found.unwrap_or_else(|| panic!("nobody noticed; expected: {expected}"));
    assert!(found.contains(expected), "noticed otherwise: {found}");
}
