//! The client's errors as the exceptions of `plasmad.exceptions`.

use plasmad_client::{Error, Outcome, Pending};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::info;
use crate::object_id::ObjectId;

/// The exception for an error.
pub(crate) fn exception(py: Python<'_>, error: Error) -> PyErr {
    build(py, error).unwrap_or_else(|failure| failure)
}

fn build(py: Python<'_>, error: Error) -> PyResult<PyErr> {
    let message = error.to_string();
    let attributes = PyDict::new(py);
    let class = match error {
        Error::Timeout { pending } => {
            let named = PyDict::new(py);
            for (id, why) in pending {
                named.set_item(ObjectId(id), pending_name(why))?;
            }
            attributes.set_item("pending", named)?;
            "GetTimeoutError"
        }
        Error::Full { numbers, .. } => {
            attributes.set_item("asked", numbers.asked)?;
            attributes.set_item("free", numbers.free)?;
            attributes.set_item("largest_hole", numbers.largest_hole)?;
            attributes.set_item("pinned", numbers.pinned)?;
            let holders: PyResult<Vec<_>> = numbers.pinned_by.iter().map(|holder| info::holder(py, holder)).collect();
            attributes.set_item("pinned_by", holders?)?;
            "StoreFullError"
        }
        Error::Connection { outcome, .. } => {
            attributes.set_item("outcome", outcome_name(outcome))?;
            "StoreConnectionError"
        }
        // Whoever doesn't keep to the protocol can't be asked what became of a request.
        Error::Protocol { .. } => {
            attributes.set_item("outcome", outcome_name(Outcome::Unknown))?;
            "StoreConnectionError"
        }
        Error::NotFound { .. } => "ObjectNotFoundError",
        Error::Exists { .. } => "ObjectExistsError",
        Error::NotSealed { .. } => "ObjectNotSealedError",
        Error::AccessDenied { .. } => "AccessDeniedError",
        Error::Limit { .. } => "LimitError",
        Error::Closed => "StoreClosedError",
        Error::Lost { .. } => "ObjectLostError",
        Error::Spill { .. } => "SpillError",
        Error::Invalid { .. } | Error::WrongState { .. } => return Ok(PyValueError::new_err(message)),
        _ => "StoreError",
    };
    let class = py.import("plasmad.exceptions")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((message,), Some(&attributes))?))
}

fn pending_name(why: Pending) -> &'static str {
    match why {
        Pending::Absent => "absent",
        Pending::Unsealed => "unsealed",
        Pending::Restoring => "restoring",
    }
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotDone => "not done",
        Outcome::Unknown => "unknown",
    }
}
