//! Whose folder is whose, and what becomes of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Daemon, MIB, PLASMAD, content, has, place, put, spill_all, stats};
use crate::support::until::until;

fn private(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("plasmad-spill-")).collect()
}

#[test]
fn a_private_folder_is_made_for_its_daemon_taken_over_after_a_crash_and_removed_at_the_stop() {
    let place = place();
    let start = || Daemon::launch(Command::new(PLASMAD), place.path(), &["--memory", "64MiB"]);
    let daemon = start();
    let folders = private(place.path());
    assert_eq!(folders.len(), 1);
    assert_eq!(fs::metadata(&folders[0]).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(stats(&daemon.store())["spill"]["directory"], folders[0].to_str().unwrap());
    put(&daemon.store(), "a", &content(1, MIB));
    spill_all(&daemon.store());
    daemon.crash();
    let daemon = start();
    assert_eq!(private(place.path()), folders);
    assert!(has(&daemon.store(), "a", &content(1, MIB)));
    daemon.stop();
    assert!(private(place.path()).is_empty());
}

#[test]
fn an_engine_that_is_stopped_at_once_or_lost_its_keeper_leaves_no_private_folder() {
    let place = place();
    let start = || Daemon::launch(Command::new(PLASMAD), place.path(), &["--memory", "64MiB"]);
    let daemon = start();
    let keeper = Pid::from_raw(daemon.process.id() as i32);
    kill(keeper, Signal::SIGKILL).unwrap();
    until("the engine ends", || private(place.path()).is_empty().then_some(()));
    daemon.end();
    let daemon = start();
    let keeper = Pid::from_raw(daemon.process.id() as i32);
    let engine = Pid::from_raw(stats(&daemon.store())["engine_pid"].as_i64().unwrap() as i32);
    // It can't do anything about the first request to stop.
    kill(engine, Signal::SIGSTOP).unwrap();
    until("the second one is heard", || {
        let _ = kill(keeper, Signal::SIGTERM);
        private(place.path()).is_empty().then_some(())
    });
    daemon.end();
}

#[test]
fn a_folder_that_was_given_stays_and_no_other_daemon_gets_it_meanwhile() {
    let place = place();
    let daemon = Daemon::start(place.path(), &["--memory", "64MiB"]);
    let spill = place.path().join("spill");
    let mut other = Command::new(PLASMAD);
    other.args(["--json", "serve", "--memory", "1MiB", "--spill-dir", spill.to_str().unwrap(), "--socket"]);
    let said = other.arg(place.path().join("other")).output().unwrap();
    let error: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!((said.status.code(), &error["error"]["code"]), (Some(3), &"AlreadyServing".into()), "{error}");
    let named = format!("process {} spills to", daemon.process.id());
    assert!(error["error"]["message"].as_str().unwrap().contains(&named), "{error}");
    daemon.stop();
    assert!(spill.join("plasmad.lock").exists());
    assert!(private(place.path()).is_empty());
}

#[test]
fn a_folder_that_cannot_be_used_is_told_before_anything_is_served() {
    let place = place();
    for (folder, told) in
        [("/proc/no", "/proc/no can't be used"), ("/etc/passwd", "/etc/passwd"), ("/tmp", "others may")]
    {
        let socket = place.path().join("s");
        for check in [&["--check-config"][..], &[]] {
            let mut command = Command::new(PLASMAD);
            command.args(["serve", "--memory", "1MiB", "--spill-dir", folder, "--socket"]).arg(&socket).args(check);
            let said = command.output().unwrap();
            assert_eq!(said.status.code(), Some(2), "{said:?}");
            assert!(String::from_utf8_lossy(&said.stderr).contains(told), "{said:?}");
        }
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn nothing_is_kept_on_disk_where_that_is_not_wanted() {
    for arguments in [["--no-spill", "--quiet"], ["--when-full", "evict"], ["--when-full", "refuse"]] {
        let place = place();
        let mut arguments: Vec<&str> = arguments.into_iter().filter(|it| *it != "--quiet").collect();
        arguments.extend(["--memory", "64MiB"]);
        let daemon = Daemon::launch(Command::new(PLASMAD), place.path(), &arguments);
        let spill = stats(&daemon.store())["spill"].clone();
        assert!(spill["directory"].is_null() && spill["max_bytes"].is_null(), "{spill}");
        assert!(private(place.path()).is_empty());
    }
}
