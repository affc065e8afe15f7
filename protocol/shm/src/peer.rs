//! Who is at the other end of a socket, and is it alive.
//!
//! A pidfd names a process for good: it turns readable when the process ends, whatever its sockets and children do
//! and whoever gets its number next.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

/// The process that connected, as the kernel saw it then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// 0 when it lives in another pid namespace.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
}

/// Who connected.
pub fn credentials(socket: impl AsFd) -> io::Result<Peer> {
    let found = getsockopt(&socket, PeerCredentials)?;
    let groups = groups(&socket).unwrap_or_default();
    Ok(Peer { pid: found.pid().max(0) as u32, uid: found.uid(), gid: found.gid(), groups })
}

/// A pidfd of the process that connected: from the socket itself, else by its number.
pub fn pidfd(socket: impl AsFd) -> io::Result<OwnedFd> {
    match pidfd_from_socket(&socket) {
        Ok(process) => Ok(process),
        Err(_) => pidfd_of(getsockopt(&socket, PeerCredentials)?.pid().max(0) as u32),
    }
}

/// A pidfd of the process that connected, from the socket itself: Linux 6.5 and newer, across pid namespaces too.
pub fn pidfd_from_socket(socket: impl AsFd) -> io::Result<OwnedFd> {
    let fd = read_option::<RawFd>(&socket, SO_PEERPIDFD)?;
    // SAFETY: the kernel has just made this descriptor for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A pidfd of the process with this number.
pub fn pidfd_of(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    let fd = Errno::result(fd)? as RawFd;
    // SAFETY: the kernel has just made this descriptor for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The process a pidfd names, as this process sees it: 0 in another pid namespace, `None` if it is no pidfd.
pub fn process_of(pidfd: impl AsFd) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd())).ok()?;
    let number = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    // A process that was reaped is told as -1.
    Some(number.trim().parse().unwrap_or(0))
}

fn groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0u32; GROUPS_MAX];
    let mut bytes = size_of_val(groups.as_slice()) as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `bytes` is the length of the buffer, which the kernel fills at most.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERGROUPS, groups.as_mut_ptr().cast(), &raw mut bytes)
    };
    Errno::result(result)?;
    groups.truncate(bytes as usize / size_of::<u32>());
    Ok(groups)
}

fn read_option<T: Copy>(socket: impl AsFd, option: libc::c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let mut bytes = size_of::<T>() as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `bytes` is the length of the value, which the kernel fills at most.
    let result = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, value.as_mut_ptr().cast(), &raw mut bytes) };
    Errno::result(result)?;
    if bytes as usize != size_of::<T>() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: the kernel has filled the whole value.
    Ok(unsafe { value.assume_init() })
}

/// Linux 6.5.
const SO_PEERPIDFD: libc::c_int = 77;
/// What the kernel allows a process.
const GROUPS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn the_peer_is_this_process() {
        let (left, _right) = UnixStream::pair().unwrap();
        assert_eq!(credentials(&left).unwrap().pid, std::process::id());
        assert_eq!(process_of(pidfd(&left).unwrap()), Some(std::process::id()));
    }

    #[test]
    fn a_pidfd_turns_readable_when_its_process_ends() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pidfd = pidfd_of(child.id()).unwrap();
        let mut watched = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut watched, PollTimeout::ZERO).unwrap(), 0);
        drop(child.stdin.take());
        assert_eq!(poll(&mut watched, PollTimeout::NONE).unwrap(), 1);
        child.wait().unwrap();
    }

    #[test]
    fn another_file_is_no_pidfd() {
        assert_eq!(process_of(std::fs::File::open("/dev/null").unwrap()), None);
    }
}
