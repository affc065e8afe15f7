//! Spilling by the real daemon: more objects than memory, what is left when it dies, what goes wrong with a disk.

mod deletes;
mod devices;
mod folders;
mod more_than_memory;
mod restarts;
mod trouble;
mod views;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plasmad_client::{CreateOptions, ObjectId, Store, Timeout, id};
use serde_json::Value;

use crate::support::until::DEADLINE;

const PLASMAD: &str = env!("CARGO_BIN_EXE_plasmad");
const MIB: u64 = 1 << 20;

/// A daemon, where its folders are the test's: a socket, a place to spill to, a log.
struct Daemon {
    process: Child,
    place: PathBuf,
}

impl Daemon {
    /// Serves in this folder; what it spills stays in `spill` there.
    fn start(place: &Path, arguments: &[&str]) -> Self {
        let spill = place.join("spill");
        let mut all = vec!["--spill-dir", spill.to_str().unwrap()];
        all.extend(arguments);
        Self::launch(Command::new(PLASMAD), place, &all)
    }

    /// The program or what starts it, with these arguments behind its own.
    fn launch(mut command: Command, place: &Path, arguments: &[&str]) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(place.join("log")).unwrap();
        command.args(["serve", "--populate", "none", "--exit-with-pid", &std::process::id().to_string(), "--socket"]);
        command.arg(place.join("s")).args(arguments).env("XDG_CACHE_HOME", place);
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let daemon = Self { process, place: place.to_path_buf() };
        assert!(line.contains(" serving "), "it doesn't serve: {line:?} {}", daemon.log());
        daemon
    }

    fn store(&self) -> Store {
        Store::connect(self.place.join("s")).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.place.join("log")).unwrap()
    }

    /// The end of the engine, without a chance to do anything about it.
    fn crash(self) {
        let engine = stats(&self.store())["engine_pid"].as_i64().unwrap() as i32;
        kill(Pid::from_raw(engine), Signal::SIGKILL).unwrap();
        self.end();
    }

    fn stop(self) {
        let _ = kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM);
        self.end();
    }

    fn end(mut self) {
        let _ = self.process.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

/// A folder on a disk.
fn place() -> tempfile::TempDir {
    tempfile::tempdir_in("/var/tmp").unwrap()
}

fn stats(store: &Store) -> Value {
    serde_json::from_str(&store.stats_json().unwrap()).unwrap()
}

fn name(text: &str) -> ObjectId {
    id::from_name(text)
}

/// Bytes that tell whose they are and where they lie.
fn content(seed: u64, bytes: u64) -> Vec<u8> {
    let mut content = Vec::with_capacity(bytes as usize + 8);
    for at in 0..bytes.div_ceil(8) {
        content
            .extend((seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ at.wrapping_mul(0xD6E8_FEB8_6659_FD93)).to_le_bytes());
    }
    content.truncate(bytes as usize);
    content
}

fn put(store: &Store, text: &str, bytes: &[u8]) {
    let options = CreateOptions { id: Some(name(text)), ..CreateOptions::default() };
    store.put(bytes, &options).unwrap_or_else(|error| panic!("put of {text}: {error}"));
}

/// Whether it is there with these bytes; it must not have others.
fn has(store: &Store, text: &str, bytes: &[u8]) -> bool {
    if !store.contains(name(text)).unwrap() {
        return false;
    }
    let found =
        store.get(name(text), Timeout::After(DEADLINE)).unwrap_or_else(|error| panic!("get of {text}: {error}"));
    assert!(&found[..] == bytes, "the bytes of {text}");
    true
}

/// Takes all out of memory that can go.
fn spill_all(store: &Store) {
    store.evict(u64::MAX).unwrap();
    let after = stats(store);
    assert_eq!((&after["objects"]["sealed"], &after["objects"]["spilling"]), (&0.into(), &0.into()), "{after}");
}
