//! Real file systems that fill, turn read-only, or can't be read: ext4 on a file of 96 MiB, in a mount namespace that only
//! the daemon sees. Only root may do that, where the kernel has loop devices; else these tests say so and do nothing.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use plasmad_client::{CreateOptions, Error, Store, Timeout};

use super::trouble::{delete, is_full_and_goes_on, try_put};
use super::{Daemon, MIB, PLASMAD, content, has, name, place, put, spill_all, stats};
use crate::support::until::{DEADLINE, until};

/// A daemon of 32 MiB that spills to `disk`, which is an ext4 on the file `image`.
fn on_ext4(place: &Path) -> Option<Daemon> {
    let (disk, image) = (place.join("disk"), place.join("image"));
    fs::create_dir(&disk).unwrap();
    File::create(&image).unwrap().set_len(96 * MIB).unwrap();
    let done = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let mount = "mount -o loop,errors=remount-ro \"$1\" \"$2\" && chmod 700 \"$2\" && shift 2";
    let mounted = |script: &str, program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &format!("{mount} && {script}"), program]).args([&image, &disk]);
        command
    };
    if !done(Command::new("mkfs.ext4").arg("-q").arg(&image)) || !done(&mut mounted("true", "true")) {
        println!("not run: needs root, mkfs.ext4 and loop devices");
        return None;
    }
    let spill = ["--memory", "32MiB", "--spill-max", "1GiB", "--spill-dir", disk.to_str().unwrap()];
    Some(Daemon::launch(mounted("exec \"$0\" \"$@\"", PLASMAD), place, &spill))
}

/// The name of the loop device over `image`.
fn loop_device(place: &Path) -> String {
    let said = Command::new("losetup").arg("-j").arg(place.join("image")).output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    said.trim_start_matches("/dev/").split(':').next().unwrap().to_owned()
}

fn all_there(store: &Store, which: impl IntoIterator<Item = u64>) -> bool {
    which.into_iter().all(|it| has(store, &format!("object {it}"), &content(it, MIB)))
}

fn put_numbered(store: &Store, it: u64) {
    put(store, &format!("object {it}"), &content(it, MIB));
}

/// Puts numbered objects of 1 MiB until the store is full; how many there are then.
fn fill(store: &Store, from: u64) -> u64 {
    (from..).find(|it| try_put(store, *it).is_err()).expect("it is full some time")
}

#[test]
fn an_ext4_that_is_full_is_told_by_name_and_nothing_is_lost() {
    let place = place();
    let Some(daemon) = on_ext4(place.path()) else { return };
    let store = daemon.store();
    let count = fill(&store, 0);
    println!("{count} MiB fit into 32 MiB of memory and an ext4 of 96 MiB");
    assert!((80..=128).contains(&count));
    is_full_and_goes_on(&daemon, &store, count);
}

#[test]
fn a_file_system_that_turns_read_only_costs_no_object_and_memory_goes_on() {
    let place = place();
    let Some(daemon) = on_ext4(place.path()) else { return };
    let store = daemon.store();
    (0..40).for_each(|it| put_numbered(&store, it));
    assert!(stats(&store)["objects"]["spilled"].as_u64().unwrap() > 0, "some are on disk only");
    fs::write(format!("/sys/fs/ext4/{}/trigger_fs_error", loop_device(place.path())), "1").unwrap();
    let count = fill(&store, 40);
    until("whoever is refused is told why", || {
        let options = CreateOptions { timeout: Timeout::NO_WAIT, ..CreateOptions::default() };
        let refused = store.put(&content(count, MIB), &options).expect_err("memory is full");
        refused.to_string().contains("can't be spilled just now; plasmad's log says why").then_some(())
    });
    let disk = place.path().join("disk");
    let log = until("the disk's answer is in the log", || {
        let log = daemon.log();
        let is_told = |line: &str| line.contains(disk.to_str().unwrap()) && line.contains("ead-only");
        log.lines().any(is_told).then_some(log)
    });
    println!("{count} MiB, and then: {}", log.lines().last().unwrap_or_default());
    assert!(stats(&store)["spill"]["errors_total"].as_u64().unwrap() > 0);
    // Memory for what comes back. Deletes are answered, though nothing can tell of them on disk.
    delete(&store, count - 8..count);
    assert!(all_there(&store, 0..count - 8));
    // As in a store without a disk.
    (1000..1008).for_each(|it| put_numbered(&store, it));
    assert_eq!(stats(&store)["spill"]["lost_total"], 0);
}

#[test]
fn a_device_that_can_not_be_read_is_named_costs_no_object_and_may_recover() {
    let place = place();
    let Some(daemon) = on_ext4(place.path()) else { return };
    let store = daemon.store();
    (0..16).for_each(|it| put_numbered(&store, it));
    spill_all(&store);
    (16..20).for_each(|it| put_numbered(&store, it));
    // A device that has become shorter answers with EIO behind its end.
    let image = File::options().read(true).write(true).open(place.path().join("image")).unwrap();
    let mut before = Vec::new();
    (&image).read_to_end(&mut before).unwrap();
    let shows_its_length = || {
        let device = format!("/dev/{}", loop_device(place.path()));
        assert!(Command::new("losetup").args(["-c", &device]).status().unwrap().success());
    };
    image.set_len(MIB).unwrap();
    shows_its_length();
    for it in 0..16 {
        let error = store.get(name(&format!("object {it}")), Timeout::After(DEADLINE)).unwrap_err();
        assert!(matches!(error, Error::Spill { .. }), "object {it}: {error}");
        assert!(store.contains(name(&format!("object {it}"))).unwrap());
    }
    assert!(all_there(&store, 16..20), "what is in memory");
    let (log, file) = (daemon.log(), store.stat(name("object 3")).unwrap().file.unwrap());
    let is_told = |line: &str| line.contains(&format!("{} ", file.path)) && line.contains("nput/output error");
    assert!(log.lines().any(is_told), "{log}");
    let spill = stats(&store)["spill"].clone();
    assert!(spill["errors_total"].as_u64().unwrap() >= 16 && spill["lost_total"] == 0, "{spill}");
    image.set_len(before.len() as u64).unwrap();
    image.write_all_at(&before, 0).unwrap();
    shows_its_length();
    assert!(all_there(&store, 0..20), "it can be read again");
}

#[test]
fn a_folder_on_a_read_only_mount_is_told_before_anything_is_served() {
    let place = place();
    let folder = place.path().join("disk");
    fs::create_dir(&folder).unwrap();
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$0\" \"$@\"";
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script, program]).arg(&folder).args(arguments);
        command.output()
    };
    if !run("true", &[]).is_ok_and(|output| output.status.success()) {
        return println!("not run: needs unshare(1) and a mount namespace");
    }
    let socket: PathBuf = place.path().join("s");
    let serve = ["serve", "--memory", "1MiB", "--socket", socket.to_str().unwrap(), "--spill-dir"];
    let said = run(PLASMAD, &[&serve[..], &[folder.to_str().unwrap()]].concat()).unwrap();
    let error = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(2), "{error}");
    assert!(error.contains(&format!("{} can't be used", folder.display())) && error.contains("read-only"), "{error}");
    assert!(!socket.exists(), "nothing was served");
}
