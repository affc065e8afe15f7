//! The process that is started: owns the socket's path and the arena, starts the engine and waits for its end.
//!
//! Invariant: while this process lives it holds the lock beside the socket, and nobody else serves there. Its two
//! files, socket and lock, go before it does.
//!
//! ```text
//! started -> lock taken -> engine started -> engine ready, line printed -> engine ended: its status is ours
//!                                                   SIGTERM: engine drains; again: engine is killed
//! ```

mod handover;

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;
use plasmad_shm::memfd;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::check::{check_huge_pages, check_socket_path};
use crate::config::{Config, HugePages};
use crate::error::{Exit, Failure};
use crate::lock::{Lock, NotLocked};
use crate::size;
use crate::spill::folder::Folder;
pub(crate) use handover::{Handover, READY, receive as receive_handover};

/// The only argument of the engine's process.
pub(crate) const ENGINE: &str = "engine";

/// Serves until the engine ends. Prints the ready line to standard output, and to `ready` if there is one.
pub fn serve(config: &Config, ready: Option<OwnedFd>) -> Result<(), Failure> {
    check_socket_path(&config.socket)?;
    check_huge_pages(config)?;
    raise_descriptor_limit();
    let signals = Signals::new([SIGTERM, SIGINT, SIGCHLD]).map_err(|error| Failure::file("signals", error))?;
    let _lock = take_lock(&config.socket)?;
    let (listener, _socket) = listen(config)?;
    let wanted = config.spill.as_ref();
    let folder = wanted.map(|spill| Folder::take(spill.directory.as_deref(), &config.socket));
    let folder = match folder {
        Some(Err(failure)) if wanted.is_some_and(|spill| spill.directory.is_some()) => return Err(failure),
        folder => folder,
    };
    let arena = make_arena(config)
        .map_err(|error| Failure::new(Exit::Usage, "MemoryUnavailable", format!("no memory for the arena: {error}")))?;
    let (mut engine, mut channel) = start_engine().map_err(|error| Failure::file("starting the engine", error))?;
    let started = handover::send(&channel, config, folder.as_ref(), listener.as_fd(), arena.as_fd());
    if started.is_ok() && channel.read_exact(&mut [0; READY.len()]).is_ok() {
        // The engine has its own descriptors; this process only watches from here on.
        let line = ready_line(config);
        announce(&line, ready).map_err(|error| Failure::file("the ready line", error))?;
    }
    let ended = watch(&mut engine, signals);
    if let (Ok(()), Some(Ok(folder))) = (&ended, &folder) {
        // The engine has done it, unless it was told to stop at once.
        Folder::leave(&folder.claim);
    }
    ended
}

/// Takes the lock beside a socket, or says who has it.
fn take_lock(socket: &Path) -> Result<LockFile, Failure> {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let failed = |error| Failure::file(format!("lock {}", path.display()), error);
    match Lock::take(&path) {
        Ok(lock) => {
            lock.write(&format!("{}\n", std::process::id())).map_err(failed)?;
            Ok(LockFile { path, _lock: lock })
        }
        Err(NotLocked::Held(holder)) => {
            let what = format!("plasmad is serving {} already, as process {holder}", socket.display());
            let hint = "stop it, or choose another path with --socket";
            Err(Failure::new(Exit::Daemon, "AlreadyServing", what).hint(hint))
        }
        Err(NotLocked::Failed(error)) => Err(failed(error)),
    }
}

/// A lock whose file goes with it.
struct LockFile {
    path: PathBuf,
    _lock: Lock,
}

impl Drop for LockFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn make_arena(config: &Config) -> io::Result<OwnedFd> {
    match config.huge_pages {
        HugePages::Always => memfd::create_huge("plasmad-arena", config.memory_bytes),
        HugePages::Auto | HugePages::Never => memfd::create("plasmad-arena", config.memory_bytes),
    }
}

/// What `serve` prints when it serves.
fn ready_line(config: &Config) -> String {
    let (version, socket) = (env!("CARGO_PKG_VERSION"), config.socket.display());
    let (memory, pid) = (size::display(config.memory_bytes), std::process::id());
    format!("plasmad {version} serving {socket}, {memory}, pid {pid}\n")
}

fn announce(line: &str, ready: Option<OwnedFd>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    // A closed standard output is no reason not to serve.
    let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    ready.map_or(Ok(()), |fd| fs::File::from(fd).write_all(line.as_bytes()))
}

fn listen(config: &Config) -> Result<(UnixListener, SocketFile), Failure> {
    let path = &config.socket;
    // The lock is ours, so a socket left here belongs to nobody; unless it's not of this program at all.
    if is_listened_to(path) {
        let what = format!("another program is listening on {}", path.display());
        return Err(Failure::new(Exit::Daemon, "AlreadyServing", what).hint("choose another path"));
    }
    let _ = fs::remove_file(path);
    // Nobody may connect between bind and chmod.
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    umask(before);
    let listener = bound.map_err(|error| Failure::file(format!("socket {}", path.display()), error))?;
    let file = SocketFile(path.clone());
    if !config.access.is_private() {
        // Whoever connects is then judged by its credentials.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))
            .map_err(|error| Failure::file(format!("socket {}", path.display()), error))?;
    }
    Ok((listener, file))
}

/// Somebody listens there and goes on doing so: the engine of a keeper that was killed ends within its drain time.
fn is_listened_to(path: &Path) -> bool {
    let give_up = Instant::now() + LEFTOVER_TIME_MAX;
    while let Ok(mut stream) = UnixStream::connect(path) {
        let left = give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        // An engine that is ending takes no connection any more; this one breaks when it is gone.
        let _ = stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut [0]));
        std::thread::sleep(RETRY_TIME);
    }
    false
}

/// The socket's file; goes with this value.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Starts the engine from this very program, with one end of the channel as its standard input.
fn start_engine() -> io::Result<(Child, UnixStream)> {
    let (own, theirs) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(ENGINE).stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
    Ok((command.spawn()?, own))
}

/// Waits for the engine's end, passing on requests to stop.
fn watch(engine: &mut Child, mut signals: Signals) -> Result<(), Failure> {
    // It may have ended before the first signal was caught.
    let mut stops = 0;
    loop {
        let ended = engine.try_wait().map_err(|error| Failure::file("waiting for the engine", error))?;
        if let Some(status) = ended {
            return outcome(status, stops);
        }
        for signal in signals.wait() {
            if signal != SIGCHLD {
                stops += 1;
                let signal = if stops == 1 { Signal::SIGTERM } else { Signal::SIGKILL };
                let _ = kill(Pid::from_raw(engine.id() as i32), signal);
            }
        }
    }
}

fn outcome(status: ExitStatus, stops: usize) -> Result<(), Failure> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        // It has said why on standard error.
        (Some(code), _) => Err(Failure::new(exit_of(code), "EngineFailed", "the engine could not serve")),
        (None, Some(9)) if stops > 1 => Ok(()),
        (None, signal) => {
            let name = signal.and_then(|number| Signal::try_from(number).ok()).map_or("a signal", Signal::as_str);
            let what = format!("the engine was ended by {name}; what it stored is lost");
            Err(Failure::new(Exit::Bug, "EngineDied", what).hint("start plasmad again"))
        }
    }
}

fn exit_of(code: i32) -> Exit {
    [Exit::Usage, Exit::Daemon, Exit::File].into_iter().find(|exit| *exit as i32 == code).unwrap_or(Exit::Bug)
}

/// Each connection takes three descriptors; the soft limit is there for programs that use select.
fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Twice what an engine takes to say goodbye to clients that don't listen.
const LEFTOVER_TIME_MAX: Duration = Duration::from_secs(2);
const RETRY_TIME: Duration = Duration::from_millis(10);
