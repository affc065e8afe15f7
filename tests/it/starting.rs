//! One daemon on one path, and a clear sentence where there can be none.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plasmad_client::{CreateOptions, Store};

use super::command::{PLASMAD, Ran, ran};
use super::helpers::Reaped;
use super::stopping::Serving;
use crate::support::until::until;

/// Every second time over what a killed daemon left behind.
#[test]
fn of_two_daemons_started_at_once_one_serves_and_the_other_names_it() {
    for round in 0..20 {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("s");
        if round % 2 == 1 {
            drop(UnixListener::bind(&socket).expect("a socket"));
            fs::write(lock_of(&socket), "999999\n").expect("a lock");
        }
        let mut daemons: Vec<Reaped> =
            (0..2).map(|_| Reaped(serve(&socket, &[]).spawn().expect("plasmad starts"))).collect();
        let loser = until("one of them gives up", || {
            daemons.iter_mut().position(|daemon| daemon.0.try_wait().expect("wait").is_some())
        });
        let mut loser = daemons.remove(loser);
        let output = Output::of(&mut loser);
        let winner = daemons.remove(0);
        assert_eq!(output.exit, 3, "{}", output.stderr);
        assert!(output.stderr.contains(&format!("process {};", winner.0.id())), "{}", output.stderr);
        let store = Store::connect(&socket).expect("the other one serves");
        store.put(b"x", &CreateOptions::default()).expect("put");
    }
}

#[test]
fn what_a_killed_daemon_left_does_not_prevent_a_start() {
    for _ in 0..5 {
        let mut killed = Serving::start(&[]);
        // A client that doesn't take its answers keeps the old engine from ending at once.
        let _stuck = super::requests::stuck(&killed.socket);
        killed.kill(Signal::SIGKILL);
        killed.wait();
        assert!(killed.socket.exists() && lock_of(&killed.socket).exists(), "a killed process can't clean up");
        let next = Serving::start_at(killed.folder.take().expect("a folder"), &[]);
        assert!(next.line.contains(" serving "), "{}", next.line);
        Store::connect(&next.socket).expect("connect").put(b"x", &CreateOptions::default()).expect("put");
    }
}

#[test]
fn a_socket_path_over_107_bytes_is_refused_with_its_length() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = |bytes: usize| folder.path().join("x".repeat(bytes - folder.path().as_os_str().len() - 1));
    let refused = refused(serve(&long(108), &[]));
    assert_eq!(refused.exit, 2);
    assert!(refused.stderr.contains("108 bytes") && refused.stderr.contains("107"), "{}", refused.stderr);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "a refused start leaves nothing");
    let longest = Serving::start_with(long(107), &[]);
    Store::connect(&longest.socket).expect("107 bytes are allowed");
}

#[test]
fn a_path_that_is_a_regular_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("precious");
    fs::write(&path, "bytes").expect("a file");
    let refused = refused(serve(&path, &[]));
    assert_eq!(refused.exit, 2);
    assert!(refused.stderr.contains("is no socket"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&path).expect("a file"), "bytes");
}

#[test]
fn another_program_on_the_path_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    let _theirs = UnixListener::bind(&path).expect("a socket");
    let before = fs::metadata(&path).expect("a socket").ino();
    let refused = refused(serve(&path, &[]));
    assert_eq!(refused.exit, 3);
    assert!(refused.stderr.contains("another program"), "{}", refused.stderr);
    assert_eq!(fs::metadata(&path).expect("a socket").ino(), before);
}

#[test]
fn a_folder_that_is_not_there_is_a_file_error() {
    let refused = refused(serve(Path::new("/nowhere/at/all/s"), &[]));
    assert_eq!(refused.exit, 9, "{}", refused.stderr);
    assert!(refused.stderr.contains("/nowhere/at/all/s"), "{}", refused.stderr);
}

#[test]
fn more_memory_than_the_machine_has_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = Instant::now();
    let refused = refused(serve(&folder.path().join("s"), &["--memory", "8000TiB"]));
    println!("too much memory was refused after {:?}", start.elapsed());
    assert_eq!(refused.exit, 2);
    assert!(refused.stderr.contains("8000.0 TiB"), "{}", refused.stderr);
    assert!(refused.stderr.contains("memory") && refused.stderr.contains("ask for less"), "{}", refused.stderr);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "a refused start leaves nothing");
}

#[test]
fn more_memory_than_the_cgroup_may_use_is_refused_by_its_name() {
    let Some(cgroup) = Cgroup::with_limit(64 << 20) else {
        return println!("not run: needs root and a memory cgroup it may write");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    let within = |memory: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(cgroup.0.join("cgroup.procs")).arg(PLASMAD);
        command.args(serve(&socket, &["--memory", memory]).get_args());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let start = Instant::now();
    let refused = refused(within("65MiB"));
    println!("more than the cgroup's memory was refused after {:?}", start.elapsed());
    assert_eq!(refused.exit, 2, "{}", refused.stderr);
    let name = cgroup.0.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(refused.stderr.contains("64.0 MiB") && refused.stderr.contains(name), "{}", refused.stderr);
    let half = Serving::of(&mut within("50%"), socket.clone());
    assert!(half.line.contains("32.0 MiB"), "{}", half.line);
}

/// The descriptor is closed behind the line: whoever waits for its end has it.
#[test]
fn the_ready_line_goes_to_the_ready_fd_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 7>&1 >/dev/null"]).arg(PLASMAD);
    command.args(serve(&socket, &["--ready-fd", "7"]).get_args());
    let mut daemon = Reaped(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("plasmad starts"));
    let line = std::io::read_to_string(daemon.0.stdout.take().expect("a pipe")).expect("a line and its end");
    let pid = daemon.0.id();
    assert_eq!(line, format!("plasmad 0.1.0 serving {}, 16.0 MiB, pid {pid}\n", socket.display()));
    Store::connect(&socket).expect("it serves");
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).expect("kill");
    assert_eq!(daemon.0.wait().expect("wait").code(), Some(0));
}

#[test]
fn a_ready_fd_that_is_not_open_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for fd in ["1", "77"] {
        let refused = refused(serve(&folder.path().join("s"), &["--ready-fd", fd]));
        assert_eq!(refused.exit, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(&format!("--ready-fd {fd}")), "{}", refused.stderr);
    }
}

#[test]
fn a_daemon_ends_with_the_process_it_was_told_to() {
    let mut process = Command::new("cat").stdin(Stdio::piped()).spawn().expect("a process");
    let mut serving = Serving::start(&["--exit-with-pid", &process.id().to_string()]);
    Store::connect(&serving.socket).expect("it serves");
    drop(process.stdin.take());
    process.wait().expect("wait");
    let ended = serving.wait();
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(!serving.socket.exists() && !lock_of(&serving.socket).exists());
}

/// The command that starts a daemon.
pub(crate) fn serve(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PLASMAD);
    command.args(["serve", "--populate", "none", "--log-level", "warn", "--socket"]).arg(socket);
    if !arguments.contains(&"--memory") {
        command.args(["--memory", "16MiB"]);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The file of the lock beside a socket.
pub(crate) fn lock_of(socket: &Path) -> PathBuf {
    socket.with_file_name(format!("{}.lock", socket.file_name().and_then(|name| name.to_str()).expect("a name")))
}

/// Runs a daemon that must not serve.
fn refused(mut command: Command) -> Ran {
    let mut process = Reaped(command.spawn().expect("plasmad starts"));
    until("the daemon gives up", || process.0.try_wait().expect("wait"));
    Output::of(&mut process)
}

/// What an ended process said.
struct Output;

impl Output {
    fn of(process: &mut Reaped) -> Ran {
        let status = process.0.wait().expect("wait");
        let read = |pipe: Option<&mut dyn std::io::Read>| {
            let mut bytes = Vec::new();
            pipe.map(|pipe| pipe.read_to_end(&mut bytes));
            bytes
        };
        let stdout = read(process.0.stdout.as_mut().map(|pipe| pipe as _));
        let stderr = read(process.0.stderr.as_mut().map(|pipe| pipe as _));
        ran(std::process::Output { status, stdout, stderr })
    }
}

/// A cgroup of this test's own, below the one it runs in.
struct Cgroup(PathBuf);

impl Cgroup {
    fn with_limit(bytes: u64) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let below = |root: &str, path: &str| Path::new(root).join(path.trim_start_matches('/'));
        let (parent, file) = own.lines().find_map(|line| match line.splitn(3, ':').collect::<Vec<_>>()[..] {
            [_, "memory", path] => Some((below("/sys/fs/cgroup/memory", path), "memory.limit_in_bytes")),
            ["0", "", path] => Some((below("/sys/fs/cgroup", path), "memory.max")).filter(|(at, file)| {
                // Only where the parent hands the memory controller down.
                at.join(file).exists() || at.join("cgroup.subtree_control").exists()
            }),
            _ => None,
        })?;
        let folder = parent.join(format!("plasmad-test-{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let cgroup = Self(folder);
        fs::write(cgroup.0.join(file), bytes.to_string()).ok()?;
        Some(cgroup)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Empty as soon as the last process in it is reaped.
        until("the cgroup is empty", || fs::remove_dir(&self.0).ok());
    }
}
