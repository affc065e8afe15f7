//! A piece of a file in this process's memory, laid so that a huge page of the file can be one of the process's too:
//! its address and its offset in the file agree modulo 2 MiB.
//!
//! Only then does the kernel put one entry of the page tables where 512 would be; a first touch then costs as much for
//! 2 MiB as for 4 KiB. The system chooses such addresses by itself for some files and on some kernels only, so more
//! address space than is needed is reserved, and the file put where it fits.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use nix::errno::Errno;

/// A mapping shared with all who map the file; gone with this value.
#[derive(Debug)]
pub(crate) struct Map {
    start: *mut u8,
    bytes: usize,
}

/// What a mapping is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// Loads alone.
    Read,
    /// Loads and stores.
    Write,
}

impl Map {
    /// Maps a range of a file; the offset is a multiple of a page.
    pub(crate) fn new(fd: impl AsFd, offset: u64, bytes: u64, access: Access) -> io::Result<Self> {
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
        let file_offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let slack = if bytes >= HUGE_PAGE_BYTES { HUGE_PAGE_BYTES } else { 0 };
        let room = Self::reserve(bytes.checked_add(slack).ok_or(io::ErrorKind::InvalidInput)?)?;
        // The first address in the room that agrees with the offset: 0 to 2 MiB in, in whole pages. Without slack it
        // is the first of all.
        let agreeing = (offset as usize).wrapping_sub(room.start as usize) % HUGE_PAGE_BYTES;
        let before = if slack > 0 { agreeing } else { 0 };
        let protection = match access {
            Access::Read => libc::PROT_READ,
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
        };
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE | libc::MAP_FIXED;
        let start = room.start.wrapping_add(before).cast();
        // SAFETY: the range lies in the room, since `before + bytes` is at most its length, and nothing else is there:
        // the room was reserved for this and nobody was told its address. The descriptor is open during the call.
        let mapped = unsafe { libc::mmap(start, bytes, protection, flags, fd.as_fd().as_raw_fd(), file_offset) };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(room.keep(before, bytes))
    }

    /// Address space with nothing behind it.
    fn reserve(bytes: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: the kernel chooses an address where nothing is.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), bytes })
    }

    /// Lets all go but a piece of it.
    fn keep(self, before: usize, bytes: usize) -> Self {
        let (start, end) = (self.start.wrapping_add(before), before + bytes);
        drop(Self { start: self.start, bytes: before });
        drop(Self { start: self.start.wrapping_add(end), bytes: self.bytes - end });
        std::mem::forget(self);
        Self { start, bytes }
    }

    /// Where it starts.
    #[inline]
    pub(crate) fn as_mut_ptr(&self) -> *mut u8 {
        self.start
    }

    /// Its length.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Gives advice about a piece of it that changes no bytes and no access.
    pub(crate) fn advise(&self, offset: usize, bytes: usize, advice: Advice) -> io::Result<()> {
        assert!(offset <= self.bytes && bytes <= self.bytes - offset, "advice is about a piece of the mapping");
        let start = self.start.wrapping_add(offset).cast();
        // SAFETY: the range lies in this mapping, and each advice there is leaves its bytes and access as they are.
        let result = unsafe { libc::madvise(start, bytes, advice as libc::c_int) };
        Errno::result(result).map(drop).map_err(io::Error::from)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: the range is exactly this mapping, or a piece of one that nobody uses; whoever was given its
            // address had borrowed this value.
            unsafe { libc::munmap(self.start.cast(), self.bytes) };
        }
    }
}

// SAFETY: a mapping is not bound to the thread that made it, and unmapping may happen in any.
unsafe impl Send for Map {}

// SAFETY: nothing here reads or writes what is mapped; whoever does proves its own access.
unsafe impl Sync for Map {}

/// Advice that leaves bytes and access of a mapping as they are.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum Advice {
    /// Make the pages present, as if each had been written.
    PopulateWrite = libc::MADV_POPULATE_WRITE,
    /// Make huge pages of them, synchronously.
    Collapse = libc::MADV_COLLAPSE,
    /// Leave the mapping out of children that are forked from here on.
    KeepFromChildren = libc::MADV_DONTFORK,
}

/// Sets huge pages aside for all of a file made of them: who touches one of its pages later gets it.
///
/// They are set aside when the file is mapped, and stay so until its pages are punched out.
pub(crate) fn reserve_huge_pages(fd: impl AsFd, bytes: u64) -> io::Result<()> {
    let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, fd.as_fd().as_raw_fd());
    // SAFETY: the kernel chooses an address where nothing is; the descriptor is open during the call.
    let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, fd, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    drop(Map { start: start.cast(), bytes });
    Ok(())
}

/// On x86_64, and on aarch64 with pages of 4 KiB.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memfd;

    #[test]
    fn addresses_agree_with_offsets_modulo_a_huge_page() {
        let huge = HUGE_PAGE_BYTES as u64;
        let fd = memfd::create("test", 8 * huge).unwrap();
        for (offset, bytes) in [(0, 8 * huge), (4096, 3 * huge), (huge, huge), (3 * huge - 4096, 2 * huge + 4096)] {
            for access in [Access::Read, Access::Write] {
                let map = Map::new(&fd, offset, bytes, access).unwrap();
                assert_eq!(map.as_mut_ptr() as u64 % huge, offset % huge, "{bytes} bytes at {offset}");
                assert_eq!(map.len() as u64, bytes);
            }
        }
    }

    #[test]
    fn nothing_but_the_mapping_is_kept() {
        let fd = memfd::create("test", 64 << 20).unwrap();
        let mapped = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            maps.lines().filter(|line| line.contains("plasmad-map-test")).count()
        };
        let named = memfd::create("plasmad-map-test", 64 << 20).unwrap();
        assert_eq!(mapped(), 0);
        let map = Map::new(&named, 0, 64 << 20, Access::Write).unwrap();
        assert_eq!(mapped(), 1);
        drop(map);
        assert_eq!(mapped(), 0);
        assert!(Map::new(&fd, 1, 64 << 20, Access::Read).is_err(), "an offset inside a page");
        assert!(Map::new(&fd, 0, u64::MAX, Access::Read).is_err(), "more than there are addresses");
    }
}
