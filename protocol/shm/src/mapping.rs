//! Whole files mapped, and the two kinds of object bytes in them: sealed ones that nobody writes, and unsealed ones
//! that only their creator writes.
//!
//! What is promised here rests on the store: an extent named to a client is sealed and pinned, or unsealed and
//! that client's alone, until the client itself gives it back. Ranges are checked against the mapping.

use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
    touched: Touched,
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
        Ok(Self { map: Map::new(fd, 0, bytes, Access::Write)?, touched: Touched::new(bytes) })
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

    /// Lets this process have the pages of a range that is about to be written, at a fraction of what a fault for each
    /// of them would take. What was touched before is passed over.
    fn touch(&self, offset: usize, bytes: usize) {
        self.touched.untouched(offset, bytes, |start, end| {
            let (start, end) = (start.max(offset) / PAGE_BYTES * PAGE_BYTES, end.min(offset + bytes));
            // Where it can't be done, each page is touched as it is written.
            let _ = self.map.advise(start, end - start, Advice::PopulateWrite);
        });
    }

    /// The address of a range, if it lies inside.
    #[inline]
    pub(crate) fn range(&self, offset: u64, bytes: u64) -> Option<*mut u8> {
        let offset = inside(self.bytes(), offset, bytes)?;
        Some(self.map.as_mut_ptr().wrapping_add(offset))
    }
}

/// Which pieces of a mapping this process has in its page tables, as far as it has put them there by itself. That may be
/// out of date, as memory goes back to the system; then there are faults.
#[derive(Debug)]
struct Touched {
    words: Box<[AtomicU64]>,
}

impl Touched {
    fn new(bytes: u64) -> Self {
        let words = bytes.div_ceil(64 * TOUCHED_PIECE_BYTES as u64);
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Marks the pieces that a range lies in, and tells where those begin and end that were not marked, neighbours
    /// together.
    fn untouched(&self, offset: usize, bytes: usize, mut tell: impl FnMut(usize, usize)) {
        let mut run: Option<(usize, usize)> = None;
        for piece in offset / TOUCHED_PIECE_BYTES..(offset + bytes).div_ceil(TOUCHED_PIECE_BYTES) {
            let (word, bit) = (&self.words[piece / 64], 1 << (piece % 64));
            if word.load(Relaxed) & bit != 0 || word.fetch_or(bit, Relaxed) & bit != 0 {
                continue;
            }
            let (start, end) = (piece * TOUCHED_PIECE_BYTES, (piece + 1) * TOUCHED_PIECE_BYTES);
            run = match run {
                Some((first, last)) if last == start => Some((first, end)),
                Some((first, last)) => {
                    tell(first, last);
                    Some((start, end))
                }
                None => Some((start, end)),
            };
        }
        if let Some((first, last)) = run {
            tell(first, last);
        }
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
        if source.len() < TOUCHED_BYTES_MIN {
            return copy::copy(&mut self[at..at + source.len()], source);
        }
        let (mapping, start) = (self.mapping.clone(), self.offset + at);
        copy::copy_prepared(&mut self[at..at + source.len()], source, |at, bytes| mapping.touch(start + at, bytes));
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

const PAGE_BYTES: usize = 4096;
/// A call for less would cost more than the faults it saves.
const TOUCHED_BYTES_MIN: usize = 1 << 20;
/// What is touched is noted by pieces of this size.
const TOUCHED_PIECE_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memfd;

    #[test]
    fn what_is_touched_is_told_once_with_its_neighbours() {
        let touched = Touched::new(100 << 20);
        let told = |offset: usize, bytes: usize| {
            let mut told = Vec::new();
            touched.untouched(offset, bytes, |start, end| told.push((start >> 18, end >> 18)));
            told
        };
        assert_eq!(told(300 << 10, 1), [(1, 2)]);
        assert_eq!(told(3 << 18, 70 << 18), [(3, 73)]);
        assert_eq!(told(0, 80 << 18), [(0, 1), (2, 3), (73, 80)]);
        assert_eq!(told(0, 80 << 18), []);
    }

    #[test]
    fn a_large_copy_lands_where_it_should_and_nowhere_else() {
        let bytes = 24 << 20;
        let fd = memfd::create("test", bytes).unwrap();
        let mapping = Arc::new(WriteMapping::new(&fd, bytes).unwrap());
        let source: Vec<u8> = (0..9_000_001).map(|at: u32| (at / 4096 + at) as u8).collect();
        for at in [0, 4097] {
            let mut unsealed = UnsealedBytes::new(mapping.clone(), 5 << 20, 10 << 20).unwrap();
            unsealed.fill(0xEE);
            unsealed.copy_from(at, &source);
            assert_eq!(unsealed[at..at + source.len()], source);
            assert!(unsealed[..at].iter().chain(&unsealed[at + source.len()..]).all(|byte| *byte == 0xEE));
        }
        let reader = ReadMapping::new(&fd, bytes).unwrap();
        let rest = [reader.sealed_bytes(0, 5 << 20).unwrap(), reader.sealed_bytes(15 << 20, 9 << 20).unwrap()];
        assert!(rest.concat().iter().all(|byte| *byte == 0));
    }

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
