//! What must hold for whatever bytes come: decoders refuse or read them, and the core survives every order of events.
//!
//! | file | what must hold |
//! |---|---|
//! | `messages` | a message is refused, or is what its bytes say: encoding it again gives the same bytes, and it takes little more memory than they do |
//! | `values` | the same for every type a message is made of |
//! | `stream` | a stream gives the same answers whatever pieces it comes in |
//! | `size` | a size on the command line is read as it is written |
//! | `store` | the core's promises, after every event of any sequence |
//! | `targets` | all of these by name, as the fuzzers call them |
//! | `seeds` | where the fuzzers start: the golden frames |
//! | `mutation` | a fuzzer without coverage, for tests |
//! | `planted` | decoders with a mistake in them, to prove that the fuzzers find it |
//!
//! The same functions run under libFuzzer (`make fuzz`) and under `tests/smoke.rs` (`make fuzz-ci`).

pub mod memory;
pub mod messages;
pub mod mutation;
pub mod planted;
pub mod seeds;
pub mod size;
pub mod store;
pub mod stream;
pub mod targets;
pub mod values;

#[allow(dead_code)]
#[path = "../../../clients/rust/src/incoming.rs"]
mod incoming;

#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../../support/mod.rs"]
mod support;

/// What came of an input, as a number: inputs with new outcomes are worth changing further.
pub type Outcome = u64;

/// A number for an outcome, from whatever tells it from others.
pub fn outcome(parts: impl std::hash::Hash) -> Outcome {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(parts)
}
