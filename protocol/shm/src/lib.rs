//! Shared-memory layouts, mappings and descriptors of plasmad: all its unsafe code.
//!
//! | module | what is in it |
//! |---|---|
//! | [`memfd`] | sealed memory files: made by the daemon, checked by clients |
//! | [`mapping`] | whole files mapped, and the two kinds of object bytes in them |
//! | [`file_view`] | pieces of files that somebody else keeps |
//! | `map` | mappings that huge pages fit into |
//! | [`words`] | a mapped file as bounded atomic words |
//! | `atomic` | the atomics they are made of |
//! | [`index`] | the index of sealed objects, written by the daemon alone, read by clients |
//! | [`page`] | a client's page: its claims |
//! | [`life`] | files that tell the daemon whether anybody still maps them |
//! | `ordering` | a store and a full fence as one step |
//! | [`copy`] | the one place that copies payloads |
//! | [`faults`] | mistakes and slowness that the torture test can compile in |
//! | [`page_cache`] | how much of a file the page cache holds |
//! | [`populate`] | making pages present ahead of use, small or huge ones, and giving them back |
//! | [`fd_passing`] | descriptors over Unix sockets |
//! | [`fork`] | is this still the process that made it; what is done around each fork |
//! | [`peer`] | who is at the other end, and is it alive |
//! | `orders` | index and pages in every order of their loads and stores, under `--cfg loom` only |
//!
//! The rule for memory that another process may write: atomics or raw copies, never a plain reference. Bytes of
//! sealed objects are the one exception, since nobody writes them while they are pinned.

mod atomic;
pub mod copy;
pub mod faults;
pub mod fd_passing;
pub mod file_view;
pub mod fork;
pub mod index;
pub mod life;
mod map;
pub mod mapping;
pub mod memfd;
mod ordering;
#[cfg(loom)]
mod orders;
pub mod page;
pub mod page_cache;
pub mod peer;
pub mod populate;
#[cfg(not(loom))]
pub mod words;
#[cfg(loom)]
pub use orders::words;
