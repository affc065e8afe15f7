//! A mapped file as bounded atomic words: what index and pages are built on.
//!
//! Memory that another process may write is only ever touched through these, so a hostile writer can make a value
//! wrong but never make an access undefined.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::mapping::{ReadMapping, WriteMapping};
use crate::memfd;

/// A file mapped for reading as bounded words, each read whole.
#[derive(Debug)]
pub struct ReadWords {
    map: ReadMapping,
}

impl ReadWords {
    /// Maps the first `bytes` bytes.
    pub fn new(fd: impl AsFd, bytes: u64) -> io::Result<Self> {
        Ok(Self { map: ReadMapping::new(fd, bytes)? })
    }

    /// The 64-bit word at a byte offset, relaxed.
    ///
    /// # Panics
    /// If it doesn't lie inside, on a multiple of 8.
    #[inline]
    pub fn u64(&self, offset: u64) -> u64 {
        let address = self.address(offset, 8);
        // SAFETY: the address lies in a mapping that lives as long as `self`, on a multiple of 8; it is only loaded
        // from, relaxed, which read-only memory allows for words of this size on all 64-bit targets.
        unsafe { AtomicU64::from_ptr(address.cast()) }.load(Relaxed)
    }

    /// The 32-bit word at a byte offset, relaxed.
    ///
    /// # Panics
    /// If it doesn't lie inside, on a multiple of 4.
    #[inline]
    pub fn u32(&self, offset: u64) -> u32 {
        let address = self.address(offset, 4);
        // SAFETY: as in `u64`, with 4 for 8.
        unsafe { AtomicU32::from_ptr(address.cast()) }.load(Relaxed)
    }

    /// The cache line at a byte offset, as words that are only loaded from.
    ///
    /// # Panics
    /// If it doesn't lie inside, on a multiple of 64.
    #[inline]
    pub(crate) fn line(&self, offset: u64) -> Line<'_> {
        let address = self.address(offset, 64);
        // SAFETY: as in `u64`: the whole line lies in the mapping, which lives as long as the reference, and on its
        // alignment. The words stay private to `Line`, which only loads from them.
        Line(unsafe { &*address.cast::<[AtomicU64; 8]>() })
    }

    #[inline]
    fn address(&self, offset: u64, bytes: u64) -> *mut u8 {
        assert!(offset.is_multiple_of(bytes) && offset <= self.map.bytes() - bytes, "a word lies inside, on its size");
        self.map.as_ptr().wrapping_add(offset as usize).cast_mut()
    }
}

/// A cache line of a file mapped for reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'words>(&'words [AtomicU64; 8]);

impl Line<'_> {
    /// One of its eight words, relaxed.
    #[inline]
    pub(crate) fn word(&self, number: usize) -> u64 {
        self.0[number].load(Relaxed)
    }
}

/// A memory file's lasting mapping.
#[derive(Debug)]
pub struct Words {
    map: WriteMapping,
}

impl Words {
    /// A new file of zeros, and its mapping.
    pub fn create(name: &str, bytes: u64) -> io::Result<(OwnedFd, Self)> {
        let fd = memfd::create(name, bytes)?;
        let words = Self::new(&fd, bytes)?;
        Ok((fd, words))
    }

    /// Maps the first `bytes` bytes of a file.
    pub fn new(fd: impl AsFd, bytes: u64) -> io::Result<Self> {
        Ok(Self { map: WriteMapping::new(fd, bytes)? })
    }

    /// Leaves the mapping out of children that are forked from here on.
    pub fn keep_from_children(&self) -> io::Result<()> {
        self.map.keep_from_children()
    }

    /// Leaves the addresses alone: in a forked child that didn't inherit the mapping something else may lie there.
    pub(crate) fn forget(self) {
        self.map.forget();
    }

    /// The 64-bit word at a byte offset.
    ///
    /// # Panics
    /// If it doesn't lie inside, on a multiple of 8.
    #[inline]
    pub fn u64_at(&self, offset: u64) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8), "a word lies on its own size");
        let address = self.map.range(offset, 8).expect("a word lies inside the file");
        // SAFETY: the address lies in a mapping that lives as long as `self`, which is page-aligned, so a multiple
        // of 8 is aligned; all access to this memory from this process is atomic.
        unsafe { AtomicU64::from_ptr(address.cast()) }
    }

    /// The cache line at a byte offset, as eight words.
    ///
    /// # Panics
    /// If it doesn't lie inside, on a multiple of 64.
    #[inline]
    pub(crate) fn line_at(&self, offset: u64) -> &[AtomicU64; 8] {
        assert!(offset.is_multiple_of(64), "a line lies on its own size");
        let address = self.map.range(offset, 64).expect("a line lies inside the file");
        // SAFETY: as in `u64_at`: the whole line lies in the mapping, which lives as long as `self`, and on its
        // alignment; all access to this memory from this process is atomic.
        unsafe { &*address.cast::<[AtomicU64; 8]>() }
    }

    /// The 32-bit word at a byte offset.
    ///
    /// # Panics
    /// If it doesn't lie inside, on a multiple of 4.
    #[inline]
    pub fn u32_at(&self, offset: u64) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "a word lies on its own size");
        let address = self.map.range(offset, 4).expect("a word lies inside the file");
        // SAFETY: as in `u64_at`, with 4 for 8.
        unsafe { AtomicU32::from_ptr(address.cast()) }
    }
}
