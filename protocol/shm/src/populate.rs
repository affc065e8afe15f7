//! Making pages present ahead of use, in huge pages where the kernel can, and giving them back.
//!
//! The daemon keeps no lasting mapping of payload: how long a process takes to die depends on its page tables. So
//! each piece is mapped, made present, and unmapped again; the pages stay in the file.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::copy;
use crate::map::{Access, Advice, Map};

/// Makes the pages of a range present, as if each had been written. Offset and length are multiples of a page.
pub fn populate(fd: impl AsFd, offset: u64, bytes: u64) -> io::Result<()> {
    let map = Map::new(fd, offset, bytes, Access::Write)?;
    map.advise(0, map.len(), Advice::PopulateWrite)
}

/// Makes huge pages of a range, all of it or, as the error tells, only some. Offset and length are multiples of
/// [`HUGE_PAGE_BYTES`]. Bytes that are there stay; whoever uses them meanwhile may have to wait some milliseconds.
///
/// It works where the kernel makes no huge pages for memory files by itself, from Linux 6.1 on.
pub fn collapse(fd: impl AsFd, offset: u64, bytes: u64) -> io::Result<()> {
    let map = Map::new(fd, offset, bytes, Access::Write)?;
    for start in (0..map.len()).step_by(HUGE_PAGE_BYTES) {
        // Of memory that isn't there at all nothing is made; the rest of it needn't be.
        map.advise(start, 1, Advice::PopulateWrite)?;
    }
    map.advise(0, map.len(), Advice::Collapse)
}

/// Writes bytes into a file of reserved huge pages, which can't be written by write(2). The range lies in the file,
/// whose length is a multiple of [`HUGE_PAGE_BYTES`], and is nobody else's.
pub fn write(fd: impl AsFd, offset: u64, source: &[u8]) -> io::Result<()> {
    let huge = HUGE_PAGE_BYTES as u64;
    let start = offset / huge * huge;
    let end = (offset + source.len() as u64).next_multiple_of(huge);
    let map = Map::new(fd, start, end - start, Access::Write)?;
    let target = map.as_mut_ptr().wrapping_add((offset - start) as usize);
    // SAFETY: the target lies in the mapping just made, as `offset + source.len()` is at most its end, and it lives as
    // long as the slice. Nobody else uses the range, says the caller.
    let target = unsafe { std::slice::from_raw_parts_mut(target, source.len()) };
    copy::copy(target, source);
    Ok(())
}

/// Gives the pages of a range back to the system; they read as zeros afterwards.
pub fn punch_hole(fd: impl AsFd, offset: u64, bytes: u64) -> io::Result<()> {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    Ok(fallocate(fd.as_fd(), flags, offset as i64, bytes as i64)?)
}

/// Lets other threads of the machine go first, the more the higher `nice` is; for the calling thread only.
pub fn lower_thread_priority(nice: i32) -> io::Result<()> {
    // SAFETY: the call takes three integers and no memory; 0 is the calling thread.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    Errno::result(result)?;
    Ok(())
}

/// Lets what other threads ask of disks go first, where their schedulers know priorities; for the calling thread only.
pub fn lower_disk_priority() -> io::Result<()> {
    let (this_thread, best_effort_lowest): (libc::c_int, libc::c_int) = (1, 2 << 13 | 7);
    // SAFETY: the call takes three integers and no memory; 0 is the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, this_thread, 0, best_effort_lowest) };
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

pub use crate::map::HUGE_PAGE_BYTES;
/// Of a thread that everybody goes before.
pub const LOWEST_NICE: i32 = 19;

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

    /// Where the kernel can: it says so, and then it is so.
    #[test]
    fn huge_pages_keep_the_bytes_and_are_one_entry_each() {
        let huge = HUGE_PAGE_BYTES as u64;
        let file = File::from(memfd::create("plasmad-huge-test", 4 * huge).unwrap());
        file.write_all_at(b"hello", huge - 2).unwrap();
        if let Err(error) = collapse(&file, huge, 2 * huge) {
            return println!("no huge pages here: {error}");
        }
        assert_eq!(present_bytes(&file), 2 * huge + 4096, "the one before the range has its one page");
        let mut bytes = [1; 5];
        file.read_exact_at(&mut bytes, huge - 2).unwrap();
        assert_eq!(&bytes, b"hello");
        // A mapping of the whole file: the middle of it in huge pages.
        let map = Map::new(&file, 0, 4 * huge, Access::Write).unwrap();
        map.advise(0, map.len(), Advice::PopulateWrite).unwrap();
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mine = smaps.split_once("plasmad-huge-test").unwrap().1;
        let line = mine.lines().find(|line| line.starts_with("ShmemPmdMapped:")).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some("4096"), "{line}");
    }
}
