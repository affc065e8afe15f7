//! The arena's bytes, read and written without mapping it: how long a process takes to die depends on what it maps.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::errno::Errno;
use plasmad_shm::populate;

/// An arena, open for reading and writing.
#[derive(Debug)]
pub struct Arena(File);

impl Arena {
    /// Memory it takes from the machine now.
    pub(crate) fn present_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.blocks() * 512)
    }

    /// Reads the bytes that start there. Memory that was never written reads as zeros and is not taken for that.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    /// Writes bytes that nobody else uses.
    pub(crate) fn write(&self, offset: u64, source: &[u8]) -> io::Result<()> {
        match self.0.write_all_at(source, offset) {
            // A file of reserved huge pages can only be mapped.
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => {
                populate::write(&self.0, offset, source)
            }
            written => written,
        }
    }
}

impl From<OwnedFd> for Arena {
    fn from(fd: OwnedFd) -> Self {
        Self(File::from(fd))
    }
}

impl AsFd for Arena {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use plasmad_shm::memfd;

    use super::*;

    #[test]
    fn an_arena_of_either_kind_reads_what_was_written() {
        let huge = memfd::create_huge("plasmad-arena-test", 4 << 20);
        if let Err(error) = &huge {
            println!("no reserved huge pages here: {error}");
        }
        for fd in [memfd::create("plasmad-arena-test", 4 << 20)].into_iter().chain([huge]).flatten() {
            let arena = Arena::from(fd);
            arena.write((2 << 20) - 3, b"across").unwrap();
            let mut read = [1; 8];
            arena.read((2 << 20) - 4, &mut read).unwrap();
            assert_eq!(&read, b"\0across\0");
        }
    }
}
