//! Each check of `plasmad doctor` that can be made to fail cheaply; the judgement on made-up facts is tested beside it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plasmad_client::testing::Daemon;
use plasmad_wire::Response;
use plasmad_wire::error::{ErrorBody, ErrorCode};
use serde_json::Value;

use super::stage::{PLASMAD, Said, Stage};

#[test]
fn a_healthy_machine_with_a_daemon_passes_and_nothing_is_left_behind() {
    let (stage, daemon) = (Stage::new(), Daemon::with(&[]));
    let beside = || fs::read_dir(daemon.socket().parent().unwrap()).unwrap().count();
    let before = beside();
    let said: Said = doctor(&stage, &daemon.socket()).output().unwrap().into();
    let document = said.json();
    assert_eq!(document["schema"], 1);
    let names: Vec<_> = document["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    assert_eq!(names, plasmad::doctor::NAMES);
    for check in document["checks"].as_array().unwrap() {
        let texts = ["found", "wanted", "fix"].map(|field| check[field].as_str().unwrap());
        assert!(!texts[0].is_empty() && !texts[1].is_empty(), "{check}");
        assert_eq!(check["status"] == "ok", texts[2].is_empty(), "a fix where one is needed: {check}");
    }
    // What the machine is short of is not this test's to say; the daemon is.
    assert_eq!(status(&said, "daemon"), "ok");
    assert_eq!(status(&said, "version_match"), "ok");
    assert_eq!(said.exit, exit_of(&document));
    assert_eq!((fs::read_dir(stage.path()).unwrap().count(), beside()), (0, before));
}

#[test]
fn the_text_tells_what_to_do_and_the_exit_is_1_without_a_daemon() {
    let stage = Stage::new();
    let said = stage.run(["doctor"]);
    assert_eq!(said.exit, 1, "{said:?}");
    assert_eq!(said.stderr, "");
    let daemon = said.stdout.split_once("FAIL  daemon").unwrap().1;
    assert!(daemon.contains("fix: start one: plasmad --socket"), "{said:?}");
    assert!(said.stdout.ends_with("failed\n"), "{said:?}");
}

#[test]
fn a_daemon_that_is_stopped_fails() {
    let (stage, daemon) = (Stage::new(), Daemon::with(&[]));
    let store = plasmad_client::Store::connect(daemon.socket()).unwrap();
    let stats: Value = serde_json::from_str(&store.stats_json().unwrap()).unwrap();
    let engine = Pid::from_raw(stats["engine_pid"].as_i64().unwrap() as i32);
    kill(engine, Signal::SIGSTOP).unwrap();
    let said: Said = doctor(&stage, &daemon.socket()).output().unwrap().into();
    kill(engine, Signal::SIGCONT).unwrap();
    assert_eq!((said.exit, status(&said, "daemon")), (1, "fail".to_owned()));
    assert!(check(&said, "daemon")["fix"].as_str().unwrap().contains("kill -CONT"), "{said:?}");
}

#[test]
fn a_daemon_of_another_protocol_fails() {
    let stage = Stage::new();
    let listener = UnixListener::bind(stage.socket()).unwrap();
    let refusal = ErrorBody {
        code: ErrorCode::UnsupportedVersion,
        id: None,
        message: "the client speaks protocol 1, this daemon 2".to_owned(),
        full: None,
    };
    let mut frame = Vec::new();
    Response::Error(refusal).append(&mut frame, 1, 0);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The first connection only looks whether somebody listens.
            if stream.read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0) {
                let _ = stream.write_all(&frame);
            }
        }
    });
    let said: Said = doctor(&stage, &stage.socket()).output().unwrap().into();
    assert_eq!(said.exit, 1);
    assert_eq!([status(&said, "daemon"), status(&said, "version_match")], ["fail", "fail"]);
    assert!(check(&said, "version_match")["found"].as_str().unwrap().contains("this daemon 2"), "{said:?}");
}

#[test]
fn few_descriptors_fail() {
    let stage = Stage::new();
    let mut shell = stage.command("sh");
    shell.args(["-c", "ulimit -Sn 40; ulimit -Hn 40; exec \"$0\" --json doctor", PLASMAD]);
    let said: Said = shell.output().unwrap().into();
    assert_eq!(status(&said, "descriptors"), "fail");
    assert!(check(&said, "descriptors")["found"].as_str().unwrap().contains("limit is 40"), "{said:?}");
}

#[test]
fn memory_the_machine_does_not_have_fails() {
    let stage = Stage::new();
    let said = stage.run_with(["--json", "doctor"], [("PLASMAD_MEMORY", "9000TiB")]);
    assert_eq!(status(&said, "memory_limit"), "fail");
    let found = check(&said, "memory_limit")["found"].as_str().unwrap().to_owned();
    assert!(found.contains("PLASMAD_MEMORY asks for 9000.0 TiB"), "{found}");
}

#[test]
fn a_socket_folder_that_is_missing_or_refuses_sockets_fails_and_an_open_one_warns() {
    let stage = Stage::new();
    let of = |socket: &Path| -> Said { doctor(&stage, socket).output().unwrap().into() };
    let missing = of(&stage.path().join("no/s"));
    assert_eq!(status(&missing, "socket_dir"), "fail");
    assert!(check(&missing, "socket_dir")["fix"].as_str().unwrap().starts_with("mkdir -p"), "{missing:?}");
    assert_eq!(status(&of(Path::new("/proc/s")), "socket_dir"), "fail");
    let open = stage.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(status(&of(&open.join("s")), "socket_dir"), "warn");
}

#[test]
fn a_spill_folder_that_cannot_be_made_or_is_open_to_others_fails_unless_nothing_is_spilled() {
    let stage = Stage::new();
    let with = |folder: &str| stage.run_with(["--json", "doctor"], [("PLASMAD_SPILL_DIR", folder)]);
    for folder in ["/proc", "/proc/no", "/etc/passwd"] {
        assert_eq!(status(&with(folder), "spill_dir"), "fail", "{folder}");
    }
    let open = stage.path().join("open");
    fs::create_dir(&open).unwrap();
    assert_eq!(status(&with(open.to_str().unwrap()), "spill_dir"), "ok");
    assert_eq!(status(&with(open.join("to/be/made").to_str().unwrap()), "spill_dir"), "ok");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let said = with(open.to_str().unwrap());
    assert_eq!(status(&said, "spill_dir"), "fail");
    assert!(check(&said, "spill_dir")["fix"].as_str().unwrap().starts_with("chmod 700 "), "{said:?}");
    assert_eq!(fs::read_dir(&open).unwrap().count(), 0, "looking makes nothing");
    let variables = [("PLASMAD_SPILL_DIR", "/proc"), ("PLASMAD_NO_SPILL", "true")];
    let unspilt = stage.run_with(["--json", "doctor"], variables);
    assert_eq!(["spill_dir", "spill_disk_free", "direct_io"].map(|name| status(&unspilt, name)), ["ok", "ok", "ok"]);
}

#[test]
fn without_a_folder_given_the_first_of_the_private_ones_is_looked_at_that_is_a_disk() {
    let stage = Stage::new();
    let found = |cache: &str| {
        let said = stage.run_with(["--json", "doctor"], [("XDG_CACHE_HOME", cache)]);
        check(&said, "spill_dir")["found"].as_str().unwrap().to_owned()
    };
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let cache = folder.path().to_str().unwrap();
    assert!(found(cache).contains(cache), "{}", found(cache));
    for unfit in ["/proc", "/dev/shm"] {
        assert!(found(unfit).contains("/var/tmp"), "{}", found(unfit));
    }
}

#[test]
fn a_full_tmpfs_that_was_given_warns_as_no_disk_and_fails_as_full() {
    let stage = Stage::new();
    let folder = stage.path().to_str().unwrap();
    // A mount of this process's own, gone with it.
    let script = "mount -t tmpfs -o size=64k,mode=700 none \"$1\" && head -c 60000 /dev/zero > \"$1/fill\"; \
        PLASMAD_SPILL_DIR=\"$1\" exec \"$0\" --json doctor";
    let mut inside = stage.command("unshare");
    inside.args(["--mount", "--map-root-user", "sh", "-c", script, PLASMAD, folder]);
    let output = inside.output();
    let Some(output) = output.ok().filter(|output| !output.stdout.is_empty()) else {
        return println!("not run: needs unshare(1) and a mount namespace");
    };
    let said = Said::from(output);
    assert_eq!(["spill_dir", "spill_disk_free"].map(|name| status(&said, name)), ["warn", "fail"], "{said:?}");
    assert!(check(&said, "spill_dir")["found"].as_str().unwrap().contains("tmpfs"), "{said:?}");
}

#[test]
fn a_wrong_variable_ends_with_2_before_anything_is_looked_at() {
    let stage = Stage::new();
    let said = stage.run_with(["--json", "doctor"], [("PLASMAD_MEMORY", "lots")]);
    assert_eq!(said.exit, 2);
    assert!(said.json()["error"]["message"].as_str().unwrap().contains("PLASMAD_MEMORY"), "{said:?}");
}

fn doctor(stage: &Stage, socket: &Path) -> Command {
    let mut command = stage.command(PLASMAD);
    command.args(["--json", "doctor", "--socket"]).arg(socket);
    command
}

fn check(said: &Said, name: &str) -> Value {
    let document = said.json();
    let checks = document["checks"].as_array().unwrap_or_else(|| panic!("no checks in {said:?}"));
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
}

fn status(said: &Said, name: &str) -> String {
    check(said, name)["status"].as_str().unwrap().to_owned()
}

fn exit_of(document: &Value) -> i32 {
    i32::from(document["checks"].as_array().unwrap().iter().any(|check| check["status"] == "fail"))
}
