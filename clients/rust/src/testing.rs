//! A real daemon for tests and examples: gone when this is dropped.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A daemon of its own, with 64 MiB.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    directory: PathBuf,
}

impl Daemon {
    /// Starts one and waits until it serves.
    ///
    /// # Panics
    /// If there is no binary: `cargo build` makes it.
    pub fn start() -> Self {
        Self::with(&["--memory", "64MiB", "--populate", "none"])
    }

    /// Starts one with these arguments.
    ///
    /// # Panics
    /// If there is no binary, or it doesn't serve.
    pub fn with(arguments: &[&str]) -> Self {
        Self::launch(Command::new(binary()), arguments)
    }

    /// Starts one that may have so many open descriptors.
    ///
    /// # Panics
    /// If there is no binary, or it doesn't serve.
    pub fn with_descriptors(limit: u32, arguments: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]).arg(binary());
        Self::launch(shell, arguments)
    }

    fn launch(mut command: Command, arguments: &[&str]) -> Self {
        let directory = directory(STARTED.fetch_add(1, Ordering::Relaxed));
        std::fs::create_dir_all(&directory).expect("a directory for the socket");
        let pid = std::process::id().to_string();
        let mut process = command
            .args(["serve", "--log-level", "warn", "--exit-with-pid", &pid, "--socket"])
            .arg(directory.join("s"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("plasmad starts");
        let stdout = process.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("the ready line");
        assert!(line.contains(" serving "), "plasmad doesn't serve: {line:?}");
        Self { process, directory }
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("s")
    }

    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM);
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Where the next daemon of this process will serve, for a client that is to wait for it.
pub fn socket_for_next() -> PathBuf {
    directory(STARTED.load(Ordering::Relaxed)).join("s")
}

fn directory(number: u32) -> PathBuf {
    std::env::temp_dir().join(format!("plasmad-{}-{number}", std::process::id()))
}

static STARTED: AtomicU32 = AtomicU32::new(0);

/// `$PLASMAD_BIN`, else the one cargo built beside the running program.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("PLASMAD_BIN") {
        return named.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program.ancestors().skip(1).map(|directory| directory.join("plasmad"));
    let built = ["debug", "release"].map(|profile| target.join(profile).join("plasmad"));
    let found = beside.chain(built).find(|path| path.is_file());
    found.expect("no plasmad binary: run `cargo build` first, or name one in PLASMAD_BIN")
}
