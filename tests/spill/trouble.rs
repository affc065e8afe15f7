//! What goes wrong with a disk: the objects it happens to, and no others, and by name.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use plasmad_client::{CreateOptions, Error, ObjectInfo, Store, Timeout};

use super::{Daemon, MIB, PLASMAD, content, has, name, place, put, spill_all, stats};
use crate::support::until::DEADLINE;

/// Flips a bit of an object's record, so many bytes behind its start.
fn flip(object: &ObjectInfo, at: u64) {
    let place = object.file.as_ref().unwrap();
    let file = File::options().read(true).write(true).open(&place.path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, place.offset + at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x20], place.offset + at).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn a_record_that_was_damaged_loses_its_object_and_no_other() {
    let place = place();
    let daemon = Daemon::start(place.path(), &["--memory", "64MiB"]);
    let store = daemon.store();
    let texts: Vec<String> = (0..9).map(|it| format!("object {it}")).collect();
    let bytes = |it: usize| content(it as u64, [200, 70_000, 3 * MIB][it % 3]);
    (0..9).for_each(|it| put(&store, &texts[it], &bytes(it)));
    spill_all(&store);
    let info = |it: usize| store.stat(name(&texts[it])).unwrap();
    // In a header, in the middle of small data, in the last byte of large data.
    let damaged = [(0, 50), (4, 40_000), (8, 4096 + 3 * MIB - 1)];
    let files: Vec<_> = damaged.iter().map(|(it, _)| info(*it).file.unwrap()).collect();
    damaged.iter().for_each(|(it, at)| flip(&info(*it), *at));
    for (it, text) in texts.iter().enumerate() {
        if damaged.iter().all(|(lost, _)| *lost != it) {
            assert!(has(&store, text, &bytes(it)));
            continue;
        }
        let error = store.get(name(text), Timeout::After(DEADLINE)).unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{error}");
        assert!(!store.contains(name(text)).unwrap());
        put(&store, text, b"its id is free again");
    }
    assert_eq!(stats(&store)["spill"]["lost_total"], 3);
    let log = daemon.log();
    for file in files {
        assert!(log.contains(&format!("{} at {}: ", file.path, file.offset)), "{file:?} in {log}");
    }
}

#[test]
fn a_file_that_was_cut_loses_what_was_cut_off() {
    let place = place();
    let daemon = Daemon::start(place.path(), &["--memory", "64MiB"]);
    let store = daemon.store();
    for it in 0..4 {
        put(&store, &format!("object {it}"), &content(it, 2 * MIB));
    }
    spill_all(&store);
    let mut files: Vec<_> =
        (0..4).map(|it| (store.stat(name(&format!("object {it}"))).unwrap().file.unwrap(), it)).collect();
    files.sort_by(|one, other| (&one.0.path, one.0.offset).cmp(&(&other.0.path, other.0.offset)));
    let (last, lost) = files.pop().unwrap();
    File::options().write(true).open(&last.path).unwrap().set_len(last.offset + MIB).unwrap();
    let error = store.get(name(&format!("object {lost}")), Timeout::After(DEADLINE)).unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
    assert!(files.iter().all(|(_, it)| has(&store, &format!("object {it}"), &content(*it, 2 * MIB))));
}

/// Puts a numbered object of 1 MiB, unless the store is full.
pub(super) fn try_put(store: &Store, it: u64) -> Result<(), ()> {
    let timeout = Timeout::After(Duration::from_secs(2));
    let options = CreateOptions { id: Some(name(&format!("object {it}"))), timeout, ..CreateOptions::default() };
    match store.put(&content(it, MIB), &options) {
        Ok(_) => Ok(()),
        Err(Error::Full { .. }) => Err(()),
        Err(error) => panic!("put of object {it}: {error}"),
    }
}

pub(super) fn delete(store: &Store, which: Range<u64>) {
    let ids: Vec<_> = which.map(|it| name(&format!("object {it}"))).collect();
    assert_eq!(store.delete(&ids).unwrap(), ids.len() as u64);
}

/// A daemon that spills to a file system of its own, which only it sees, and which goes with it.
fn with_a_small_disk(place: &Path) -> Option<Daemon> {
    let disk = place.join("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = "mount -t tmpfs -o size=64m,mode=700 none \"$1\" && shift && exec \"$0\" \"$@\"";
    let unshared = ["--mount", "--map-root-user", "sh", "-c"];
    let can = Command::new("unshare").args(unshared).args(["mount -t tmpfs none \"$0\""]).arg(&disk).output();
    if !can.is_ok_and(|output| output.status.success()) {
        println!("not run: needs unshare(1) and a mount namespace");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(unshared).args([script, PLASMAD]).arg(&disk);
    Some(Daemon::launch(
        command,
        place,
        &["--memory", "32MiB", "--spill-max", "1GiB", "--spill-dir", disk.to_str().unwrap()],
    ))
}

#[test]
fn a_disk_that_is_full_is_told_by_name_and_nothing_is_lost() {
    let place = place();
    let Some(daemon) = with_a_small_disk(place.path()) else { return };
    let store = daemon.store();
    assert!(daemon.log().contains("tmpfs"), "memory as a disk is worth a warning: {}", daemon.log());
    let mut count = 0;
    while let Ok(()) = try_put(&store, count) {
        count += 1;
    }
    println!("{count} MiB fit into 32 MiB of memory and 64 MiB of disk");
    assert!((64..=96).contains(&count));
    is_full_and_goes_on(&daemon, &store, count);
}

/// After so many objects neither memory nor disk takes another: that was told, all are there, and what is deleted makes
/// room for others.
pub(super) fn is_full_and_goes_on(daemon: &Daemon, store: &Store, count: u64) {
    let log = daemon.log();
    assert!(log.contains("no room for ") && log.contains(daemon.place.join("disk").to_str().unwrap()), "{log}");
    assert!(stats(store)["spill"]["errors_total"].as_u64().unwrap() > 0);
    // Memory for what comes back; all else there is in it has nowhere to go.
    delete(store, count - 8..count);
    assert!((0..count - 8).all(|it| has(store, &format!("object {it}"), &content(it, MIB))));
    // What was deleted makes room, and the disk is tried again.
    delete(store, 0..count - 8);
    for it in count..count + 64 {
        put(store, &format!("object {it}"), &content(it, MIB));
    }
    assert!((count..count + 64).all(|it| has(store, &format!("object {it}"), &content(it, MIB))));
    assert_eq!(stats(store)["spill"]["lost_total"], 0);
}

#[test]
fn no_more_is_spilled_than_was_allowed() {
    let place = place();
    let daemon = Daemon::start(place.path(), &["--memory", "16MiB", "--spill-max", "32MiB"]);
    let store = daemon.store();
    let mut count = 0;
    while let Ok(()) = try_put(&store, count) {
        count += 1;
        let spill = stats(&store)["spill"].clone();
        let taken = spill["live_bytes"].as_u64().unwrap() + spill["dead_bytes"].as_u64().unwrap();
        assert!(taken <= 32 * MIB, "{spill}");
    }
    assert!((24..=48).contains(&count), "{count} MiB");
    // Memory for what comes back; all else there is in it has nowhere to go.
    delete(&store, count - 4..count);
    assert!((0..count - 4).all(|it| has(&store, &format!("object {it}"), &content(it, MIB))));
}
