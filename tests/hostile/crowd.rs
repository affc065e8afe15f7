//! A thousand connections from eight processes, each putting, getting what another made, checking and deleting.

use std::process::{Child, Command};

use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, ObjectId, Store, Timeout};

#[test]
fn a_crowd_of_connections_is_served_right() {
    crowd(8, 10, 20);
}

#[test]
#[ignore = "the long run: a thousand connections, 200 rounds each, some minutes"]
fn a_thousand_connections_are_served_right() {
    crowd(8, 125, 200);
}

/// One of the processes of [`crowd`]; does nothing unless it is told.
#[test]
#[ignore = "a part in another test"]
fn crowd_member() {
    let Ok(told) = std::env::var(MEMBER) else { return };
    let parts: Vec<&str> = told.split(' ').collect();
    let numbers: Vec<usize> = parts[1..].iter().map(|part| part.parse().unwrap()).collect();
    member(parts[0], numbers[0], numbers[1], numbers[2]);
}

/// The daemon starts with the soft limit of descriptors that most systems give: 1024.
fn crowd(processes: usize, connections: usize, rounds: usize) {
    let daemon = Daemon::with(&["--memory", "256MiB", "--populate", "none"]);
    let members: Vec<Child> = (0..processes)
        .map(|number| {
            let told = format!("{} {number} {connections} {rounds}", daemon.socket().display());
            let mut command = Command::new("/proc/self/exe");
            command
                .args(["--include-ignored", "--exact", "hostile::crowd::crowd_member", "--nocapture"])
                .env(MEMBER, told);
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    let mut most = (0, 0);
    for mut member in members {
        while member.try_wait().unwrap().is_none() {
            most = (most.0.max(super::memory_bytes(&daemon)), most.1.max(threads(&daemon)));
        }
        assert!(member.wait().unwrap().success(), "a member found a wrong byte");
    }
    println!("{processes} x {connections} connections: {} KiB beside the arena, {} threads", most.0 >> 10, most.1);
    assert!(most.0 <= 128 << 20, "{} bytes beside the arena", most.0);
    // The loop, upkeep, and eight for the disk.
    assert!(most.1 <= 10, "{} threads", most.1);
    let stats = super::stats(&daemon);
    // Members that did nothing would have found nothing wrong either.
    assert_eq!(stats["totals"]["seals"], processes * connections * rounds);
    assert_eq!((&stats["objects"]["sealed"], &stats["clients"]["dropped_total"]), (&0.into(), &0.into()));
}

/// Each round puts through every connection, and gets through the next one.
fn member(socket: &str, number: usize, connections: usize, rounds: usize) {
    let stores: Vec<Store> = (0..connections).map(|_| Store::connect(socket).unwrap()).collect();
    for round in 0..rounds {
        for at in 0..connections {
            let bytes = format!("{number} {at} {round} ").repeat(20);
            let id = stores[at].put(bytes.as_bytes(), &CreateOptions::default()).unwrap();
            let other = &stores[(at + 1) % connections];
            assert_eq!(&other.get(id, Timeout::NO_WAIT).unwrap()[..], bytes.as_bytes());
            assert_eq!(other.delete(&[id, ObjectId::from_slice(b"none").unwrap()]).unwrap(), 1);
        }
    }
}

fn threads(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", super::engine_pid(daemon))).unwrap().count()
}

const MEMBER: &str = "PLASMAD_TEST_CROWD_MEMBER";
