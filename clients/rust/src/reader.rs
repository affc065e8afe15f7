//! The quickest way to read: a handle of one thread, whose views borrow it.
//!
//! Invariant: a view gives its pin back before its reader can go. Nothing is counted and nothing is locked on the way,
//! so threads that read through readers of their own share no written memory.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use plasmad_wire::{Format, ObjectId};

use crate::buffer::Buffer;
use crate::error::Result;
use crate::pinned::Here;
use crate::session::Session;
use crate::store::Store;
use crate::timeout::Timeout;

/// Gets objects for one thread. What it gives out may not outlive it; [`Store::get`] gives what may.
///
/// ```
/// # fn main() -> plasmad_client::Result<()> {
/// # let daemon = plasmad_client::testing::Daemon::start();
/// # let path = daemon.socket();
/// use plasmad_client::{CreateOptions, Store, Timeout};
///
/// let store = Store::connect(path)?;
/// let id = store.put(b"hello", &CreateOptions::default())?;
/// let reader = store.reader()?;
/// let mut lengths = 0;
/// for _ in 0..1000 {
///     lengths += reader.get(id, Timeout::NO_WAIT)?.len();
/// }
/// assert_eq!(lengths, 5000);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader {
    store: Store,
    session: Arc<Session>,
}

/// A sealed object's bytes, in place, for as long as this lives; see [`Reader`].
pub struct View<'reader> {
    held: Held<'reader>,
}

enum Held<'reader> {
    /// Pinned without asking, through the reader's session.
    Here { session: &'reader Session, cell: u32, metadata_bytes: u32, format: u16, bytes: &'reader [u8] },
    /// Asked for; maybe over a newer session than the reader's.
    Asked(Box<Buffer>),
}

impl Store {
    /// A handle for many gets of one thread.
    pub fn reader(&self) -> Result<Reader> {
        Ok(Reader { store: self.clone(), session: self.session()? })
    }
}

impl Reader {
    /// As [`Store::get`], but the view may not outlive the reader.
    // Out of line, id and view would go through memory: a third of what the whole takes.
    #[inline(always)]
    pub fn get(&self, id: ObjectId, timeout: impl Into<Timeout>) -> Result<View<'_>> {
        if self.session.is_usable()
            && !self.store.is_closed()
            && let Some(here) = self.session.pin_here(&id)
        {
            let Here { cell, place, bytes } = here;
            let (metadata_bytes, format) = (place.metadata_bytes, place.format);
            return Ok(View { held: Held::Here { session: &self.session, cell, metadata_bytes, format, bytes } });
        }
        // A copy of the id goes there and a box comes back: what is hot stays in registers only while nothing cold
        // is told where it lies.
        let id = ObjectId::new(*id.as_bytes());
        Ok(View { held: Held::Asked(self.ask(id, timeout.into())?) })
    }

    #[cold]
    fn ask(&self, id: ObjectId, timeout: Timeout) -> Result<Box<Buffer>> {
        self.store.get(id, timeout).map(Box::new)
    }
}

impl View<'_> {
    /// The user's own bytes beside the data.
    pub fn metadata(&self) -> &[u8] {
        match &self.held {
            Held::Here { metadata_bytes, bytes, .. } => &bytes[bytes.len() - *metadata_bytes as usize..],
            Held::Asked(buffer) => buffer.metadata(),
        }
    }

    /// How the data is encoded; `None` for a code this library doesn't know.
    pub fn format(&self) -> Option<Format> {
        match &self.held {
            Held::Here { format, .. } => Format::from_number(*format),
            Held::Asked(buffer) => Some(buffer.format()),
        }
    }
}

impl Deref for View<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.held {
            Held::Here { metadata_bytes, bytes, .. } => &bytes[..bytes.len() - *metadata_bytes as usize],
            Held::Asked(buffer) => buffer,
        }
    }
}

impl Drop for View<'_> {
    #[inline]
    fn drop(&mut self) {
        match &self.held {
            Held::Here { session, cell, .. } => session.unpin_here(*cell),
            // A buffer gives back its own.
            Held::Asked(_) => (),
        }
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "View({} bytes)", self.len())
    }
}
