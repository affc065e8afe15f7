//! The kernel: its version, and what it lets this process have.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;

use nix::sys::resource::{Resource, getrlimit};
use plasmad_shm::peer;

use super::{Check, Verdict};

/// What was seen of the kernel.
pub(super) struct Facts {
    pub(super) release: String,
    pub(super) descriptors_hard: u64,
    /// A pidfd of this process, by its number.
    by_number: io::Result<()>,
    /// A pidfd of a peer, from its socket.
    by_socket: io::Result<()>,
}

impl Facts {
    pub(super) fn look() -> Self {
        let by_socket = UnixStream::pair().and_then(|(own, _theirs)| peer::pidfd_from_socket(&own)).map(drop);
        Self {
            release: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            descriptors_hard: getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard),
            by_number: peer::pidfd_of(std::process::id()).map(drop),
            by_socket,
        }
    }
}

pub(super) fn descriptors(hard: u64) -> Check {
    let clients = hard.saturating_sub(DESCRIPTORS_OWN) / DESCRIPTORS_PER_CLIENT;
    let found = match hard {
        u64::MAX => "no hard limit".to_owned(),
        _ => format!("the hard limit is {hard}, enough for some {clients} clients"),
    };
    let wanted = format!("{DESCRIPTORS_GOOD} or more; below {DESCRIPTORS_LEAST} a daemon is of little use");
    let verdict = Verdict::new("descriptors", found, wanted);
    let fix = "before the start, as root: ulimit -Hn 65536; under systemd: LimitNOFILE=65536";
    match hard {
        0..DESCRIPTORS_LEAST => verdict.fail(fix),
        DESCRIPTORS_LEAST..DESCRIPTORS_GOOD => verdict.warn(fix),
        _ => verdict.ok(),
    }
}

pub(super) fn kernel(release: &str) -> Check {
    let verdict = Verdict::new("kernel", format!("Linux {release}"), "Linux 5.14 or newer, better 6.5 or newer");
    match version(release) {
        Some(found) if found >= (6, 5) => verdict.ok(),
        Some(found) if found >= (5, 14) => {
            verdict.warn("upgrade to Linux 6.5, where clients of other pid namespaces are watched by their socket")
        }
        _ => verdict.fail("upgrade to Linux 5.14 or newer: memory can't be made ready ahead of use before it"),
    }
}

pub(super) fn pidfd(facts: &Facts) -> Check {
    let wanted = "a pidfd of each client, from its socket, so that a dead client's objects come back";
    match (&facts.by_number, &facts.by_socket) {
        (Ok(()), Ok(())) => Verdict::new("pidfd", "from a socket and by number", wanted).ok(),
        (Err(error), Ok(())) => {
            let found = format!("from a socket, but not by number: {error}");
            Verdict::new("pidfd", found, wanted).warn("let the container's seccomp profile allow pidfd_open")
        }
        (Ok(()), Err(error)) => {
            let found = format!("by number, but not from a socket: {error}");
            Verdict::new("pidfd", found, wanted)
                .warn("use Linux 6.5 or newer, or run clients in the daemon's own pid namespace")
        }
        (Err(number), Err(socket)) => {
            let found = format!("none: by number {number}; from a socket {socket}");
            Verdict::new("pidfd", found, wanted)
                .fail("use Linux 5.14 or newer, and let the container's seccomp profile allow pidfd_open")
        }
    }
}

/// Major and minor number of a kernel's release: `6.18.44-generic`.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Socket, pidfd and page of each client.
const DESCRIPTORS_PER_CLIENT: u64 = 3;
/// What the engine has without clients.
const DESCRIPTORS_OWN: u64 = 15;
/// Some sixteen clients.
const DESCRIPTORS_LEAST: u64 = 64;
/// Some thirteen hundred clients.
const DESCRIPTORS_GOOD: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status::{Fail, Ok as Fine, Warn};

    #[test]
    fn few_descriptors_warn_and_hardly_any_fail() {
        let status = [63, 64, 1024, 4095, 4096, u64::MAX].map(|hard| descriptors(hard).status);
        assert_eq!(status, [Fail, Warn, Warn, Warn, Fine, Fine]);
        assert!(descriptors(1024).found.contains("some 336 clients"));
        assert!(descriptors(63).fix.contains("LimitNOFILE"));
    }

    #[test]
    fn old_kernels_warn_and_very_old_ones_fail() {
        let releases = ["4.19.0", "5.13.9", "5.14.0-generic", "6.4", "6.5.0-rc1", "6.18.44-x", "10.0", "unknown", ""];
        let status = releases.map(|release| kernel(release).status);
        assert_eq!(status, [Fail, Fail, Warn, Warn, Fine, Fine, Fine, Fail, Fail]);
    }

    #[test]
    fn a_client_that_cannot_be_watched_fails() {
        let refused = || Err(io::Error::from_raw_os_error(1));
        let facts = |by_number, by_socket| Facts { release: String::new(), descriptors_hard: 0, by_number, by_socket };
        assert_eq!(pidfd(&facts(Ok(()), Ok(()))).status, Fine);
        assert_eq!(pidfd(&facts(refused(), Ok(()))).status, Warn);
        assert_eq!(pidfd(&facts(Ok(()), refused())).status, Warn);
        let none = pidfd(&facts(refused(), refused()));
        assert_eq!(none.status, Fail);
        assert!(none.found.contains("not permitted"), "{none:?}");
    }
}
