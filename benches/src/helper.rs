//! Other processes of a measurement: the same program under a hidden command.
//!
//! A helper's standard input is one end of a socket pair, for what it is told and what it answers. It ends when the
//! other end is closed, so none outlives the bench, however that ends.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::{Error, Result};
use crate::rows::{beside_spilling, client_death, hand_over, neighbours, two_readers};
use crate::{limits, syscalls};

/// The hidden command of the program that runs [`run`].
pub const COMMAND: &str = "bench-helper";

/// What the program does under the hidden command.
///
/// # Errors
/// If it was started by hand.
pub fn run(arguments: &[String]) -> Result<()> {
    let channel = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let channel = channel.map_err(Error::system("a helper's channel"))?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["echo"] => limits::echo(channel),
        ["read", socket] => two_readers::read(channel, socket),
        ["answer", socket, first] => hand_over::answer(socket, first),
        ["crowd", socket] => neighbours::crowd(channel, socket),
        ["hold", socket] => client_death::hold(channel, socket),
        ["spill", socket] => beside_spilling::spill(channel, socket),
        ["write", folder, rate] => beside_spilling::write(channel, folder, rate),
        ["count", operation, socket] => syscalls::count(channel, operation, socket),
        ["operate", operation, socket] => syscalls::operate(operation, socket),
        _ => Err(Error::Helper("this command is for `plasmad bench` alone".to_owned())),
    }
}

/// A helper process; ends with this value.
#[derive(Debug)]
pub(crate) struct Helper {
    process: Child,
    channel: BufReader<UnixStream>,
}

impl Helper {
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        let start = || {
            let (own, theirs) = UnixStream::pair()?;
            let mut command = Command::new(program);
            command.arg(COMMAND).args(arguments).stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
            // Ctrl-C is for the bench, which ends its helpers.
            Ok((command.process_group(0).spawn()?, own))
        };
        let (process, channel) = start().map_err(Error::system::<std::io::Error>("a helper process"))?;
        Ok(Self { process, channel: BufReader::new(channel) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The socket to it, for messages that are no lines.
    pub(crate) fn stream(&self) -> &UnixStream {
        self.channel.get_ref()
    }

    pub(crate) fn write_line(&mut self, line: &str) -> Result<()> {
        write_line(self.channel.get_mut(), line)
    }

    pub(crate) fn read_line(&mut self) -> Result<String> {
        read_line(&mut self.channel)?.ok_or_else(|| Error::Helper("it ended early".to_owned()))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// From both ends: one line, as one message.
pub(crate) fn write_line(channel: &mut UnixStream, line: &str) -> Result<()> {
    channel.write_all(format!("{line}\n").as_bytes()).map_err(Error::system("the channel to another process"))
}

/// From both ends; `None` when the other end is closed.
pub(crate) fn read_line(channel: &mut BufReader<UnixStream>) -> Result<Option<String>> {
    let mut line = String::new();
    let read = channel.read_line(&mut line).map_err(Error::system("the channel to another process"))?;
    Ok((read > 0).then(|| line.trim_end().to_owned()))
}
