//! `plasmad watch`.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use plasmad_client::Store;
use plasmad_client::testing::{Daemon, binary};
use serde_json::{Value, json};

use super::{connect, put, put_many};

/// A `plasmad watch` that is known to listen.
struct Watch {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Watch {
    /// Starts one over a store with an object in it, whose event is the sign that it listens.
    fn start(daemon: &Daemon, store: &Store, arguments: &[&str]) -> Self {
        let mark = put(store, 1);
        let command = Command::new(binary()).arg("--socket").arg(daemon.socket()).args(arguments).spawn_piped();
        let mut watch = Self { lines: BufReader::new(command.1), process: command.0 };
        assert!(watch.line().contains(&mark.to_string()));
        watch
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("text");
        line
    }

    fn document(&mut self) -> Value {
        serde_json::from_str(&self.line()).expect("a document a line")
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it runs");
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id() as i32)
    }

    /// How it ends, and what it said on standard error.
    fn ends(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.process.stderr.take().expect("a pipe"), &mut said).expect("text");
        (self.process.wait().expect("it was started"), said)
    }
}

trait Piped {
    fn spawn_piped(&mut self) -> (Child, ChildStdout);
}

impl Piped for Command {
    fn spawn_piped(&mut self) -> (Child, ChildStdout) {
        let mut child = self.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("plasmad starts");
        let stdout = child.stdout.take().expect("a pipe");
        (child, stdout)
    }
}

#[test]
fn watch_prints_a_document_for_each_event() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let mut watch = Watch::start(&daemon, &store, &["--json", "watch", "--existing"]);
    let id = put(&store, 5);
    store.delete(&[id]).unwrap();
    for kind in ["sealed", "deleted"] {
        let expected = json!({
            "schema": 1, "kind": kind, "id": id.to_string(), "data_bytes": 5, "metadata_bytes": 0, "lost": 0,
        });
        assert_eq!(watch.document(), expected);
    }
    watch.signal(Signal::SIGINT);
    let (status, _) = watch.ends();
    assert_eq!(status.code(), Some(130));
}

#[test]
fn watch_prints_a_line_for_each_event() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let mut watch = Watch::start(&daemon, &store, &["watch", "--existing"]);
    let id = put(&store, 5);
    assert_eq!(watch.line(), format!("sealed   {id}        5 B\n"));
    drop(store);
    drop(daemon);
    let (status, said) = watch.ends();
    assert_eq!(status.code(), Some(3), "{said}");
}

#[test]
fn watch_ends_silently_when_its_reader_is_gone() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let Watch { process, lines } = Watch::start(&daemon, &store, &["watch", "--existing"]);
    drop(lines);
    // Nothing happens any more, and it notices all the same.
    let output = process.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.status.signal()), (Some(141), None));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_stopped_watch_delays_nobody_and_then_hears_everything() {
    let daemon = Daemon::start();
    let store = connect(&daemon);
    let mut watch = Watch::start(&daemon, &store, &["--json", "watch", "--existing"]);
    watch.signal(Signal::SIGSTOP);
    waitpid(watch.pid(), Some(WaitPidFlag::WUNTRACED)).expect("it has stopped");
    let ids = put_many(&store, 10_000);
    watch.signal(Signal::SIGCONT);
    for id in ids {
        let document = watch.document();
        assert_eq!((&document["kind"], &document["id"]), (&json!("sealed"), &json!(id.to_string())));
    }
    watch.signal(Signal::SIGINT);
    assert_eq!(watch.ends().0.code(), Some(130));
}
