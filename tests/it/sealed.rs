//! What is sealed stays as it is: its memory, its length, its state.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Store, Timeout, id};
use plasmad_shm::mapping::WriteMapping;
use plasmad_shm::memfd;
use plasmad_wire::Request;
use plasmad_wire::error::ErrorCode;
use plasmad_wire::request::{Abort, Release, Seal};
use plasmad_wire::value::Handle;

use super::numbers::stats;
use super::raw::{Raw, create};

#[test]
fn descriptors_the_daemon_hands_out_can_neither_change_length_nor_take_more_seals() {
    let daemon = Daemon::start();
    let raw = Raw::writer(&daemon.socket());
    assert_eq!(raw.fds.len(), 2, "one to read and one to write");
    let wanted = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    for fd in &raw.fds {
        let seals = SealFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GET_SEALS).expect("seals"));
        assert!(seals.contains(wanted), "{seals:?}");
        let frozen = SealFlag::F_SEAL_WRITE | SealFlag::from_bits_retain(F_SEAL_FUTURE_WRITE);
        assert!(!seals.intersects(frozen), "no later engine could map it: {seals:?}");
        for seal in [SealFlag::F_SEAL_WRITE, SealFlag::from_bits_retain(F_SEAL_FUTURE_WRITE), SealFlag::F_SEAL_SEAL] {
            assert!(fcntl(fd, FcntlArg::F_ADD_SEALS(seal)).is_err(), "{seal:?} could be added");
        }
        let file = File::from(fd.try_clone().expect("a copy"));
        assert_eq!(file.metadata().expect("a length").len(), raw.welcome.capacity_bytes);
        for bytes in [0, raw.welcome.capacity_bytes - 1, raw.welcome.capacity_bytes + 1] {
            assert!(file.set_len(bytes).is_err(), "truncated to {bytes}");
        }
        assert_eq!(memfd::mode(fd.as_fd()).expect("a mode"), 0o400);
    }
    assert!(WriteMapping::new(&raw.fds[0], 4096).is_err(), "the first is for reading only");
    assert!(WriteMapping::new(&raw.fds[1], 4096).is_ok());
}

/// Whoever has a buffer has an address: not even through that can the bytes be changed, in a writer neither.
#[test]
fn a_buffer_lies_in_memory_that_is_mapped_for_reading_only() {
    let daemon = Daemon::start();
    let store = Store::connect(daemon.socket()).expect("connect");
    let mut writer = store.create(5, &CreateOptions::default()).expect("create");
    writer.copy_from_slice(b"hello");
    assert_eq!(rights_at(writer.as_ptr().addr()), "rw-s");
    let id = writer.seal().expect("seal");
    let buffer = store.get(id, Timeout::NO_WAIT).expect("get");
    assert_eq!(&buffer[..], b"hello");
    assert_eq!(rights_at(buffer.as_ptr().addr()), "r--s");
    assert_eq!(rights_at(buffer.metadata().as_ptr().addr()), "r--s");
}

#[test]
fn a_second_seal_and_an_abort_of_a_sealed_object_are_refused_and_change_nothing() {
    let daemon = Daemon::start();
    let mut raw = Raw::writer(&daemon.socket());
    let made = raw.create(id::from_name("x"), 1000).handle;
    raw.ask(&Request::Seal(Seal { handles: vec![made] }));
    let unsealed = raw.create(id::from_name("y"), 1000).handle;
    let unchanged = Unchanged::now(&daemon);
    for handles in [vec![made], vec![unsealed, made], vec![unsealed, unsealed]] {
        assert_eq!(raw.refused(&Request::Seal(Seal { handles: handles.clone() })), ErrorCode::NotHeld, "{handles:?}");
        assert_eq!(raw.refused(&Request::Abort(Abort { handles: handles.clone() })), ErrorCode::NotHeld, "{handles:?}");
    }
    unchanged.check(&daemon);
}

#[test]
fn nobody_but_its_creator_can_seal_or_abort_an_object() {
    let daemon = Daemon::start();
    let (mut creator, mut other) = (Raw::writer(&daemon.socket()), Raw::writer(&daemon.socket()));
    let made = creator.create(id::from_name("x"), 1000).handle;
    let unchanged = Unchanged::now(&daemon);
    let invented =
        [made, Handle { slot: made.slot, generation: made.generation + 1 }, Handle { slot: u32::MAX, generation: 0 }];
    for handle in invented {
        assert_eq!(other.refused(&Request::Seal(Seal { handles: vec![handle] })), ErrorCode::NotHeld);
        assert_eq!(other.refused(&Request::Abort(Abort { handles: vec![handle] })), ErrorCode::NotHeld);
    }
    assert_eq!(other.refused(&create(id::from_name("x"), 1, 0)), ErrorCode::ObjectExists);
    unchanged.check(&daemon);
    creator.ask(&Request::Seal(Seal { handles: vec![made] }));
}

#[test]
fn a_pin_can_be_given_back_once_and_by_its_holder_only() {
    let daemon = Daemon::start();
    let (mut holder, mut other) = (Raw::writer(&daemon.socket()), Raw::writer(&daemon.socket()));
    holder.put(id::from_name("x"), b"x");
    let pin = holder.get(id::from_name("x")).pin;
    let release = Request::Release(Release { pins: vec![pin] });
    let unchanged = Unchanged::now(&daemon);
    assert_eq!(other.refused(&release), ErrorCode::NotHeld);
    unchanged.check(&daemon);
    holder.ask(&release);
    assert_eq!(holder.refused(&release), ErrorCode::NotHeld);
}

/// What the store holds, to be the same later.
struct Unchanged([serde_json::Value; 2]);

impl Unchanged {
    fn now(daemon: &Daemon) -> Self {
        let stats = stats(&Store::connect(daemon.socket()).expect("connect"));
        Self([stats["memory"].clone(), stats["objects"].clone()])
    }

    fn check(&self, daemon: &Daemon) {
        assert_eq!(Self::now(daemon).0, self.0);
    }
}

/// What this process may do with the memory at an address, as the kernel tells it.
fn rights_at(address: usize) -> String {
    let maps = BufReader::new(File::open("/proc/self/maps").expect("maps"));
    let covers = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        (number(start)?..number(end)?).contains(&address).then(|| rest[..4].to_owned())
    };
    let found = maps.lines().find_map(|line| covers(&line.expect("a line")));
    found.unwrap_or_else(|| panic!("nothing is mapped at {address:#x}"))
}

/// Linux 5.1; nix has no name for it.
const F_SEAL_FUTURE_WRITE: i32 = 0x10;
