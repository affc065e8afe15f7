//! The store: connecting, closing, fork, reconnecting. The verbs stand in `verbs`, `get` and `put`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use plasmad_wire::response::Welcome;
use plasmad_wire::{ObjectId, Request, Response, Role};

use crate::connection::OnStop;
use crate::error::{Error, Result};
use crate::forks::Place;
use crate::interrupt::Interrupt;
use crate::options::Options;
use crate::session::Session;

/// A connection to a store, for any number of threads; clones share it.
///
/// Works in a forked child, which opens a connection of its own at its first verb. When the daemon went away, the
/// verb that notices fails, and the next one tries to connect again. So it is when this process has closed all descriptors
/// it didn't know, the connection's among them; buffers stay valid.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    interrupt: Interrupt,
}

struct Shared {
    options: Options,
    session: Place,
}

impl Store {
    /// Connects as a writer to the daemon at `socket`, waiting up to 3 seconds for it to appear.
    pub fn connect(socket: impl AsRef<Path>) -> Result<Self> {
        Options::new().socket(socket).connect()
    }

    pub(crate) fn with_options(options: Options) -> Result<Self> {
        // Options may be used again for another store, which is closed on its own.
        let interrupt = options.interrupt.reopened();
        let session = Session::open(&options, &interrupt)?;
        let shared = Shared { options, session: Place::of(Some(session)) };
        Ok(Self { shared: Arc::new(shared), interrupt })
    }

    /// The same store, whose verbs stop waiting soon after `hook` says true, with [`Error::Interrupted`] and nothing
    /// left behind. The hook is asked every 50 ms, on the thread that waits.
    pub fn with_interrupt(&self, hook: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self { shared: self.shared.clone(), interrupt: self.interrupt.with_hook(hook) }
    }

    /// What the daemon said at the handshake: its version, limits and the arena's size.
    pub fn welcome(&self) -> Result<Welcome> {
        Ok(self.session()?.welcome.clone())
    }

    /// What this store was opened for.
    pub fn role(&self) -> Role {
        self.shared.options.role
    }

    /// The daemon's socket.
    pub fn socket(&self) -> &Path {
        &self.shared.options.socket
    }

    /// An id that nobody has made before, as `create` makes one when none is given.
    pub fn next_id(&self) -> Result<ObjectId> {
        Ok(self.session()?.ids.next())
    }

    /// Closes the store in all its clones; waiting verbs end with [`Error::Closed`]. Buffers given out stay valid and
    /// pinned until they are dropped. Closing twice is no error.
    pub fn close(&self) {
        self.interrupt.close();
        let session = self.shared.session.lock().take();
        // Outside the lock: this may be the last owner, who says goodbye.
        drop(session);
    }

    /// No verb works any more.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.interrupt.is_closed()
    }

    /// The session of this process, opened anew after a fork or a loss.
    pub(crate) fn session(&self) -> Result<Arc<Session>> {
        if self.interrupt.is_closed() {
            return Err(Error::Closed);
        }
        if let Some(session) = usable(&self.shared.session.lock()) {
            return Ok(session);
        }
        // Not under the lock: the interrupt hook runs in there, and may use this store.
        let opened = Session::open(&self.shared.options, &self.interrupt)?;
        let mut current = self.shared.session.lock();
        if self.interrupt.is_closed() {
            return Err(Error::Closed);
        }
        // Another thread may have been first; then all use its session, and this one says goodbye.
        let session = usable(&current).unwrap_or(opened);
        let replaced = current.replace(session.clone());
        drop(current);
        drop(replaced);
        Ok(session)
    }

    /// What ends its waits.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// How this store was opened, and what ends its waits: for connections beside its own.
    pub(crate) fn origin(&self) -> Result<(&Options, &Interrupt)> {
        if self.interrupt.is_closed() {
            return Err(Error::Closed);
        }
        Ok((&self.shared.options, &self.interrupt))
    }

    /// Asks and waits, on a given session.
    pub(crate) fn call(&self, session: &Session, request: &Request, on_stop: OnStop) -> Result<Response> {
        session.connection.call(request, on_stop, &self.interrupt)
    }
}

fn usable(session: &Option<Arc<Session>>) -> Option<Arc<Session>> {
    session.as_ref().filter(|session| session.is_usable()).cloned()
}

impl fmt::Debug for Store {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = self.is_closed();
        out.debug_struct("Store").field("socket", &self.socket()).field("closed", &closed).finish()
    }
}
