//! Most of what lies on disk is deleted while others read the rest: the disk gets its room back.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use plasmad_client::Timeout;

use super::{Daemon, MIB, content, name, place, put, spill_all, stats};
use crate::support::Random;
use crate::support::until::DEADLINE;

const BYTES: u64 = MIB / 4;
const COUNT: u64 = 1024;

/// A few bytes of its own, again and again.
fn object(number: u64) -> Vec<u8> {
    content(number, BYTES / 64).repeat(64)
}

/// What all files of a folder take of the disk.
fn folder_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    // One that goes meanwhile takes nothing.
    files.filter_map(|file| file.unwrap().metadata().ok()).map(|it| it.blocks() * 512).sum()
}

#[test]
fn a_folder_is_at_most_three_fifths_larger_than_what_is_wanted_of_it_and_gets_go_on_meanwhile() {
    let place = place();
    let daemon = Daemon::start(place.path(), &["--memory", "32MiB"]);
    let store = daemon.store();
    for number in 0..COUNT {
        put(&store, &number.to_string(), &object(number));
    }
    spill_all(&store);
    let mut random = Random(11);
    let mut kept: Vec<u64> = (0..COUNT).collect();
    let deleted: Vec<u64> =
        (0..COUNT * 7 / 10).map(|_| kept.swap_remove(random.below(kept.len() as u64) as usize)).collect();
    let folder = place.path().join("spill");
    let before = folder_bytes(&folder);
    assert!(before >= COUNT * BYTES, "{before}");
    store.delete(&deleted.iter().map(|number| name(&number.to_string())).collect::<Vec<_>>()).unwrap();
    let wanted = kept.len() as u64 * BYTES;
    let is_large = || folder_bytes(&folder) > wanted * 8 / 5;
    let start = Instant::now();
    let mut gets = 0;
    while gets < kept.len() || is_large() {
        let number = kept[gets % kept.len()];
        let buffer = store.get(name(&number.to_string()), Timeout::After(DEADLINE)).unwrap();
        assert!(buffer[..] == object(number)[..], "the bytes of {number}");
        gets += 1;
        assert!(start.elapsed() < DEADLINE, "{} bytes are kept of {wanted} that are wanted", folder_bytes(&folder));
    }
    let after = stats(&store);
    assert_eq!((&after["spill"]["errors_total"], &after["spill"]["lost_total"]), (&0.into(), &0.into()), "{after}");
}
