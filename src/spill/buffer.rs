//! Memory that a disk takes past the page cache: it lies on a block, and is whole blocks long.

use std::ops::{Deref, DerefMut};

use plasmad_core::disk::BLOCK_BYTES;

/// A block, as an index.
pub(crate) const BLOCK: usize = BLOCK_BYTES as usize;

/// Zeros at first. Memory is taken as it is touched.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// A block longer than asked for, so that whole blocks fit in wherever it lies. It never moves.
    memory: Box<[u8]>,
    start: usize,
    bytes: usize,
}

impl Buffer {
    /// So many bytes, a multiple of [`BLOCK`].
    pub(crate) fn new(bytes: usize) -> Self {
        assert!(bytes.is_multiple_of(BLOCK), "a buffer is whole blocks");
        let memory = vec![0; bytes + BLOCK].into_boxed_slice();
        let start = memory.as_ptr().align_offset(BLOCK);
        Self { memory, start, bytes }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.bytes]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_lies_on_a_block_wherever_memory_was_found_for_it() {
        for blocks in 1..20 {
            let mut buffer = Buffer::new(blocks * BLOCK);
            assert_eq!(buffer.as_ptr() as usize % BLOCK, 0);
            buffer.fill(1);
            assert_eq!(buffer.len(), blocks * BLOCK);
        }
    }
}
