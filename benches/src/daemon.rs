//! The daemon that is measured: started for a group of rows, or there already.
//!
//! A started one is in a process group of its own, so that Ctrl-C reaches the bench alone, which then ends it; and it
//! watches the bench, so that it ends in any case.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plasmad_client::{Options, Store};
use serde_json::Value;

use crate::bench::Bench;
use crate::error::{Error, Result};

/// A daemon; one that was started here ends with this value.
#[derive(Debug)]
pub(crate) struct Daemon {
    socket: PathBuf,
    started: Option<Child>,
}

impl Daemon {
    pub(crate) fn there_already(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), started: None }
    }

    /// Starts one and waits until it serves.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        Self::start_at(program, &next_socket(), arguments)
    }

    /// Starts one that spills, to its private folder: that goes with it, even if the bench is killed.
    pub(crate) fn start_spilling(program: &Path, arguments: &[&str]) -> Result<Self> {
        Self::launch(program, &next_socket(), arguments)
    }

    /// Starts one with this socket. It removes the socket itself, even if the bench is killed.
    pub(crate) fn start_at(program: &Path, socket: &Path, arguments: &[&str]) -> Result<Self> {
        // What is measured is memory; a full one would be written to disk beside it.
        Self::launch(program, socket, &[&["--no-spill"], arguments].concat())
    }

    fn launch(program: &Path, socket: &Path, arguments: &[&str]) -> Result<Self> {
        let system = |error| Error::system(format!("a daemon at {}", socket.display()))(error);
        let mut command = Command::new(program);
        // What the user wants of other daemons, folders above all, isn't for one that is measured.
        std::env::vars_os().map(|(name, _)| name).filter(is_ours).for_each(|name| _ = command.env_remove(name));
        let mut process = command
            .args(["serve", "--log-level", "error", "--exit-with-pid", &std::process::id().to_string()])
            .arg("--socket")
            .arg(socket)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(system)?;
        let stdout = process.stdout.take().expect("it was asked for");
        let daemon = Self { socket: socket.to_owned(), started: Some(process) };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(system)?;
        if line.contains(" serving ") {
            return Ok(daemon);
        }
        Err(Error::Daemon(format!("the daemon for the measurement didn't start with {}", arguments.join(" "))))
    }

    /// Started here, with the arguments that were asked for.
    pub(crate) fn is_own(&self) -> bool {
        self.started.is_some()
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The socket for a helper's arguments.
    pub(crate) fn socket_text(&self) -> String {
        self.socket.to_string_lossy().into_owned()
    }

    pub(crate) fn connect(&self) -> Result<Store> {
        Ok(Store::connect(&self.socket)?)
    }

    /// A store that asks the daemon for everything.
    pub(crate) fn connect_by_socket(&self) -> Result<Store> {
        Ok(Options::new().socket(&self.socket).fast(false).connect()?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let Some(process) = &mut self.started else { return };
        let _ = kill(Pid::from_raw(process.id() as i32), Signal::SIGTERM);
        let give_up = Instant::now() + STOP_TIME_MAX;
        while matches!(process.try_wait(), Ok(None)) {
            if Instant::now() > give_up {
                // A second request makes it end at once.
                let _ = kill(Pid::from_raw(process.id() as i32), Signal::SIGTERM);
                let _ = process.wait();
                break;
            }
            sleep(Duration::from_millis(1));
        }
    }
}

/// A setting of daemons.
fn is_ours(variable: &OsString) -> bool {
    variable.as_encoded_bytes().starts_with(b"PLASMAD_")
}

/// Where the next daemon of this process will serve.
pub(crate) fn next_socket() -> PathBuf {
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("plasmad-bench-{}-{number}.sock", std::process::id()))
}

/// A number of the stats document, by its path; 0 if there is none.
pub(crate) fn stat(store: &Store, path: &str) -> Result<u64> {
    let json = store.stats_json()?;
    let document: Value = serde_json::from_str(&json)
        .map_err(|error| Error::Daemon(format!("the daemon's stats can't be read: {error}")))?;
    Ok(document.pointer(path).and_then(Value::as_u64).unwrap_or(0))
}

/// The process that serves.
pub(crate) fn engine_pid(store: &Store) -> Result<u32> {
    Ok(stat(store, "/engine_pid")? as u32)
}

/// Waits until so much memory is present.
pub(crate) fn wait_for_memory(bench: &Bench<'_>, store: &Store, bytes: u64) -> Result<()> {
    let give_up = Instant::now() + POPULATION_TIME_MAX;
    loop {
        bench.check()?;
        let present = stat(store, "/memory/populated_bytes")?;
        if present >= bytes {
            return Ok(());
        }
        if Instant::now() > give_up {
            return Err(Error::Daemon(format!(
                "only {present} of {bytes} bytes of memory are present after {} s: is there that much to be had?",
                POPULATION_TIME_MAX.as_secs()
            )));
        }
        sleep(Duration::from_millis(5));
    }
}

static STARTED: AtomicU32 = AtomicU32::new(0);
/// Draining takes a second at most.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);
/// The slowest machines make 200 MB present in a second.
const POPULATION_TIME_MAX: Duration = Duration::from_secs(60);
