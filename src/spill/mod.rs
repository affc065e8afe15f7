//! Objects on disk, as the engine moves them there and back; where and when, the core decides.
//!
//! | module | what is in it |
//! |---|---|
//! | `folder` | the folder it all lies in: which one, and whose |
//! | `probe` | what a folder is good for |
//! | `recovery` | what a former engine left there |
//! | `workers` | the threads that read and write |
//! | `queue` | who does what next |
//! | `write` | batches written to files |
//! | `read` | records read from files |
//! | `split` | a long record that several threads read at once |
//! | `record` | a record's header |
//! | `backend` | all that is asked of a file system, and a folder that gives it |
//! | `buffer` | memory that a disk takes past the page cache |
//! | `meter` | how many bytes went by |

mod backend;
mod buffer;
pub(crate) mod folder;
mod meter;
pub(crate) mod probe;
mod queue;
mod read;
mod record;
mod recovery;
mod split;
mod workers;
mod write;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use plasmad_core::Event;
use plasmad_core::disk::{Batch, DiskPlace, DiskRecord, FileNumber, Restore, SpillConfig};

use crate::memory::Arena;
use crate::size::{self, Size};
use backend::{Backend, FolderFiles};
use folder::{Claim, Folder};
use read::Shelf;
use workers::{Traffic, Workers};

/// The engine's disk.
pub(crate) struct Disk {
    claim: Claim,
    files: Arc<FolderFiles>,
    workers: Workers,
    max_bytes: u64,
    /// Held as long as this is, also if the keeper is gone.
    _lock: OwnedFd,
}

/// What a former engine left.
pub(crate) struct Left {
    /// What the core is to know of this folder.
    pub(crate) config: SpillConfig,
    /// All records.
    pub(crate) records: Vec<(DiskRecord, DiskPlace)>,
}

/// What is to be told of a disk.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) directory: PathBuf,
    pub(crate) max_bytes: u64,
    pub(crate) is_direct: bool,
    pub(crate) traffic: Traffic,
}

impl Disk {
    /// Looks at what is in the folder, and starts the threads. They call `wake` when something is done.
    pub(crate) fn open(
        claim: Claim,
        lock: OwnedFd,
        most: Size,
        arena: Arc<Arena>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> io::Result<(Self, Left)> {
        claim.remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
        let files = Arc::new(FolderFiles::new(claim.path.clone(), claim.is_direct));
        let found = recovery::scan(&Shelf { files: &*files, key: &claim.key })?;
        for file in &found.empty {
            match files.condemn(*file) {
                Ok(()) => tracing::warn!("{} is removed: there is no record in it", files.path(*file).display()),
                Err(error) => tracing::warn!("{} can't be removed: {error}", files.path(*file).display()),
            }
        }
        if let Err(error) = files.remove_condemned() {
            tracing::warn!("files that nobody wants stay in {}: {error}", claim.path.display());
        }
        let kept_bytes: u64 = files.files()?.iter().filter_map(|file| files.bytes(*file).ok()).sum();
        let shown = claim.path.display();
        if !found.records.is_empty() {
            let (records, bytes) = (found.records.len(), size::display(kept_bytes));
            tracing::info!("{records} records of a former daemon are in {shown}, {bytes}");
        }
        let max_bytes = match most {
            Size::Bytes(bytes) => bytes,
            Size::Percent(percent) => (backend::room_bytes(&claim.path)? + kept_bytes) / 100 * u64::from(percent),
        };
        tracing::info!("objects are spilled to {shown}, at most {}", size::display(max_bytes));
        let next_file = FileNumber(found.next_file);
        let config = SpillConfig { max_bytes, next_file, next_sequence: found.next_sequence };
        let workers = Workers::start(files.clone(), claim.key, arena, wake)?;
        let left = Left { config, records: found.records };
        Ok((Self { claim, files, workers, max_bytes, _lock: lock }, left))
    }

    /// Writes a batch; [`Event::Written`] tells when it is done.
    pub(crate) fn write(&self, batch: Batch) {
        self.workers.write(batch);
    }

    /// Reads a record, into memory or only to look at it; [`Event::Restored`] tells when it is done.
    pub(crate) fn restore(&self, restore: Restore) {
        self.workers.restore(restore);
    }

    /// A descriptor of a file, for clients to read from.
    pub(crate) fn open_read_only(&self, file: FileNumber) -> io::Result<OwnedFd> {
        self.files.open_read_only(file)
    }

    /// Removes a file: nothing in it is found any more, from now on.
    pub(crate) fn remove(&self, file: FileNumber) {
        self.workers.remove(file);
    }

    /// What is done, and was not told before.
    pub(crate) fn done(&self) -> Vec<Event> {
        self.workers.done().collect()
    }

    /// Where a file lies.
    pub(crate) fn path(&self, file: FileNumber) -> PathBuf {
        self.files.path(file)
    }

    pub(crate) fn figures(&self) -> Figures {
        let directory = self.claim.path.clone();
        Figures {
            directory,
            max_bytes: self.max_bytes,
            is_direct: self.claim.is_direct,
            traffic: self.workers.traffic(),
        }
    }

    /// Writes what it was asked to, and removes a private folder.
    pub(crate) fn close(self) {
        let Self { claim, files: _, workers, max_bytes: _, _lock: lock } = self;
        drop(workers);
        Folder::leave(&claim);
        drop(lock);
    }
}
