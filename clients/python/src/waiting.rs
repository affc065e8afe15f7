//! Waiting without the interpreter, and with its signals.
//!
//! Invariant: an exception that a signal handler raised while a verb waited is raised by that verb, whatever became of
//! the verb itself; what the verb had already got is given back.

use std::cell::RefCell;

use plasmad_client as client;
use pyo3::prelude::*;

use crate::errors;

/// Runs a verb of the Rust client, which may wait, without the interpreter.
pub(crate) fn wait<T: Send>(py: Python<'_>, verb: impl FnOnce() -> client::Result<T> + Send) -> PyResult<T> {
    let result = py.detach(verb);
    match RAISED.take() {
        Some(raised) => Err(raised),
        None => result.map_err(|error| errors::exception(py, error)),
    }
}

/// What the client asks every now and then while it waits: runs signal handlers; true if one raised.
pub(crate) fn signals_raised() -> bool {
    let raised = Python::try_attach(|py| {
        py.check_signals().is_err_and(|raised| {
            RAISED.set(Some(raised));
            true
        })
    });
    // Without an interpreter, which is then on its way out, nobody waits for an answer any more.
    raised.unwrap_or(true)
}

thread_local! {
    /// What a signal handler raised during the wait of this thread.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}
