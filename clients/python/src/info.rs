//! What the daemon tells about an object, as a `plasmad.ObjectInfo`.

use plasmad_client::{ExtentInfo, FilePlace, Format, Holder, ObjectInfo, ObjectState};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The document that the command line prints for the same object.
pub(crate) fn object_info<'py>(py: Python<'py>, info: &ObjectInfo) -> PyResult<Bound<'py, PyAny>> {
    let module = py.import("plasmad.info")?;
    let time = |unix_ns: u64| module.getattr("rfc3339")?.call1((unix_ns,));
    let holders: PyResult<Vec<_>> = info.pinned_by.iter().map(|holder| self::holder(py, holder)).collect();

    let fields = PyDict::new(py);
    fields.set_item("id", info.id.to_string())?;
    // Who has a name for an object knows its id; the other way round there is nothing to know.
    fields.set_item("name", py.None())?;
    fields.set_item("state", state_name(info.state))?;
    fields.set_item("where", places(info))?;
    fields.set_item("data_bytes", info.data_bytes)?;
    fields.set_item("metadata_bytes", info.metadata_bytes)?;
    fields.set_item("format", format_name(info.format))?;
    fields.set_item("pins", info.pins)?;
    fields.set_item("pinned_by", holders?)?;
    fields.set_item("refs", py.None())?;
    fields.set_item("evictable", info.evictable)?;
    fields.set_item("created_at", time(info.created_unix_ns)?)?;
    fields.set_item("sealed_at", info.sealed_unix_ns.map(time).transpose()?)?;
    fields.set_item("extent", info.extent.as_ref().map(|extent| self::extent(py, extent)).transpose()?)?;
    fields.set_item("file", info.file.as_ref().map(|file| self::file(py, file)).transpose()?)?;
    module.getattr("ObjectInfo")?.call1((fields,))
}

/// A client with pins.
pub(crate) fn holder<'py>(py: Python<'py>, holder: &Holder) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("client", holder.client)?;
    fields.set_item("pid", Some(holder.pid).filter(|&pid| pid != 0))?;
    fields.set_item("label", Some(&holder.label).filter(|label| !label.is_empty()))?;
    fields.set_item("pins", holder.pins)?;
    fields.set_item("bytes", holder.bytes)?;
    Ok(fields)
}

fn places(info: &ObjectInfo) -> Vec<&'static str> {
    let places = [(info.in_memory, "memory"), (info.on_disk, "disk")];
    places.into_iter().filter_map(|(there, name)| there.then_some(name)).collect()
}

fn extent<'py>(py: Python<'py>, extent: &ExtentInfo) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("segment", extent.segment)?;
    fields.set_item("offset", extent.offset)?;
    fields.set_item("bytes", extent.bytes)?;
    Ok(fields)
}

fn file<'py>(py: Python<'py>, file: &FilePlace) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("path", &file.path)?;
    fields.set_item("offset", file.offset)?;
    Ok(fields)
}

fn state_name(state: ObjectState) -> &'static str {
    match state {
        ObjectState::Created => "created",
        ObjectState::Sealed => "sealed",
        ObjectState::Spilling => "spilling",
        ObjectState::Spilled => "spilled",
        ObjectState::Restoring => "restoring",
    }
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Raw => "raw",
        Format::Pickle5 => "pickle5",
        Format::Arrow => "arrow",
    }
}
