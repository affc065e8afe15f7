//! `ReadBuffer`: an object's bytes, read in place.
//!
//! Invariant: the pin lives in here and every view holds a reference to it, so the object stays where it is until the
//! last view and the last slice of one are gone.

use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plasmad_client as client;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::export::{self, Exported};
use crate::object_id::ObjectId;

/// The bytes of a sealed object, without a copy: pass it to `memoryview`, `numpy.frombuffer` or `pyarrow.py_buffer`.
///
/// The object stays where it is, in memory or mapped from disk, until this and everything made from it is gone, or until
/// `close()`.
#[pyclass(frozen, module = "plasmad")]
pub(crate) struct ReadBuffer {
    id: client::ObjectId,
    bytes: usize,
    state: Mutex<State>,
}

struct State {
    exports: usize,
    held: Held,
}

enum Held {
    /// The object itself, pinned and read-only.
    Pinned(client::Buffer),
    /// A copy of its data and metadata that is the caller's own, and writable.
    Copied(Vec<u8>, Vec<u8>),
    /// Nothing any more.
    Closed,
}

impl ReadBuffer {
    pub(crate) fn pinned(buffer: client::Buffer) -> Self {
        Self::new(buffer.id(), buffer.len(), Held::Pinned(buffer))
    }

    /// Makes a private copy; the pin is gone afterwards. Takes as long as the copy does.
    pub(crate) fn copied(buffer: client::Buffer) -> Self {
        Self::new(buffer.id(), buffer.len(), Held::Copied(buffer.to_vec(), buffer.metadata().to_vec()))
    }

    fn new(id: client::ObjectId, bytes: usize, held: Held) -> Self {
        Self { id, bytes, state: Mutex::new(State { exports: 0, held }) }
    }

    /// Held for a few instructions only, and never while Python code may run.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an export, and says of what.
    fn begin_export(&self) -> PyResult<Exported> {
        let mut state = self.lock();
        let exported = match &mut state.held {
            Held::Pinned(buffer) => Exported { start: buffer.as_ptr().cast_mut(), bytes: buffer.len(), readonly: true },
            Held::Copied(data, _) => Exported { start: data.as_mut_ptr(), bytes: data.len(), readonly: false },
            Held::Closed => return Err(closed()),
        };
        state.exports += 1;
        Ok(exported)
    }

    fn end_export(&self) {
        self.lock().exports -= 1;
    }

    /// Lets go of the bytes unless a view is alive; false if one is.
    fn try_close(&self) -> bool {
        let mut state = self.lock();
        if state.exports > 0 {
            return false;
        }
        let held = std::mem::replace(&mut state.held, Held::Closed);
        drop(state);
        drop(held);
        true
    }
}

#[pymethods]
impl ReadBuffer {
    /// The object's id.
    #[getter]
    fn object_id(&self) -> ObjectId {
        ObjectId(self.id)
    }

    /// Length of the data in bytes.
    #[getter]
    fn nbytes(&self) -> usize {
        self.bytes
    }

    /// The user's own bytes beside the data.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let metadata = match &self.lock().held {
            Held::Pinned(buffer) => buffer.metadata().to_vec(),
            Held::Copied(_, metadata) => metadata.clone(),
            Held::Closed => return Err(closed()),
        };
        Ok(PyBytes::new(py, &metadata))
    }

    /// Drops the pin. A BufferError while a memoryview, array or Arrow buffer made from this lives.
    fn close(&self) -> PyResult<()> {
        if self.try_close() { Ok(()) } else { Err(viewed()) }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Closes. When an exception is on its way, whose traceback may hold views, the last of them drops the pin.
    #[pyo3(signature = (kind, error, trace))]
    fn __exit__(&self, kind: &Bound<'_, PyAny>, error: &Bound<'_, PyAny>, trace: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = (error, trace);
        if self.try_close() || !kind.is_none() { Ok(()) } else { Err(viewed()) }
    }

    fn __len__(&self) -> usize {
        self.bytes
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        PyMemoryView::from(slf)?.get_item(key)
    }

    fn __setitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        PyMemoryView::from(slf)?.set_item(key, value)
    }

    fn __repr__(&self) -> String {
        let state = match self.lock().held {
            Held::Pinned(_) => "",
            Held::Copied(..) => ", a private copy",
            Held::Closed => ", closed",
        };
        format!("<plasmad.ReadBuffer of {}, {} bytes{state}>", self.id, self.bytes)
    }

    /// # Safety
    /// Called by the interpreter only, with a view to be filled.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let exported = slf.get().begin_export()?;
        // SAFETY: the view is the interpreter's. The bytes stay: `try_close` leaves them alone until `end_export`, and
        // the view's reference keeps `slf`. Those of a copy are reached through views only.
        let filled = unsafe { export::fill(view, slf, &exported, flags) };
        filled.inspect_err(|_| slf.get().end_export())
    }

    /// # Safety
    /// Called by the interpreter only, once for every view that was filled.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.end_export();
    }
}

fn closed() -> PyErr {
    PyValueError::new_err("the buffer is closed")
}

fn viewed() -> PyErr {
    PyBufferError::new_err(
        "the buffer can't be closed while a memoryview, array or Arrow buffer made from it is alive; delete those first",
    )
}
