//! What the keeper gives the engine: the configuration, and the descriptors it serves with.
//!
//! ```text
//! keeper -> engine   length of the JSON, 4 bytes, with {listener, arena} or {listener, arena, spill folder's lock}
//!                    attached | configuration and what the spill folder is, as JSON
//! engine -> keeper   1 byte when it serves
//! either end closed  the other process is gone
//! ```

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use plasmad_shm::fd_passing;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::Failure;
use crate::spill::folder::{Claim, Folder};

/// What the engine answers when it serves.
pub(crate) const READY: &[u8; 1] = b"!";

/// What the engine receives.
pub(crate) struct Handover {
    pub(crate) config: Config,
    pub(crate) listener: UnixListener,
    pub(crate) arena: OwnedFd,
    /// Where objects are spilled to, with the lock; or why they can't be; or nothing if that isn't wanted.
    pub(crate) folder: Option<Result<(Claim, OwnedFd), String>>,
}

/// The part of it that is text.
#[derive(Serialize, Deserialize)]
struct Text {
    config: Config,
    folder: Option<Result<Claim, String>>,
}

/// Sends everything; the channel is empty, so it takes it at once.
pub(super) fn send(
    mut channel: &UnixStream,
    config: &Config,
    folder: Option<&Result<Folder, Failure>>,
    listener: BorrowedFd<'_>,
    arena: BorrowedFd<'_>,
) -> io::Result<()> {
    let claim = |folder: &Folder| folder.claim.clone();
    let told = folder.map(|folder| folder.as_ref().map(claim).map_err(Failure::to_string));
    let json = serde_json::to_vec(&Text { config: config.clone(), folder: told })?;
    let length = (json.len() as u32).to_le_bytes();
    let mut fds = vec![listener, arena];
    fds.extend(folder.and_then(|folder| folder.as_ref().ok()).map(|folder| folder.lock.file().as_fd()));
    let sent = fd_passing::send(channel, &length, &fds)?;
    channel.write_all(&length[sent..])?;
    channel.write_all(&json)
}

/// Receives it all.
pub(crate) fn receive(mut channel: &UnixStream) -> io::Result<Handover> {
    let mut length = [0; 4];
    let received = fd_passing::receive(channel, &mut length)?;
    channel.read_exact(&mut length[received.bytes..])?;
    let mut json = vec![0; u32::from_le_bytes(length) as usize];
    channel.read_exact(&mut json)?;
    let Text { config, folder } = serde_json::from_slice(&json)?;
    let mut fds = received.fds.into_iter();
    let mut next = || fds.next().ok_or(ErrorKind::InvalidData);
    let (listener, arena) = (UnixListener::from(next()?), next()?);
    let folder = match folder {
        Some(Ok(claim)) => Some(Ok((claim, next()?))),
        Some(Err(why)) => Some(Err(why)),
        None => None,
    };
    Ok(Handover { config, listener, arena, folder })
}
