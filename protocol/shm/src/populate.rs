//! Making pages present ahead of use, and giving them back.
//!
//! The daemon keeps no lasting mapping of payload: how long a process takes to die depends on its page tables. So
//! each piece is mapped, made present, and unmapped again; the pages stay in the file.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use memmap2::MmapOptions;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

/// Makes the pages of a range present, as if each had been written. Offset and length are multiples of a page.
pub fn populate(fd: impl AsFd, offset: u64, bytes: u64) -> io::Result<()> {
    let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    let map = MmapOptions::new().offset(offset).len(length).map_raw(fd.as_fd().as_raw_fd())?;
    // SAFETY: the range is exactly the mapping just made; the call changes no bytes.
    let result = unsafe { libc::madvise(map.as_mut_ptr().cast(), map.len(), libc::MADV_POPULATE_WRITE) };
    Errno::result(result)?;
    Ok(())
}

/// Gives the pages of a range back to the system; they read as zeros afterwards.
pub fn punch_hole(fd: impl AsFd, offset: u64, bytes: u64) -> io::Result<()> {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    Ok(fallocate(fd.as_fd(), flags, offset as i64, bytes as i64)?)
}

/// Lets every other thread of the machine go first; for the calling thread only.
pub fn lower_thread_priority() -> io::Result<()> {
    // SAFETY: the call takes three integers and no memory; 0 is the calling thread.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LOWEST_NICE) };
    Errno::result(result)?;
    Ok(())
}

/// Lets the calling thread run only when nobody else wants its processor. A low priority alone is not that: whoever
/// runs may finish its slice, of some milliseconds, before a thread that was just woken.
pub fn run_when_idle() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads the parameters, which live as long as it, and no other memory; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    Errno::result(result)?;
    Ok(())
}

const LOWEST_NICE: libc::c_int = 19;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;
    use crate::memfd;

    fn present_bytes(file: &File) -> u64 {
        file.metadata().unwrap().blocks() * 512
    }

    #[test]
    fn pages_come_and_go() {
        let file = File::from(memfd::create("test", 1 << 20).unwrap());
        assert_eq!(present_bytes(&file), 0);
        populate(&file, 4096, 65_536).unwrap();
        assert_eq!(present_bytes(&file), 65_536);
        file.write_all_at(b"hello", 8192).unwrap();
        punch_hole(&file, 4096, 65_536).unwrap();
        assert_eq!(present_bytes(&file), 0);
        let mut bytes = [1; 5];
        file.read_exact_at(&mut bytes, 8192).unwrap();
        assert_eq!(bytes, [0; 5]);
    }
}
