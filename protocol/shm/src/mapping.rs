//! Whole files mapped, and the two kinds of object bytes in them: sealed ones that nobody writes, and unsealed ones
//! that only their creator writes.
//!
//! What is promised here rests on the store: an extent named to a client is sealed and pinned, or unsealed and
//! that client's alone, until the client itself gives it back. Ranges are checked against the mapping.

use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsFd;
use std::sync::Arc;

use crate::copy;
use crate::map::{Access, Advice, Map};

/// A file mapped for reading.
#[derive(Debug)]
pub struct ReadMapping {
    map: Map,
}

/// A file mapped for reading and writing.
#[derive(Debug)]
pub struct WriteMapping {
    map: Map,
}

impl ReadMapping {
    /// Maps the first `bytes` bytes.
    pub fn new(fd: impl AsFd, bytes: u64) -> io::Result<Self> {
        Ok(Self { map: Map::new(fd, 0, bytes, Access::Read)? })
    }

    /// The bytes of a sealed extent that this process has pinned, as the store named it; `None` if it doesn't lie in
    /// the mapping. They may be used until the pin is given back.
    #[inline]
    pub fn sealed_bytes(&self, offset: u64, bytes: u64) -> Option<&[u8]> {
        let start = self.as_ptr().wrapping_add(inside(self.bytes(), offset, bytes)?);
        // SAFETY: the range lies in the mapping, which lives as long as `self`; the store promises that a sealed
        // extent isn't written or given to anybody else while it is pinned.
        Some(unsafe { std::slice::from_raw_parts(start, bytes as usize) })
    }

    /// Where the mapping starts.
    #[inline]
    pub fn as_ptr(&self) -> *const u8 {
        self.map.as_mut_ptr()
    }

    /// Its length.
    #[inline]
    pub fn bytes(&self) -> u64 {
        self.map.len() as u64
    }
}

impl WriteMapping {
    /// Maps the first `bytes` bytes.
    pub fn new(fd: impl AsFd, bytes: u64) -> io::Result<Self> {
        Ok(Self { map: Map::new(fd, 0, bytes, Access::Write)? })
    }

    /// Its length.
    #[inline]
    pub fn bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// Leaves the mapping out of children that are forked from here on.
    pub fn keep_from_children(&self) -> io::Result<()> {
        self.map.advise(0, self.map.len(), Advice::KeepFromChildren)
    }

    /// Leaves the addresses alone: in a forked child that didn't inherit the mapping something else may lie there.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }

    /// Writes into an unsealed extent of this client's, as the store named it; `false` if it doesn't lie in the mapping.
    #[inline]
    pub fn write(&self, offset: u64, source: &[u8]) -> bool {
        let Some(start) = self.range(offset, source.len() as u64) else { return false };
        // SAFETY: the range was just checked to lie in the mapping, which lives as long as `self`; the store promises
        // that an unsealed extent is its creator's alone, and the slice ends with this call.
        let target = unsafe { std::slice::from_raw_parts_mut(start, source.len()) };
        copy::copy(target, source);
        true
    }

    /// The address of a range, if it lies inside.
    #[inline]
    pub(crate) fn range(&self, offset: u64, bytes: u64) -> Option<*mut u8> {
        let offset = inside(self.bytes(), offset, bytes)?;
        Some(self.map.as_mut_ptr().wrapping_add(offset))
    }
}

/// The bytes of an object that this process is writing.
#[derive(Debug)]
pub struct UnsealedBytes {
    mapping: Arc<WriteMapping>,
    offset: usize,
    bytes: usize,
}

impl UnsealedBytes {
    /// An unsealed extent of this client's, as the store named it; `None` if it doesn't lie in the mapping.
    pub fn new(mapping: Arc<WriteMapping>, offset: u64, bytes: u64) -> Option<Self> {
        let offset = inside(mapping.bytes(), offset, bytes)?;
        Some(Self { mapping, offset, bytes: bytes as usize })
    }

    /// Writes `source` at `at`, as fast as the machine can.
    ///
    /// # Panics
    /// If it would reach over the end.
    pub fn copy_from(&mut self, at: usize, source: &[u8]) {
        let target = &mut self[at..at + source.len()];
        copy::copy(target, source);
    }

    fn start(&self) -> *mut u8 {
        self.mapping.map.as_mut_ptr().wrapping_add(self.offset)
    }
}

impl Deref for UnsealedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: as in `deref_mut`.
        unsafe { std::slice::from_raw_parts(self.start(), self.bytes) }
    }
}

impl DerefMut for UnsealedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the range was checked to lie in the mapping, which lives as long as `self`; the store promises
        // that an unsealed extent is its creator's alone, and this value isn't cloned.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.bytes) }
    }
}

/// The offset as an index, if the range lies inside a mapping of this length.
#[inline]
fn inside(mapping_bytes: u64, offset: u64, bytes: u64) -> Option<usize> {
    (offset.checked_add(bytes)? <= mapping_bytes).then_some(offset as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memfd;

    #[test]
    fn what_one_mapping_writes_the_other_reads() {
        let fd = memfd::create("test", 8192).unwrap();
        let reader = ReadMapping::new(&fd, 8192).unwrap();
        let writer = Arc::new(WriteMapping::new(&fd, 8192).unwrap());
        let mut unsealed = UnsealedBytes::new(writer, 4096, 5).unwrap();
        unsealed.copy_from(0, b"hello");
        assert_eq!(reader.sealed_bytes(4096, 5).unwrap(), b"hello");
    }

    #[test]
    fn a_range_outside_the_mapping_is_refused() {
        let fd = memfd::create("test", 4096).unwrap();
        let reader = ReadMapping::new(&fd, 4096).unwrap();
        assert!(reader.sealed_bytes(4096, 0).is_some());
        assert!(reader.sealed_bytes(4000, 97).is_none());
        assert!(reader.sealed_bytes(u64::MAX, 2).is_none());
    }
}
