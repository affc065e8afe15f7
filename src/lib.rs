//! The plasmad daemon and command line: everything that does input and output.
//!
//! | module | what is in it |
//! |---|---|
//! | [`cli`] | one file per command |
//! | [`keeper`] | the process that is started: owns the socket's path and the arena, starts the engine |
//! | [`server`] | the engine: one thread that serves all clients |
//! | [`memory`] | shared memory for the core: arena, index, client pages, population, the machine's limits |
//! | `spill` | objects on disk: folder, files, records, the threads that move them |
//! | [`doctor`] | is this machine fit for all that |
//! | [`config`], [`size`], [`error`], `lock` | what they all speak of |
//!
//! What the store decides stands in `plasmad-core`; here it is carried out.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod doctor;
pub mod error;
pub mod keeper;
mod lock;
pub mod memory;
pub mod server;
pub mod size;
mod spill;
