//! `WritableBuffer`: an object while it is being written.
//!
//! Invariant: no view into its memory is alive when the memory stops being this buffer's own: sealing is refused
//! meanwhile, and aborting waits for the last view.
//!
//! ```text
//! Open --seal--> Busy --> Done        Open --write--> Busy --> Open
//! Open --abort--> Done, or with views alive: Abandoned --last view gone--> Done
//! ```

use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plasmad_client as client;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PySlice};

use crate::contiguous::Contiguous;
use crate::export::{self, Exported};
use crate::object_id::ObjectId;
use crate::waiting::wait;

/// The memory of an object that nobody else sees yet: write into it, then `seal()` it.
///
/// In a `with` block it is sealed at the end, or aborted if there was an exception. Forgotten unsealed, it is aborted.
#[pyclass(frozen, module = "plasmad")]
pub(crate) struct WritableBuffer {
    id: client::ObjectId,
    bytes: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    exports: usize,
    state: State,
}

enum State {
    /// Being written.
    Open(client::Writer),
    /// A thread writes or seals, without the interpreter.
    Busy,
    /// Aborted while views were alive: the last of them gives the memory back.
    Abandoned(#[expect(dead_code, reason = "kept for the views into it")] client::Writer),
    /// Sealed, aborted or given up, as it says.
    Done(&'static str),
}

impl WritableBuffer {
    pub(crate) fn new(writer: client::Writer) -> Self {
        let (id, bytes) = (writer.id(), writer.len());
        Self { id, bytes, inner: Mutex::new(Inner { exports: 0, state: State::Open(writer) }) }
    }

    /// Held for a few instructions only, and never while Python code may run.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the writer out, if no view is alive; whoever does sets the next state.
    fn take(&self) -> PyResult<client::Writer> {
        let mut inner = self.lock();
        if inner.exports > 0 && matches!(inner.state, State::Open(_)) {
            return Err(PyBufferError::new_err(format!(
                "object {} can't be sealed or filled while a memoryview or array made from its buffer is alive; delete those first",
                self.id
            )));
        }
        match std::mem::replace(&mut inner.state, State::Busy) {
            State::Open(writer) => Ok(writer),
            other => {
                let error = self.unusable(&other);
                inner.state = other;
                Err(error)
            }
        }
    }

    fn set(&self, state: State) {
        self.lock().state = state;
    }

    fn unusable(&self, state: &State) -> PyErr {
        let id = self.id;
        match state {
            State::Open(_) | State::Busy => {
                PyBufferError::new_err(format!("another thread is writing or sealing object {id}"))
            }
            State::Abandoned(_) => PyValueError::new_err(format!("object {id} is already {ABORTED}")),
            State::Done(how) => PyValueError::new_err(format!("object {id} is already {how}")),
        }
    }

    /// Counts an export, and says of what.
    fn begin_export(&self) -> PyResult<Exported> {
        let mut inner = self.lock();
        match &mut inner.state {
            State::Open(writer) => {
                let exported = Exported { start: writer.as_mut_ptr(), bytes: writer.len(), readonly: false };
                inner.exports += 1;
                Ok(exported)
            }
            other => Err(self.unusable(other)),
        }
    }

    fn end_export(&self) {
        let mut inner = self.lock();
        inner.exports -= 1;
        if inner.exports == 0 && matches!(inner.state, State::Abandoned(_)) {
            let abandoned = std::mem::replace(&mut inner.state, State::Done(ABORTED));
            drop(inner);
            drop(abandoned);
        }
    }

    /// Replaces data from `at` on, without the interpreter.
    fn write(&self, py: Python<'_>, at: usize, data: &Contiguous) -> PyResult<()> {
        let mut writer = self.take()?;
        let source = data.bytes();
        let written = py.detach(|| {
            writer.copy_from(at, source);
            writer
        });
        self.set(State::Open(written));
        Ok(())
    }

    /// Where a slice without gaps starts and how long it is; `None` for any other key.
    fn span(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<(usize, usize)>> {
        let (Ok(slice), Ok(length)) = (key.cast::<PySlice>(), isize::try_from(self.bytes)) else { return Ok(None) };
        let indices = slice.indices(length)?;
        Ok(usize::try_from(indices.start).ok().filter(|_| indices.step == 1).map(|start| (start, indices.slicelength)))
    }
}

#[pymethods]
impl WritableBuffer {
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

    /// Publishes the object for good. With a view of it alive: BufferError, and it stays unsealed.
    fn seal(&self, py: Python<'_>) -> PyResult<ObjectId> {
        let writer = self.take()?;
        let sealed = wait(py, || writer.seal());
        self.set(State::Done(if sealed.is_ok() { SEALED } else { FAILED }));
        sealed.map(ObjectId)
    }

    /// Gives the object up. With a view of it alive, its memory and its id are free when the last one is gone.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        let mut inner = self.lock();
        match std::mem::replace(&mut inner.state, State::Busy) {
            State::Open(writer) if inner.exports > 0 => inner.state = State::Abandoned(writer),
            State::Open(writer) => {
                drop(inner);
                let aborted = wait(py, || writer.abort());
                self.set(State::Done(ABORTED));
                aborted?;
            }
            other => {
                let error = self.unusable(&other);
                inner.state = other;
                return Err(error);
            }
        }
        Ok(())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (kind, error, trace))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (error, trace);
        // Who has sealed or aborted in the block has nothing left to do.
        if matches!(self.lock().state, State::Abandoned(_) | State::Done(_)) {
            return Ok(());
        }
        if kind.is_none() { self.seal(py).map(drop) } else { self.abort(py) }
    }

    fn __len__(&self) -> usize {
        self.bytes
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        PyMemoryView::from(slf)?.get_item(key)
    }

    fn __setitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.get();
        let Some((start, bytes)) = this.span(key)? else {
            return PyMemoryView::from(slf)?.set_item(key, value);
        };
        let data: Contiguous = value.extract()?;
        let given = data.bytes().len();
        if given != bytes {
            return Err(PyValueError::new_err(format!("{bytes} bytes are to be replaced, and {given} were given")));
        }
        // With a view alive the data may be the buffer's own, so the interpreter moves it.
        if this.lock().exports == 0 {
            return this.write(slf.py(), start, &data);
        }
        if given == 0 {
            return Ok(());
        }
        let source = PyMemoryView::from(value)?.call_method1("cast", ("B",))?;
        PyMemoryView::from(slf)?.set_item(key, source)
    }

    fn __repr__(&self) -> String {
        let state = match self.lock().state {
            State::Open(_) | State::Busy => "unsealed",
            State::Abandoned(_) => ABORTED,
            State::Done(how) => how,
        };
        format!("<plasmad.WritableBuffer of {}, {} bytes, {state}>", self.id, self.bytes)
    }

    /// # Safety
    /// Called by the interpreter only, with a view to be filled.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let exported = slf.get().begin_export()?;
        // SAFETY: the view is the interpreter's. The memory stays this object's, and stays mapped: `seal` and `abort`
        // leave it alone until `end_export`, and the view's reference keeps `slf`.
        let filled = unsafe { export::fill(view, slf, &exported, flags) };
        filled.inspect_err(|_| slf.get().end_export())
    }

    /// # Safety
    /// Called by the interpreter only, once for every view that was filled.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.end_export();
    }
}

const SEALED: &str = "sealed";
const ABORTED: &str = "aborted";
/// The connection was lost, or a signal came: nobody here knows whether it was sealed.
const FAILED: &str = "given up: sealing it failed";
