//! All that spilling asks of a file system, and a folder that gives it.
//!
//! Invariant: reads and writes start on a block and are whole blocks long, in memory that lies on a block. So a file
//! can be opened past the page cache; where it can't, what is written is on disk, and out of the page cache, as soon as
//! it was written.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, PosixFadviseAdvice, fallocate, posix_fadvise};
use nix::sys::statvfs::statvfs;
use plasmad_core::disk::FileNumber;

/// Numbered files. The tests' one lies and fails.
pub(crate) trait Backend: Send + Sync {
    /// The numbers of the files there are.
    fn files(&self) -> io::Result<Vec<FileNumber>>;
    /// How long a file is.
    fn bytes(&self, file: FileNumber) -> io::Result<u64>;
    /// Sets room aside for a range, and makes the file if it isn't there.
    fn reserve(&self, file: FileNumber, offset: u64, bytes: u64) -> io::Result<()>;
    /// Writes all of it.
    fn write(&self, file: FileNumber, offset: u64, source: &[u8]) -> io::Result<()>;
    /// Reads as much as there is, and tells how much that was.
    fn read(&self, file: FileNumber, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Forgets a range, as far as the file system can.
    fn forget(&self, file: FileNumber, offset: u64, bytes: u64) -> io::Result<()>;
    /// Returns when all that was written to a file survives a power failure.
    fn sync(&self, file: FileNumber) -> io::Result<()>;
    /// Has a file not be one any more, at once.
    fn condemn(&self, file: FileNumber) -> io::Result<()>;
    /// Removes a file that was condemned.
    fn remove(&self, file: FileNumber) -> io::Result<()>;
    /// How many bytes may still be written, so that the file system is never quite full.
    fn room_bytes(&self) -> io::Result<u64>;
    /// Where a file lies, for the log.
    fn path(&self, file: FileNumber) -> PathBuf;
}

/// The files of a folder.
#[derive(Debug)]
pub(crate) struct FolderFiles {
    folder: PathBuf,
    is_direct: bool,
    open: Mutex<BTreeMap<FileNumber, Arc<File>>>,
}

impl FolderFiles {
    /// The files of this folder, past the page cache or through it.
    pub(crate) fn new(folder: PathBuf, is_direct: bool) -> Self {
        Self { folder, is_direct, open: Mutex::default() }
    }

    /// Removes what a former engine had no time to.
    pub(crate) fn remove_condemned(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let file = path.with_extension(&SUFFIX[1..]);
            let is_ours = file.file_name().and_then(|name| number_of(name.to_str()?)).is_some();
            if is_ours && path.extension().is_some_and(|extension| extension == GONE) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// A descriptor to give away: nothing can be written through it.
    pub(crate) fn open_read_only(&self, file: FileNumber) -> io::Result<OwnedFd> {
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(OFlag::O_NOFOLLOW.bits());
        Ok(options.open(self.path(file))?.into())
    }

    /// The file, open; made if it isn't there and is wanted.
    fn open(&self, number: FileNumber, make: bool) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&number) {
            return Ok(file.clone());
        }
        let direct = if self.is_direct { OFlag::O_DIRECT } else { OFlag::empty() };
        let flags = (direct | OFlag::O_NOFOLLOW).bits();
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(make).mode(0o600).custom_flags(flags);
        let file = Arc::new(options.open(self.path(number))?);
        if open.len() >= OPEN_MAX {
            // Whoever still uses it has it open as long as that takes.
            open.pop_first();
        }
        open.insert(number, file.clone());
        Ok(file)
    }

    /// Lets the page cache have nothing of a range, of which all is on disk.
    fn leave_cache(&self, file: &File, offset: u64, bytes: usize) {
        if !self.is_direct {
            // Where the advice isn't taken, more memory is used and nothing else is lost.
            let _ = posix_fadvise(file, offset as i64, bytes as i64, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
    }
}

impl Backend for FolderFiles {
    fn files(&self) -> io::Result<Vec<FileNumber>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            numbers.extend(entry?.file_name().to_str().and_then(number_of));
        }
        Ok(numbers)
    }

    fn bytes(&self, file: FileNumber) -> io::Result<u64> {
        Ok(self.open(file, false)?.metadata()?.len())
    }

    fn reserve(&self, file: FileNumber, offset: u64, bytes: u64) -> io::Result<()> {
        let file = self.open(file, true)?;
        match fallocate(&*file, FallocateFlags::empty(), offset as i64, bytes as i64) {
            // Then room is found as it is written.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
            reserved => Ok(reserved?),
        }
    }

    fn write(&self, file: FileNumber, offset: u64, source: &[u8]) -> io::Result<()> {
        // A file that was removed behind our back must not come to be again with a hole in front.
        let file = self.open(file, false)?;
        file.write_all_at(source, offset)?;
        if !self.is_direct {
            file.sync_data()?;
            self.leave_cache(&file, offset, source.len());
        }
        Ok(())
    }

    fn read(&self, file: FileNumber, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let file = self.open(file, false)?;
        let mut done = 0;
        // The rest of a block that the file ends in can't be read past the page cache, and isn't asked for.
        while done < into.len() && done.is_multiple_of(super::buffer::BLOCK) {
            match file.read_at(&mut into[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(bytes) => done += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        self.leave_cache(&file, offset, done);
        Ok(done)
    }

    fn forget(&self, file: FileNumber, offset: u64, bytes: u64) -> io::Result<()> {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        Ok(fallocate(&*self.open(file, false)?, flags, offset as i64, bytes as i64)?)
    }

    fn sync(&self, file: FileNumber) -> io::Result<()> {
        match self.open(file, false).and_then(|file| file.sync_data()) {
            // It was condemned meanwhile: nothing in it is wanted.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced,
        }
    }

    fn condemn(&self, file: FileNumber) -> io::Result<()> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&file);
        let path = self.path(file);
        fs::rename(&path, path.with_extension(GONE))
    }

    fn remove(&self, file: FileNumber) -> io::Result<()> {
        fs::remove_file(self.path(file).with_extension(GONE))
    }

    fn room_bytes(&self) -> io::Result<u64> {
        room_bytes(&self.folder)
    }

    fn path(&self, file: FileNumber) -> PathBuf {
        self.folder.join(format!("{:010}{SUFFIX}", file.0))
    }
}

/// How many bytes may still be written to a folder's file system.
pub(crate) fn room_bytes(folder: &Path) -> io::Result<u64> {
    let found = statvfs(folder)?;
    Ok(room_blocks(found.blocks(), found.blocks_free(), found.blocks_available()) * found.fragment_size())
}

/// What is there for this user, less a twentieth of everything.
fn room_blocks(all: u64, free: u64, available: u64) -> u64 {
    let used = all.saturating_sub(free);
    (all - all / 20).saturating_sub(used).min(available)
}

/// The number of a spill file of this name.
fn number_of(name: &str) -> Option<FileNumber> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_number = digits.len() == 10 && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number).map(FileNumber)
}

/// What a spill file's name ends in.
const SUFFIX: &str = ".spill";
/// What the name of one ends in that was condemned.
const GONE: &str = "gone";
/// So many files are kept open, so that a read needs no open.
const OPEN_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spill::buffer::{BLOCK, Buffer};

    #[test]
    fn only_names_that_are_given_here_are_spill_files() {
        assert_eq!(number_of("0000000017.spill"), Some(FileNumber(17)));
        assert_eq!(number_of("4294967295.spill"), Some(FileNumber(u32::MAX)));
        for other in ["17.spill", "+000000017.spill", "0000000017", "4294967296.spill", "lock", ".spill"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }

    #[test]
    fn files_keep_what_is_written_past_the_page_cache_and_through_it() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        for is_direct in [true, false] {
            let files = FolderFiles::new(folder.path().to_path_buf(), is_direct);
            let (number, mut buffer) = (FileNumber(u32::from(is_direct)), Buffer::new(4 * BLOCK));
            assert_eq!(files.write(number, 0, &buffer).unwrap_err().kind(), io::ErrorKind::NotFound);
            files.reserve(number, 0, 4 * BLOCK as u64).unwrap();
            assert_eq!(files.bytes(number).unwrap(), 4 * BLOCK as u64);
            buffer.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at / 7) as u8);
            if let Err(error) = files.write(number, BLOCK as u64, &buffer[..2 * BLOCK]) {
                println!("this file system can't be written past its cache: {error}");
                continue;
            }
            files.sync(number).unwrap();
            let mut read = Buffer::new(8 * BLOCK);
            assert_eq!(files.read(number, BLOCK as u64, &mut read).unwrap(), 3 * BLOCK);
            assert_eq!(read[..2 * BLOCK], buffer[..2 * BLOCK]);
            assert!(read[2 * BLOCK..].iter().all(|byte| *byte == 0));
            files.forget(number, BLOCK as u64, BLOCK as u64).unwrap();
            assert_eq!(files.read(number, BLOCK as u64, &mut read[..BLOCK]).unwrap(), BLOCK);
            assert!(read[..BLOCK].iter().all(|byte| *byte == 0));
            assert!(files.files().unwrap().contains(&number));
            files.condemn(number).unwrap();
            assert!(files.files().unwrap().is_empty());
            assert_eq!(files.bytes(number).unwrap_err().kind(), io::ErrorKind::NotFound);
            match is_direct {
                true => files.remove(number).unwrap(),
                false => files.remove_condemned().unwrap(),
            }
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn more_files_than_are_kept_open_can_be_used() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let files = FolderFiles::new(folder.path().to_path_buf(), false);
        let numbers = || (0..OPEN_MAX as u32 + 9).map(FileNumber);
        numbers().for_each(|file| files.reserve(file, 0, BLOCK as u64).unwrap());
        assert!(numbers().all(|file| files.bytes(file).unwrap() == BLOCK as u64));
        assert_eq!(files.open.lock().unwrap().len(), OPEN_MAX);
    }

    #[test]
    fn a_twentieth_of_the_file_system_stays_free_and_what_is_kept_for_others_too() {
        assert_eq!(room_blocks(1000, 1000, 1000), 950);
        assert_eq!(room_blocks(1000, 400, 400), 350);
        assert_eq!(room_blocks(1000, 400, 300), 300);
        assert_eq!(room_blocks(1000, 50, 50), 0);
        assert_eq!(room_blocks(1000, 3, 0), 0);
        assert_eq!(room_blocks(0, 0, 0), 0);
        assert!(room_bytes(Path::new("/var/tmp")).unwrap() > 0);
    }
}
