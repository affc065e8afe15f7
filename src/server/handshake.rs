//! Who may come in, as what.
//!
//! A writer can do everything, and its claims end with its process, so its pidfd must be had. A reader's descriptors
//! can't be reopened for writing only if it runs under another uid than the daemon's; one that asks to be a reader
//! though it may write is believed, not protected against.

use std::os::fd::OwnedFd;

use plasmad_shm::peer::{self, Peer};
use plasmad_wire::Role;
use plasmad_wire::error::{ErrorBody, ErrorCode};
use plasmad_wire::features;
use plasmad_wire::limits::{LABEL_BYTES_MAX, MAGIC, PROTOCOL_VERSION};
use plasmad_wire::request::Hello;

use crate::config::Access;

/// A client that may come in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) role: Role,
    /// Those it knows and this daemon has.
    pub(crate) features: u64,
    pub(crate) pid: u32,
    pub(crate) label: String,
    pub(crate) process: OwnedFd,
}

/// Judges a `Hello`, given what came with it.
pub(crate) fn admit(
    hello: &Hello,
    fds: Vec<OwnedFd>,
    socket: &mio::net::UnixStream,
    access: &Access,
    own_uid: u32,
) -> Result<Admitted, Box<ErrorBody>> {
    check_hello(hello, fds.len())?;
    let found =
        peer::credentials(socket).map_err(|error| internal(format!("your credentials are unknown: {error}")))?;
    check_access(hello.role, &found, access, own_uid)?;
    let process = process(socket, fds, &found)?;
    // The socket knows the process even where SO_PEERCRED shows 0.
    let pid = peer::process_of(&process).filter(|pid| *pid != 0).unwrap_or(found.pid);
    let features = agreed(hello.features, hello.role);
    Ok(Admitted { role: hello.role, features, pid, label: hello.label.clone(), process })
}

/// Puts by ring go with gets: both need the page. A reader puts nothing.
fn agreed(known: u64, role: Role) -> u64 {
    let known = known & features::ALL;
    match role {
        Role::Writer if known & features::SHARED_GETS != 0 => known,
        Role::Writer | Role::Reader => known & !features::SHARED_PUTS,
    }
}

fn check_hello(hello: &Hello, fds: usize) -> Result<(), Box<ErrorBody>> {
    if hello.magic != MAGIC {
        return Err(refusal(
            ErrorCode::Malformed,
            "the first frame isn't a plasmad client's: its magic is wrong".into(),
        ));
    }
    if hello.version != PROTOCOL_VERSION {
        let (theirs, ours) = (hello.version, PROTOCOL_VERSION);
        let what = format!("the client speaks protocol {theirs}, this daemon {ours}: use the library of this version");
        return Err(refusal(ErrorCode::UnsupportedVersion, what));
    }
    if hello.label.len() > LABEL_BYTES_MAX {
        let what = format!("the label has {} bytes; at most {LABEL_BYTES_MAX} are allowed", hello.label.len());
        return Err(refusal(ErrorCode::LimitExceeded, what));
    }
    if fds != usize::from(hello.has_pidfd) {
        let announced = usize::from(hello.has_pidfd);
        let what = format!("the handshake announced {announced} pidfds, and {fds} or more descriptors came with it");
        return Err(refusal(ErrorCode::Malformed, what));
    }
    Ok(())
}

fn check_access(role: Role, peer: &Peer, access: &Access, own_uid: u32) -> Result<(), Box<ErrorBody>> {
    let among = |uids: &[u32], gids: &[u32]| {
        let groups = || peer.groups.iter().chain([&peer.gid]);
        uids.contains(&peer.uid) || groups().any(|gid| gids.contains(gid))
    };
    let writer = peer.uid == own_uid || among(&access.writer_uids, &access.writer_gids);
    let reader = among(&access.reader_uids, &access.reader_gids);
    // Somebody from another user namespace whom this one has no number for: it could be anybody.
    if peer.uid == OVERFLOW_UID {
        let what = format!("uid {OVERFLOW_UID} stands for users this machine doesn't know and is never admitted");
        return Err(refusal(ErrorCode::AccessDenied, what));
    }
    match role {
        Role::Writer if writer => Ok(()),
        Role::Reader if writer || reader => {
            if peer.uid == own_uid || peer.uid == 0 {
                tracing::debug!("a reader runs as uid {}: it could write if it wanted to", peer.uid);
            }
            Ok(())
        }
        Role::Writer if reader => {
            let what = format!("uid {} may connect to this store as a reader only", peer.uid);
            Err(refusal(ErrorCode::AccessDenied, what))
        }
        Role::Writer | Role::Reader => {
            let (uid, flag) = (peer.uid, if role == Role::Writer { "--writer-uid" } else { "--reader-uid" });
            let what = format!("uid {uid} may not use this store: start plasmad with {flag} {uid} to admit it");
            Err(refusal(ErrorCode::AccessDenied, what))
        }
    }
}

/// The client's pidfd: from its socket, else by its number, else the one it sent, if that is its own.
fn process(socket: &mio::net::UnixStream, fds: Vec<OwnedFd>, peer: &Peer) -> Result<OwnedFd, Box<ErrorBody>> {
    let error = match peer::pidfd(socket) {
        Ok(process) => return Ok(process),
        Err(error) => error,
    };
    let sent = fds.into_iter().next().filter(|fd| {
        let process = peer::process_of(fd);
        process.is_some_and(|pid| peer.pid == 0 || pid == peer.pid)
    });
    sent.ok_or_else(|| {
        let what = format!("your process can't be watched ({error}), so your objects could leak: send your own pidfd");
        refusal(ErrorCode::AccessDenied, what)
    })
}

fn internal(message: String) -> Box<ErrorBody> {
    refusal(ErrorCode::Internal, message)
}

/// A refusal with a sentence of its own.
pub(crate) fn refusal(code: ErrorCode, message: String) -> Box<ErrorBody> {
    Box::new(ErrorBody { code, id: None, message, full: None })
}

/// What Linux shows for a user that has no number in this namespace.
const OVERFLOW_UID: u32 = 65_534;

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gid: u32, groups: &[u32]) -> Peer {
        Peer { pid: 1, uid, gid, groups: groups.to_vec() }
    }

    fn judge(role: Role, peer: &Peer) -> Option<ErrorCode> {
        let access = Access {
            writer_uids: vec![10],
            writer_gids: vec![11],
            reader_uids: vec![20, OVERFLOW_UID],
            reader_gids: vec![21],
        };
        check_access(role, peer, &access, 7).err().map(|refusal| refusal.code)
    }

    #[test]
    fn the_daemons_own_user_and_the_named_ones_may_write() {
        for writer in [peer(7, 0, &[]), peer(10, 0, &[]), peer(99, 11, &[]), peer(99, 0, &[5, 11])] {
            assert_eq!(judge(Role::Writer, &writer), None, "{writer:?}");
            assert_eq!(judge(Role::Reader, &writer), None, "{writer:?}");
        }
    }

    #[test]
    fn a_reader_may_only_read() {
        for reader in [peer(20, 0, &[]), peer(99, 21, &[]), peer(99, 0, &[21])] {
            assert_eq!(judge(Role::Reader, &reader), None, "{reader:?}");
            assert_eq!(judge(Role::Writer, &reader), Some(ErrorCode::AccessDenied), "{reader:?}");
        }
    }

    #[test]
    fn puts_by_ring_are_for_writers_who_get_by_themselves() {
        use features::{LIFE_FILE, SHARED_GETS, SHARED_PUTS};
        for (role, known, expected) in [
            (Role::Writer, u64::MAX, SHARED_GETS | SHARED_PUTS | LIFE_FILE),
            (Role::Reader, u64::MAX, SHARED_GETS | LIFE_FILE),
            (Role::Writer, SHARED_PUTS | LIFE_FILE, LIFE_FILE),
            (Role::Writer, SHARED_PUTS, 0),
        ] {
            assert_eq!(agreed(known, role), expected, "{role:?} knows {known:#x}");
        }
    }

    #[test]
    fn strangers_root_and_the_overflow_uid_may_nothing() {
        for stranger in [peer(99, 0, &[]), peer(0, 0, &[]), peer(OVERFLOW_UID, 0, &[])] {
            assert_eq!(judge(Role::Reader, &stranger), Some(ErrorCode::AccessDenied), "{stranger:?}");
            assert_eq!(judge(Role::Writer, &stranger), Some(ErrorCode::AccessDenied), "{stranger:?}");
        }
    }
}
