//! A mapped file as bounded atomic words: what index and pages are built on.
//!
//! Memory that another process may write is only ever touched through these, so a hostile writer can make a value
//! wrong but never make an access undefined.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::mapping::WriteMapping;
use crate::memfd;

/// A memory file and its lasting mapping.
#[derive(Debug)]
pub struct Words {
    fd: OwnedFd,
    map: WriteMapping,
}

impl Words {
    /// A new file of zeros.
    pub fn create(name: &str, bytes: u64) -> io::Result<Self> {
        Self::adopt(memfd::create(name, bytes)?, bytes)
    }

    /// A file that is there already.
    pub fn adopt(fd: OwnedFd, bytes: u64) -> io::Result<Self> {
        let map = WriteMapping::new(&fd, bytes)?;
        Ok(Self { fd, map })
    }

    /// The file.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The 64-bit word at a byte offset.
    ///
    /// # Panics
    /// If it doesn't lie inside, on a multiple of 8.
    pub fn u64_at(&self, offset: u64) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8), "a word lies on its own size");
        let address = self.map.range(offset, 8).expect("a word lies inside the file");
        // SAFETY: the address lies in a mapping that lives as long as `self`, which is page-aligned, so a multiple
        // of 8 is aligned; all access to this memory from this process is atomic.
        unsafe { AtomicU64::from_ptr(address.cast()) }
    }

    /// The 32-bit word at a byte offset.
    ///
    /// # Panics
    /// If it doesn't lie inside, on a multiple of 4.
    pub fn u32_at(&self, offset: u64) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "a word lies on its own size");
        let address = self.map.range(offset, 4).expect("a word lies inside the file");
        // SAFETY: as in `u64_at`, with 4 for 8.
        unsafe { AtomicU32::from_ptr(address.cast()) }
    }
}
