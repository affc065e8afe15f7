//! What the socket costs: verbs beside bare round trips of the same lengths between two processes.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use plasmad_client::testing::Daemon;
use plasmad_client::{Buffer, CreateOptions, Store, Timeout};

use crate::report::{Bar, Reference, Row};
use crate::rounds::seconds_each;

/// The argument that makes this program the other end of the bare round trips.
pub(crate) const ECHO: &str = "echo";

/// Create and seal of a small object: two round trips.
pub(crate) fn create_seal() -> Vec<Row> {
    let (daemon, mut echo) = (Daemon::with(&["--memory", "256MiB"]), Echo::start());
    let store = Store::connect(daemon.socket()).expect("a store");
    let options = CreateOptions::default();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(
            1e6 * seconds_each(OPERATIONS, || {
                echo.round_trip();
                echo.round_trip();
            }),
        );
        let mut made = Vec::with_capacity(OPERATIONS as usize);
        ours.push(
            1e6 * seconds_each(OPERATIONS, || {
                made.push(store.create(64, &options).expect("room").seal().expect("sealed"));
            }),
        );
        store.delete(&made).expect("deleted");
    }
    vec![row("create_seal_socket", ours, "2 bare round trips", bare, Some(Bar::RatioMax(1.2)), "")]
}

/// Get of a small object: one round trip; the release that follows is not waited for.
pub(crate) fn get() -> Vec<Row> {
    let (daemon, mut echo) = (Daemon::with(&["--memory", "256MiB"]), Echo::start());
    let store = Store::connect(daemon.socket()).expect("a store");
    let id = store.put(&[7; 64], &CreateOptions::default()).expect("room");
    let (mut ours, mut with_release, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(1e6 * seconds_each(OPERATIONS, || echo.round_trip()));
        let mut held: Vec<Buffer> = Vec::with_capacity(OPERATIONS as usize);
        let get = || store.get(id, Timeout::NO_WAIT).expect("there");
        ours.push(1e6 * seconds_each(OPERATIONS, || held.push(get())));
        drop(held);
        store.ping().expect("all releases are done");
        with_release.push(1e6 * seconds_each(OPERATIONS, || drop(get())));
    }
    let reference = "1 bare round trip";
    vec![
        row("get_socket", ours, reference, bare.clone(), Some(Bar::RatioMax(1.2)), ""),
        row("get_release_socket", with_release, reference, bare, None, "the release is one more send"),
    ]
}

/// Answers each message with one of the same length.
pub(crate) fn echo(path: &str) {
    let listener = UnixListener::bind(path).expect("a socket");
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut message = [0; 4096];
    while let Ok(bytes @ 1..) = stream.read(&mut message) {
        stream.write_all(&message[..bytes]).expect("the other end");
    }
}

/// The other end, in a process of its own.
struct Echo {
    process: Child,
    stream: UnixStream,
}

impl Echo {
    fn start() -> Self {
        let path = std::env::temp_dir().join(format!("plasmad-bench-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let program = std::env::current_exe().expect("this program");
        let process = Command::new(program).arg(ECHO).arg(&path).spawn().expect("a process");
        let stream = connect(&path);
        std::fs::remove_file(&path).expect("the socket's file");
        Self { process, stream }
    }

    fn round_trip(&mut self) {
        let mut message = [1; MESSAGE_BYTES];
        self.stream.write_all(&message).expect("the other end");
        self.stream.read_exact(&mut message).expect("the other end");
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn connect(path: &Path) -> UnixStream {
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn row(
    name: &'static str,
    rounds: Vec<f64>,
    reference: &'static str,
    bare: Vec<f64>,
    bar: Option<Bar>,
    note: &str,
) -> Row {
    let reference = Some(Reference { name: reference, rounds: bare });
    Row { name, unit: "us", operations: OPERATIONS, rounds, reference, bar, note: note.to_owned() }
}

const ROUNDS: usize = 15;
const OPERATIONS: u32 = 2000;
/// As long as a create's frame.
const MESSAGE_BYTES: usize = 76;
