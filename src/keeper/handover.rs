//! What the keeper gives the engine: the configuration, and the descriptors it serves with.
//!
//! ```text
//! keeper -> engine   length of the JSON, 4 bytes, with {listener, arena} attached | Config as JSON
//! engine -> keeper   1 byte when it serves
//! either end closed  the other process is gone
//! ```

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use plasmad_shm::fd_passing;

use crate::config::Config;

/// What the engine answers when it serves.
pub(crate) const READY: &[u8; 1] = b"!";

/// Sends everything; the channel is empty, so it takes it at once.
pub(super) fn send(
    mut channel: &UnixStream,
    config: &Config,
    listener: BorrowedFd<'_>,
    arena: BorrowedFd<'_>,
) -> io::Result<()> {
    let json = serde_json::to_vec(config)?;
    let length = (json.len() as u32).to_le_bytes();
    let sent = fd_passing::send(channel, &length, &[listener, arena])?;
    channel.write_all(&length[sent..])?;
    channel.write_all(&json)
}

/// Receives it all: configuration, listener, arena.
pub(crate) fn receive(mut channel: &UnixStream) -> io::Result<(Config, UnixListener, OwnedFd)> {
    let mut length = [0; 4];
    let received = fd_passing::receive(channel, &mut length)?;
    channel.read_exact(&mut length[received.bytes..])?;
    let mut json = vec![0; u32::from_le_bytes(length) as usize];
    channel.read_exact(&mut json)?;
    let [listener, arena] = <[OwnedFd; 2]>::try_from(received.fds).map_err(|_| ErrorKind::InvalidData)?;
    Ok((serde_json::from_slice(&json)?, UnixListener::from(listener), arena))
}
