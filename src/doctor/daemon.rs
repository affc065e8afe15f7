//! The daemon: does one answer, and does it speak what this program speaks.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plasmad_client::{Error, Options, Role};
use plasmad_shm::peer;
use plasmad_wire::limits::PROTOCOL_VERSION;

use super::{Check, Verdict};

/// What a daemon says of its arena.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) present_bytes: u64,
    pub(super) huge_bytes: u64,
}

/// What was seen at the socket.
pub(super) enum Seen {
    /// It answers.
    Answers { pid: u32, version: String, memory: Option<Memory> },
    /// Nobody listens.
    Absent(String),
    /// Somebody listens and doesn't answer.
    Silent(String),
    /// It doesn't let this user in.
    Refuses(String),
    /// It speaks something else.
    Foreign(String),
}

impl Seen {
    /// Connects as a reader, asks once, and says goodbye.
    pub(super) fn look(socket: &Path) -> Self {
        // At once: the library would wait for a daemon that is just starting.
        let pid = match UnixStream::connect(socket) {
            Ok(stream) => peer::credentials(&stream).map_or(0, |server| server.pid),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Self::Refuses(format!("you may not connect: {error}"));
            }
            Err(error) => return Self::Absent(error.to_string()),
        };
        let options = Options::new().socket(socket).role(Role::Reader).label("plasmad doctor");
        let give_up = Instant::now() + PATIENCE;
        let answered = options.connect_timeout(PATIENCE).connect().and_then(|store| {
            let store = store.with_interrupt(Arc::new(move || Instant::now() >= give_up));
            store.ping()?;
            Ok((store.welcome()?, store.stats_json().ok().and_then(|text| memory(&text))))
        });
        match answered {
            Ok((welcome, _)) if welcome.version != PROTOCOL_VERSION => {
                Self::Foreign(format!("it answers in protocol {}", welcome.version))
            }
            Ok((welcome, memory)) => Self::Answers { pid, version: welcome.server_version, memory },
            Err(Error::Protocol { message }) => Self::Foreign(message),
            Err(Error::AccessDenied { message }) => Self::Refuses(message),
            Err(Error::Interrupted) => {
                Self::Silent(format!("it took the connection, and nothing came in {PATIENCE:?}"))
            }
            Err(error) => Self::Silent(error.to_string()),
        }
    }

    /// What the daemon says of its arena, if one answers.
    pub(super) fn memory(&self) -> Option<Memory> {
        match self {
            Self::Answers { memory, .. } => *memory,
            Self::Absent(_) | Self::Silent(_) | Self::Refuses(_) | Self::Foreign(_) => None,
        }
    }
}

fn memory(stats: &str) -> Option<Memory> {
    let stats: serde_json::Value = serde_json::from_str(stats).ok()?;
    let number = |path: &str| stats.pointer(path).and_then(serde_json::Value::as_u64);
    Some(Memory { present_bytes: number("/memory/populated_bytes")?, huge_bytes: number("/memory/huge_bytes")? })
}

pub(super) fn daemon(socket: &Path, seen: &Seen) -> Check {
    let socket = socket.display();
    let verdict = |found: String| Verdict::new("daemon", found, format!("a daemon that answers within {PATIENCE:?}"));
    match seen {
        Seen::Answers { pid, .. } => verdict(format!("process {pid} answers at {socket}")).ok(),
        Seen::Absent(error) => verdict(format!("nobody serves {socket}: {error}"))
            .fail(format!("start one: plasmad --socket {socket} serve &; or name another: --socket, PLASMAD_SOCKET")),
        Seen::Silent(why) => verdict(format!("the daemon at {socket} doesn't answer: {why}")).fail(format!(
            "see its log; if it is stopped, let it go on: kill -CONT PID; else start it again on {socket}"
        )),
        Seen::Refuses(why) => verdict(format!("the daemon at {socket} refuses this user: {why}"))
            .fail("start it with --reader-uid $(id -u), or --writer-uid, or run this as its user"),
        Seen::Foreign(why) => {
            verdict(format!("what serves {socket} can't be understood: {why}")).fail("see version_match")
        }
    }
}

pub(super) fn version_match(seen: &Seen) -> Check {
    let own = env!("CARGO_PKG_VERSION");
    let wanted = format!("a daemon of this program's version, {own}, protocol {PROTOCOL_VERSION}");
    let verdict = |found: String| Verdict::new("version_match", found, &*wanted);
    match seen {
        Seen::Answers { version, .. } if version == own => verdict(format!("both are {own}")).ok(),
        Seen::Answers { version, .. } => verdict(format!("the daemon is {version}, of the same protocol"))
            .warn(format!("start the daemon again with plasmad {own}, or use the command of {version}")),
        Seen::Foreign(why) => verdict(format!("the daemon speaks something else: {why}"))
            .fail("use the command and the library of the daemon's version, or start the daemon again with this one"),
        Seen::Absent(_) | Seen::Silent(_) | Seen::Refuses(_) => {
            verdict("nothing to compare with: see daemon".to_owned()).warn("plasmad ping --timeout 10")
        }
    }
}

/// Ample for a daemon that does anything at all.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status::{Fail, Ok as Fine, Warn};

    fn judged(seen: &Seen) -> (super::super::Status, super::super::Status) {
        (daemon(Path::new("/s"), seen).status, version_match(seen).status)
    }

    #[test]
    fn a_daemon_that_is_not_there_or_not_ours_fails() {
        let answers = |version: &str| Seen::Answers { pid: 7, version: version.to_owned(), memory: None };
        assert_eq!(judged(&answers(env!("CARGO_PKG_VERSION"))), (Fine, Fine));
        assert_eq!(judged(&answers("9.9.9")), (Fine, Warn));
        assert_eq!(judged(&Seen::Absent("no such file".to_owned())), (Fail, Warn));
        assert_eq!(judged(&Seen::Silent("nothing came".to_owned())), (Fail, Warn));
        assert_eq!(judged(&Seen::Refuses("uid 7".to_owned())), (Fail, Warn));
        assert_eq!(judged(&Seen::Foreign("protocol 2".to_owned())), (Fail, Fail));
    }

    #[test]
    fn both_versions_are_told() {
        let check = version_match(&Seen::Answers { pid: 7, version: "9.9.9".to_owned(), memory: None });
        assert!(check.found.contains("9.9.9") && check.wanted.contains(env!("CARGO_PKG_VERSION")), "{check:?}");
    }
}
