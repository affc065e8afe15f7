//! What every row needs: rounds that can be watched and stopped, a daemon, helper processes.

use std::path::{Path, PathBuf};

use crate::daemon::Daemon;
use crate::disk;
use crate::error::{Error, Result};
use crate::helper::Helper;
use crate::slice::Slice;
use crate::syscalls::Operation;
use crate::{Settings, Watcher};

/// The surroundings of one group of rows.
pub(crate) struct Bench<'a> {
    settings: &'a Settings,
    watcher: &'a mut dyn Watcher,
}

/// Ours and the reference's slices, one of each for every round.
#[derive(Debug, Default)]
pub(crate) struct Pair {
    pub(crate) ours: Vec<Slice>,
    pub(crate) theirs: Vec<Slice>,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(settings: &'a Settings, watcher: &'a mut dyn Watcher) -> Self {
        Self { settings, watcher }
    }

    pub(crate) fn rounds(&self) -> usize {
        self.settings.rounds
    }

    /// How much of it a row may take.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.settings.memory_bytes
    }

    pub(crate) fn program(&self) -> &Path {
        &self.settings.program
    }

    /// A daemon with these arguments, or the one that was named.
    pub(crate) fn daemon(&self, arguments: &[&str]) -> Result<Daemon> {
        match &self.settings.socket {
            Some(socket) => Ok(Daemon::there_already(socket)),
            None => Daemon::start(&self.settings.program, arguments),
        }
    }

    /// A daemon of its own that spills to a disk with room for so many bytes, and the folder it spills to.
    pub(crate) fn spilling_daemon(&self, row: &str, arguments: &[&str], disk_bytes: u64) -> Result<(Daemon, PathBuf)> {
        let daemon = Daemon::start_spilling(&self.settings.program, arguments)?;
        let folder = disk::spill_folder(&daemon.connect()?)?;
        let impossible = |reason| Error::Impossible { row: row.to_owned(), reason };
        disk::check(&folder, disk_bytes).map_err(impossible)?;
        Ok((daemon, folder))
    }

    /// This program as another process.
    pub(crate) fn helper(&self, arguments: &[&str]) -> Result<Helper> {
        Helper::start(&self.settings.program, arguments)
    }

    /// System calls of an operation, counted in a process of its own.
    pub(crate) fn syscalls(&self, operation: Operation, daemon: &Daemon) -> Result<f64> {
        let mut tracer = self.helper(&["count", operation.name(), &daemon.socket().to_string_lossy()])?;
        let line = tracer.read_line()?;
        line.parse().map_err(|_| Error::Helper(format!("{line:?} is no number of system calls")))
    }

    /// Between two steps of a preparation.
    pub(crate) fn check(&self) -> Result<()> {
        if self.watcher.stop() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// A round begins.
    pub(crate) fn round(&mut self, row: &str, round: usize, rounds: usize) -> Result<()> {
        self.check()?;
        self.watcher.round(row, round, rounds);
        Ok(())
    }

    /// Runs both sides in turns, each first in every other round.
    pub(crate) fn pair(
        &mut self,
        row: &str,
        rounds: usize,
        mut ours: impl FnMut() -> Result<Slice>,
        mut theirs: impl FnMut() -> Result<Slice>,
    ) -> Result<Pair> {
        let mut pair = Pair::default();
        for round in 0..rounds {
            self.round(row, round, rounds)?;
            if round % 2 == 0 {
                pair.theirs.push(theirs()?);
                pair.ours.push(ours()?);
            } else {
                pair.ours.push(ours()?);
                pair.theirs.push(theirs()?);
            }
        }
        Ok(pair)
    }
}
