//! `plasmad bench` from outside: what it prints, how it ends, what it leaves.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use plasmad_client::testing::{Daemon, binary};
use serde_json::Value;

#[test]
fn an_unknown_row_is_wrong_usage_and_the_known_ones_are_listed() {
    let output = bench(&["--rows", "get_cold"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("get_cold") && stderr.contains("get_hot, get_random"), "{stderr}");
}

#[test]
fn a_missed_bar_ends_a_check_with_status_1_and_one_document() {
    let canary = ["--rows", "canary", "--rounds", "2", "--json"];
    let unchecked = bench(&canary);
    assert_eq!(unchecked.status.code(), Some(0));
    let checked = bench(&[&canary[..], &["--check"]].concat());
    assert_eq!(checked.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&checked.stdout).expect("one document");
    assert_eq!(document["rows"][0]["met"], false);
    let text = bench(&["--rows", "canary", "--rounds", "1", "--check"]);
    assert!(String::from_utf8(text.stderr).unwrap().contains("1 bar is missed: canary"));
}

#[test]
fn a_measured_row_has_every_field_and_counts_its_system_calls() {
    let output = bench(&["--rows", "create_seal_socket", "--rounds", "3", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = &document["rows"][0];
    for field in ["name", "unit", "ops", "rounds", "median", "p50", "p99", "reference", "ratio", "bar", "met", "note"] {
        assert!(!row[field].is_null(), "{field}");
    }
    assert_eq!(row["rounds"].as_array().unwrap().len(), 3);
    assert_eq!(row["reference"]["rounds"].as_array().unwrap().len(), 3);
    // A send and a receive for each of two round trips. Every few milliseconds the client looks whether the socket still is
    // one, and the receive may time out once in a while and be repeated.
    let syscalls = row["syscalls_per_op"].as_f64().unwrap();
    assert!((4.0..4.5).contains(&syscalls), "{syscalls}");
}

#[test]
fn a_daemon_that_is_there_is_measured_and_left_as_it_was() {
    let daemon = Daemon::start();
    let socket = daemon.socket();
    let socket = socket.to_str().unwrap();
    let output = bench(&["--socket", socket, "--rows", "hand_over,get_socket", "--rounds", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let store = plasmad_client::Store::connect(socket).unwrap();
    assert_eq!(store.list(None).unwrap().total, 0);
    let refused = bench(&["--socket", socket, "--rows", "start_16g"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn an_interrupted_run_leaves_nothing_in_a_daemon_that_was_there() {
    let daemon = Daemon::start();
    let store = plasmad_client::Store::connect(daemon.socket()).unwrap();
    let socket = daemon.socket();
    let mut bench = start(&["--socket", socket.to_str().unwrap(), "--rows", "get_socket", "--rounds", "1000"]);
    wait_until("the bench to put something", || store.list(None).unwrap().total > 0);
    kill(Pid::from_raw(bench.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(bench.wait().unwrap().code(), Some(130));
    assert_eq!(store.list(None).unwrap().total, 0);
}

#[test]
fn ctrl_c_ends_with_status_130_and_leaves_no_process() {
    let mut bench = start(&["--rows", "get_two_processes,hand_over", "--rounds", "1000"]);
    let pid = Pid::from_raw(bench.id() as i32);
    // Its daemon and both helpers.
    wait_until("the bench to start its processes", || descendants(pid).len() >= 4);
    let all = descendants(pid);
    // As a terminal does it: to the whole group.
    killpg(pid, Signal::SIGINT).unwrap();
    assert_eq!(bench.wait().unwrap().code(), Some(130));
    wait_until("its processes to end", || !all.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn a_killed_bench_leaves_no_process() {
    let mut bench = start(&["--rows", "hand_over", "--rounds", "1000"]);
    let pid = Pid::from_raw(bench.id() as i32);
    wait_until("the bench to start its processes", || descendants(pid).len() >= 4);
    let all = descendants(pid);
    kill(pid, Signal::SIGKILL).unwrap();
    bench.wait().unwrap();
    wait_until("its processes to end", || !all.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn what_is_spilled_is_measured_beside_the_disk_and_nothing_stays_there() {
    let cache = tempfile::tempdir_in("/var/tmp").unwrap();
    let rows = "spill,restore,restore_random,spill_cached";
    let mut command = command(&["--rows", rows, "--rounds", "1", "--memory", "128MiB", "--json"]);
    let output = command.env("XDG_CACHE_HOME", cache.path()).env("PLASMAD_NO_SPILL", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = document["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names.join(","), rows);
    for row in &document["rows"].as_array().unwrap()[..3] {
        assert!(row["median"].as_f64().unwrap() > 0.0 && row["ratio"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["note"].as_str().unwrap().contains("0.25 GiB"), "{row}");
    }
    let where_it_was = document["rows"][0]["note"].as_str().unwrap();
    assert!(where_it_was.contains(cache.path().to_str().unwrap()), "{where_it_was}");
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[test]
fn a_bench_that_is_killed_while_it_spills_leaves_nothing_on_the_disk() {
    let cache = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut command = command(&["--rows", "gets_while_spilling", "--rounds", "1000"]);
    let mut bench = command.env("XDG_CACHE_HOME", cache.path()).spawn().unwrap();
    let folder = || std::fs::read_dir(cache.path()).unwrap().next();
    let spilled = || std::fs::read_dir(folder()?.ok()?.path()).ok().map(|files| files.count());
    // The lock, and spill files.
    wait_until("the bench to spill something", || spilled().is_some_and(|files| files > 2));
    kill(Pid::from_raw(bench.id() as i32), Signal::SIGKILL).unwrap();
    bench.wait().unwrap();
    wait_until("the folder to go", || folder().is_none());
}

fn bench(arguments: &[&str]) -> Output {
    let mut child = start(arguments);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    // What it prints is little, so neither pipe fills while the other is read.
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Output { status: child.wait().unwrap(), stdout, stderr }
}

/// In a process group of its own, as a shell would start it.
fn start(arguments: &[&str]) -> Child {
    command(arguments).spawn().expect("plasmad starts")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("bench").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    command
}

/// Children, their children, and so on.
fn descendants(pid: Pid) -> Vec<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok().map(Pid::from_raw));
    children.flat_map(|child| std::iter::once(child).chain(descendants(child))).collect()
}

/// Not gone, and no zombie that only its parent's end will clear.
fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        std::thread::yield_now();
    }
}
