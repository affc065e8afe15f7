//! Objects on disk: what becomes of their records.

use plasmad_core::disk::{
    BLOCK_BYTES, Batch, DiskPlace, DiskRecord, FileNumber, ReadOutcome, Source, WriteOutcome, record_bytes,
};
use plasmad_core::{Event, Refusal, Reply};
use plasmad_wire::Format;
use plasmad_wire::limits::FOREVER;
use plasmad_wire::value::ObjectState;

use super::name;
use super::spill::{ON_DISK, Spilling, UNIT, pinned};

#[test]
fn a_delete_is_answered_when_the_object_can_not_come_back() {
    let mut disk = Spilling::new(10 * UNIT);
    (1..=9).for_each(|id| disk.put(id, UNIT));
    disk.disk_works();
    assert_eq!(disk.delete(5, 1), []);
    assert_eq!(disk.state(1), None, "it is gone at once");
    let [batch] = &disk.writes[..] else { panic!("{:?}", disk.writes) };
    let [(record, Source::Nothing)] = &batch.records[..] else { panic!("{batch:?}") };
    assert!(record.tombstone && record.id == name(1) && record.sequence == 102, "{record:?}");
    assert_eq!(disk.written(WriteOutcome::Written), [(1, 5, Reply::Done(1))]);
    // What is left of the file is worth one block of three.
    assert_eq!(disk.carried(), [2]);
    assert_eq!((disk.disk_works(), disk.removed.clone()), (vec![], vec![7]));
    // With the last record in its file the file goes, and nothing needs a tombstone.
    assert_eq!(disk.delete(6, 2), [(1, 6, Reply::Done(1))]);
    assert_eq!((disk.removed.clone(), disk.writes.len()), (vec![7, 8], 0));
    let stats = disk.stats();
    assert_eq!((stats.disk_files, stats.disk_live_bytes, stats.disk_dead_bytes), (0, 0, 0));
}

#[test]
fn a_delete_does_not_wait_for_a_disk_that_can_not_be_written() {
    let mut disk = Spilling::new(10 * UNIT);
    (1..=9).for_each(|id| disk.put(id, UNIT));
    disk.disk_works();
    assert_eq!(disk.delete(5, 1), []);
    assert_eq!(disk.written(WriteOutcome::NoRoom), [(1, 5, Reply::Done(1))]);
    let next = disk.store.store.next_deadline().expect("it is tried again");
    disk.ticks_at(next);
    assert!(disk.writes[0].records.iter().any(|(record, _)| record.tombstone && record.id == name(1)));
}

#[test]
fn what_is_deleted_while_it_is_written_is_dead_and_keeps_its_memory_until_then() {
    let mut disk = Spilling::new(10 * UNIT);
    (1..=9).for_each(|id| disk.put(id, UNIT));
    assert_eq!(disk.carried(), [1, 2]);
    assert_eq!(disk.delete(5, 1), []);
    assert_eq!(disk.stats().used_bytes, 9 * UNIT);
    disk.written(WriteOutcome::Written);
    assert_eq!(disk.stats().disk_live_bytes, record_bytes(UNIT, 0));
    disk.happens(Event::Tick);
    assert_eq!(disk.stats().used_bytes, 7 * UNIT);
    assert_eq!(disk.disk_works(), [(1, 5, Reply::Done(1))]);
}

#[test]
fn what_is_deleted_while_it_is_read_keeps_its_memory_until_then() {
    let mut disk = Spilling::new(10 * UNIT);
    (1..=9).for_each(|id| disk.put(id, UNIT));
    disk.disk_works();
    assert_eq!(disk.get(5, &[1], 100), []);
    disk.delete(6, 1);
    disk.delete(6, 2);
    assert_eq!(disk.stats().used_bytes, 8 * UNIT);
    assert!(disk.removed.is_empty(), "somebody reads there");
    assert_eq!(disk.restored(ReadOutcome::Read), []);
    assert_eq!((disk.stats().used_bytes, disk.removed.len()), (7 * UNIT, 0));
    assert_eq!(disk.disk_works(), [(1, 6, Reply::Done(1)), (1, 6, Reply::Done(1))]);
    assert_eq!(disk.removed, [7]);
}

#[test]
fn a_file_that_is_mostly_dead_is_rewritten() {
    let mut disk = Spilling::new(40 * UNIT);
    (1..=33).for_each(|id| disk.put(id, UNIT));
    disk.disk_works();
    let batch_objects: Vec<u8> = (1..=33).filter(|id| disk.state(*id) == ON_DISK).collect();
    assert_eq!(batch_objects, [1, 2, 3, 4, 5]);
    // Five records take two blocks; with one left, one would do, which is not less than half.
    for id in 2..=5 {
        disk.delete(5, id);
        disk.disk_works();
    }
    assert!(disk.removed.is_empty() || disk.stats().disk_files > 0);
    let stats = disk.stats();
    assert!(stats.disk_dead_bytes <= 3 * BLOCK_BYTES, "{stats:?}");
    // What was moved comes back as it was.
    assert_eq!(disk.get(6, &[1], FOREVER), []);
    assert_eq!(pinned(&disk.disk_works()), 1);
}

/// A store that rewrites a file with records of 1, which is only on disk, and 2, which is in memory too.
fn rewriting() -> Spilling {
    let mut disk = Spilling::new(40 * UNIT);
    (1..=33).for_each(|id| disk.put(id, UNIT));
    disk.disk_works();
    assert_eq!(disk.get(5, &[2], FOREVER), []);
    assert_eq!(pinned(&disk.disk_works()), 1);
    disk.delete(6, 3);
    disk.disk_works();
    disk.delete(6, 4);
    while !disk.writes.iter().any(moves) {
        disk.written(WriteOutcome::Written);
    }
    disk
}

fn moves(batch: &Batch) -> bool {
    batch.records.iter().any(|(_, source)| matches!(source, Source::Disk(_)))
}

#[test]
fn an_object_whose_record_can_not_be_moved_is_lost_unless_it_is_in_memory() {
    for (lost, state) in [(1, None), (2, Some(ObjectState::Sealed))] {
        let mut disk = rewriting();
        let at = disk.writes.iter().position(moves).expect("a file is rewritten");
        let batch = disk.writes.remove(at);
        let record = batch.records.iter().position(|(record, _)| record.id == name(lost)).expect("it moves") as u32;
        disk.happens(Event::Written { batch: batch.number, outcome: WriteOutcome::SourceLost { record } });
        disk.disk_works();
        assert_eq!(disk.state(lost), state);
        let stats = disk.stats();
        assert_eq!((stats.totals.lost, stats.totals.disk_errors), (u64::from(state.is_none()), 1));
        // The other one moved later, and the file went.
        assert!(disk.removed.contains(&7), "{:?}", disk.removed);
        assert!(disk.state(3 - lost).is_some() && disk.state(5) == ON_DISK);
    }
}

#[test]
fn a_file_that_could_not_be_rewritten_stays_until_something_in_it_dies() {
    let mut disk = rewriting();
    let at = disk.writes.iter().position(moves).expect("a file is rewritten");
    let batch = disk.writes.remove(at);
    disk.happens(Event::Written { batch: batch.number, outcome: WriteOutcome::Failed });
    let next = disk.store.store.next_deadline().expect("it is tried again");
    disk.ticks_at(next);
    disk.disk_works();
    assert!(!disk.removed.contains(&7));
    assert_eq!(disk.state(1), ON_DISK);
    disk.delete(7, 1);
    disk.disk_works();
    assert!(disk.removed.contains(&7), "{:?}", disk.removed);
}

#[test]
fn all_that_is_written_counts_against_the_most_there_may_be() {
    let mut disk = Spilling::with_room(10 * UNIT, 3 * BLOCK_BYTES);
    for id in 1..=30 {
        let answers = disk.put_waiting(1, id, UNIT, 0);
        if matches!(answers[..], [(_, _, Reply::Refused(Refusal::Full(_)))]) {
            break;
        }
    }
    while !disk.writes.is_empty() {
        let stats = disk.stats();
        assert!(stats.disk_live_bytes + stats.disk_dead_bytes + stats.disk_queue_bytes <= 3 * BLOCK_BYTES, "{stats:?}");
        disk.written(WriteOutcome::Written);
    }
}

#[test]
fn a_former_stores_records_are_objects_again_the_latest_of_each_id() {
    let mut disk = Spilling::new(10 * UNIT);
    let record = |sequence, id, tombstone| DiskRecord {
        sequence,
        id: name(id),
        tombstone,
        data_bytes: if tombstone { 0 } else { UNIT },
        metadata_bytes: 0,
        format: Format::Raw,
        evictable: false,
        created_at: 1,
        sealed_at: 2,
    };
    let place = |file, number| {
        let bytes = record_bytes(UNIT, 0);
        DiskPlace { file: FileNumber(file), offset: number * bytes, bytes }
    };
    let records = vec![
        (record(1, 1, false), place(1, 0)),
        (record(5, 2, true), place(2, 0)),
        (record(2, 2, false), place(1, 1)),
        (record(9, 3, false), place(2, 1)),
        (record(3, 3, false), place(1, 2)),
        (record(4, 4, false), place(3, 0)),
        (record(6, 4, true), place(2, 2)),
    ];
    assert_eq!(disk.happens(Event::Adopted(records)), []);
    let states: Vec<bool> = (1..=4).map(|id| disk.state(id) == ON_DISK).collect();
    assert_eq!(states, [true, false, true, false]);
    assert_eq!(disk.removed, [3], "nothing in it counts");
    // Each tombstone stays: in file 1 are records older than it.
    assert_eq!(disk.stats().disk_live_bytes, 4 * record_bytes(UNIT, 0));
    assert_eq!(disk.get(5, &[1, 3], FOREVER), []);
    assert_eq!(pinned(&disk.disk_works()), 2);
    // With what was in file 1, the tombstones are dead too.
    disk.delete(6, 1);
    disk.disk_works();
    assert_eq!(disk.removed, [3, 1]);
}
