//! Is this machine fit for plasmad, and what to do where it isn't.
//!
//! Invariant: looking changes nothing; files and sockets made to try something are gone before a check is told. What
//! is looked at is kept apart from its judgement: each module has facts, a function that gathers them, and judges
//! that see nothing but facts.
//!
//! | module | its checks |
//! |---|---|
//! | `memory` | memory_limit, population, huge_pages, memfd |
//! | `system` | descriptors, kernel, pidfd |
//! | `folders` | socket_dir, spill_dir, spill_disk_free, direct_io |
//! | `daemon` | daemon, version_match |

mod daemon;
mod folders;
mod memory;
mod system;

use serde::Serialize;

use crate::config::{Key, Settings, value::Value};

/// One check, in sentences with numbers and commands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// For scripts.
    pub name: &'static str,
    /// How it went.
    pub status: Status,
    /// What there is.
    pub found: String,
    /// What there should be.
    pub wanted: String,
    /// What to do; empty if nothing is.
    pub fix: String,
}

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// plasmad works, but not as well as it could.
    Warn,
    /// plasmad, or what depends on it, doesn't work.
    Fail,
}

/// The checks, in the order they are told.
pub const NAMES: [&str; 13] = [
    "memory_limit",
    "descriptors",
    "kernel",
    "population",
    "huge_pages",
    "memfd",
    "socket_dir",
    "spill_dir",
    "spill_disk_free",
    "direct_io",
    "pidfd",
    "daemon",
    "version_match",
];

/// Looks at everything a daemon with these settings, and its clients, would need.
pub fn examine(settings: &Settings) -> Vec<Check> {
    let socket = match &settings.get(Key::Socket).value {
        Value::Path(path) => path.clone(),
        other => unreachable!("the socket can't be {other:?}"),
    };
    let spilled = settings.spill().ok().flatten();
    let memory = memory::Facts::look(settings);
    let system = system::Facts::look();
    let daemon = daemon::Seen::look(&socket);
    let mut checks = vec![
        memory::memory_limit(&memory),
        system::descriptors(system.descriptors_hard),
        system::kernel(&system.release),
        memory::population(&memory),
        memory::huge_pages(&memory.huge, daemon.memory()),
        memory::memfd(&memory.memfd),
        folders::socket_dir(&folders::SocketFolder::look(&socket)),
    ];
    checks.extend(match spilled {
        Some(spill) => {
            let seen = folders::Spill::look(spill.directory.as_deref(), &socket, memory.wanted_bytes());
            [folders::spill_dir(&seen), folders::spill_disk_free(&seen), folders::direct_io(&seen)]
        }
        None => ["spill_dir", "spill_disk_free", "direct_io"].map(unspilt),
    });
    checks.extend([system::pidfd(&system), daemon::daemon(&socket, &daemon), daemon::version_match(&daemon)]);
    checks
}

fn unspilt(name: &'static str) -> Check {
    Verdict::new(name, "nothing, as no-spill is set", "nothing").ok()
}

/// A check whose status isn't decided.
struct Verdict {
    name: &'static str,
    found: String,
    wanted: String,
}

impl Verdict {
    fn new(name: &'static str, found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self { name, found: found.into(), wanted: wanted.into() }
    }

    fn ok(self) -> Check {
        self.status(Status::Ok, String::new())
    }

    fn warn(self, fix: impl Into<String>) -> Check {
        self.status(Status::Warn, fix.into())
    }

    fn fail(self, fix: impl Into<String>) -> Check {
        self.status(Status::Fail, fix.into())
    }

    fn status(self, status: Status, fix: String) -> Check {
        let Self { name, found, wanted } = self;
        Check { name, status, found, wanted, fix }
    }
}
