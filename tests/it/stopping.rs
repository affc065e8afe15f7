//! Every end is clean, or says what was lost.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plasmad_client::{Error, Store, Timeout, id};
use plasmad_wire::error::ErrorCode;
use plasmad_wire::limits::FOREVER;
use tempfile::TempDir;

use super::command::{Ran, ran};
use super::numbers::{number, until_numbers};
use super::raw::{Raw, get};
use super::starting::{lock_of, serve};
use crate::support::until::until;

#[test]
fn sigterm_tells_waiting_clients_and_exits_with_0() {
    let mut serving = Serving::start(&[]);
    let store = Store::connect(&serving.socket).expect("connect");
    let mut raw = Raw::writer(&serving.socket);
    raw.send(&get(id::from_name("absent"), FOREVER));
    let getter = std::thread::spawn({
        let store = store.clone();
        move || store.get(id::from_name("absent"), Timeout::None).map(|buffer| buffer.len())
    });
    until_numbers(&store, &[("clients/gets_waiting", 2)]);
    serving.kill(Signal::SIGTERM);
    assert_eq!(raw.last_refusal().code, ErrorCode::ShuttingDown);
    match getter.join().expect("the getter") {
        Err(Error::Connection { message, .. }) => assert!(message.contains("plasmad is stopping"), "{message}"),
        other => panic!("{other:?}"),
    }
    let ended = serving.wait();
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""));
    serving.left_nothing();
}

/// An engine that doesn't even take the first signal, since it is stopped, ends at the second.
#[test]
fn a_second_sigterm_ends_it_now() {
    let mut serving = Serving::start(&[]);
    let engine = serving.engine();
    kill(engine, Signal::SIGSTOP).expect("kill");
    until("the engine is stopped", || status(engine, "State:").starts_with('T').then_some(()));
    serving.kill(Signal::SIGTERM);
    until("the first signal is passed on", || pending(engine).then_some(()));
    assert!(serving.process.try_wait().expect("wait").is_none(), "ended by a signal that the engine can't have heard");
    serving.kill(Signal::SIGTERM);
    assert_eq!(serving.wait().exit, 0);
    serving.left_nothing();
}

#[test]
fn ctrl_c_stops_like_sigterm() {
    let mut serving = Serving::start(&[]);
    let mut raw = Raw::writer(&serving.socket);
    // A terminal sends it to both processes.
    kill(serving.engine(), Signal::SIGINT).expect("kill");
    serving.kill(Signal::SIGINT);
    assert_eq!(raw.last_refusal().code, ErrorCode::ShuttingDown);
    assert_eq!(serving.wait().exit, 0);
    serving.left_nothing();
}

#[test]
fn a_client_that_takes_nothing_does_not_keep_it_from_stopping() {
    let mut serving = Serving::start(&[]);
    let _stuck = super::requests::stuck(&serving.socket);
    serving.kill(Signal::SIGTERM);
    assert_eq!(serving.wait().exit, 0);
    serving.left_nothing();
}

#[test]
fn a_killed_engine_ends_the_keeper_which_says_what_is_lost() {
    let mut serving = Serving::start(&[]);
    let mut raw = Raw::writer(&serving.socket);
    kill(serving.engine(), Signal::SIGKILL).expect("kill");
    assert!(raw.next().is_none());
    let ended = serving.wait();
    assert_eq!(ended.exit, 70);
    assert!(ended.stderr.contains("SIGKILL") && ended.stderr.contains("is lost"), "{}", ended.stderr);
    serving.left_nothing();
}

#[test]
fn the_engine_of_a_killed_keeper_tells_its_clients_and_ends() {
    let serving = Serving::start(&[]);
    let mut raw = Raw::writer(&serving.socket);
    let engine = plasmad_shm::peer::pidfd_of(serving.engine().as_raw() as u32).expect("a pidfd");
    serving.kill(Signal::SIGKILL);
    assert_eq!(raw.last_refusal().code, ErrorCode::ShuttingDown);
    let mut watched = [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&engine), nix::poll::PollFlags::POLLIN)];
    let ended = nix::poll::poll(&mut watched, nix::poll::PollTimeout::from(20_000u16)).expect("poll");
    assert_eq!(ended, 1, "the engine lives on without its keeper");
}

/// A daemon whose end is the test's business.
pub(crate) struct Serving {
    pub(crate) process: Child,
    pub(crate) socket: PathBuf,
    pub(crate) folder: Option<TempDir>,
    /// What it said when it served.
    pub(crate) line: String,
}

impl Serving {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at(tempfile::tempdir().expect("a folder"), arguments)
    }

    pub(crate) fn start_at(folder: TempDir, arguments: &[&str]) -> Self {
        let mut serving = Self::start_with(folder.path().join("s"), arguments);
        serving.folder = Some(folder);
        serving
    }

    pub(crate) fn start_with(socket: PathBuf, arguments: &[&str]) -> Self {
        Self::of(&mut serve(&socket, arguments), socket)
    }

    pub(crate) fn of(command: &mut Command, socket: PathBuf) -> Self {
        let mut process = command.spawn().expect("plasmad starts");
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        let mut serving = Self { process, socket, folder: None, line };
        if serving.line.is_empty() {
            panic!("plasmad doesn't serve: {}", serving.wait().stderr);
        }
        serving
    }

    pub(crate) fn kill(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id() as i32), signal).expect("kill");
    }

    /// The process that serves.
    pub(crate) fn engine(&self) -> Pid {
        let store = Store::connect(&self.socket).expect("connect");
        Pid::from_raw(number(&store, "engine_pid") as i32)
    }

    /// Waits for its end; how it ended and what it said on standard error.
    pub(crate) fn wait(&mut self) -> Ran {
        let status = until("the daemon ends", || self.process.try_wait().expect("wait"));
        if std::os::unix::process::ExitStatusExt::signal(&status).is_some() {
            return Ran { exit: -1, stdout: String::new(), stderr: String::new() };
        }
        let mut stderr = Vec::new();
        self.process.stderr.take().map(|mut pipe| pipe.read_to_end(&mut stderr));
        ran(std::process::Output { status, stdout: Vec::new(), stderr })
    }

    /// Its files are gone.
    fn left_nothing(&self) {
        assert!(!self.socket.exists(), "the socket is still there");
        assert!(!lock_of(&self.socket).exists(), "the lock is still there");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // The engine ends with its keeper, unless it is stopped.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// SIGTERM waits to be taken by this process.
fn pending(process: Pid) -> bool {
    let mask = u64::from_str_radix(&status(process, "ShdPnd:"), 16).unwrap_or(0);
    mask & 1 << (Signal::SIGTERM as u64 - 1) != 0
}

/// A line of a process's status.
fn status(process: Pid, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
}
