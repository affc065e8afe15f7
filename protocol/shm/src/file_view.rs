//! A piece of a file that somebody else keeps, mapped to be read.
//!
//! What is promised here rests on the store: bytes of a spill file that a client has pinned are neither written nor taken
//! away until it gives the pin back. Somebody who cuts the file off all the same kills whoever reads there (SIGBUS).

use std::io;
use std::ops::Deref;
use std::os::fd::AsFd;

use memmap2::{Mmap, MmapOptions};
use nix::sys::stat::fstat;

/// The bytes of a range of a file. They may be used until the pin on them is given back.
#[derive(Debug)]
pub struct FileView(Mmap);

impl FileView {
    /// Maps a range, wherever it lies. The descriptor isn't needed behind that.
    pub fn new(fd: impl AsFd, offset: u64, bytes: u64) -> io::Result<Self> {
        let fd = fd.as_fd();
        let end = offset.checked_add(bytes).filter(|_| bytes > 0).ok_or(io::ErrorKind::InvalidInput)?;
        let file_bytes = fstat(fd)?.st_size as u64;
        if end > file_bytes {
            let what = format!("a range up to {end} of a file of {file_bytes} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the range lies in the file now; the store promises that it is neither written, nor the file cut off, while
        // it is pinned, and whoever has pinned it gives the view up before the pin.
        let map = unsafe { MmapOptions::new().offset(offset).len(length).map(&fd) }?;
        Ok(Self(map))
    }
}

impl Deref for FileView {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_view_shows_its_range_and_outlives_its_descriptor_and_the_files_name() {
        let bytes: Vec<u8> = (0..5_000_000u32).map(|at| (at ^ (at >> 11)) as u8).collect();
        for (offset, length) in [(0, 1), (4095, 2), (65_535, 70_000), (4096, 3 << 20), (4_999_999, 1)] {
            let mut file = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
            file.write_all(&bytes).unwrap();
            let view = FileView::new(file.as_file(), offset as u64, length as u64).unwrap();
            drop(file);
            assert!(*view == bytes[offset..offset + length], "{length} bytes at {offset}");
        }
    }

    #[test]
    fn a_range_that_does_not_lie_in_the_file_is_refused() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 5000]).unwrap();
        for (offset, bytes) in [(5000, 1), (0, 5001), (u64::MAX, 2), (0, 0)] {
            assert!(FileView::new(&file, offset, bytes).is_err(), "{bytes} bytes at {offset}");
        }
        assert_eq!(FileView::new(&file, 4999, 1).unwrap()[..], [7]);
    }
}
