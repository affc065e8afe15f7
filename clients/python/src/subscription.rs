//! `Subscription`: hearing what happens, as an iterator.

use plasmad_client as client;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::arguments::Timeout;
use crate::object_id::ObjectId;
use crate::waiting::wait;

/// What happens to objects, in its order: an iterator of `Event`, which ends when it is closed.
#[pyclass(frozen, module = "plasmad")]
pub(crate) struct Subscription(pub(crate) client::Subscription);

#[pymethods]
impl Subscription {
    /// Waits for the next event. A GetTimeoutError when the time is up.
    #[pyo3(signature = (timeout=Timeout(client::Timeout::None)), text_signature = "($self, timeout=None)")]
    fn get<'py>(&self, py: Python<'py>, timeout: Timeout) -> PyResult<Bound<'py, PyAny>> {
        let event = wait(py, || self.0.next(timeout.0))?;
        python_event(py, event)
    }

    /// Ends the subscription and whoever waits for its next event. Closing twice is no error.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let next = wait(py, || match self.0.next(client::Timeout::None) {
            Err(client::Error::Closed) => Ok(None),
            next => next.map(Some),
        })?;
        next.map(|event| python_event(py, event)).transpose()
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __repr__(&self) -> &'static str {
        if self.0.is_closed() { "<plasmad.Subscription, closed>" } else { "<plasmad.Subscription>" }
    }
}

/// How to subscribe. A queue that is too long is the client's to refuse, with its limit.
pub(crate) fn options(existing: bool, max_queue: i128) -> PyResult<client::SubscribeOptions> {
    if max_queue < 1 {
        let sentence = format!("max_queue is {max_queue}; a subscription's queue has room for 1 to 1048576 events");
        return Err(PyValueError::new_err(sentence));
    }
    Ok(client::SubscribeOptions { existing, queue_max: u32::try_from(max_queue).unwrap_or(u32::MAX) })
}

fn python_event(py: Python<'_>, event: client::Event) -> PyResult<Bound<'_, PyAny>> {
    let class = py.import("plasmad.events")?.getattr("Event")?;
    match event {
        client::Event::Change(client::Change { kind, id, data_bytes, metadata_bytes }) => {
            class.call1((name(kind), ObjectId(id), data_bytes, metadata_bytes))
        }
        client::Event::Overflow(lost) => class.call1(("overflow", py.None(), 0, 0, lost)),
    }
}

fn name(kind: client::ChangeKind) -> &'static str {
    match kind {
        client::ChangeKind::Sealed => "sealed",
        client::ChangeKind::Deleted => "deleted",
        client::ChangeKind::Evicted => "evicted",
        client::ChangeKind::Spilled => "spilled",
        client::ChangeKind::Restored => "restored",
    }
}
