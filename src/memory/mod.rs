//! Shared memory, as the engine holds it.
//!
//! | module | what is in it |
//! |---|---|
//! | `residence` | the core's port, over index and client pages |
//! | `upkeep` | pages made present ahead of use and given back, by a thread of low priority |
//! | `machine` | what the machine and its cgroups can give |

pub mod machine;
mod residence;
mod upkeep;

pub use residence::SharedMemory;
pub(crate) use upkeep::RESERVE_BYTES;
pub use upkeep::{Errand, Errands, upkeep};
