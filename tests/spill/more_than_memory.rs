//! Four times as much as memory holds, written by one process and read by others.

use std::process::{Child, Command, Stdio};

use plasmad_client::{CreateOptions, Store, Timeout};

use super::{Daemon, MIB, content, name, place, put, spill_all, stats};
use crate::support::Random;

/// Tells a process of this test who it is: socket, seed, bytes of memory.
const READER: &str = "PLASMAD_TEST_SPILL_READER";

/// Lengths from 1 KiB to an eighth of the memory but a few bytes, every power of two as often as the next; four times
/// the memory in all.
fn lengths(memory: u64) -> Vec<u64> {
    let (mut random, mut left, mut lengths) = (Random(7), 4 * memory, Vec::new());
    let (longest, scales) = (memory / 8, u64::from((memory / 8 / 1024).ilog2()));
    while left > 0 {
        let scale = 2048 << random.below(scales);
        let length = (scale / 2 + random.below(scale / 2 + 1) + random.below(3)).clamp(1024, longest).min(left);
        left -= length;
        lengths.push(length);
    }
    lengths
}

#[test]
fn what_one_process_wrote_others_read_back_in_any_order() {
    write_and_read_back(64 * MIB);
}

#[test]
#[ignore = "writes 2 GiB and reads it twice"]
fn so_it_is_with_half_a_gibibyte_of_memory_and_objects_of_up_to_64_mebibytes() {
    write_and_read_back(512 * MIB);
}

fn write_and_read_back(memory: u64) {
    let place = place();
    let daemon = Daemon::start(place.path(), &["--memory", &format!("{}MiB", memory / MIB)]);
    let store = daemon.store();
    let lengths = lengths(memory);
    for (number, bytes) in lengths.iter().enumerate() {
        put(&store, &number.to_string(), &content(number as u64, *bytes));
    }
    let reader = |seed: u64| -> Child {
        let told = format!("{} {seed} {memory}", place.path().join("s").display());
        let mut command = Command::new("/proc/self/exe");
        command.args(["--include-ignored", "--exact", "spill::more_than_memory::reader", "--nocapture"]);
        command.env(READER, told).stdout(Stdio::null()).spawn().unwrap()
    };
    for mut reader in [reader(1), reader(2)] {
        assert!(reader.wait().unwrap().success(), "a reader found a wrong byte");
    }
    let after = stats(&store);
    let spill = &after["spill"];
    assert_eq!((&spill["errors_total"], &spill["lost_total"]), (&0.into(), &0.into()), "{after}");
    for field in ["written_bytes_total", "read_bytes_total", "live_bytes"] {
        assert!(spill[field].as_u64().unwrap() >= 3 * memory, "{field} in {after}");
    }
    assert_eq!(spill["directory"], place.path().join("spill").to_str().unwrap());
    assert!(spill["files"].as_u64().unwrap() >= 2 && spill["max_bytes"].as_u64().unwrap() > 4 * memory, "{after}");
    store.delete(&(0..lengths.len()).map(|number| name(&number.to_string())).collect::<Vec<_>>()).unwrap();
    let deleted = stats(&store);
    assert_eq!(
        (&deleted["spill"]["live_bytes"], &deleted["memory"]["used_bytes"]),
        (&0.into(), &0.into()),
        "{deleted}"
    );
}

#[test]
#[ignore = "a part in another test"]
fn reader() {
    let Ok(told) = std::env::var(READER) else { return };
    let [socket, seed, memory] = told.split(' ').collect::<Vec<_>>()[..] else { panic!("told {told:?}") };
    let store = Store::connect(socket).unwrap();
    let lengths = lengths(memory.parse().unwrap());
    let mut random = Random(seed.parse().unwrap());
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at as u64 + 1) as usize);
    }
    for number in order {
        let buffer = store.get(name(&number.to_string()), Timeout::After(super::DEADLINE)).unwrap();
        assert!(buffer[..] == content(number as u64, lengths[number])[..], "the bytes of {number}");
    }
}

#[test]
fn who_finds_memory_and_disk_full_is_told_of_both() {
    let place = place();
    let daemon = Daemon::start(place.path(), &["--memory", "16MiB", "--spill-max", "20MiB"]);
    let store = daemon.store();
    let timeout = Timeout::After(std::time::Duration::from_secs(1));
    let put =
        |number: u64| store.put(&content(number, 5 * MIB), &CreateOptions { timeout, ..CreateOptions::default() });
    let refused = (0..8).find_map(|number| put(number).err()).expect("36 MiB are less than 40");
    let text = refused.to_string();
    assert!(text.contains("of the 20.0 MiB that may be spilled are taken; delete objects, or start"), "{text}");
    let all = stats(&store);
    assert!(all["spill"]["live_bytes"].as_u64().unwrap() > 0 && all["spill"]["lost_total"] == 0, "{all}");
}

#[test]
fn metadata_and_what_was_said_of_an_object_come_back_with_it() {
    let place = place();
    let daemon = Daemon::start(place.path(), &["--memory", "64MiB"]);
    let store = daemon.store();
    let metadata = vec![7; 65_536];
    for (text, bytes) in [("empty", 0), ("small", 100), ("large", 3 * MIB + 5)] {
        let options = CreateOptions { id: Some(name(text)), metadata: metadata.clone(), ..CreateOptions::default() };
        store.put(&content(1, bytes), &options).unwrap();
    }
    let before = store.stat(name("large")).unwrap();
    spill_all(&store);
    let spilled = store.stat(name("large")).unwrap();
    assert_eq!((spilled.in_memory, spilled.on_disk, spilled.extent.is_some()), (false, true, false));
    assert_eq!((spilled.created_unix_ns, spilled.sealed_unix_ns), (before.created_unix_ns, before.sealed_unix_ns));
    let file = spilled.file.unwrap();
    assert!(file.path.starts_with(place.path().join("spill").to_str().unwrap()), "{file:?}");
    assert!(std::fs::metadata(&file.path).unwrap().len() > file.offset + 3 * MIB);
    for (text, bytes) in [("empty", 0), ("small", 100), ("large", 3 * MIB + 5)] {
        let buffer = store.get(name(text), Timeout::After(super::DEADLINE)).unwrap();
        assert!(buffer[..] == content(1, bytes)[..] && buffer.metadata() == metadata, "{text}");
    }
    let clean = store.stat(name("large")).unwrap();
    assert_eq!((clean.in_memory, clean.on_disk), (true, true), "it is in both places");
}

#[test]
fn the_command_line_shows_what_is_on_disk_and_gets_it() {
    let place = place();
    let daemon = Daemon::start(place.path(), &["--memory", "64MiB"]);
    let store = daemon.store();
    put(&store, "a", &content(5, 2 * MIB));
    spill_all(&store);
    let said = |arguments: &[&str]| {
        let mut command = Command::new(super::PLASMAD);
        let output = command.arg("--socket").arg(place.path().join("s")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let document = |arguments: &[&str]| -> serde_json::Value { serde_json::from_slice(&said(arguments)).unwrap() };
    let object = document(&["--json", "stat", "name:a"]);
    assert_eq!((&object["state"], &object["where"]), (&"spilled".into(), &serde_json::json!(["disk"])));
    assert!(object["file"]["path"].as_str().unwrap().ends_with(".spill"), "{object}");
    assert_eq!(document(&["--json", "ls", "--state", "spilled"])["objects"][0]["id"], object["id"]);
    assert!(String::from_utf8(said(&["stats"])).unwrap().contains("on disk"));
    assert!(said(&["get", "name:a"]) == content(5, 2 * MIB), "without a timeout too");
    assert_eq!(document(&["--json", "evict", "1GiB"])["spilled"], 1);
}
