//! What is on disk when the daemon dies, and what the next one makes of it.

use std::time::Instant;

use plasmad_client::{CreateOptions, id};

use super::{Daemon, MIB, content, has, name, place, put, spill_all, stats};

#[test]
fn what_was_spilled_is_there_for_the_next_daemon_and_what_was_deleted_is_not() {
    let place = place();
    let daemon = Daemon::start(place.path(), &["--memory", "64MiB"]);
    let store = daemon.store();
    let sizes = [100, 70_000, MIB, 5 * MIB + 3];
    let all: Vec<(String, Vec<u8>)> =
        (0..20).map(|it| (format!("object {it}"), content(it, sizes[it as usize % 4]))).collect();
    all.iter().for_each(|(text, bytes)| put(&store, text, bytes));
    spill_all(&store);
    put(&store, "in memory", b"only");
    let before = store.stat(name("object 4")).unwrap();
    let deleted: Vec<_> = all.iter().step_by(3).map(|(text, _)| name(text)).collect();
    store.delete(&deleted).unwrap();
    daemon.crash();
    for round in 0..3 {
        let daemon = Daemon::start(place.path(), &["--memory", "64MiB"]);
        let store = daemon.store();
        assert_eq!(stats(&store)["objects"]["spilled"], 13);
        for (at, (text, bytes)) in all.iter().enumerate() {
            assert_eq!(has(&store, text, bytes), at % 3 != 0, "{text} in round {round}");
        }
        assert!(!has(&store, "in memory", b"only"));
        let after = store.stat(name("object 4")).unwrap();
        assert_eq!((after.created_unix_ns, after.sealed_unix_ns), (before.created_unix_ns, before.sealed_unix_ns));
        if round == 1 { daemon.stop() } else { daemon.crash() }
    }
}

/// In memory or on disk when the end comes, many times over.
#[test]
fn an_id_that_was_used_again_has_the_new_bytes_or_none_never_the_old() {
    let place = place();
    let (mut new, mut none) = (0, 0);
    for round in 0..6 {
        let daemon = Daemon::start(place.path(), &["--memory", "64MiB"]);
        let store = daemon.store();
        let bytes = |version: u64| content(round * 100 + version, 300_000);
        put(&store, "x", &bytes(0));
        spill_all(&store);
        store.delete(&[name("x")]).unwrap();
        put(&store, "x", &bytes(1));
        if round % 2 == 0 {
            spill_all(&store);
        }
        daemon.crash();
        let daemon = Daemon::start(place.path(), &["--memory", "64MiB"]);
        let store = daemon.store();
        match has(&store, "x", &bytes(1)) {
            true => new += 1,
            false => none += 1,
        }
        store.delete(&[name("x")]).unwrap();
        daemon.crash();
    }
    assert_eq!((new, none), (3, 3));
}

#[test]
fn a_daemon_never_writes_to_its_predecessors_files() {
    let place = place();
    let files = || {
        let entries = std::fs::read_dir(place.path().join("spill")).unwrap().map(|entry| entry.unwrap());
        let spilled = entries.filter(|entry| entry.path().extension().is_some_and(|it| it == "spill"));
        let mut files: Vec<_> = spilled.map(|it| (it.file_name(), std::fs::read(it.path()).unwrap())).collect();
        files.sort();
        files
    };
    let mut before = Vec::new();
    for round in 0..3 {
        let daemon = Daemon::start(place.path(), &["--memory", "64MiB"]);
        put(&daemon.store(), &format!("object {round}"), &content(round, MIB));
        spill_all(&daemon.store());
        daemon.crash();
        let after = files();
        assert_eq!(after.len() as u64, round + 1);
        assert!(before.iter().all(|file| after.contains(file)), "a file changed in round {round}");
        before = after;
    }
}

#[test]
fn a_hundred_thousand_objects_on_disk_are_there_at_the_first_request() {
    let place = place();
    let daemon = Daemon::start(place.path(), &["--memory", "64MiB"]);
    let store = daemon.store();
    let count = 100_000u64;
    for number in 0..count {
        let options = CreateOptions { id: Some(id::from_name(&number.to_string())), ..CreateOptions::default() };
        store.put(&content(number, 100 + number % 900), &options).unwrap();
    }
    spill_all(&store);
    daemon.crash();
    let start = Instant::now();
    let daemon = Daemon::start(place.path(), &["--memory", "64MiB"]);
    let store = daemon.store();
    assert!(store.contains(name("77777")).unwrap());
    println!("{count} spilled objects: the first request was answered {:?} after the start", start.elapsed());
    assert_eq!(stats(&store)["objects"]["spilled"], count);
    for number in [0, 1, 50_000, count - 1] {
        assert!(has(&store, &number.to_string(), &content(number, 100 + number % 900)));
    }
}
