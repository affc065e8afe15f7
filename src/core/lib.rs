//! The pure heart of plasmad: decides, never acts.
//!
//! One entrance: [`Store::handle`] takes an [`Event`] and answers with [`Effect`]s. What completes at once in
//! shared memory goes through one narrow port, [`Residence`]; what completes later is an effect. There is no
//! clock, no input or output, no thread and no unsafe code here, so that a seed replays a whole run.
//!
//! | module | what it decides |
//! |---|---|
//! | [`store`] | what each event means; the only place that sees all the others |
//! | [`event`], [`effect`] | what goes in, what comes out |
//! | [`residence`] | shared memory as the core sees it |
//! | [`disk`] | disk as the core sees it |
//! | [`arena`] | where objects lie |
//! | [`slot`] | which objects there are, and the states they pass through |
//! | [`eviction`] | which objects make room |
//! | [`spill`] | where records lie on disk, and what of a file is still wanted |
//! | [`queue`] | creates that wait for room, gets that wait for objects |
//! | [`clients`] | who holds what |
//! | [`stats`] | the store's own numbers |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod arena;
pub mod clients;
pub mod disk;
pub mod effect;
pub mod event;
pub mod eviction;
pub mod queue;
pub mod residence;
pub mod slot;
pub mod spill;
pub mod stats;
pub mod store;
#[cfg(test)]
mod testing;

pub use arena::Upkeep;
pub use clients::ClientId;
pub use effect::{Effect, Refusal, Reply};
pub use event::{Event, RequestTag, Verb};
pub use eviction::WhenFull;
pub use residence::Residence;
pub use slot::SlotNumber;
pub use store::{Config, Store};

/// A moment, in nanoseconds of a clock that never goes back. The shell reads it; the core only compares.
pub type Nanos = u64;
