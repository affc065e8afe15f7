//! What is kept for those who want little while others wait for the disk, and what they may take of it.

use plasmad_core::Reply;
use plasmad_core::disk::WriteOutcome;
use plasmad_wire::limits::FOREVER;

use super::spill::Spilling;

const MIB: u64 = 1 << 20;
const LITTLE: u64 = 64 << 10;
const PAGE: u64 = 4096;

/// A store of 32 MiB of which 3 are free, with four batches on their way; two are kept for who wants little.
fn filled() -> Spilling {
    let mut disk = Spilling::new(32 * MIB);
    (1..=29).for_each(|id| disk.put(id, MIB));
    assert_eq!(disk.writes.len(), 4);
    disk
}

#[test]
fn who_wants_much_leaves_a_sixteenth_while_something_is_being_written() {
    let mut disk = filled();
    disk.put(30, MIB);
    assert_eq!(disk.put_waiting(10, 31, MIB, FOREVER), []);
    assert_eq!(disk.writes.len(), 4, "nothing is chosen for it");
    assert_eq!(disk.put_waiting(11, 32, LITTLE, FOREVER), [(1, 11, Reply::Done(1))]);
    // With what is written there is enough again, a little later for what passed.
    assert_eq!(disk.written(WriteOutcome::Written), []);
    assert_eq!(disk.written(WriteOutcome::Written), [(1, 10, Reply::Done(1))]);
}

#[test]
fn who_does_not_wait_takes_what_there_is() {
    let mut disk = filled();
    disk.put(30, MIB);
    disk.put(31, 2 * MIB);
    assert_eq!(disk.stats().free_bytes, 0);
}

#[test]
fn when_nothing_is_being_written_any_more_nothing_is_kept() {
    let mut disk = filled();
    disk.put(30, MIB);
    assert_eq!(disk.put_waiting(10, 31, 2 * MIB, FOREVER), []);
    (0..3).for_each(|_| assert_eq!(disk.written(WriteOutcome::Failed), []));
    assert_eq!(disk.written(WriteOutcome::Failed), [(1, 10, Reply::Done(1))]);
}

#[test]
fn grants_are_given_and_not_taken_back_while_a_create_waits_for_the_disk() {
    let mut disk = filled();
    assert_eq!(disk.store.granted(2, LITTLE, 2), 2);
    assert_eq!(disk.put_waiting(10, 31, 4 * MIB, FOREVER), []);
    assert_eq!(disk.store.granted(3, LITTLE, 4), 4);
    let (first, second) = (disk.store.takes(2), disk.store.takes(3));
    disk.store.tells(2, super::grants::put(2, 1, LITTLE, &first));
    disk.store.tells(3, super::grants::put(3, 1, LITTLE, &second));
    assert!(disk.store.is_there(super::grants::own(2, 1)) && disk.store.is_there(super::grants::own(3, 1)));
    assert_eq!(disk.stats().granted_bytes, 4 * LITTLE);
}

#[test]
fn who_passes_and_wants_much_leaves_what_is_kept_as_well() {
    let mut disk = filled();
    assert_eq!(disk.put_waiting(10, 31, 4 * MIB, FOREVER), []);
    assert_eq!(disk.put_waiting(11, 32, 2 * MIB, FOREVER), [], "it leaves one");
    assert_eq!(disk.store.granted(2, MIB, 16), 0, "an eighth of what is free is less");
    assert_eq!(disk.put_waiting(12, 33, MIB, FOREVER), [(1, 12, Reply::Done(1))]);
    assert_eq!(disk.put_waiting(13, 34, 2 * LITTLE, FOREVER), []);
    assert_eq!(disk.put_waiting(14, 35, LITTLE, FOREVER), [(1, 14, Reply::Done(1))]);
}

#[test]
fn grants_for_little_take_of_what_is_kept_and_those_for_much_do_not() {
    let mut disk = filled();
    disk.put(30, MIB);
    assert_eq!(disk.store.granted(2, 2 * LITTLE, 2), 0);
    assert_eq!(disk.store.granted(2, LITTLE, 4), 4);
}

#[test]
fn those_who_pass_take_no_more_than_what_was_kept_and_what_the_first_asks_for() {
    let mut disk = filled();
    assert_eq!(disk.put_waiting(10, 31, 4 * MIB, FOREVER), []);
    // An object of one byte counts as a page, and leaves no more than the 64 bytes that it had.
    let mut passed = 0;
    while let [(_, _, Reply::Done(_))] = &disk.put_waiting(11, 32, 1, 0)[..] {
        assert_eq!(disk.delete(12, 32), [(1, 12, Reply::Done(1))]);
        passed += PAGE - 64;
    }
    assert!((6 * MIB - PAGE..=6 * MIB).contains(&passed), "{passed}");
    assert_eq!(disk.store.granted(3, LITTLE, 4), 0);
}

#[test]
fn what_little_objects_leave_is_there_for_others_like_them() {
    let mut disk = filled();
    assert_eq!(disk.put_waiting(10, 31, 4 * MIB, FOREVER), []);
    for _ in 0..1000 {
        assert_eq!(disk.put_waiting(11, 32, LITTLE, FOREVER), [(1, 11, Reply::Done(1))]);
        assert_eq!(disk.delete(12, 32), [(1, 12, Reply::Done(1))]);
    }
    // The first is served as soon as if there had been none of them.
    (0..3).for_each(|_| assert_eq!(disk.written(WriteOutcome::Written), []));
    assert_eq!(disk.written(WriteOutcome::Written), [(1, 10, Reply::Done(1))]);
}

#[test]
fn what_large_objects_leave_is_not_kept() {
    let mut disk = filled();
    assert_eq!(disk.put_waiting(10, 31, 4 * MIB, FOREVER), []);
    (28..=29).for_each(|id| assert_eq!(disk.delete(11, id), [(1, 11, Reply::Done(1))]));
    assert_eq!(disk.delete(11, 27), [(1, 11, Reply::Done(1)), (1, 10, Reply::Done(1))]);
}

#[test]
fn grants_are_taken_back_for_a_create_that_the_disk_can_not_help() {
    let mut disk = Spilling::new(32 * MIB);
    (1..=7).for_each(|id| disk.put(id, 4 * MIB));
    assert_eq!(disk.store.granted(2, LITTLE, 4), 4);
    assert_eq!(super::spill::pinned(&disk.get(5, &[1, 2, 3, 4, 5, 6, 7], 0)), 7);
    assert_eq!(disk.put_waiting(10, 31, 4 * MIB, FOREVER), []);
    let mut answers = Vec::new();
    while !disk.writes.is_empty() {
        answers.extend(disk.written(WriteOutcome::Written));
    }
    answers.extend(disk.ticks_at(1));
    assert_eq!(answers, [(1, 10, Reply::Done(1))]);
    assert_eq!(disk.stats().granted_bytes, 0);
}

#[test]
fn who_asks_for_room_and_does_not_wait_has_grants_taken_back() {
    let mut disk = filled();
    assert_eq!(disk.store.granted(2, LITTLE, 4), 4);
    assert_eq!(disk.put_waiting(10, 31, 3 * MIB, 0), [(1, 10, Reply::Done(1))]);
    assert_eq!(disk.stats().granted_bytes, 0);
}

#[test]
fn nobody_has_to_ring_while_what_is_being_written_makes_room() {
    let mut disk = filled();
    assert_eq!(disk.put_waiting(10, 31, 4 * MIB, FOREVER), []);
    assert!(!disk.store.pages.is_wanted());
    (0..3).for_each(|_| assert_eq!(disk.written(WriteOutcome::Failed), []));
    assert!(!disk.store.pages.is_wanted());
    assert_eq!(disk.written(WriteOutcome::Failed), []);
    assert!(disk.store.pages.is_wanted(), "a release is all that can help now");
}
