//! Shared memory, as the engine holds it.
//!
//! | module | what is in it |
//! |---|---|
//! | `arena` | its bytes, read and written without mapping it |
//! | `residence` | the core's port, over index and client pages |
//! | `upkeep` | pages made present ahead of use and given back, by a thread of low priority |
//! | `machine` | what the machine and its cgroups can give |

mod arena;
pub mod machine;
mod residence;
mod upkeep;

pub use arena::Arena;
pub use residence::SharedMemory;
pub(crate) use upkeep::RESERVE_BYTES;
pub use upkeep::{Errand, Errands, upkeep};
