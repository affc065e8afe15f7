//! One joined connection and what it needs to make requests, shared by a store and everything it gave out.
//!
//! Invariant: the daemon hears goodbye when the last of store, buffers and writers is gone, and not before: they all
//! hold their session.

use std::sync::Arc;

use plasmad_shm::life::Life;
use plasmad_wire::Request;
use plasmad_wire::request::Goodbye;
use plasmad_wire::response::Welcome;

use crate::arena::Arena;
use crate::connection::Connection;
use crate::error::Result;
use crate::fast::Fast;
use crate::forks::{self, Inheritance};
use crate::handshake::{Joined, Memory, join};
use crate::id::IdMaker;
use crate::interrupt::Interrupt;
use crate::options::Options;

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Session {
    /// Tells the daemon, whatever becomes of the connection, that what this session holds is still used. Goes first, so
    /// that the daemon finds it gone when it sees the end of the connection.
    _life: Option<Life>,
    pub(crate) connection: Connection,
    pub(crate) arena: Arena,
    /// Gets without the daemon, where that was agreed upon.
    pub(crate) fast: Option<Fast>,
    pub(crate) welcome: Welcome,
    pub(crate) ids: IdMaker,
    /// What children of a fork would inherit, and what protects that.
    pub(crate) inheritance: Inheritance,
}

impl Session {
    pub(crate) fn open(options: &Options, interrupt: &Interrupt) -> Result<Arc<Self>> {
        let Joined { socket, incoming, memory, welcome } = join(options, interrupt)?;
        let Memory { arena, fast, life } = memory;
        let connection = Connection::new(socket, incoming);
        let ids = IdMaker::new(welcome.client);
        let inheritance = Inheritance::default();
        let session = Arc::new(Self { _life: life, connection, arena, fast, welcome, ids, inheritance });
        forks::watch(&session)?;
        Ok(session)
    }

    /// Can still be used by this process.
    #[inline]
    pub(crate) fn is_usable(&self) -> bool {
        self.connection.is_own() && !self.connection.is_lost()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.tell(&Request::Goodbye(Goodbye {}));
    }
}
