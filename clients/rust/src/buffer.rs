//! A sealed object, pinned.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use plasmad_shm::mapping::SealedBytes;
use plasmad_wire::request::Release;
use plasmad_wire::response::GotObject;
use plasmad_wire::value::Pin;
use plasmad_wire::{Format, ObjectId, Request};

use crate::session::Session;

/// A sealed object's bytes, in place. They never change, and stay where they are until this is dropped.
///
/// Dropping sends the release and waits for nothing. In a forked child it sends nothing: the pin is the parent's.
pub struct Buffer {
    session: Arc<Session>,
    id: ObjectId,
    pin: Pin,
    format: Format,
    data: SealedBytes,
    metadata: SealedBytes,
}

impl Buffer {
    /// `None` if the object doesn't lie in the arena.
    pub(crate) fn new(session: Arc<Session>, id: ObjectId, object: &GotObject) -> Option<Self> {
        let (data, metadata) = session.arena.sealed(&object.location)?;
        Some(Self { session, id, pin: object.pin, format: object.location.format, data, metadata })
    }

    /// The object's id.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The user's own bytes beside the data.
    pub fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    /// How the data is encoded.
    pub fn format(&self) -> Format {
        self.format
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Buffer({}, {} bytes)", self.id, self.len())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.session.connection.tell(&Request::Release(Release { pins: vec![self.pin] }));
    }
}
