//! The extension module `plasmad._plasmad`: the Rust client with Python's faces on it.
//!
//! Invariants: nothing here waits with the interpreter attached, and no lock of ours is held while attached code of
//! others may run. What is pure Python (exceptions, the server, `ObjectInfo`) is in the package around it.
//!
//! | module | what is in it |
//! |---|---|
//! | `store` | `Store` and `connect`: the verbs |
//! | `subscription` | `Subscription`: hearing what happens |
//! | `read_buffer`, `writable_buffer` | the two kinds of object bytes, as Python buffers |
//! | `object_id` | `ObjectId`, and what else may stand for an id |
//! | `arguments` | timeouts, sizes and bytes-like arguments |
//! | `export`, `contiguous` | the two ends of the buffer protocol: all of the unsafe code |
//! | `waiting`, `errors`, `info` | signals while waiting, exceptions, `ObjectInfo` |

mod arguments;
mod contiguous;
mod errors;
mod export;
mod info;
mod object_id;
mod read_buffer;
mod store;
mod subscription;
mod waiting;
mod writable_buffer;

/// Buffers of the plasmad object store. Import `plasmad`, not this.
#[pyo3::pymodule]
mod _plasmad {
    #[pymodule_export]
    use super::object_id::ObjectId;
    #[pymodule_export]
    use super::read_buffer::ReadBuffer;
    #[pymodule_export]
    use super::store::{Store, connect, reconnect};
    #[pymodule_export]
    use super::subscription::Subscription;
    #[pymodule_export]
    use super::writable_buffer::WritableBuffer;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "a Python name")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
