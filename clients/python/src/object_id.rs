//! `ObjectId`, and what else may stand for an id.
//!
//! Invariant: the all-zero id, which names nothing, never gets in.

use plasmad_client as client;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

/// The name of an object: 28 bytes; shorter ones are padded with zeros on the right.
#[pyclass(frozen, eq, ord, hash, module = "plasmad")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ObjectId(pub(crate) client::ObjectId);

#[pymethods]
impl ObjectId {
    #[new]
    fn new(raw: &Bound<'_, PyBytes>) -> PyResult<Self> {
        from_bytes(raw.as_bytes()).map(Self)
    }

    /// An id that nobody has made before.
    #[staticmethod]
    fn random() -> Self {
        Self(client::id::random())
    }

    /// The id of an object with a name: SHA-224 of the UTF-8 text, the same in every language.
    #[staticmethod]
    fn from_name(name: &str) -> Self {
        Self(client::id::from_name(name))
    }

    /// An id from exactly 56 hex digits.
    #[staticmethod]
    fn from_hex(text: &str) -> PyResult<Self> {
        from_hex(text).map(Self)
    }

    /// The 28 bytes.
    fn binary<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.as_bytes())
    }

    /// 56 hex digits.
    fn hex(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("ObjectId({})", self.0)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        (slf.get_type(), (slf.get().binary(py),)).into_pyobject(py)
    }
}

/// An argument that stands for an id: an `ObjectId`, 1 to 28 bytes, or 56 hex digits.
pub(crate) struct IdLike(pub(crate) client::ObjectId);

impl<'py> FromPyObject<'_, 'py> for IdLike {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(id) = object.cast::<ObjectId>() {
            return Ok(Self(id.get().0));
        }
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return from_bytes(bytes.as_bytes()).map(Self);
        }
        if let Ok(text) = object.cast::<PyString>() {
            return from_hex(&text.to_string_lossy()).map(Self);
        }
        let kind = object.get_type().fully_qualified_name()?;
        Err(PyTypeError::new_err(format!("an id is an ObjectId, bytes, or a str of 56 hex digits, not {kind}")))
    }
}

/// One id or several, as `delete` takes them.
pub(crate) struct Ids(pub(crate) Vec<client::ObjectId>);

impl<'py> FromPyObject<'_, 'py> for Ids {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let one = object.is_instance_of::<ObjectId>()
            || object.is_instance_of::<PyBytes>()
            || object.is_instance_of::<PyString>();
        if one {
            return Ok(Self(vec![object.extract::<IdLike>()?.0]));
        }
        let Ok(ids) = object.try_iter() else {
            // Neither an id nor iterable: the sentence about ids is the one that helps.
            return Ok(Self(vec![object.extract::<IdLike>()?.0]));
        };
        ids.map(|id| Ok(id?.extract::<IdLike>()?.0)).collect::<PyResult<_>>().map(Self)
    }
}

/// Ids, of which one alone would be a mistake.
pub(crate) struct IdList(pub(crate) Vec<client::ObjectId>);

impl<'py> FromPyObject<'_, 'py> for IdList {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyBytes>() || object.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("several ids are expected here, in a list, and this is a single one"));
        }
        object.try_iter()?.map(|id| Ok(id?.extract::<IdLike>()?.0)).collect::<PyResult<_>>().map(Self)
    }
}

fn from_bytes(bytes: &[u8]) -> PyResult<client::ObjectId> {
    match client::ObjectId::from_slice(bytes) {
        Some(id) => not_zero(id),
        None => Err(PyValueError::new_err(format!("an id has 1 to 28 bytes, and these are {}", bytes.len()))),
    }
}

fn from_hex(text: &str) -> PyResult<client::ObjectId> {
    match client::ObjectId::from_hex(text) {
        Some(id) => not_zero(id),
        None => Err(PyValueError::new_err(format!(
            "{} is not an id of 56 hex digits; if it is a name, use ObjectId.from_name",
            shortened(text)
        ))),
    }
}

fn not_zero(id: client::ObjectId) -> PyResult<client::ObjectId> {
    if id.is_zero() {
        return Err(PyValueError::new_err(
            "the all-zero id names nothing; ObjectId.random() or ObjectId.from_name make ids that do",
        ));
    }
    Ok(id)
}

/// The text in quotes, cut if it is long.
fn shortened(text: &str) -> String {
    let mut start: String = text.chars().take(SHOWN_MAX).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}

/// Characters of a wrong id that an error shows: an id and a few more.
const SHOWN_MAX: usize = 60;
