//! From a socket's path to a connection that was welcomed.
//!
//! Invariant: nothing is mapped before the server's user is one this process trusts, and the memory files can't
//! change their length any more.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use plasmad_shm::life::Life;
use plasmad_shm::{fd_passing, peer};
use plasmad_wire::features::{self, LIFE_FILE, SHARED_GETS, SHARED_PUTS};
use plasmad_wire::limits::{LABEL_BYTES_MAX, MAGIC, PROTOCOL_VERSION, SOCKET_PATH_BYTES_MAX};
use plasmad_wire::request::Hello;
use plasmad_wire::response::Welcome;
use plasmad_wire::{Request, Response, Role};

use crate::arena::Arena;
use crate::error::{Error, Result};
use crate::fast::Fast;
use crate::incoming::Incoming;
use crate::interrupt::{Interrupt, TICK};
use crate::options::Options;
use crate::socket::Socket;

/// A socket after its handshake and what came behind that, the memory, and what the daemon said of both.
pub(crate) struct Joined {
    /// Its receive and send timeouts are one [`TICK`].
    pub(crate) socket: Socket,
    pub(crate) incoming: Incoming,
    pub(crate) memory: Memory,
    pub(crate) welcome: Welcome,
}

/// What came with the welcome, mapped.
pub(crate) struct Memory {
    pub(crate) arena: Arena,
    pub(crate) fast: Option<Fast>,
    pub(crate) life: Option<Life>,
}

/// Connects, waiting for the daemon to appear.
pub(crate) fn join(options: &Options, interrupt: &Interrupt) -> Result<Joined> {
    check_path(&options.socket)?;
    let deadline = Instant::now() + options.connect_timeout;
    let stream = connect(options, deadline, interrupt)?;
    check_server(&stream, options)?;
    greet(stream, options, deadline, interrupt)
}

fn check_path(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().len();
    if bytes <= SOCKET_PATH_BYTES_MAX {
        return Ok(());
    }
    let sentence =
        format!("the socket's path has {bytes} bytes; a Unix socket's path has at most {SOCKET_PATH_BYTES_MAX}");
    Err(Error::invalid(sentence))
}

fn connect(options: &Options, deadline: Instant, interrupt: &Interrupt) -> Result<UnixStream> {
    let path = &options.socket;
    loop {
        let error = match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::WouldBlock => (),
            ErrorKind::PermissionDenied => {
                let message = format!("you may not connect to {}: ask who runs plasmad to admit you", path.display());
                return Err(Error::AccessDenied { message });
            }
            _ => return Err(Error::not_done(format!("can't connect to {}: {error}", path.display()))),
        }
        if let Some(reason) = interrupt.reason() {
            return Err(reason);
        }
        let now = Instant::now();
        if now >= deadline {
            let path = path.display();
            return Err(Error::not_done(format!("no plasmad at {path} ({error}): start one with `plasmad serve`")));
        }
        std::thread::sleep(RETRY_TIME.min(deadline - now));
    }
}

/// The server's user could hand out memory that it changes later, so it must be one that may do worse already.
fn check_server(stream: &UnixStream, options: &Options) -> Result<()> {
    let server = peer::credentials(stream).map_err(lost)?.uid;
    let own = nix::unistd::geteuid().as_raw();
    if [own, 0].contains(&server) || options.server_uid == Some(server) || owns_path(&options.socket, server) {
        return Ok(());
    }
    let sentence = format!("the server at {} runs as uid {server}", options.socket.display());
    Err(Error::AccessDenied { message: format!("{sentence}: name it with server_uid if you trust it") })
}

/// The socket is this user's, and nobody else could have put it there.
fn owns_path(socket: &Path, uid: u32) -> bool {
    let directory = socket.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(socket), Ok(directory)) = (fs::symlink_metadata(socket), fs::metadata(directory)) else { return false };
    let sticky_or_private = directory.mode() & 0o022 == 0 || directory.mode() & 0o1000 != 0;
    socket.uid() == uid && sticky_or_private && [0, uid].contains(&directory.uid())
}

fn greet(stream: UnixStream, options: &Options, deadline: Instant, interrupt: &Interrupt) -> Result<Joined> {
    stream.set_read_timeout(Some(TICK)).map_err(lost)?;
    stream.set_write_timeout(Some(TICK)).map_err(lost)?;
    send_hello(&stream, options)?;
    let mut incoming = Incoming::new();
    let mut fds = Vec::new();
    loop {
        match incoming.next_answer().map_err(Error::protocol)? {
            Some((_, Response::Welcome(welcome))) => {
                let memory = map(&welcome, fds)?;
                let socket = Socket::new(stream).map_err(lost)?;
                return Ok(Joined { socket, incoming, memory, welcome });
            }
            Some((_, Response::Error(body))) => return Err(body.into()),
            Some(_) => return Err(Error::protocol("the server answered the handshake with something else")),
            None => (),
        }
        let mut bytes = [0; 4096];
        match fd_passing::receive(&stream, &mut bytes) {
            Ok(received) if received.bytes == 0 => {
                return Err(Error::not_done("the server closed the connection during the handshake"));
            }
            Ok(mut received) => {
                fds.append(&mut received.fds);
                incoming.push(&bytes[..received.bytes]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => (),
            Err(error) => return Err(lost(error)),
        }
        if let Some(reason) = interrupt.reason() {
            return Err(reason);
        }
        if Instant::now() >= deadline {
            return Err(Error::not_done("the server took the connection but doesn't answer the handshake"));
        }
    }
}

fn send_hello(stream: &UnixStream, options: &Options) -> Result<()> {
    let pidfd: Option<OwnedFd> = peer::pidfd_of(std::process::id()).ok();
    let hello = Hello {
        magic: MAGIC,
        version: PROTOCOL_VERSION,
        role: options.role,
        has_pidfd: pidfd.is_some(),
        features: if options.fast { features::ALL } else { LIFE_FILE },
        pid: std::process::id(),
        label: cut(&options.label).to_owned(),
    };
    let mut frame = Vec::new();
    Request::Hello(hello).append(&mut frame, 0, HANDSHAKE_REQUEST);
    let fds: Vec<_> = pidfd.iter().map(AsFd::as_fd).collect();
    // An empty socket takes a small frame whole.
    match fd_passing::send(stream, &frame, &fds) {
        Ok(bytes) if bytes == frame.len() => Ok(()),
        Ok(_) => Err(Error::not_done("the server doesn't take the handshake")),
        Err(error) => Err(lost(error)),
    }
}

fn cut(label: &str) -> &str {
    let end = (0..=label.len().min(LABEL_BYTES_MAX)).rev().find(|end| label.is_char_boundary(*end));
    &label[..end.unwrap_or(0)]
}

fn lost(error: io::Error) -> Error {
    Error::not_done(format!("the connection failed during the handshake: {error}"))
}

/// Maps what came with the welcome: for each segment a descriptor to read, for writers one to write; then, where they
/// were agreed upon, the index and this client's page, and its life file.
fn map(welcome: &Welcome, mut fds: Vec<OwnedFd>) -> Result<Memory> {
    let segments = usize::from(welcome.segments);
    let arena_fds = if welcome.role == Role::Writer { 2 * segments } else { segments };
    let knows = |feature| welcome.features & feature != 0;
    let fast_fds = if knows(SHARED_GETS) { 2 } else { 0 };
    if segments == 0 || fds.len() != arena_fds + fast_fds + usize::from(knows(LIFE_FILE)) {
        let sentence = format!("{} descriptors came with a welcome of {segments} segments", fds.len());
        return Err(Error::protocol(sentence));
    }
    let life = fds.split_off(arena_fds + fast_fds).pop();
    let shared = fds.split_off(arena_fds);
    let arena = Arena::map(segments, fds)?;
    let fast = match &shared[..] {
        [index, page] => Some(Fast::attach(index, page, knows(SHARED_PUTS))?),
        _ => None,
    };
    let life = life.map(Life::of_this_process).transpose();
    let life = life.map_err(|error| Error::not_done(format!("the life file can't be mapped: {error}")))?;
    Ok(Memory { arena, fast, life })
}

const HANDSHAKE_REQUEST: u64 = 0;
const RETRY_TIME: Duration = Duration::from_millis(10);
