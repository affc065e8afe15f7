//! Life files: how the daemon sees that nobody uses some memory any more, though nobody is left to tell it.
//!
//! An empty memory file, which whoever is to be watched maps shared and writable. The kernel refuses the fd seal WRITE
//! exactly as long as such a mapping exists in any process. Exec and exit end a mapping; closing descriptors doesn't.
//!
//! Invariant: what was found to be over stays over. The seal that found it can't be taken back, and whoever comes later
//! can't map the file any more and so is told.
//!
//! The file is empty, and the fd seal GROW keeps it so, because looking must never wait: before the kernel adds the seal
//! it waits for pages of the file that a device may still write to, and an empty file can have none.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::MFdFlags;

use crate::fork::process_token;
use crate::mapping::WriteMapping;
use crate::memfd;

/// The daemon's side.
#[derive(Debug)]
pub struct LifeFile {
    fd: OwnedFd,
}

impl LifeFile {
    /// A file that nobody maps yet.
    pub fn create() -> io::Result<Self> {
        let fd = memfd::make("plasmad-life", 0, MFdFlags::empty(), SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW)?;
        Ok(Self { fd })
    }

    /// The file.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Nobody maps it, and nobody will. Whoever has the file could have made that so by itself.
    pub fn is_over(&self) -> bool {
        let sealed = fcntl(&self.fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE));
        sealed != Err(Errno::EBUSY)
    }
}

/// A mapping of a life file, which is never looked into.
#[derive(Debug)]
pub struct Life {
    /// `None` only while this is dropped.
    mapping: Option<WriteMapping>,
    /// The process it is of; children of others inherit it.
    process: Option<u64>,
}

impl Life {
    /// Lasts as long as this value in this process, whatever becomes of its children.
    pub fn of_this_process(fd: impl AsFd) -> io::Result<Self> {
        let mapping = WriteMapping::new(fd, MAPPED_BYTES)?;
        mapping.keep_from_children()?;
        Ok(Self { mapping: Some(mapping), process: Some(process_token()) })
    }

    /// Lasts as long as this value in this process, and as long as what became of it in each of its children.
    pub fn of_children_too(fd: impl AsFd) -> io::Result<Self> {
        Ok(Self { mapping: Some(WriteMapping::new(fd, MAPPED_BYTES)?), process: None })
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let is_inherited = self.process.is_some_and(|process| process != process_token());
        if let Some(mapping) = self.mapping.take().filter(|_| is_inherited) {
            mapping.forget();
        }
    }
}

/// A page, though the file has none: it is there to be counted.
const MAPPED_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::fork::testing::fork;

    #[test]
    fn a_life_lasts_as_long_as_its_mapping_whatever_is_closed() {
        let file = LifeFile::create().unwrap();
        let theirs = file.fd().try_clone_to_owned().unwrap();
        let life = Life::of_this_process(&theirs).unwrap();
        assert!(!file.is_over());
        drop(theirs);
        assert!(!file.is_over());
        drop(life);
        assert!(file.is_over());
        assert!(file.is_over(), "it stays over");
    }

    #[test]
    fn who_comes_late_is_told() {
        let file = LifeFile::create().unwrap();
        assert!(file.is_over());
        let late = Life::of_this_process(file.fd()).unwrap_err();
        assert_eq!(late.raw_os_error(), Some(Errno::EPERM as i32));
    }

    #[test]
    fn children_hold_what_is_theirs_too_and_nothing_else() {
        let (own, shared) = (LifeFile::create().unwrap(), LifeFile::create().unwrap());
        let own_life = Life::of_this_process(own.fd()).unwrap();
        let shared_life = Life::of_children_too(shared.fd()).unwrap();
        let (mut told, tell) = io::pipe().unwrap();
        let mut tell = Some(tell);
        let child = fork(|| {
            tell = None;
            // Until the parent closes its end.
            assert_eq!(told.read(&mut [0]).unwrap(), 0);
        });
        drop((own_life, shared_life));
        assert!(own.is_over(), "the child didn't inherit it");
        assert!(!shared.is_over(), "the child holds it");
        drop(tell);
        assert!(child.wait());
        assert!(shared.is_over());
    }

    #[test]
    fn no_page_can_be_put_into_it() {
        let file = LifeFile::create().unwrap();
        let mut theirs = std::fs::File::from(file.fd().try_clone_to_owned().unwrap());
        assert!(theirs.write_all(b"x").is_err() && theirs.set_len(4096).is_err());
    }
}
