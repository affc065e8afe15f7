//! A sealed object, pinned.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use plasmad_wire::{Format, ObjectId};

use crate::pinned::Pinned;
use crate::session::Session;

/// A sealed object's bytes, in place. They never change, and stay where they are until this is dropped.
///
/// Dropping gives the pin back and waits for nothing. In a forked child it does nothing: the pin is the parent's.
pub struct Buffer {
    session: Arc<Session>,
    id: ObjectId,
    pinned: Pinned,
}

impl Buffer {
    pub(crate) fn new(session: Arc<Session>, id: ObjectId, pinned: Pinned) -> Self {
        Self { session, id, pinned }
    }

    /// The object's id.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The user's own bytes beside the data.
    pub fn metadata(&self) -> &[u8] {
        self.session.bytes(&self.pinned).1
    }

    /// How the data is encoded.
    pub fn format(&self) -> Format {
        self.pinned.location.format
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.session.bytes(&self.pinned).0
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
        self.session.unpin(&self.pinned);
    }
}
