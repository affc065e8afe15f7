//! What a folder is good for, found out by trying. What is made for that is gone when it is told.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;

use super::buffer::{BLOCK, Buffer};

/// What was seen of a folder.
#[derive(Debug)]
pub(crate) struct Probe {
    /// Which one.
    pub(crate) folder: PathBuf,
    /// A file could be made and written in it.
    pub(crate) written: io::Result<()>,
    /// It is memory itself.
    pub(crate) in_memory: bool,
    /// Bytes and files that may still be made; `None` for no limit of files.
    pub(crate) free: io::Result<(u64, Option<u64>)>,
    /// A file could be written past the page cache.
    pub(crate) direct: io::Result<()>,
}

impl Probe {
    pub(crate) fn look(folder: &Path) -> Self {
        let file = tempfile::Builder::new().prefix(".plasmad-doctor-").tempfile_in(folder);
        let (written, direct) = match &file {
            Ok(file) => (file.as_file().write_all_at(&[1; BLOCK], 0), write_direct(file.path())),
            Err(error) => (Err(again(error)), Err(again(error))),
        };
        let free = statvfs(folder).map_err(io::Error::from).map(|found| {
            let files = (found.files() > 0).then_some(found.files_available());
            (found.blocks_available() * found.fragment_size(), files)
        });
        let in_memory = statfs(folder).is_ok_and(|found| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&found.filesystem_type()));
        Self { folder: folder.to_path_buf(), written, in_memory, free, direct }
    }

    /// Of a folder that isn't there: the one above it that is, in which it would be made.
    pub(crate) fn look_above(folder: &Path) -> Self {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && path.symlink_metadata().is_err();
        let above = folder.ancestors().find(|path| !is_missing(path)).filter(|path| !path.as_os_str().is_empty());
        Self::look(above.unwrap_or(Path::new(".")))
    }
}

/// Writes a block past the page cache.
fn write_direct(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).custom_flags(OFlag::O_DIRECT.bits()).open(path)?;
    file.write_all_at(&Buffer::new(BLOCK), 0)
}

/// The same error, without what tempfile says of the path, which is told anyway.
pub(crate) fn again(error: &io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.source()).and_then(|inner| inner.downcast_ref::<io::Error>());
    let number = error.raw_os_error().or_else(|| inner.and_then(io::Error::raw_os_error));
    number.map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn looking_leaves_nothing_behind_even_where_a_path_has_no_byte_to_spare() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("d".repeat(99 - folder.path().as_os_str().len()));
        fs::create_dir(&long).unwrap();
        let probe = Probe::look(&long);
        assert!(probe.written.is_ok() && probe.free.is_ok(), "{probe:?}");
        assert_eq!(fs::read_dir(&long).unwrap().count(), 0);
    }

    #[test]
    fn of_a_folder_that_is_missing_the_one_above_it_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let probe = Probe::look_above(&folder.path().join("a/b/c"));
        assert_eq!((probe.folder, probe.written.is_ok()), (folder.path().to_path_buf(), true));
        assert_eq!(Probe::look_above(Path::new("surely/nowhere")).folder, Path::new("."));
        assert_eq!(Probe::look_above(Path::new("/surely/nowhere")).folder, Path::new("/"));
    }

    #[test]
    fn a_folder_in_memory_is_known_for_that() {
        assert!(Probe::look(Path::new("/dev/shm")).in_memory);
        assert!(!Probe::look(Path::new("/proc")).in_memory);
        assert!(Probe::look(Path::new("/proc")).written.is_err());
    }
}
