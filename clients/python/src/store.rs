//! `Store` and `connect`: the verbs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plasmad_client as client;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::arguments::{self, Size, Timeout};
use crate::contiguous::Contiguous;
use crate::info;
use crate::object_id::{IdLike, IdList, Ids, ObjectId};
use crate::read_buffer::ReadBuffer;
use crate::subscription::{self, Subscription};
use crate::waiting::{signals_raised, wait};
use crate::writable_buffer::WritableBuffer;

/// A connection to the daemon. One per process is enough: threads may share it, it works in a forked child, and it
/// can be pickled, as its address.
#[pyclass(frozen, module = "plasmad")]
pub(crate) struct Store {
    store: client::Store,
    address: Address,
}

/// What it takes to connect again.
#[derive(Clone)]
struct Address {
    socket: PathBuf,
    timeout: Option<f64>,
    role: String,
    fast: bool,
    name: Option<String>,
}

#[pymethods]
impl Store {
    /// Gives `nbytes` of memory to write into; nobody sees the object before it is sealed.
    #[pyo3(
        signature = (nbytes, *, object_id=None, metadata=NO_METADATA, evictable=false, timeout=Timeout(DEFAULT_WAIT)),
        text_signature = "($self, nbytes, *, object_id=None, metadata=b'', evictable=False, timeout=30.0)"
    )]
    fn create(
        &self,
        py: Python<'_>,
        nbytes: Size,
        object_id: Option<IdLike>,
        metadata: &[u8],
        evictable: bool,
        timeout: Timeout,
    ) -> PyResult<WritableBuffer> {
        let options = create_options(object_id, metadata, evictable, timeout);
        wait(py, || self.store.create(nbytes.0, &options)).map(WritableBuffer::new)
    }

    /// Makes an object of the bytes of anything that has them in one piece.
    #[pyo3(
        signature = (data, object_id=None, metadata=NO_METADATA, evictable=false, timeout=Timeout(DEFAULT_WAIT)),
        text_signature = "($self, data, object_id=None, metadata=b'', evictable=False, timeout=30.0)"
    )]
    fn put_bytes(
        &self,
        py: Python<'_>,
        data: Contiguous,
        object_id: Option<IdLike>,
        metadata: &[u8],
        evictable: bool,
        timeout: Timeout,
    ) -> PyResult<ObjectId> {
        let options = create_options(object_id, metadata, evictable, timeout);
        let bytes = data.bytes();
        wait(py, || self.store.put(bytes, &options)).map(ObjectId)
    }

    /// Makes an object of each, all or none.
    #[pyo3(
        signature = (data, *, object_ids=None, evictable=false, timeout=Timeout(DEFAULT_WAIT)),
        text_signature = "($self, data, *, object_ids=None, evictable=False, timeout=30.0)"
    )]
    fn put_many(
        &self,
        py: Python<'_>,
        data: Vec<Contiguous>,
        object_ids: Option<IdList>,
        evictable: bool,
        timeout: Timeout,
    ) -> PyResult<Vec<ObjectId>> {
        if let Some(ids) = &object_ids
            && ids.0.len() != data.len()
        {
            let (ids, data) = (ids.0.len(), data.len());
            return Err(PyValueError::new_err(format!("put_many was given {data} objects and {ids} ids for them")));
        }
        let options = create_options(None, &[], evictable, timeout);
        let bytes: Vec<&[u8]> = data.iter().map(Contiguous::bytes).collect();
        let ids = object_ids.as_ref().map(|ids| &ids.0[..]);
        let put = wait(py, || self.store.put_many(&bytes, ids, &options))?;
        Ok(put.into_iter().map(ObjectId).collect())
    }

    /// Gives an object's bytes, once it is sealed; `writable`: a private copy of them.
    #[pyo3(
        signature = (id, timeout=Timeout(client::Timeout::None), *, writable=false),
        text_signature = "($self, id, timeout=None, *, writable=False)"
    )]
    fn get_buffer(&self, py: Python<'_>, id: IdLike, timeout: Timeout, writable: bool) -> PyResult<ReadBuffer> {
        if !writable && let Ok(Some(buffer)) = self.store.get_without_asking(id.0) {
            return Ok(ReadBuffer::pinned(buffer));
        }
        wait(py, || {
            let buffer = self.store.get(id.0, timeout.0)?;
            Ok(if writable { ReadBuffer::copied(buffer) } else { ReadBuffer::pinned(buffer) })
        })
    }

    /// Gives the bytes of several objects, in their order; `partial`: None for those that are not there in time.
    #[pyo3(
        signature = (ids, timeout=Timeout(client::Timeout::None), *, partial=false),
        text_signature = "($self, ids, timeout=None, *, partial=False)"
    )]
    fn get_buffers(
        &self,
        py: Python<'_>,
        ids: IdList,
        timeout: Timeout,
        partial: bool,
    ) -> PyResult<Vec<Option<ReadBuffer>>> {
        let buffers = wait(py, || match partial {
            true => self.store.get_partial(&ids.0, timeout.0),
            false => Ok(self.store.get_many(&ids.0, timeout.0)?.into_iter().map(Some).collect()),
        })?;
        Ok(buffers.into_iter().map(|buffer| buffer.map(ReadBuffer::pinned)).collect())
    }

    /// Whether there is such an object, sealed: in memory, on disk, or on its way back.
    fn contains(&self, py: Python<'_>, id: IdLike) -> PyResult<bool> {
        wait(py, || self.store.contains(id.0))
    }

    /// Deletes one object or several, and says how many there were.
    fn delete(&self, py: Python<'_>, ids: Ids) -> PyResult<u64> {
        wait(py, || self.store.delete(&ids.0))
    }

    /// What there is to know about one object.
    fn stat<'py>(&self, py: Python<'py>, id: IdLike) -> PyResult<Bound<'py, PyAny>> {
        let found = wait(py, || self.store.stat(id.0))?;
        info::object_info(py, &found)
    }

    /// The same about all objects, or as many as `limit`.
    #[pyo3(signature = (*, limit=None))]
    fn list<'py>(&self, py: Python<'py>, limit: Option<i64>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let limit = match limit.map(u64::try_from).transpose() {
            Ok(limit) => limit,
            Err(_) => return Err(PyValueError::new_err("limit can't be negative; None is for all objects")),
        };
        let listing = wait(py, || self.store.list(limit))?;
        listing.objects.iter().map(|found| info::object_info(py, found)).collect()
    }

    /// The daemon's numbers, as `plasmad --json stats` prints them.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let document = wait(py, || self.store.stats_json())?;
        py.import("json")?.getattr("loads")?.call1((document,))
    }

    /// Asks for memory to be freed, and says how many bytes were.
    fn evict(&self, py: Python<'_>, nbytes: Size) -> PyResult<u64> {
        wait(py, || self.store.evict(nbytes.0)).map(|evicted| evicted.freed_bytes)
    }

    /// Begins to hear what happens to objects; `existing`: first of all that are sealed already.
    ///
    /// Beyond `max_queue` events that are not taken the oldest are lost, and an event says how many.
    #[pyo3(signature = (*, existing=false, max_queue=65536))]
    fn subscribe(&self, py: Python<'_>, existing: bool, max_queue: i128) -> PyResult<Subscription> {
        let options = subscription::options(existing, max_queue)?;
        wait(py, || self.store.subscribe(options)).map(Subscription)
    }

    /// Ends the connection and its subscriptions. Buffers already given out stay valid; verbs raise StoreClosedError from now on.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.store.close());
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    /// A pickled store is its address: whoever loads it connects.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let Address { socket, timeout, role, fast, name } = &self.address;
        let reconnect = py.import("plasmad._plasmad")?.getattr("reconnect")?;
        (reconnect, (socket.as_os_str(), *timeout, role, *fast, name.as_deref())).into_pyobject(py)
    }

    fn __repr__(&self) -> String {
        format!("<plasmad.Store at {}, {}>", self.address.socket.display(), self.address.role)
    }
}

/// Connects to the daemon at `socket`, or at `$PLASMAD_SOCKET`, or at the default path; waits for it to appear.
///
/// A `role="reader"` can only look and get. `name` is what the daemon calls this client in its texts and stats.
#[pyfunction]
#[pyo3(
        signature = (socket=None, *, timeout=Some(3.0), role="writer", fast=true, name=None),
        text_signature = "(socket=None, *, timeout=3.0, role='writer', fast=True, name=None)"
    )]
pub(crate) fn connect(
    py: Python<'_>,
    socket: Option<PathBuf>,
    timeout: Option<f64>,
    role: &str,
    fast: bool,
    name: Option<&str>,
) -> PyResult<Store> {
    let socket = std::path::absolute(socket.unwrap_or_else(client::default_socket_path))?;
    let (role, name) = (role.to_owned(), name.map(str::to_owned));
    Store::connect(py, Address { socket, timeout, role, fast, name })
}

/// Loads a pickled store.
#[pyfunction]
pub(crate) fn reconnect(
    py: Python<'_>,
    socket: PathBuf,
    timeout: Option<f64>,
    role: String,
    fast: bool,
    name: Option<String>,
) -> PyResult<Store> {
    Store::connect(py, Address { socket, timeout, role, fast, name })
}

impl Store {
    fn connect(py: Python<'_>, address: Address) -> PyResult<Self> {
        let role = match address.role.as_str() {
            "writer" => client::Role::Writer,
            "reader" => client::Role::Reader,
            other => {
                return Err(PyValueError::new_err(format!("role is {other:?}; it can be \"writer\" or \"reader\"")));
            }
        };
        let options = client::Options::new()
            .socket(&address.socket)
            .connect_timeout(arguments::connect_timeout(address.timeout)?)
            .role(role)
            .fast(address.fast)
            .label(address.name.as_deref().unwrap_or(""));
        let options = options.interrupt(Arc::new(signals_raised));
        let store = wait(py, || options.connect())?;
        Ok(Self { store, address })
    }
}

fn create_options(id: Option<IdLike>, metadata: &[u8], evictable: bool, timeout: Timeout) -> client::CreateOptions {
    client::CreateOptions {
        id: id.map(|id| id.0),
        metadata: metadata.to_vec(),
        evictable,
        timeout: timeout.0,
        ..client::CreateOptions::default()
    }
}

const NO_METADATA: &[u8] = &[];

/// How long a create waits for room unless told otherwise.
const DEFAULT_WAIT: client::Timeout = client::Timeout::After(Duration::from_secs(30));
