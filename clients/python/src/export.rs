//! Bytes given out through the buffer protocol.
//!
//! Invariant: the bytes of an exported view stay in place as long as its owner counts the export; every view holds a
//! reference to its owner.

use std::ffi::c_int;

use pyo3::PyClass;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Bytes to give out.
pub(crate) struct Exported {
    pub(crate) start: *mut u8,
    pub(crate) bytes: usize,
    pub(crate) readonly: bool,
}

/// Fills a view that the interpreter asks for; on failure there is no view, and no reference to the owner.
///
/// # Safety
/// `view` is the interpreter's, to be filled. `exported` is memory that stays valid, and writable unless `readonly`,
/// until the interpreter has released the view.
pub(crate) unsafe fn fill<T: PyClass>(
    view: *mut ffi::Py_buffer,
    owner: &Bound<'_, T>,
    exported: &Exported,
    flags: c_int,
) -> PyResult<()> {
    let Ok(length) = ffi::Py_ssize_t::try_from(exported.bytes) else {
        return Err(PyBufferError::new_err("the object is larger than a Python buffer can be"));
    };
    let readonly = c_int::from(exported.readonly);
    // SAFETY: by this function's contract `view` can be filled and the memory outlives it; `owner` is a live object.
    let filled =
        unsafe { ffi::PyBuffer_FillInfo(view, owner.as_ptr(), exported.start.cast(), length, readonly, flags) };
    match filled {
        0 => Ok(()),
        _ => Err(PyErr::fetch(owner.py())),
    }
}
