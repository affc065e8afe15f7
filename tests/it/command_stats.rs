//! `stats`, `ping` and the help.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::command::{Shell, check_fields, document};
use super::helpers::Reaped;
use crate::support::until::until;

#[test]
fn stats_have_every_field_with_its_type() {
    let shell = Shell::new();
    shell.file("file", &vec![1; 100_000]);
    shell.prints("put file");
    let stats = shell.document("stats");
    check_fields(&stats, STATS);
    for (section, fields) in SECTIONS {
        check_fields(&stats[section], fields);
    }
    let memory = |field: &str| stats["memory"][field].as_u64().expect("a number");
    assert_eq!(memory("used_bytes") + memory("free_bytes"), memory("capacity_bytes"));
    assert_eq!(memory("capacity_bytes"), 16 << 20);
    assert_eq!(stats["socket"], shell.daemon.socket().to_str().expect("text"));
    assert_eq!(stats["pid"], shell.daemon.pid());
    assert_eq!((&stats["totals"]["creates"], &stats["totals"]["seals"]), (&1.into(), &1.into()));
}

#[test]
fn stats_as_text_name_the_daemon_and_its_memory() {
    let shell = Shell::new();
    let text = shell.prints("stats");
    for part in ["store      plasmad 0.1.0 at ", "0 B of 16.0 MiB used", "0 sealed", "1 connected, 1 of them readers"] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    // A get counts whether or not the daemon was asked for it.
    shell.file("file", b"data");
    let id = shell.prints("put file");
    shell.prints(&format!("get {}", id.trim()));
    let text = shell.prints("stats");
    assert!(text.contains("1 creates, 1 gets"), "{text}");
}

#[test]
fn stats_are_told_again_and_again() {
    let shell = Shell::new();
    let (_watch, mut stats) = watch(&shell, "0.01");
    let mut uptime = || stats.next().expect("a line")["uptime_seconds"].as_f64().expect("a number");
    let (first, second, third) = (uptime(), uptime(), uptime());
    assert!(first < second && second < third);
}

/// In the middle of a pause without end.
#[test]
fn ctrl_c_ends_the_telling_of_stats() {
    let shell = Shell::new();
    let (mut watch, mut stats) = watch(&shell, "1e6");
    stats.next().expect("a line");
    kill(Pid::from_raw(watch.0.id() as i32), Signal::SIGINT).expect("kill");
    let status = until("it ends", || watch.0.try_wait().expect("wait"));
    assert_eq!(status.code(), Some(130));
    assert_eq!(stats.next().expect("a refusal")["error"]["code"], "Interrupted");
}

/// Stats every so many seconds, and what they say.
fn watch(shell: &Shell, seconds: &str) -> (Reaped, impl Iterator<Item = Value> + use<>) {
    let mut watch = shell.command(["--json", "stats", "--watch", seconds]);
    let mut watch = Reaped(watch.stdout(Stdio::piped()).spawn().expect("plasmad runs"));
    let lines = BufReader::new(watch.0.stdout.take().expect("a pipe")).lines();
    (watch, lines.map(|line| document(&(line.expect("a line") + "\n"))))
}

#[test]
fn ping_tells_the_time_it_took() {
    let shell = Shell::new();
    let text = shell.prints("ping");
    assert!(text.starts_with("answered in ") && text.ends_with(" us\n"), "{text}");
    let pong = shell.document("ping");
    check_fields(&pong, &[("schema", "integer"), ("rtt_seconds", "number"), ("epoch", "integer"), ("ready", "bool")]);
    assert_eq!((&pong["epoch"], &pong["ready"]), (&Value::from(1), &Value::from(true)));
}

#[test]
fn help_and_version_go_to_standard_output() {
    let shell = Shell::new();
    assert_eq!(shell.prints("--version"), "plasmad 0.1.0\n");
    for command in ["serve", "put", "get", "ls", "stat", "rm", "evict", "stats", "ping"] {
        let help = shell.prints(&format!("help {command}"));
        assert!(help.contains(&format!("Usage: plasmad {command}")), "{help}");
        assert_eq!(help, shell.prints(&format!("{command} --help")));
    }
    let help = shell.prints("help");
    assert!(help.contains("Exit status:") && !help.contains("engine "), "{help}");
}

const STATS: &[(&str, &str)] = &[
    ("schema", "integer"),
    ("version", "text"),
    ("protocol", "integer"),
    ("pid", "integer"),
    ("engine_pid", "integer"),
    ("epoch", "integer"),
    ("restarts", "integer"),
    ("uptime_seconds", "number"),
    ("socket", "text"),
    ("memory", "object"),
    ("objects", "object"),
    ("index", "object"),
    ("clients", "object"),
    ("spill", "object"),
    ("totals", "object"),
];

const SECTIONS: &[(&str, &[(&str, &str)])] = &[
    (
        "memory",
        &[
            ("capacity_bytes", "integer"),
            ("used_bytes", "integer"),
            ("free_bytes", "integer"),
            ("largest_hole_bytes", "integer"),
            ("granted_bytes", "integer"),
            ("pinned_bytes", "integer"),
            ("unsealed_bytes", "integer"),
            ("evictable_bytes", "integer"),
            ("populated_bytes", "integer"),
            ("population_done", "bool"),
            ("page_bytes", "integer"),
            ("huge_bytes", "integer"),
        ],
    ),
    (
        "objects",
        &[
            ("created", "integer"),
            ("sealed", "integer"),
            ("spilling", "integer"),
            ("spilled", "integer"),
            ("restoring", "integer"),
        ],
    ),
    ("index", &[("slots", "integer"), ("used", "integer")]),
    (
        "clients",
        &[
            ("connected", "integer"),
            ("readers", "integer"),
            ("fast", "integer"),
            ("gets_waiting", "integer"),
            ("creates_waiting", "integer"),
            ("oldest_wait_seconds", "number"),
            ("refused_total", "integer"),
            ("dropped_total", "integer"),
        ],
    ),
    (
        "spill",
        &[
            ("directory", "text?"),
            ("live_bytes", "integer"),
            ("dead_bytes", "integer"),
            ("files", "integer"),
            ("max_bytes", "integer?"),
            ("queue_bytes", "integer"),
            ("written_bytes_total", "integer"),
            ("read_bytes_total", "integer"),
            ("write_bytes_per_second", "number"),
            ("read_bytes_per_second", "number"),
            ("direct_io", "bool"),
            ("errors_total", "integer"),
            ("lost_total", "integer"),
        ],
    ),
    (
        "totals",
        &[
            ("creates", "integer"),
            ("seals", "integer"),
            ("aborts", "integer"),
            ("puts_ring", "integer"),
            ("gets_socket", "integer"),
            ("gets_shared", "integer"),
            ("deletes", "integer"),
            ("evictions", "integer"),
            ("evicted_bytes", "integer"),
        ],
    ),
];
