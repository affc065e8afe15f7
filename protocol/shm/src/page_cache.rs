//! How much of a file the system's page cache holds.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::unistd::{SysconfVar, sysconf};

use crate::map::{Access, Map};

/// Bytes of a file's first so many that are in memory now, in whole pages. The file is the caller's own, or one that it
/// may write: of others the kernel says that all of it is.
pub fn cached_bytes(fd: impl AsFd, bytes: u64) -> io::Result<u64> {
    if bytes == 0 {
        return Ok(0);
    }
    let page_bytes = sysconf(SysconfVar::PAGE_SIZE)?.unwrap_or(4096) as usize;
    let map = Map::new(fd, 0, bytes, Access::Read)?;
    let mut pages = vec![0; map.len().div_ceil(page_bytes)];
    // SAFETY: the range is exactly this mapping, and there is a byte for each of its pages to be written to.
    let result = unsafe { libc::mincore(map.as_mut_ptr().cast(), map.len(), pages.as_mut_ptr()) };
    Errno::result(result)?;
    let cached = pages.iter().filter(|page| **page & 1 == 1).count();
    Ok((cached * page_bytes) as u64)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_just_written_is_in_the_cache_and_a_hole_is_not() {
        let path = std::path::Path::new("/var/tmp").join(format!("plasmad-cached-{}", std::process::id()));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(cached_bytes(&file, 0).unwrap(), 0);
        file.write_all(&vec![7; 1 << 20]).unwrap();
        assert_eq!(cached_bytes(&file, 1 << 20).unwrap(), 1 << 20);
        // Nobody has read or written any of this.
        file.set_len(0).unwrap();
        file.set_len(1 << 20).unwrap();
        assert_eq!(cached_bytes(&file, 1 << 20).unwrap(), 0);
    }
}
