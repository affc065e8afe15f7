//! How commands fail: a status for scripts, a code for programs, a sentence and a hint for people.

use std::fs::OpenOptions;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plasmad_client::{CreateOptions, Store, id};

use super::command::{Shell, ran, run};
use super::helpers::Reaped;
use super::numbers::{number, until_numbers};

#[test]
fn without_a_daemon_every_command_exits_with_3() {
    let shell = Shell::new();
    shell.file("file", b"x");
    for line in ["put file", "get name:x", "ls", "stat name:x", "rm name:x", "evict 1", "stats", "ping --timeout 0.1"] {
        let line = format!("--socket nobody-here {line}");
        let message = shell.fails(3, "NoDaemon", &line);
        assert!(message.contains("nobody-here") && message.contains("plasmad serve"), "{message}");
    }
}

/// It takes connections, since the kernel does, but nobody answers.
#[test]
fn a_daemon_that_is_stopped_does_not_keep_a_ping_waiting() {
    let shell = Shell::new();
    let store = Store::connect(shell.daemon.socket()).expect("connect");
    let engine = Pid::from_raw(number(&store, "engine_pid") as i32);
    kill(engine, Signal::SIGSTOP).expect("kill");
    let message = shell.fails(3, "NoDaemon", "ping --timeout 0.2");
    kill(engine, Signal::SIGCONT).expect("kill");
    assert!(message.contains("doesn't answer"), "{message}");
}

#[test]
fn an_absent_object_is_4_and_one_that_did_not_come_in_time_is_5() {
    let shell = Shell::new();
    let absent = id::from_name("absent").to_string();
    for line in ["get name:absent", "stat name:absent", "rm name:absent"] {
        assert!(shell.fails(4, "ObjectNotFound", line).contains(&absent));
    }
    assert!(shell.fails(5, "GetTimeout", "get name:absent --timeout 0.05").contains(&absent));
}

#[test]
fn a_full_store_is_6() {
    let shell = Shell::new();
    let store = Store::connect(shell.daemon.socket()).expect("connect");
    shell.file("file", &vec![1; 1 << 20]);
    let _all = store.create(16 << 20, &CreateOptions::default()).expect("create");
    let message = shell.fails(6, "StoreFull", "put --timeout 0.05 file");
    assert!(message.contains("no room for 1.0 MiB"), "{message}");
    shell.file("larger", &vec![1; (16 << 20) + 1]);
    assert!(shell.fails(6, "StoreFull", "put larger").contains("can never fit"));
    shell.file("small", b"x");
    let metadata = "x".repeat((64 << 10) + 1);
    let refused = run(&mut shell.command(["--json", "put", "--metadata", &metadata, "small"]));
    assert_eq!(refused.exit, 6, "{}", refused.stdout);
    assert!(refused.stdout.contains("LimitExceeded"), "{}", refused.stdout);
}

#[test]
fn a_taken_id_and_an_unsealed_object_are_7() {
    let shell = Shell::new();
    shell.file("file", b"x");
    shell.prints("put --name x file");
    shell.fails(7, "ObjectExists", "put --name x file");
    shell.fails(7, "ObjectExists", &format!("put --id {} file", id::from_name("x")));
    let store = Store::connect(shell.daemon.socket()).expect("connect");
    let options = CreateOptions { id: Some(id::from_name("unsealed")), ..CreateOptions::default() };
    let _unsealed = store.create(1, &options).expect("create");
    shell.fails(7, "ObjectNotSealed", "rm name:unsealed");
}

#[test]
fn wrong_usage_is_2_and_changes_nothing() {
    let shell = Shell::new();
    shell.file("file", b"x");
    let zero = format!("stat {}", "0".repeat(56));
    for line in [
        "frobnicate",
        "put",
        "put --id 12 file",
        "put --id name: --name x file",
        "put --name x file file",
        "put .",
        "put --timeout -1 file",
        "put --timeout soon file",
        "get",
        "get 12ab",
        &zero,
        "ls --state odd",
        "ls --sort colour",
        "ls --limit -1",
        "rm",
        "evict",
        "evict 12parsecs",
        "stats --watch 0",
        "serve --memory 0",
        "serve --memory 101%",
        "serve --memory 1KiB",
        "serve --when-full panic",
        "serve --max-objects 0",
    ] {
        shell.fails(2, "InvalidArgument", line);
    }
    let text = shell.run("get 12ab");
    assert!(text.stderr.contains("is no id") && text.stdout.is_empty(), "{}", text.stderr);
    assert_eq!(shell.document("ls")["total"], 0);
}

#[test]
fn a_file_error_is_9_and_leaves_nothing() {
    let shell = Shell::new();
    shell.file("file", b"x");
    assert!(shell.fails(9, "FileError", "put missing").contains("missing"));
    shell.prints("put --name x file");
    assert!(shell.fails(9, "FileError", "get name:x -o no/such/folder").contains("no/such/folder"));
    let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let mut get = shell.command(["get", "name:x"]);
    let get = get.stdout(full).stderr(Stdio::piped()).spawn().expect("plasmad runs");
    let get = ran(get.wait_with_output().expect("plasmad ends"));
    assert_eq!(get.exit, 9, "{}", get.stderr);
    // Those before the missing one are there, and were named.
    let some = shell.run("put file missing file");
    assert_eq!((some.exit, some.stdout.lines().count()), (9, 1));
    let store = Store::connect(shell.daemon.socket()).expect("connect");
    until_numbers(&store, &[("objects/sealed", 2), ("objects/created", 0), ("clients/connected", 1)]);
}

#[test]
fn a_reader_of_our_pipe_that_is_gone_is_141_and_silence() {
    let shell = Shell::new();
    shell.file("file", &vec![1; 1 << 20]);
    shell.prints("put --name x file");
    for arguments in [&["get", "name:x"][..], &["ls"], &["--json", "ls"], &["stats"], &["put", "file"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = shell.command(arguments);
        let command = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("plasmad runs");
        let command = ran(command.wait_with_output().expect("plasmad ends"));
        assert_eq!((command.exit, command.stderr.as_str()), (141, ""), "{arguments:?}");
    }
}

#[test]
fn ctrl_c_while_waiting_is_130_and_leaves_nothing() {
    let shell = Shell::new();
    let store = Store::connect(shell.daemon.socket()).expect("connect");
    shell.file("file", b"x");
    let all = store.create(16 << 20, &CreateOptions::default()).expect("create");
    for (line, waits) in
        [("get name:x --timeout 1e9", "clients/gets_waiting"), ("put file --timeout 1e9", "clients/creates_waiting")]
    {
        let mut command = shell.command(["--json"].into_iter().chain(line.split(' ')));
        let mut command = Reaped(command.stdout(Stdio::piped()).spawn().expect("plasmad runs"));
        until_numbers(&store, &[(waits, 1)]);
        kill(Pid::from_raw(command.0.id() as i32), Signal::SIGINT).expect("kill");
        assert_eq!(command.0.wait().expect("wait").code(), Some(130), "{line}");
        let stdout = std::io::read_to_string(command.0.stdout.take().expect("a pipe")).expect("text");
        assert!(stdout.contains("\"Interrupted\""), "{stdout}");
        until_numbers(&store, &[(waits, 0), ("clients/connected", 1)]);
    }
    drop(all);
}

#[test]
fn ctrl_c_while_input_is_awaited_is_130() {
    let shell = Shell::new();
    let store = Store::connect(shell.daemon.socket()).expect("connect");
    let mut put = shell.command(["--json", "put", "-"]);
    let mut put = Reaped(put.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("plasmad runs"));
    until_numbers(&store, &[("clients/connected", 2)]);
    kill(Pid::from_raw(put.0.id() as i32), Signal::SIGINT).expect("kill");
    let status = crate::support::until::until("it ends", || put.0.try_wait().expect("wait"));
    assert_eq!(status.code(), Some(130));
    until_numbers(&store, &[("clients/connected", 1), ("objects/sealed", 0)]);
}

/// Waiting for a daemon that isn't there can be given up too.
#[test]
fn ctrl_c_while_connecting_is_130() {
    let shell = Shell::new();
    let mut ping = shell.command(["--socket", "nobody-here", "ping", "--timeout", "60"]);
    let mut ping = Reaped(ping.stderr(Stdio::null()).spawn().expect("plasmad runs"));
    // Once it catches the signal it is on its way.
    crate::support::until::until("the signal is caught", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", ping.0.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        (u64::from_str_radix(caught.trim(), 16).ok()? & 1 << (Signal::SIGINT as u64 - 1) != 0).then_some(())
    });
    kill(Pid::from_raw(ping.0.id() as i32), Signal::SIGINT).expect("kill");
    assert_eq!(ping.0.wait().expect("wait").code(), Some(130));
}
