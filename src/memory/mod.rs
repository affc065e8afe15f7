//! Shared memory, as the engine holds it.
//!
//! | module | what is in it |
//! |---|---|
//! | `residence` | the core's port, over index and client pages |
//! | `population` | pages made present ahead of use, by a thread of low priority |
//! | `machine` | what the machine and its cgroups can give |

pub mod machine;
mod population;
mod residence;

pub use population::Population;
pub(crate) use population::RESERVE_BYTES;
pub use residence::SharedMemory;
