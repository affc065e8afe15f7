//! Objects that are read where they lie on disk, since memory is full of what somebody has pinned.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plasmad_client::{Buffer, CreateOptions, Error, ObjectId, Options, Store, Timeout};
use plasmad_wire::error::ErrorCode;
use plasmad_wire::request::{Release, View};
use plasmad_wire::response::GotObject;
use plasmad_wire::value::GetStatus;
use plasmad_wire::{Request, Response};

use super::{Daemon, MIB, PLASMAD, content, name, place, put, spill_all, stats};
use crate::it::raw::{Raw, get};
use crate::support::until::{DEADLINE, until};

/// Small and large, with metadata and without, on disk side by side.
const OBJECTS: [(&str, u64, usize); 4] =
    [("small", 1024, 9), ("odd", 70_001, 0), ("middle", MIB, 65_536), ("large", 8 * MIB + 3, 1)];

/// Tells a process of this test who it is: the socket.
const VIEWER: &str = "PLASMAD_TEST_SPILL_VIEWER";

/// A daemon with the objects on disk, and all of its memory pinned, by whoever holds the buffers.
fn pinned_full(place: &std::path::Path) -> (Daemon, Store, Vec<Buffer>) {
    let daemon = Daemon::start(place, &["--memory", "32MiB"]);
    let store = daemon.store();
    for (text, bytes, metadata) in OBJECTS {
        let options = CreateOptions { id: Some(name(text)), metadata: vec![7; metadata], ..CreateOptions::default() };
        store.put(&content(bytes, bytes), &options).unwrap();
    }
    spill_all(&store);
    let mut pins = Vec::new();
    for bytes in [MIB, 64 << 10, 4096, 64] {
        loop {
            let options = CreateOptions { timeout: Timeout::NO_WAIT, ..CreateOptions::default() };
            match store.put(&content(1, bytes), &options) {
                Ok(id) => pins.push(store.get(id, Timeout::NO_WAIT).unwrap()),
                Err(Error::Full { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    (daemon, store, pins)
}

fn ids() -> Vec<ObjectId> {
    OBJECTS.iter().map(|(text, ..)| name(text)).collect()
}

fn check(buffers: &[Buffer]) {
    for (buffer, (text, bytes, metadata)) in buffers.iter().zip(OBJECTS) {
        assert!(buffer[..] == content(bytes, bytes)[..] && buffer.metadata() == vec![7; metadata], "{text}");
    }
}

/// Spill files that this process has mapped.
fn mapped_spill_files(place: &std::path::Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains(place.to_str().unwrap()) && line.contains(" r--s ")).count()
}

#[test]
fn a_client_reads_what_is_on_disk_while_another_has_pinned_all_of_memory() {
    let place = place();
    let (daemon, store, pins) = pinned_full(place.path());
    for fast in [true, false] {
        let other = Options::new().socket(place.path().join("s")).fast(fast).connect().unwrap();
        let buffers = other.get_many(&ids(), Timeout::After(DEADLINE)).unwrap();
        check(&buffers);
        assert_eq!(mapped_spill_files(place.path()), OBJECTS.len());
        for (text, ..) in OBJECTS {
            let info = other.stat(name(text)).unwrap();
            assert_eq!((info.in_memory, info.on_disk, info.pins), (false, true, 1), "{text}");
        }
        // What is viewed already is there for whoever doesn't wait.
        let reader = store.reader().unwrap();
        let view = reader.get(name("odd"), Timeout::NO_WAIT).unwrap();
        assert!(view[..] == content(70_001, 70_001)[..]);
        assert_eq!(store.stat(name("odd")).unwrap().pins, 2);
        drop(view);
        drop(buffers);
        assert_eq!(mapped_spill_files(place.path()), 0);
        until("the pins are given back", || (store.stat(name("large")).unwrap().pins == 0).then_some(()));
    }
    let after = stats(&store);
    assert_eq!((&after["spill"]["errors_total"], &after["spill"]["lost_total"]), (&0.into(), &0.into()), "{after}");
    let got = Command::new(PLASMAD).arg("--socket").arg(place.path().join("s")).args(["get", "name:middle"]).output();
    assert!(got.unwrap().stdout == content(MIB, MIB));
    // With memory free again they come back into it.
    drop(pins);
    let buffers = store.get_many(&ids(), Timeout::After(DEADLINE)).unwrap();
    check(&buffers);
    assert_eq!((mapped_spill_files(place.path()), store.stat(name("large")).unwrap().in_memory), (0, true));
    daemon.stop();
}

#[test]
fn a_view_stays_as_it_is_when_its_object_is_deleted_its_file_rewritten_and_the_daemon_gone() {
    let place = place();
    let (daemon, store, pins) = pinned_full(place.path());
    let other = daemon.store();
    let buffers = other.get_many(&ids(), Timeout::After(DEADLINE)).unwrap();
    let file = store.stat(name("large")).unwrap().file.unwrap().path;
    assert_eq!(store.delete(&ids()).unwrap(), OBJECTS.len() as u64);
    assert!(!store.contains(name("large")).unwrap());
    drop(pins);
    // Others go to disk where there is room, and files are rewritten and removed.
    for round in 0..3 {
        for it in 0..20 {
            put(&store, &format!("object {it}"), &content(it, 2 * MIB));
        }
        spill_all(&store);
        assert_eq!(store.delete(&(0..20).map(|it| name(&format!("object {it}"))).collect::<Vec<_>>()).unwrap(), 20);
        check(&buffers);
        assert!(std::path::Path::new(&file).exists(), "round {round}");
    }
    let small = buffers.into_iter().next().unwrap();
    assert!(std::path::Path::new(&file).exists(), "the file is there for the last one");
    assert!(small[..] == content(1024, 1024)[..]);
    drop(small);
    until("nobody reads there", || (!std::path::Path::new(&file).exists()).then_some(()));
    // Mapped, the bytes outlive the daemon and the file's name.
    put(&store, "last", &content(3, 3 * MIB));
    spill_all(&store);
    let writer = store.create(31 * MIB, &CreateOptions::default()).unwrap();
    let last = other.get(name("last"), Timeout::After(DEADLINE)).unwrap();
    assert_eq!(mapped_spill_files(place.path()), 1);
    daemon.crash();
    std::fs::remove_dir_all(place.path().join("spill")).unwrap();
    assert!(last[..] == content(3, 3 * MIB)[..]);
    drop(writer);
}

#[test]
fn what_a_killed_client_viewed_is_given_back() {
    let place = place();
    let (daemon, store, pins) = pinned_full(place.path());
    let mut command = Command::new("/proc/self/exe");
    command.args(["--include-ignored", "--exact", "spill::views::viewer", "--nocapture"]);
    let mut viewer = command.env(VIEWER, place.path().join("s")).stdout(Stdio::null()).spawn().unwrap();
    until("it views them", || (store.stat(name("large")).unwrap().pins == 1).then_some(()));
    let holder = store.stat(name("large")).unwrap().pinned_by.remove(0);
    assert_eq!((holder.pid, holder.pins), (viewer.id(), 1));
    let file = store.stat(name("large")).unwrap().file.unwrap().path;
    store.delete(&ids()).unwrap();
    assert!(std::path::Path::new(&file).exists());
    kill(Pid::from_raw(viewer.id() as i32), Signal::SIGKILL).unwrap();
    viewer.wait().unwrap();
    until("its file goes", || (!std::path::Path::new(&file).exists()).then_some(()));
    drop(pins);
    daemon.stop();
}

#[test]
#[ignore = "a part in another test"]
fn viewer() {
    let Ok(socket) = std::env::var(VIEWER) else { return };
    let store = Store::connect(socket).unwrap();
    let buffers = store.get_many(&ids(), Timeout::After(DEADLINE)).unwrap();
    check(&buffers);
    loop {
        std::thread::park();
    }
}

/// Pins an object on disk, over a bare socket.
fn view(raw: &mut Raw, text: &str) -> GotObject {
    match raw.ask(&get(name(text), DEADLINE.as_nanos() as u64)) {
        Response::Got(mut got) if got.objects[0].status == GetStatus::OnDisk => got.objects.remove(0),
        other => panic!("{text} isn't viewed: {other:?}"),
    }
}

#[test]
fn a_file_is_given_to_those_alone_who_have_pinned_something_there_and_only_to_read() {
    let place = place();
    let (daemon, store, pins) = pinned_full(place.path());
    let socket = place.path().join("s");
    let (mut one, mut other) = (Raw::reader(&socket), Raw::writer(&socket));
    let object = view(&mut one, "middle");
    let (answer, file) = one.ask_for_descriptor(&Request::View(View { pin: object.pin }));
    let Response::Viewed(viewed) = answer else { panic!("{answer:?}") };
    assert_eq!(viewed.location, object.location);
    let mut file = File::from(file.expect("a descriptor"));
    let mut bytes = vec![0; MIB as usize];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, viewed.location.offset).unwrap();
    assert!(bytes == content(MIB, MIB));
    assert!(file.write(b"x").is_err() && file.set_len(0).is_err(), "it is for reading alone");
    // Another client's pin; a word that holds another; one in memory; none at all.
    let in_memory = other.get(pins[0].id());
    let elsewhere = plasmad_wire::Pin { word: object.pin.word + 1, ..object.pin };
    let asked = [(false, object.pin), (true, elsewhere), (false, in_memory.pin), (true, in_memory.pin)];
    for (is_holder, pin) in asked {
        let asker = if is_holder { &mut one } else { &mut other };
        let (answer, descriptor) = asker.ask_for_descriptor(&Request::View(View { pin }));
        assert!(matches!(&answer, Response::Error(body) if body.code == ErrorCode::NotHeld), "{answer:?}");
        assert!(descriptor.is_none());
    }
    one.release(object.pin);
    assert_eq!(one.refused(&Request::View(View { pin: object.pin })), ErrorCode::NotHeld);
    assert_eq!(one.refused(&Request::Release(Release { pins: vec![object.pin] })), ErrorCode::NotHeld);
    // The key that headers are signed with stands in no file that was given away.
    let lock = std::fs::read_to_string(place.path().join("spill/plasmad.lock")).unwrap();
    let key = lock.lines().find_map(|line| line.strip_prefix("key ")).expect("a key");
    let key = u128::from_str_radix(key, 16).unwrap().to_be_bytes();
    let path = store.stat(name("middle")).unwrap().file.unwrap().path;
    assert!(!std::fs::read(path).unwrap().windows(16).any(|bytes| bytes == key));
    daemon.stop();
}

#[test]
fn who_asks_for_files_and_takes_none_takes_few_descriptors() {
    let place = place();
    let (daemon, store, pins) = pinned_full(place.path());
    let engine = stats(&store)["engine_pid"].as_u64().unwrap();
    let descriptors = || std::fs::read_dir(format!("/proc/{engine}/fd")).unwrap().count();
    let mut greedy = Raw::writer(&place.path().join("s"));
    let object = view(&mut greedy, "small");
    let before = descriptors();
    let frame = crate::it::raw::frame(&Request::View(View { pin: object.pin }), 7);
    greedy.stream.set_nonblocking(true).unwrap();
    let (mut asked, mut most) = (0, before);
    while asked < 20_000 && greedy.stream.write_all(&frame).is_ok() {
        asked += 1;
        if asked % 100 == 0 {
            most = most.max(descriptors());
        }
    }
    assert!(asked > 10, "it was let ask");
    assert!(most < before + 64, "{} descriptors for {asked} files", most - before);
    drop(greedy);
    until("they are given back", || (descriptors() <= before).then_some(()));
    assert!(pins[0].len() > 1);
    daemon.stop();
}
