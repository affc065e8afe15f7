//! Sealed memory files.
//!
//! Invariant: every file made here keeps its length for ever and takes no further fd seals. Without SHRINK a
//! truncation would be a SIGBUS in everybody who maps it; without SEAL any holder could add FUTURE_WRITE and stop
//! the daemon from mapping it again.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fchmod, fstat};

use crate::map::reserve_huge_pages;

/// Makes a file of `bytes` zero bytes: mode 0400, so that another uid can't reopen a read-only descriptor for
/// writing, and fd seals SHRINK, GROW and SEAL.
pub fn create(name: &str, bytes: u64) -> io::Result<OwnedFd> {
    make(name, bytes, MFdFlags::empty(), wanted_seals())
}

/// The same of reserved huge pages, so that each of its bytes can be had; an error if so many are not free. The length
/// is a multiple of [`HUGE_PAGE_BYTES`](crate::populate::HUGE_PAGE_BYTES). Such a file can be mapped and punched, and not written with write(2).
pub fn create_huge(name: &str, bytes: u64) -> io::Result<OwnedFd> {
    let fd = make(name, bytes, MFdFlags::MFD_HUGETLB | MFdFlags::MFD_HUGE_2MB, wanted_seals())?;
    reserve_huge_pages(&fd, bytes)?;
    Ok(fd)
}

/// Makes a file of mode 0400 with these fd seals.
pub(crate) fn make(name: &str, bytes: u64, kind: MFdFlags, seals: SealFlag) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING | kind;
    // Kernels before 6.3 don't know the flag; with vm.memfd_noexec=2 it is demanded.
    let no_exec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    let fd = match memfd_create(name, flags | no_exec) {
        Err(Errno::EINVAL) => memfd_create(name, flags)?,
        other => other?,
    };
    let file = File::from(fd);
    file.set_len(bytes)?;
    let fd = OwnedFd::from(file);
    fchmod(&fd, Mode::S_IRUSR)?;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(fd)
}

/// A second descriptor of the same file that can't be mapped for writing.
pub fn reopen_read_only(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    File::open(format!("/proc/self/fd/{}", fd.as_raw_fd())).map(OwnedFd::from)
}

/// What a client wants to know before it maps a file somebody sent: its length can't change, and it can go on
/// being mapped. Returns the length.
pub fn check_seals(fd: impl AsFd) -> Result<u64, SealError> {
    let bits = fcntl(fd.as_fd(), FcntlArg::F_GET_SEALS).map_err(|error| SealError::NotAMemfd(error.into()))?;
    let seals = SealFlag::from_bits_retain(bits);
    if !seals.contains(wanted_seals()) {
        return Err(SealError::Missing);
    }
    if seals.intersects(SealFlag::F_SEAL_WRITE | SealFlag::from_bits_retain(libc::F_SEAL_FUTURE_WRITE)) {
        return Err(SealError::Frozen);
    }
    let bytes = fstat(fd.as_fd()).map_err(|error| SealError::NotAMemfd(error.into()))?.st_size;
    Ok(bytes as u64)
}

/// A file that a client must not map.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No fd seals can be read from it.
    #[error("the descriptor is no memory file: {0}")]
    NotAMemfd(io::Error),
    /// SHRINK, GROW or SEAL is missing.
    #[error("the memory file may still change its length: an fd seal is missing")]
    Missing,
    /// WRITE or FUTURE_WRITE is there.
    #[error("the memory file refuses to be written")]
    Frozen,
}

/// The mode of a file, for tests and diagnosis.
pub fn mode(fd: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(std::fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd()))?.permissions().mode() & 0o7777)
}

fn wanted_seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{Access, HUGE_PAGE_BYTES, Map};
    use crate::populate;

    #[test]
    fn a_file_keeps_its_length_and_takes_no_more_seals() {
        let fd = create("test", 8192).unwrap();
        assert_eq!(check_seals(&fd).unwrap(), 8192);
        assert_eq!(mode(fd.as_fd()).unwrap(), 0o400);
        assert!(fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).is_err());
        let file = File::from(fd);
        assert!(file.set_len(0).is_err() && file.set_len(1 << 20).is_err());
    }

    #[test]
    fn a_file_of_huge_pages_is_sealed_like_any_other_or_refused_for_want_of_them() {
        let huge = HUGE_PAGE_BYTES as u64;
        match create_huge("test", 2 * huge) {
            Ok(fd) => {
                assert_eq!(check_seals(&fd).unwrap(), 2 * huge);
                assert_eq!(mode(fd.as_fd()).unwrap(), 0o400);
                populate::write(&fd, huge - 2, b"hello").unwrap();
                let map = Map::new(reopen_read_only(fd.as_fd()).unwrap(), 0, 2 * huge, Access::Read).unwrap();
                assert_eq!(map.as_mut_ptr() as u64 % huge, 0);
                populate::punch_hole(&fd, huge, huge).unwrap();
            }
            Err(error) => println!("no reserved huge pages here: {error}"),
        }
        // More than any machine has.
        assert!(create_huge("test", 1 << 46).is_err());
    }

    #[test]
    fn a_file_without_our_seals_is_refused() {
        let fd = memfd_create("test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        assert!(matches!(check_seals(&fd), Err(SealError::Missing)));
        assert!(matches!(check_seals(File::open("/dev/null").unwrap()), Err(SealError::NotAMemfd(_))));
    }

    #[test]
    fn a_descriptor_reopened_for_reading_cannot_be_mapped_for_writing() {
        let fd = create("test", 4096).unwrap();
        let reader = reopen_read_only(fd.as_fd()).unwrap();
        assert!(crate::mapping::WriteMapping::new(&reader, 4096).is_err());
        assert!(crate::mapping::ReadMapping::new(&reader, 4096).is_ok());
    }
}
