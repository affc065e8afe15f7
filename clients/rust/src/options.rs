//! How to connect, and how to create.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plasmad_wire::{Format, ObjectId, Role};

use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::store::Store;
use crate::timeout::Timeout;

/// How to connect to a daemon.
///
/// ```
/// # fn main() -> plasmad_client::Result<()> {
/// # let daemon = plasmad_client::testing::Daemon::start();
/// # let path = daemon.socket();
/// use plasmad_client::{Options, Role};
///
/// let store = Options::new().socket(path).role(Role::Reader).label("dashboard").connect()?;
/// assert_eq!(store.role(), Role::Reader);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) socket: PathBuf,
    pub(crate) connect_timeout: Duration,
    pub(crate) role: Role,
    pub(crate) label: String,
    pub(crate) fast: bool,
    pub(crate) server_uid: Option<u32>,
    pub(crate) interrupt: Interrupt,
}

impl Options {
    /// The default socket, 3 seconds for the daemon to appear, role writer, no label.
    pub fn new() -> Self {
        Self {
            socket: default_socket_path(),
            connect_timeout: Duration::from_secs(3),
            role: Role::Writer,
            label: String::new(),
            fast: true,
            server_uid: None,
            interrupt: Interrupt::default(),
        }
    }

    /// The daemon's socket.
    pub fn socket(mut self, path: impl AsRef<Path>) -> Self {
        self.socket = path.as_ref().to_path_buf();
        self
    }

    /// How long to wait for the daemon to appear and to answer.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// What the connection will be used for. A reader can only look and get.
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// What this client is called in `stats` and error texts; cut at 64 bytes.
    pub fn label(mut self, label: &str) -> Self {
        self.label = label.to_owned();
        self
    }

    /// Whether objects in memory are got without asking the daemon. `false` keeps to the socket; both mean the same.
    pub fn fast(mut self, fast: bool) -> Self {
        self.fast = fast;
        self
    }

    /// Also trusts a daemon that runs under this uid.
    ///
    /// Without it the daemon must run under the caller's uid, under root, or under the uid that owns the socket file
    /// in a directory where nobody else could have put it.
    pub fn server_uid(mut self, uid: u32) -> Self {
        self.server_uid = Some(uid);
        self
    }

    /// Lets `hook` end waits, that for the daemon included: see [`Store::with_interrupt`].
    pub fn interrupt(mut self, hook: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        self.interrupt = self.interrupt.with_hook(hook);
        self
    }

    /// Connects.
    pub fn connect(self) -> Result<Store> {
        Store::with_options(self)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// How to create an object.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// The object's id; the library makes one if there is none.
    pub id: Option<ObjectId>,
    /// The user's own bytes beside the data, at most 64 KiB.
    pub metadata: Vec<u8>,
    /// How the data is encoded.
    pub format: Format,
    /// May be dropped when memory is short, instead of being kept on disk.
    pub evictable: bool,
    /// How long to wait for room.
    pub timeout: Timeout,
}

impl Default for CreateOptions {
    fn default() -> Self {
        let timeout = Timeout::After(Duration::from_secs(30));
        Self { id: None, metadata: Vec::new(), format: Format::Raw, evictable: false, timeout }
    }
}

/// How to subscribe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubscribeOptions {
    /// First hear of all objects that are sealed already.
    pub existing: bool,
    /// How many events the daemon keeps while they are not taken, 1 to 1,048,576; beyond that the oldest are lost.
    pub queue_max: u32,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self { existing: false, queue_max: 65_536 }
    }
}

/// `$PLASMAD_SOCKET`, else `$XDG_RUNTIME_DIR/plasmad.sock`, else `/tmp/plasmad-<uid>.sock`.
pub fn default_socket_path() -> PathBuf {
    let uid = nix::unistd::geteuid().as_raw();
    socket_path(std::env::var_os("PLASMAD_SOCKET"), std::env::var_os("XDG_RUNTIME_DIR"), uid)
}

/// An empty variable counts as unset, as everywhere in XDG.
fn socket_path(named: Option<OsString>, runtime_directory: Option<OsString>, uid: u32) -> PathBuf {
    let set = |value: Option<OsString>| value.filter(|value| !value.is_empty()).map(PathBuf::from);
    set(named)
        .or_else(|| set(runtime_directory).map(|directory| directory.join("plasmad.sock")))
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/plasmad-{uid}.sock")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_socket_is_the_named_one_then_the_users_then_one_in_tmp() {
        let path = |named: &str, directory: &str| socket_path(Some(named.into()), Some(directory.into()), 7);
        assert_eq!(path("/a/b", "/run/user/7"), Path::new("/a/b"));
        assert_eq!(path("", "/run/user/7"), Path::new("/run/user/7/plasmad.sock"));
        assert_eq!(path("", ""), Path::new("/tmp/plasmad-7.sock"));
        assert_eq!(socket_path(None, None, 7), Path::new("/tmp/plasmad-7.sock"));
    }
}
