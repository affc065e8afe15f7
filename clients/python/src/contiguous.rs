//! Bytes-like arguments, from the side of who reads them.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PyString};

/// The bytes of an object that has the buffer protocol and keeps them in one piece.
pub(crate) struct Contiguous(PyUntypedBuffer);

impl Contiguous {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        let (start, length) = (self.0.buf_ptr().cast::<u8>().cast_const(), self.0.len_bytes());
        if length == 0 {
            return &[];
        }
        // SAFETY: the exporter keeps `length` bytes at `start` in place until the buffer is released, which is when
        // `self` is dropped; they are contiguous, as `extract` checked. Another thread may write to them meanwhile, as
        // with every reader of the buffer protocol: the bytes are only copied, and no decision is taken on them.
        unsafe { std::slice::from_raw_parts(start, length) }
    }
}

impl<'py> FromPyObject<'_, 'py> for Contiguous {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let object = object.to_owned();
        if object.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("bytes are expected, not str; encode the text first"));
        }
        let view = match PyUntypedBuffer::get(&object) {
            Ok(view) => view,
            Err(error) if error.is_instance_of::<PyBufferError>(object.py()) => scalar(&object)?,
            Err(error) => return Err(error),
        };
        if !view.is_c_contiguous() {
            return Err(PyBufferError::new_err(
                "the bytes are not C-contiguous; pass a contiguous copy, as numpy.ascontiguousarray makes one",
            ));
        }
        Ok(Self(view))
    }
}

/// A view of something without dimensions, as `numpy.array(1.5)` is, whose views have no shape.
fn scalar(object: &Bound<'_, PyAny>) -> PyResult<PyUntypedBuffer> {
    let bytes = PyMemoryView::from(object)?.call_method1("cast", ("B",))?;
    PyUntypedBuffer::get(&bytes)
}
