//! An object being written.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use plasmad_shm::mapping::UnsealedBytes;
use plasmad_wire::request::{Abort, Seal};
use plasmad_wire::response::CreatedObject;
use plasmad_wire::value::Handle;
use plasmad_wire::{Format, ObjectId, Request, Response};

use crate::connection::OnStop;
use crate::error::Result;
use crate::options::CreateOptions;
use crate::pushing::Object;
use crate::session::Session;
use crate::store::Store;

/// An object's memory, for its creator alone, until it is sealed. Its bytes are undefined at first: whatever lay
/// there before.
///
/// Dropping it aborts the object. Sealing consumes it, so nothing can be written behind a seal:
///
/// ```compile_fail,E0382
/// # fn main() -> plasmad_client::Result<()> {
/// # let store = plasmad_client::Store::connect("s")?;
/// let mut writer = store.create(1, &plasmad_client::CreateOptions::default())?;
/// writer.seal()?;
/// writer[0] = 1;
/// # Ok(())
/// # }
/// ```
pub struct Writer {
    store: Store,
    session: Arc<Session>,
    id: ObjectId,
    /// `None` once sealed or aborted.
    handle: Option<Handle>,
    segment: u16,
    offset: u64,
    format: Format,
    /// Data, and metadata behind it.
    bytes: UnsealedBytes,
    data_bytes: usize,
}

impl Writer {
    /// Writes the metadata behind the data. `None` if the object doesn't lie in the arena.
    pub(crate) fn new(
        store: Store,
        session: Arc<Session>,
        id: ObjectId,
        object: &CreatedObject,
        data_bytes: u64,
        options: &CreateOptions,
    ) -> Option<Self> {
        let metadata = &options.metadata;
        let mut bytes = session.arena.unsealed(object, data_bytes.checked_add(metadata.len() as u64)?)?;
        let data_bytes = data_bytes as usize;
        bytes[data_bytes..].copy_from_slice(metadata);
        let CreatedObject { handle, segment, offset } = *object;
        session.inheritance.add();
        Some(Self {
            store,
            session,
            id,
            handle: Some(handle),
            segment,
            offset,
            format: options.format,
            bytes,
            data_bytes,
        })
    }

    /// The object's id.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Writes `source` at `at`, with all the machine's speed; large ones around the cache, on two threads.
    ///
    /// # Panics
    /// If it would reach over the end.
    pub fn copy_from(&mut self, at: usize, source: &[u8]) {
        assert!(source.len() <= self.data_bytes.saturating_sub(at), "the copy reaches over the object's end");
        self.bytes.copy_from(at, source);
    }

    /// Publishes the object for good. If it can't be sealed it is aborted.
    pub fn seal(mut self) -> Result<ObjectId> {
        let handle = self.handle.expect("a writer is used once");
        if self.seal_here(handle)? {
            self.handle = None;
            return Ok(self.id);
        }
        let seal = Request::Seal(Seal { handles: vec![handle] });
        // For a seal that was never sent the object is aborted; after one that was done, that is refused and changes
        // nothing.
        match self.store.call(&self.session, &seal, OnStop::Keep)? {
            Response::Count(_) => {
                self.handle = None;
                Ok(self.id)
            }
            _ => Err(self.session.connection.refuse("the daemon didn't answer a seal with a count")),
        }
    }

    fn seal_here(&self, handle: Handle) -> Result<bool> {
        let created = CreatedObject { handle, segment: self.segment, offset: self.offset };
        let object = Object {
            id: self.id,
            data_bytes: self.data_bytes as u64,
            metadata: &self.bytes[self.data_bytes..],
            format: self.format,
            evictable: false,
        };
        self.session.seal_here(&object, &created, self.store.interrupt())
    }

    /// Gives the object up.
    pub fn abort(mut self) -> Result<()> {
        let handle = self.handle.take().expect("a writer is used once");
        let abort = Request::Abort(Abort { handles: vec![handle] });
        self.store.call(&self.session, &abort, OnStop::Keep).map(|_| ())
    }

    /// For sealing many at once: the caller answers for it from here on.
    pub(crate) fn into_handle(mut self) -> Handle {
        self.handle.take().expect("a writer is used once")
    }
}

impl Deref for Writer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.data_bytes]
    }
}

impl DerefMut for Writer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let data_bytes = self.data_bytes;
        &mut self.bytes[..data_bytes]
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Writer({}, {} bytes)", self.id, self.data_bytes)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.session.inheritance.remove();
        if let Some(handle) = self.handle {
            self.session.connection.tell(&Request::Abort(Abort { handles: vec![handle] }));
        }
    }
}
