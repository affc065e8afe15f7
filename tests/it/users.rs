//! Readers of another user can't write, strangers can't enter.

use std::fs::{File, OpenOptions, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Error, Options, Role, Store, Timeout, id};
use plasmad_shm::mapping::{ReadMapping, WriteMapping};
use plasmad_wire::Request;
use plasmad_wire::error::ErrorCode;
use plasmad_wire::request::{Abort, Delete, Evict, Seal};
use plasmad_wire::value::Handle;

use super::command::{public_copy, ran};
use super::helpers::{part, told};
use super::raw::{Raw, create, hello, put};

#[test]
fn a_reader_of_another_user_cannot_write() {
    let Some(daemon) = daemon_with_reader() else { return };
    let store = Store::connect(daemon.socket()).expect("connect");
    let options = CreateOptions { id: Some(id::from_name("sealed")), ..CreateOptions::default() };
    store.put(b"as it was", &options).expect("put");
    play("it::users::reader", READER, &daemon);
    assert_eq!(&store.get(id::from_name("sealed"), Timeout::NO_WAIT).expect("get")[..], b"as it was");
}

/// The part of a reader that tries everything.
#[test]
#[ignore = "a part in another test"]
fn reader() {
    let Some(socket) = told() else { return };
    let mut raw = Raw::reader(&socket);
    let [arena] = &raw.fds[..] else { panic!("{} descriptors", raw.fds.len()) };
    let bytes = raw.welcome.capacity_bytes;
    assert!(ReadMapping::new(arena, bytes).is_ok());
    assert!(WriteMapping::new(arena, bytes).is_err());
    let path = format!("/proc/self/fd/{}", arena.as_raw_fd());
    for options in [OpenOptions::new().write(true), OpenOptions::new().read(true).write(true)] {
        let reopened = options.open(&path);
        assert!(reopened.is_err(), "the arena was reopened for writing");
    }
    assert!(std::fs::set_permissions(&path, Permissions::from_mode(0o666)).is_err());
    assert!(File::from(arena.try_clone().expect("a copy")).set_len(0).is_err());

    raw.get(id::from_name("sealed"));
    let (absent, handle) = (id::from_name("absent"), Handle { slot: 0, generation: 1 });
    for change in [
        create(absent, 1, 0),
        put(absent, b"x"),
        Request::Seal(Seal { handles: vec![handle] }),
        Request::Abort(Abort { handles: vec![handle] }),
        Request::Delete(Delete { ids: vec![id::from_name("sealed")] }),
        Request::Evict(Evict { bytes: 1 }),
    ] {
        assert_eq!(raw.refused(&change), ErrorCode::AccessDenied, "{change:?}");
    }
    let refusal = Raw::join(&socket, &hello(Role::Writer)).map(|_| "a writer").unwrap_err();
    assert_eq!(refusal.code, ErrorCode::AccessDenied);
    assert!(refusal.message.contains("reader only"), "{}", refusal.message);
    let store = Options::new().socket(&socket).role(Role::Reader).connect().expect("connect");
    let created = store.create(1, &CreateOptions::default());
    assert!(matches!(created, Err(Error::AccessDenied { .. })), "{created:?}");
}

#[test]
fn a_stranger_is_refused_by_name() {
    let Some(daemon) = daemon_with_reader() else { return };
    play("it::users::stranger", STRANGER, &daemon);
}

/// The part of a user nobody has named.
#[test]
#[ignore = "a part in another test"]
fn stranger() {
    let Some(socket) = told() else { return };
    for role in [Role::Writer, Role::Reader] {
        let refusal = Raw::join(&socket, &hello(role)).map(|_| "came in").unwrap_err();
        assert_eq!(refusal.code, ErrorCode::AccessDenied);
        assert!(refusal.message.contains(&format!("uid {STRANGER}")), "{}", refusal.message);
        let store = Options::new().socket(&socket).role(role).connect();
        assert!(matches!(store, Err(Error::AccessDenied { .. })), "{store:?}");
    }
}

/// Without `--reader-uid` nobody else even gets to the handshake.
#[test]
fn the_socket_is_the_owners_alone_unless_somebody_is_named() {
    let daemon = Daemon::start();
    let mode = |daemon: &Daemon| std::fs::metadata(daemon.socket()).expect("a socket").permissions().mode() & 0o777;
    assert_eq!(mode(&daemon), 0o600);
    if let Some(daemon) = daemon_with_reader() {
        assert_eq!(mode(&daemon), 0o666);
    }
}

/// The reader's check sees what it must: root could reopen a reader's descriptor for writing.
#[test]
fn root_could_reopen_what_another_user_cannot() {
    let Some(daemon) = daemon_with_reader() else { return };
    let raw = Raw::reader(&daemon.socket());
    let path = format!("/proc/self/fd/{}", raw.fds[0].as_raw_fd());
    assert!(OpenOptions::new().read(true).write(true).open(path).is_ok());
}

#[test]
fn commands_exit_with_8_where_a_user_may_not() {
    let Some(daemon) = daemon_with_reader() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let program = public_copy(folder.path());
    for (user, line, exit) in [
        (READER, "ls", 0),
        (READER, "put -", 8),
        (READER, "rm name:x", 8),
        (READER, "evict 1", 8),
        (STRANGER, "ls", 8),
        (STRANGER, "put -", 8),
    ] {
        let mut command = Command::new(&program);
        command.uid(user).gid(user).current_dir("/").env("PLASMAD_SOCKET", daemon.socket());
        let found = ran(command.arg("--json").args(line.split(' ')).output().expect("plasmad runs"));
        assert_eq!(found.exit, exit, "{user}: {line}: {}", found.stdout);
        assert_eq!(found.stdout.contains("\"AccessDenied\""), exit == 8, "{}", found.stdout);
    }
}

/// Needs root, who alone can become somebody else.
fn daemon_with_reader() -> Option<Daemon> {
    if !nix::unistd::geteuid().is_root() {
        println!("not run: needs root");
        return None;
    }
    let reader = READER.to_string();
    Some(Daemon::with(&["--memory", "16MiB", "--populate", "none", "--reader-uid", &reader]))
}

/// Plays a part as another user; it must succeed.
fn play(name: &str, user: u32, daemon: &Daemon) {
    let output = part(name, &daemon.socket()).uid(user).gid(user).current_dir("/").output().expect("a part");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
}

const READER: u32 = 65_533;
const STRANGER: u32 = 65_532;
