//! Timeouts and sizes, as Python spells them.

use std::time::Duration;

use plasmad_client as client;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyString};

/// Seconds; `None` is for ever, 0 does not wait.
pub(crate) struct Timeout(pub(crate) client::Timeout);

impl<'py> FromPyObject<'_, 'py> for Timeout {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() {
            return Ok(Self(client::Timeout::None));
        }
        duration(object.extract()?).map(|time| Self(time.into()))
    }
}

/// How long to wait for the daemon; for ever is a century.
pub(crate) fn connect_timeout(seconds: Option<f64>) -> PyResult<Duration> {
    let time = seconds.map(duration).transpose()?.flatten();
    Ok(time.map_or(CENTURY, |time| time.min(CENTURY)))
}

/// What no duration can hold (584 billion years) is for ever, `None`.
fn duration(seconds: f64) -> PyResult<Option<Duration>> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!(
            "a timeout is seconds, 0 or more, or None for ever; it can't be {seconds}"
        )));
    }
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

/// Bytes: an int, or text such as "512MiB".
pub(crate) struct Size(pub(crate) u64);

impl<'py> FromPyObject<'_, 'py> for Size {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            let text = text.to_string_lossy();
            return parse_size(&text).map(Self).ok_or_else(|| {
                PyValueError::new_err(format!("{text:?} is no size; sizes are 4096, \"64KiB\", \"512MiB\", \"2GiB\""))
            });
        }
        if object.is_instance_of::<PyFloat>() {
            return Err(PyTypeError::new_err("a size is an int of bytes, or text such as \"512MiB\", not float"));
        }
        let bytes: i128 = object.extract()?;
        let size = u64::try_from(bytes);
        size.map(Self).map_err(|_| PyValueError::new_err(format!("a size of {bytes} bytes is not possible")))
    }
}

/// A number with an optional unit of 1024; `None` for anything else, and for what 64 bits can't hold.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_units_of_1024() {
        assert_eq!(parse_size("4096"), Some(4096));
        assert_eq!(parse_size("64KiB"), Some(65_536));
        assert_eq!(parse_size(" 2 GiB "), Some(2 << 30));
        for wrong in ["", "MiB", "-1", "1.5GiB", "1MB", "99999999TiB", "1 KiB B"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }
}
