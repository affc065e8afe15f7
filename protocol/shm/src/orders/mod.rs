//! Index and pages under loom, which tries every order of their loads and stores that Rust's memory model allows.
//!
//! Invariant: what runs here is the code of `index` and `page`; only the atomics below it are loom's. What the daemon
//! does with them in `src/memory/residence.rs`, and clients in `clients/rust`, is written once more in `scene`.
//!
//! | module | what is in it |
//! |---|---|
//! | `atomic` | loom's atomics, of which each order can be weakened |
//! | `words` | a file's words, made of them |
//! | `scene` | a daemon, a client, and the bytes of objects |
//! | `models` | what they do at the same time, and what has to hold |
//! | `check` | runs the models: as they are, with slips, with each order weakened |
//! | `expected` | what each order is needed for |

pub(crate) mod atomic;
#[cfg(test)]
mod check;
#[cfg(test)]
mod expected;
#[cfg(test)]
mod models;
#[cfg(test)]
mod scene;
pub mod words;

use std::cell::Cell;

use crate::faults::Fault;

/// Is this fault in?
pub(crate) fn has(fault: Fault) -> bool {
    FAULT.get() == Some(fault)
}

thread_local! {
    // Loom runs all threads of a model on the thread that checks it.
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
}
