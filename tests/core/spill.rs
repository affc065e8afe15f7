//! Objects on disk.

use plasmad_core::disk::{
    BLOCK_BYTES, Batch, FileNumber, ReadOutcome, Restore, SpillConfig, WriteOutcome, record_bytes,
};
use plasmad_core::effect::Got;
use plasmad_core::event::Wanted;
use plasmad_core::{Config, Effect, Event, Refusal, Reply, Upkeep, Verb, WhenFull};
use plasmad_wire::limits::FOREVER;
use plasmad_wire::value::{GetStatus, ObjectState};
use plasmad_wire::{Change, ChangeKind};

use super::{Fixture, name, replies, wanted};

/// A store with a disk that does what the test says.
pub(super) struct Spilling {
    pub(super) store: Fixture,
    pub(super) writes: Vec<Batch>,
    pub(super) restores: Vec<Restore>,
    pub(super) removed: Vec<u32>,
}

impl Spilling {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        Self::with_room(capacity_bytes, 1 << 30)
    }

    pub(super) fn with_room(capacity_bytes: u64, max_bytes: u64) -> Self {
        let spill = Some(SpillConfig { max_bytes, next_file: FileNumber(7), next_sequence: 100 });
        let (when_full, upkeep) = (WhenFull::Spill, Upkeep::NONE);
        let config = Config { capacity_bytes, slots_max: 100, hash_seed: [1, 2], when_full, upkeep, spill };
        Self { store: Fixture::with(config), writes: vec![], restores: vec![], removed: vec![] }
    }

    pub(super) fn happens(&mut self, event: Event) -> Vec<(u64, u64, Reply)> {
        let effects = self.store.happens(event);
        for effect in &effects {
            match effect {
                Effect::Write(batch) => self.writes.push(batch.clone()),
                Effect::Restore(restore) => self.restores.push(*restore),
                Effect::RemoveFile(file) => self.removed.push(file.0),
                _ => {}
            }
        }
        replies(effects)
    }

    pub(super) fn asks(&mut self, client: u64, number: u64, verb: Verb) -> Vec<(u64, u64, Reply)> {
        let tag = plasmad_core::RequestTag { number, kind: 0, silent: false };
        self.happens(Event::Asked { client: plasmad_core::ClientId(client), tag, verb })
    }

    pub(super) fn ticks_at(&mut self, now: u64) -> Vec<(u64, u64, Reply)> {
        self.store.now = now;
        self.happens(Event::Tick)
    }

    /// Client 1 puts an object that is to be kept.
    pub(super) fn put(&mut self, id: u8, bytes: u64) {
        assert_eq!(self.put_waiting(1, id, bytes, 0), [(1, 1, Reply::Done(1))]);
    }

    pub(super) fn put_waiting(&mut self, number: u64, id: u8, bytes: u64, timeout_ns: u64) -> Vec<(u64, u64, Reply)> {
        let payload = plasmad_core::event::Payload { data: vec![0; bytes as usize], metadata: Vec::new() };
        let object = Wanted { evictable: false, payload: Some(payload), ..wanted(id, bytes) };
        self.asks(1, number, Verb::Create { timeout_ns, objects: vec![object] })
    }

    pub(super) fn delete(&mut self, number: u64, id: u8) -> Vec<(u64, u64, Reply)> {
        self.asks(1, number, Verb::Delete { ids: vec![name(id)] })
    }

    pub(super) fn get(&mut self, number: u64, ids: &[u8], timeout_ns: u64) -> Vec<(u64, u64, Reply)> {
        let ids = ids.iter().map(|id| name(*id)).collect();
        self.asks(2, number, Verb::Get { timeout_ns, partial: false, ids })
    }

    /// The oldest batch is done.
    pub(super) fn written(&mut self, outcome: WriteOutcome) -> Vec<(u64, u64, Reply)> {
        let batch = self.writes.remove(0);
        self.happens(Event::Written { batch: batch.number, outcome })
    }

    /// The oldest restore is done.
    pub(super) fn restored(&mut self, outcome: ReadOutcome) -> Vec<(u64, u64, Reply)> {
        let restore = self.restores.remove(0);
        self.happens(Event::Restored { restore: restore.number, outcome })
    }

    /// All that is asked of the disk is done, until it is asked nothing more; the answers.
    pub(super) fn disk_works(&mut self) -> Vec<(u64, u64, Reply)> {
        let mut heard = Vec::new();
        while !self.writes.is_empty() || !self.restores.is_empty() {
            match self.writes.is_empty() {
                false => heard.extend(self.written(WriteOutcome::Written)),
                true => heard.extend(self.restored(ReadOutcome::Read)),
            }
        }
        heard
    }

    /// Objects that the next batch carries.
    pub(super) fn carried(&self) -> Vec<u8> {
        self.writes.first().map_or_else(Vec::new, ids_in)
    }

    pub(super) fn state(&mut self, id: u8) -> Option<ObjectState> {
        match &self.asks(3, 97, Verb::Stat { id: name(id) })[..] {
            [(_, _, Reply::Described(object))] => Some(object.state),
            [(_, _, Reply::Refused(Refusal::NotFound(_)))] => None,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn stats(&mut self) -> plasmad_core::stats::Snapshot {
        self.store.stats()
    }
}

fn ids_in(batch: &Batch) -> Vec<u8> {
    let objects = batch.records.iter().filter(|(record, _)| !record.tombstone);
    objects.map(|(record, _)| (1..100).find(|id| name(*id) == record.id).expect("a known id")).collect()
}

pub(super) fn pinned(replies: &[(u64, u64, Reply)]) -> usize {
    match replies {
        [(_, _, Reply::Got { objects, timed_out: false })] => {
            objects.iter().filter(|got| matches!(got, Got::Pinned(..))).count()
        }
        other => panic!("nothing pinned: {other:?}"),
    }
}

#[test]
fn objects_go_to_disk_before_memory_is_full_the_least_recently_used_first() {
    let mut disk = Spilling::new(10 * UNIT);
    (1..=8).for_each(|id| disk.put(id, UNIT));
    assert!(disk.carried().is_empty());
    disk.get(5, &[1], 0);
    disk.put(9, UNIT);
    // One tenth is free, three are aimed at.
    assert_eq!(disk.carried(), [2, 3]);
    assert_eq!(disk.state(2), Some(ObjectState::Spilling));
    let batch = disk.writes[0].clone();
    assert_eq!((batch.file, batch.offset, batch.records[0].0.sequence), (FileNumber(7), 0, 100));
    disk.disk_works();
    assert_eq!((disk.state(2), disk.state(3), disk.state(4)), (ON_DISK, ON_DISK, Some(ObjectState::Sealed)));
    let stats = disk.stats();
    assert_eq!((stats.sealed, stats.spilled, stats.used_bytes), (7, 2, 7 * UNIT));
    assert_eq!((stats.totals.spills, stats.totals.spilled_bytes), (2, 2 * UNIT));
    let live = 2 * record_bytes(UNIT, 0);
    assert_eq!((stats.disk_files, stats.disk_live_bytes, stats.disk_dead_bytes), (1, live, 2 * BLOCK_BYTES - live));
}

#[test]
fn an_object_that_is_being_written_can_be_read_and_stays_when_it_is_pinned() {
    let mut disk = Spilling::new(10 * UNIT);
    (1..=9).for_each(|id| disk.put(id, UNIT));
    assert_eq!(disk.carried(), [1, 2]);
    assert_eq!(pinned(&disk.get(5, &[1], 0)), 1);
    disk.disk_works();
    assert_eq!((disk.state(1), disk.state(2)), (Some(ObjectState::Sealed), ON_DISK));
    // It is clean: when it is let go, it goes without a write.
    disk.happens(Event::ClientGone { client: plasmad_core::ClientId(2) });
    let evicted = disk.asks(1, 6, Verb::Evict { bytes: 1 });
    let expected = Reply::Evicted { asked_bytes: 1, freed_bytes: UNIT, dropped: 0, spilled: 1 };
    assert_eq!((evicted, disk.writes.len()), (vec![(1, 6, expected)], 0));
    assert_eq!(disk.state(1), ON_DISK);
}

#[test]
fn an_object_on_disk_is_sealed_for_all_who_ask() {
    let mut disk = Spilling::new(10 * UNIT);
    (1..=9).for_each(|id| disk.put(id, UNIT));
    disk.disk_works();
    assert_eq!(disk.state(1), ON_DISK);
    let ids = vec![name(1), name(77)];
    assert_eq!(disk.asks(1, 5, Verb::Contains { ids: ids.clone() }), [(1, 5, Reply::Present(vec![true, false]))]);
    let waits = Verb::Wait { timeout_ns: FOREVER, count: 1, ids };
    assert_eq!(disk.asks(1, 6, waits), [(1, 6, Reply::Present(vec![true, false]))]);
    let [(_, _, Reply::Described(object))] = &disk.asks(1, 7, Verb::Stat { id: name(1) })[..] else { panic!() };
    assert_eq!(object.extent, None);
    assert_eq!(object.place.map(|place| (place.file, place.offset)), Some((FileNumber(7), 0)));
    let refused = disk.put_waiting(8, 1, 64, 0);
    assert_eq!(refused, [(1, 8, Reply::Refused(Refusal::Exists(name(1))))]);
}

#[test]
fn a_create_that_finds_no_room_waits_until_others_are_on_disk() {
    let mut disk = Spilling::new(16 * UNIT);
    (1..=3).for_each(|id| disk.put(id, 5 * UNIT));
    disk.written(WriteOutcome::Failed);
    let first_retry = disk.store.store.next_deadline().expect("it is tried again");
    // While nothing can be written, it waits.
    assert_eq!(disk.put_waiting(10, 4, 9 * UNIT, FOREVER), []);
    assert!(disk.writes.is_empty());
    assert_eq!(disk.ticks_at(first_retry), []);
    let mut chosen = disk.carried();
    chosen.sort_unstable();
    assert_eq!(chosen, [1, 2]);
    assert_eq!(disk.disk_works(), [(1, 10, Reply::Done(1))]);
    assert_eq!((disk.state(4), disk.state(1)), (Some(ObjectState::Sealed), ON_DISK));
}

#[test]
fn who_passes_a_create_takes_nothing_of_what_is_being_gathered_for_it() {
    let mut disk = Spilling::new(40 * UNIT);
    for (id, units) in [(1, 10), (9, 5), (2, 10), (3, 5)] {
        disk.put(id, units * UNIT);
    }
    disk.delete(5, 9);
    // What 1 and 2 leave, with the hole between them.
    assert_eq!(disk.put_waiting(10, 10, 20 * UNIT, FOREVER), []);
    assert_eq!(disk.carried(), [1, 2]);
    // It would lie in that hole; the next one lies behind it all.
    assert_eq!(disk.put_waiting(11, 11, 4 * UNIT, FOREVER), []);
    assert_eq!(disk.put_waiting(12, 12, 8 * UNIT, FOREVER), [(1, 12, Reply::Done(1))]);
    assert_eq!(disk.written(WriteOutcome::Written), [(1, 10, Reply::Done(1)), (1, 11, Reply::Done(1))]);
}

#[test]
fn a_create_that_can_not_be_served_spills_nothing() {
    let mut disk = Spilling::with_room(16 * UNIT, 0);
    (1..=3).for_each(|id| disk.put(id, 5 * UNIT));
    assert_eq!(disk.put_waiting(10, 4, 9 * UNIT, 100), []);
    assert!(disk.writes.is_empty(), "there is no room on disk");
    let answers = disk.ticks_at(100);
    let [(1, 10, Reply::Refused(Refusal::Full(shortage)))] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((shortage.asked, shortage.free), (9 * UNIT, UNIT));

    let mut disk = Spilling::new(16 * UNIT);
    disk.put(1, 6 * UNIT);
    disk.put(2, 6 * UNIT);
    assert_eq!(pinned(&disk.get(5, &[1, 2], 0)), 2);
    assert_eq!(disk.put_waiting(10, 4, 9 * UNIT, 100), []);
    assert!(disk.writes.is_empty(), "what could leave memory is not enough");
}

#[test]
fn a_get_brings_objects_back_and_pins_none_until_all_are_there() {
    let mut disk = Spilling::new(20 * UNIT);
    (1..=18).for_each(|id| disk.put(id, UNIT));
    disk.disk_works();
    assert_eq!((disk.state(1), disk.state(2)), (ON_DISK, ON_DISK));
    assert_eq!(disk.get(5, &[2, 1, 18], FOREVER), []);
    // Both at once, in the order of the disk.
    assert_eq!(disk.restores.iter().map(|it| it.place.offset).collect::<Vec<_>>(), [0, record_bytes(UNIT, 0)]);
    assert_eq!(disk.state(1), Some(ObjectState::Restoring));
    assert_eq!(disk.restored(ReadOutcome::Read), []);
    assert_eq!(disk.stats().pinned_bytes, 0);
    assert_eq!(pinned(&disk.restored(ReadOutcome::Read)), 3);
    let stats = disk.stats();
    assert_eq!((stats.totals.restores, stats.totals.restored_bytes, stats.spilled), (2, 2 * UNIT, 1));
}

#[test]
fn a_get_that_does_not_wait_brings_objects_back_for_the_next_one() {
    let mut disk = Spilling::new(10 * UNIT);
    (1..=9).for_each(|id| disk.put(id, UNIT));
    disk.disk_works();
    let answer = disk.get(5, &[1], 0);
    let objects = vec![Got::Not(GetStatus::Restoring)];
    assert_eq!(answer, [(2, 5, Reply::Got { timed_out: true, objects })]);
    disk.disk_works();
    assert_eq!(pinned(&disk.get(6, &[1], 0)), 1);
}

#[test]
fn nothing_is_fetched_for_a_get_that_waits_for_what_nobody_makes() {
    let mut disk = Spilling::new(10 * UNIT);
    (1..=9).for_each(|id| disk.put(id, UNIT));
    disk.disk_works();
    assert_eq!(disk.get(5, &[1, 50], FOREVER), []);
    assert!(disk.restores.is_empty());
    disk.put(50, 64);
    assert_eq!(disk.restores.len(), 1);
    assert_eq!(pinned(&disk.disk_works()), 2);
}

#[test]
fn a_restore_goes_before_creates_that_wait() {
    let mut disk = Spilling::new(16 * UNIT);
    disk.put(1, 4 * UNIT);
    assert_eq!(disk.asks(1, 5, Verb::Evict { bytes: 1 }), []);
    let evicted = Reply::Evicted { asked_bytes: 1, freed_bytes: 4 * UNIT, dropped: 0, spilled: 1 };
    assert_eq!(disk.disk_works(), [(1, 5, evicted)]);
    (2..=4).for_each(|id| disk.put(id, 4 * UNIT));
    assert_eq!(pinned(&disk.get(6, &[2, 3, 4], 0)), 3);
    disk.put(5, 4 * UNIT);
    assert_eq!(disk.carried(), [5]);
    // A create waits for what it leaves; a get comes in the meantime.
    assert_eq!(disk.put_waiting(11, 11, 4 * UNIT, FOREVER), []);
    let get = Verb::Get { timeout_ns: FOREVER, partial: false, ids: vec![name(1)] };
    assert_eq!(disk.asks(3, 12, get), []);
    assert_eq!(disk.written(WriteOutcome::Written), []);
    let answers = disk.restored(ReadOutcome::Read);
    let [(3, 12, Reply::Got { objects, .. })] = &answers[..] else { panic!("{answers:?}") };
    let [Got::Pinned(pin, _)] = objects[..] else { panic!("{objects:?}") };
    // It is on disk still, so its memory is there as soon as it is let go.
    assert_eq!(disk.asks(3, 13, Verb::Release { pins: vec![pin] }), [(3, 13, Reply::Done(1)), (1, 11, Reply::Done(1))]);
    assert_eq!(disk.state(1), ON_DISK);
}

#[test]
fn two_gets_that_fit_only_one_by_one_are_both_served() {
    let mut disk = Spilling::new(16 * UNIT);
    (1..=8).for_each(|id| {
        assert!(disk.put_waiting(1, id, 4 * UNIT, FOREVER).len() <= 1);
        disk.disk_works();
    });
    let first = disk.get(10, &[1, 3, 5], FOREVER);
    let ids = [2, 4, 6].map(name).to_vec();
    let second = disk.asks(3, 11, Verb::Get { timeout_ns: FOREVER, partial: false, ids });
    assert_eq!((first, second), (vec![], vec![]));
    // What the first one pins leaves no room for the second, which doesn't wait for that.
    let answers = disk.disk_works();
    assert_eq!(answers.iter().map(|answer| answer.1).collect::<Vec<_>>(), [10, 11]);
    assert_eq!([pinned(&answers[..1]), pinned(&answers[1..])], [3, 0], "the second one on disk");
    assert_eq!(disk.stats().pinned_bytes, 12 * UNIT);
}

#[test]
fn what_could_not_be_written_stays_and_is_tried_again_later_each_time() {
    for outcome in [WriteOutcome::NoRoom, WriteOutcome::Failed] {
        let mut disk = Spilling::new(10 * UNIT);
        (1..=9).for_each(|id| disk.put(id, UNIT));
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(disk.carried(), [1, 2]);
            disk.written(outcome);
            assert!(disk.writes.is_empty() && disk.state(1) == Some(ObjectState::Sealed));
            let next = disk.store.store.next_deadline().expect("it is tried again");
            waits.push((next - disk.store.now) / 1_000_000);
            disk.ticks_at(next);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        // A file in which nothing counts goes.
        assert_eq!(disk.removed, [7, 8, 9, 10, 11, 12, 13, 14]);
        assert_eq!(disk.stats().totals.disk_errors, 8);
        disk.disk_works();
        assert_eq!(disk.state(1), ON_DISK);
    }
}

#[test]
fn what_found_no_room_on_disk_is_tried_again_soon_when_a_file_has_gone() {
    for (outcome, delay_ms) in [(WriteOutcome::NoRoom, 100), (WriteOutcome::Failed, 1600)] {
        let mut disk = Spilling::new(10 * UNIT);
        (1..=9).for_each(|id| disk.put(id, UNIT));
        disk.written(WriteOutcome::Written);
        (11..=12).for_each(|id| disk.put(id, UNIT));
        for _ in 0..4 {
            disk.written(outcome);
            disk.ticks_at(disk.store.store.next_deadline().expect("it is tried again"));
        }
        disk.written(outcome);
        // Both objects in the only file that was written are deleted. Those that only failed batches were in gave nothing.
        assert_eq!(disk.removed, [8, 9, 10, 11]);
        disk.delete(20, 1);
        disk.delete(21, 2);
        assert_eq!(disk.removed, [8, 9, 10, 11, 7], "{outcome:?}");
        let next = disk.store.store.next_deadline().expect("it is tried again");
        assert_eq!((next - disk.store.now) / 1_000_000, delay_ms, "{outcome:?}");
    }
}

#[test]
fn an_object_that_is_lost_is_gone_and_all_who_wait_are_told() {
    let mut disk = Spilling::new(10 * UNIT);
    (1..=9).for_each(|id| disk.put(id, UNIT));
    disk.disk_works();
    let subscribe = Verb::Subscribe { existing: false, queue_max: 9 };
    assert_eq!(disk.asks(3, 20, subscribe), [(3, 20, Reply::Subscribed)]);
    assert_eq!(disk.get(5, &[1, 9], FOREVER), []);
    assert_eq!(disk.restored(ReadOutcome::Lost), [(2, 5, Reply::Refused(Refusal::Lost(name(1))))]);
    assert_eq!(disk.state(1), None);
    let heard = disk.store.store.take_changes(plasmad_core::ClientId(3), 9).expect("it subscribed");
    let gone = Change { kind: ChangeKind::Deleted, id: name(1), data_bytes: UNIT, metadata_bytes: 0 };
    assert_eq!(heard.changes, [gone]);
    let stats = disk.stats();
    assert_eq!((stats.totals.lost, stats.totals.deletes, stats.spilled, stats.used_bytes), (1, 0, 1, 7 * UNIT));
}

#[test]
fn an_object_that_can_not_be_read_just_now_stays_on_disk() {
    let mut disk = Spilling::new(10 * UNIT);
    (1..=9).for_each(|id| disk.put(id, UNIT));
    disk.disk_works();
    assert_eq!(disk.get(5, &[1], FOREVER), []);
    assert_eq!(disk.restored(ReadOutcome::Failed), [(2, 5, Reply::Refused(Refusal::RestoreFailed(name(1))))]);
    assert_eq!(disk.state(1), ON_DISK);
    assert_eq!(disk.get(6, &[1], FOREVER), []);
    assert_eq!(pinned(&disk.disk_works()), 1);
}

#[test]
fn room_is_made_when_somebody_asks_and_told_when_it_is_there() {
    let mut disk = Spilling::new(20 * UNIT);
    (1..=6).for_each(|id| disk.put(id, 2 * UNIT));
    let dropped = Wanted { payload: None, ..wanted(7, 2 * UNIT) };
    let made = disk.asks(1, 2, Verb::Create { timeout_ns: 0, objects: vec![dropped] });
    let handle = super::created(&made);
    assert_eq!(disk.asks(1, 3, Verb::Seal { handles: vec![handle] }), [(1, 3, Reply::Done(1))]);
    // The one that may be dropped goes at once, two others when they are on disk.
    assert_eq!(disk.asks(1, 4, Verb::Evict { bytes: 5 * UNIT }), []);
    assert_eq!((disk.state(7), disk.carried()), (None, vec![1, 2]));
    let expected = Reply::Evicted { asked_bytes: 5 * UNIT, freed_bytes: 6 * UNIT, dropped: 1, spilled: 2 };
    assert_eq!(disk.disk_works(), [(1, 4, expected)]);
    // Who takes it back is told what came of it so far.
    assert_eq!(disk.asks(1, 5, Verb::Evict { bytes: UNIT }), []);
    let expected = Reply::Evicted { asked_bytes: UNIT, freed_bytes: 0, dropped: 0, spilled: 0 };
    let client = plasmad_core::ClientId(1);
    assert_eq!(disk.happens(Event::Cancelled { client, number: 5 }), [(1, 5, expected)]);
    assert_eq!(disk.disk_works(), []);
}

#[test]
fn a_get_whose_objects_leave_each_other_no_piece_that_is_large_enough_has_them_gathered_anew() {
    let mut disk = Spilling::new(16 * UNIT);
    for id in 2..=3 {
        disk.put(id, 6 * UNIT);
        assert_eq!(disk.asks(1, 2, Verb::Evict { bytes: UNIT }), []);
        disk.disk_works();
    }
    // All of memory is taken, in this order; a get waits for the last of them.
    let unsealed = |id, units| Wanted { evictable: false, ..wanted(id, units * UNIT) };
    let objects = vec![unsealed(4, 5), unsealed(5, 10), unsealed(6, 1), unsealed(1, 0)];
    let answers = disk.asks(1, 3, Verb::Create { timeout_ns: 0, objects });
    let [(_, _, Reply::Created(made))] = &answers[..] else { panic!("{answers:?}") };
    let handles = made.iter().map(|(handle, _)| *handle).collect();
    assert_eq!(disk.get(10, &[1, 2, 3, 6], FOREVER), []);
    assert_eq!(disk.asks(1, 12, Verb::Seal { handles }), [(1, 12, Reply::Done(4))]);
    // 2 comes to where 5 was, and 3 fits neither behind it nor where 4 was. 1 is empty: it is on no disk, and stays.
    assert_eq!(pinned(&disk.disk_works()), 4);
}

#[test]
fn what_nobody_uses_any_more_goes_to_disk_for_those_who_read() {
    let mut disk = Spilling::new(40 * UNIT);
    (20..=27).for_each(|id| disk.put(id, 2 * UNIT));
    disk.asks(1, 5, Verb::Evict { bytes: u64::MAX });
    disk.disk_works();
    (1..=13).for_each(|id| disk.put(id, 2 * UNIT));
    let read = |disk: &mut Spilling, id: u8| {
        let mut answers = disk.get(6, &[id], FOREVER);
        while !disk.restores.is_empty() {
            answers.extend(disk.restored(ReadOutcome::Read));
        }
        let [(_, _, Reply::Got { objects, .. })] = &answers[..] else { panic!("{answers:?}") };
        let [Got::Pinned(pin, _)] = objects[..] else { panic!("{objects:?}") };
        disk.asks(2, 7, Verb::Release { pins: vec![pin] });
    };
    // Seven of the eight have room beside those that were never on disk. No two are read one behind the other.
    for id in [20, 22, 24, 26, 21, 23, 25] {
        read(&mut disk, id);
    }
    // From here on 1 is used as well, the others are not.
    for id in [27, 20, 22, 1] {
        read(&mut disk, id);
    }
    assert!(disk.writes.is_empty(), "what goes so far was used before that");
    for id in [24, 26, 21, 23, 25, 27, 20, 1] {
        read(&mut disk, id);
    }
    let mut written = disk.carried();
    written.sort_unstable();
    assert_eq!(written, (2..=13).collect::<Vec<_>>());
    disk.disk_works();
    for id in 20..=27 {
        read(&mut disk, id);
    }
    let before = disk.stats().totals.restores;
    for id in (20..=27).chain([1]) {
        read(&mut disk, id);
    }
    assert_eq!(disk.stats().totals.restores, before, "all of them stay now");
}

#[test]
fn of_many_objects_that_find_no_room_at_once_some_are_looked_at_and_the_others_soon() {
    let mut disk = Spilling::with_room(16 * UNIT, 92 * 4096);
    for id in 1..=40 {
        disk.put(id, 3 * UNIT);
        assert_eq!(disk.asks(1, 2, Verb::Evict { bytes: UNIT }), []);
        disk.disk_works();
    }
    // Memory is full of what the disk has no room for.
    (51..=55).for_each(|id| disk.put(id, 3 * UNIT));
    let ids: Vec<u8> = (1..=40).collect();
    let objects = vec![Got::Not(GetStatus::Restoring); 40];
    assert_eq!(disk.get(30, &ids, 0), [(2, 30, Reply::Got { timed_out: true, objects })]);
    assert!(disk.restores.is_empty() && disk.writes.is_empty());
    assert!(disk.store.store.wants_tick(), "eight at a time, four times, are 32");
    assert_eq!(disk.ticks_at(1), []);
    assert!(!disk.store.store.wants_tick() && disk.restores.is_empty());
    // Whoever asks when there is room is heard.
    (51..=55).for_each(|id| _ = disk.delete(5, id));
    disk.get(31, &[40], 0);
    disk.disk_works();
    assert_eq!(pinned(&disk.get(32, &[40], 0)), 1);
}

/// A tenth of most arenas here.
pub(super) const UNIT: u64 = 2048;
pub(super) const ON_DISK: Option<ObjectState> = Some(ObjectState::Spilled);
