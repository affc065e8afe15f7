//! Descriptors over Unix sockets.
//!
//! Invariant: a received descriptor is owned from the first moment, closed on exec, and never silently dropped: when
//! the kernel had to cut the list short, the message is an error.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{ControlMessage, MsgFlags, recvmsg, sendmsg};

/// What came with one receive.
#[derive(Debug)]
pub struct Received {
    /// How many bytes were written to the buffer; 0 is the end of the stream.
    pub bytes: usize,
    /// The descriptors that came with them.
    pub fds: Vec<OwnedFd>,
}

/// Sends bytes, and descriptors with the first of them. Returns how many bytes went; with none, no descriptor went.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL;
    Ok(sendmsg::<()>(socket.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None)?)
}

/// Receives bytes and what came with them.
pub fn receive(socket: impl AsFd, into: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([0; CONTROL_BYTES]);
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: all zeros is a message header without name, parts and control.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = CONTROL_BYTES;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the header names one part and one control buffer, each with its length, and both outlive the call.
    let bytes = unsafe { libc::recvmsg(fd, &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let bytes = Errno::result(bytes)? as usize;
    let fds = descriptors(&control.0[..message.msg_controllen]);
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        // Those that did come are closed here. nix gives no access to them, which is why this isn't nix.
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more descriptors came than this process may have"));
    }
    Ok(Received { bytes, fds })
}

/// Receives bytes where no descriptor is wanted: the kernel closes those that come, and the message is an error.
pub fn receive_bytes(socket: impl AsFd, into: &mut [u8]) -> io::Result<usize> {
    let mut parts = [IoSliceMut::new(into)];
    let received = recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut parts, None, MsgFlags::empty())?;
    if received.flags.contains(MsgFlags::MSG_CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors came that nobody asked for"));
    }
    Ok(received.bytes)
}

/// Every descriptor in a control buffer that the kernel has just filled.
fn descriptors(mut control: &[u8]) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    while let Some((header, rest)) = control.split_at_checked(HEADER_BYTES) {
        let bytes = usize::from_ne_bytes(header[..8].try_into().expect("8 bytes")) - HEADER_BYTES;
        let level_and_type = (int(&header[8..12]), int(&header[12..16]));
        let body = &rest[..bytes.min(rest.len())];
        if level_and_type == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: the kernel has just made these descriptors for this process, and nobody else knows them.
            fds.extend(body.chunks_exact(4).map(|fd| unsafe { OwnedFd::from_raw_fd(int(fd)) }));
        }
        control = rest.get(bytes.next_multiple_of(8)..).unwrap_or_default();
    }
    fds
}

fn int(bytes: &[u8]) -> i32 {
    i32::from_ne_bytes(bytes.try_into().expect("4 bytes"))
}

/// Takes over a descriptor that this process inherited under a number it was told, such as `--ready-fd 7`. Call it
/// once for a number, before anything else may own it.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        let sentence = "0, 1 and 2 are standard input, output and error";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, sentence));
    }
    // SAFETY: only borrowed to ask whether it is open; a closed one is an error, not undefined.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open, and the caller promises that nothing in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The same descriptor under a number from `least` on; under its own if there is none.
pub fn renumber(fd: OwnedFd, least: RawFd) -> OwnedFd {
    match fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(least)) {
        // SAFETY: the kernel has just made this descriptor for this process.
        Ok(number) => unsafe { OwnedFd::from_raw_fd(number) },
        Err(_) => fd,
    }
}

/// A buffer for control messages, on the alignment of their headers.
#[repr(align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Length, level and type, as 64-bit Linux lays them out.
const HEADER_BYTES: usize = 16;
/// Room for the 253 descriptors that Linux allows in a message, so that only this process's own limit cuts them.
const CONTROL_BYTES: usize = HEADER_BYTES + 253 * 4 + 4;

const _: () = assert!(size_of::<libc::cmsghdr>() == HEADER_BYTES);

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_arrives_with_its_bytes() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        assert_eq!(send(&left, b"hello", &[writer.as_fd()]).unwrap(), 5);
        drop(writer);
        let mut bytes = [0; 16];
        let mut received = receive(&right, &mut bytes).unwrap();
        assert_eq!(&bytes[..received.bytes], b"hello");
        let mut sent = File::from(received.fds.pop().unwrap());
        assert!(received.fds.is_empty());
        sent.write_all(b"through").unwrap();
        drop(sent);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn as_many_descriptors_as_linux_allows_arrive() {
        let (left, right) = UnixStream::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        send(&left, b"x", &vec![file.as_fd(); 253]).unwrap();
        assert_eq!(receive(&right, &mut [0; 1]).unwrap().fds.len(), 253);
    }

    #[test]
    fn descriptors_nobody_asked_for_are_closed_and_noticed() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send(&left, b"bytes", &[]).unwrap();
        assert_eq!(receive_bytes(&right, &mut [0; 16]).unwrap(), 5);
        send(&left, b"x", &[writer.as_fd()]).unwrap();
        drop(writer);
        assert_eq!(receive_bytes(&right, &mut [0; 16]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        // Nobody holds the other end any more.
        assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_descriptor_gets_a_number_from_the_least_on_or_keeps_its_own() {
        let high = renumber(File::open("/dev/null").unwrap().into(), 300);
        let number = high.as_raw_fd();
        assert!(number >= 300);
        assert_eq!(renumber(high, RawFd::MAX).as_raw_fd(), number);
    }

    #[test]
    fn a_closed_or_standard_descriptor_is_not_adopted() {
        assert!(adopt(1).is_err());
        assert!(adopt(1_000_000).is_err());
    }
}
