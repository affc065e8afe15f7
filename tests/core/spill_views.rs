//! Objects that are pinned where they lie on disk.

use plasmad_core::disk::{FileNumber, ReadOutcome, WriteOutcome};
use plasmad_core::effect::{Description, Got};
use plasmad_core::event::Wanted;
use plasmad_core::stats::Snapshot;
use plasmad_core::{ClientId, Event, Refusal, Reply, Verb};
use plasmad_wire::limits::FOREVER;
use plasmad_wire::value::GetStatus;
use plasmad_wire::{Location, Pin};

use super::spill::{ON_DISK, Spilling, UNIT, pinned};
use super::{name, wanted};

/// A store of 8 units. Of 1 and 3 units are the objects 1 and 2, on disk in file 7; of 2 units each are 4, on disk too, and
/// 3, 5 and 6, which client 3 has pinned.
fn pinned_full() -> (Spilling, Vec<Pin>) {
    let mut disk = Spilling::new(8 * UNIT);
    disk.put(1, UNIT);
    disk.put(2, 3 * UNIT);
    assert_eq!(disk.asks(1, 2, Verb::Evict { bytes: 4 * UNIT }), []);
    assert_eq!(disk.disk_works().len(), 1);
    (3..=6).for_each(|id| disk.put(id, 2 * UNIT));
    disk.disk_works();
    let ids = (3..=6).filter(|id| *id != 4).map(name).collect();
    let answers = disk.asks(3, 3, Verb::Get { timeout_ns: FOREVER, partial: false, ids });
    let answers = if answers.is_empty() { disk.disk_works() } else { answers };
    let [(_, _, Reply::Got { objects, .. })] = &answers[..] else { panic!("{answers:?}") };
    let pins = objects.iter().map(pin_of).collect();
    assert_eq!([1, 2, 4].map(|id| disk.state(id)), [ON_DISK; 3]);
    (disk, pins)
}

fn pin_of(got: &Got) -> Pin {
    match got {
        Got::Pinned(pin, _) | Got::OnDisk(pin, ..) => *pin,
        Got::Not(status) => panic!("not pinned: {status:?}"),
    }
}

/// The objects of the only answer there is: `m` for memory, `d` for disk.
fn places(answers: &[(u64, u64, Reply)]) -> (String, Vec<Pin>) {
    let [(_, _, Reply::Got { objects, timed_out: false })] = answers else { panic!("{answers:?}") };
    let places = objects.iter().map(|got| if matches!(got, Got::OnDisk(..)) { 'd' } else { 'm' });
    (places.collect(), objects.iter().map(pin_of).collect())
}

fn described(disk: &mut Spilling, id: u8) -> Description {
    match disk.asks(3, 97, Verb::Stat { id: name(id) }).pop() {
        Some((_, _, Reply::Described(object))) => object,
        other => panic!("{other:?}"),
    }
}

fn release(disk: &mut Spilling, client: u64, pins: &[Pin]) {
    let done = disk.asks(client, 50, Verb::Release { pins: pins.to_vec() });
    assert_eq!(done.first(), Some(&(client, 50, Reply::Done(pins.len() as u32))));
    let now = disk.store.now;
    disk.ticks_at(now);
}

#[test]
fn a_get_for_which_pins_leave_no_room_is_answered_from_disk() {
    let (mut disk, _) = pinned_full();
    assert_eq!(disk.get(10, &[1, 2], FOREVER), []);
    // Both are looked at first, and memory is asked nothing for them.
    assert_eq!(disk.restores.iter().map(|it| it.into).collect::<Vec<_>>(), [None, None]);
    let before = disk.stats();
    assert_eq!(disk.restored(ReadOutcome::Read), []);
    let answers = disk.restored(ReadOutcome::Read);
    let [(2, 10, Reply::Got { objects, timed_out: false })] = &answers[..] else { panic!("{answers:?}") };
    for (got, (id, units)) in objects.iter().zip([(1, 1), (2, 3)]) {
        let Got::OnDisk(_, place, location) = got else { panic!("{got:?}") };
        let object = described(&mut disk, id);
        assert_eq!((object.state, object.extent, object.place), (ON_DISK.expect("a state"), None, Some(*place)));
        let holders: Vec<_> = object.holders.iter().map(|it| (it.client, it.pins, it.bytes)).collect();
        assert_eq!(holders, [(ClientId(2), 1, 0)]);
        let expected = Location {
            segment: 0,
            format: object.format,
            metadata_bytes: object.metadata_bytes,
            offset: place.offset + 128,
            data_bytes: units * UNIT,
        };
        assert_eq!(*location, expected);
    }
    let stats = disk.stats();
    let in_memory = |it: &Snapshot| (it.used_bytes, it.spilled, it.totals.restores);
    assert_eq!(in_memory(&stats), in_memory(&before));
    // What was looked at for one is there for all, also for who doesn't wait.
    assert_eq!(places(&disk.asks(1, 11, get(&[1], 0))).0, "d");
    assert!(disk.restores.is_empty());
}

#[test]
fn some_of_a_gets_objects_may_be_in_memory_and_some_on_disk() {
    let (mut disk, _) = pinned_full();
    assert_eq!(disk.get(10, &[2, 3, 2], FOREVER), []);
    let (places, pins) = places(&disk.disk_works());
    assert_eq!((&places[..], pins.len()), ("dmd", 3));
    assert_eq!(described(&mut disk, 2).holders[0].pins, 2);
}

#[test]
fn a_get_whose_objects_fit_beside_what_is_pinned_comes_into_memory() {
    let (mut disk, _) = pinned_full();
    assert_eq!(disk.get(10, &[1], FOREVER), []);
    assert_eq!(places(&disk.disk_works()).0, "m");
}

#[test]
fn what_nobody_reads_on_disk_any_more_comes_into_memory_when_there_is_room() {
    let (mut disk, of_others) = pinned_full();
    disk.get(10, &[1, 2], FOREVER);
    let (_, pins) = places(&disk.disk_works());
    release(&mut disk, 3, &of_others);
    assert_eq!(places(&disk.asks(1, 11, get(&[1], FOREVER))).0, "d", "as long as it is viewed");
    release(&mut disk, 2, &pins);
    assert_eq!(described(&mut disk, 2).holders, []);
    assert_eq!(disk.get(12, &[2], FOREVER), []);
    assert_eq!(places(&disk.disk_works()).0, "m");
    disk.happens(Event::ClientGone { client: ClientId(1) });
    assert_eq!(disk.get(13, &[1], FOREVER), []);
    assert_eq!(places(&disk.disk_works()).0, "m");
}

#[test]
fn a_files_name_is_told_to_those_alone_who_have_pinned_something_there() {
    let (mut disk, of_others) = pinned_full();
    disk.get(10, &[1, 2], FOREVER);
    let (_, pins) = places(&disk.disk_works());
    let view = |disk: &mut Spilling, client, pin| disk.asks(client, 20, Verb::View { pin });
    let location = Location { offset: 128, data_bytes: UNIT, ..NOWHERE };
    let expected = Reply::Viewed { file: FileNumber(7), location };
    assert_eq!(view(&mut disk, 2, pins[0]), [(2, 20, expected)]);
    let refused = |client, pin: Pin| [(client, 20, Reply::Refused(Refusal::NotHeld(pin.handle)))];
    assert_eq!(view(&mut disk, 3, pins[0]), refused(3, pins[0]), "it is another client's");
    assert_eq!(view(&mut disk, 3, of_others[0]), refused(3, of_others[0]), "that one is in memory");
    let elsewhere = Pin { word: pins[1].word, ..pins[0] };
    assert_eq!(view(&mut disk, 2, elsewhere), refused(2, elsewhere));
    release(&mut disk, 2, &pins);
    assert_eq!(view(&mut disk, 2, pins[0]), refused(2, pins[0]));
}

#[test]
fn what_is_deleted_while_it_is_viewed_stays_where_it_is_until_the_last_release() {
    let (mut disk, _) = pinned_full();
    disk.get(10, &[1, 2], FOREVER);
    let (_, pins) = places(&disk.disk_works());
    let bytes_before = disk_bytes(&mut disk);
    for id in [1, 2] {
        assert_eq!(disk.delete(20, id), [], "it is answered when it can't come back");
        assert_eq!(disk.state(id), None);
    }
    assert_eq!(disk.disk_works().len(), 2);
    assert_eq!((disk.stats().doomed, disk.removed.contains(&7)), (2, false));
    assert!(disk_bytes(&mut disk) >= bytes_before, "its room isn't anybody else's");
    let view = disk.asks(2, 21, Verb::View { pin: pins[0] });
    assert!(matches!(view[..], [(2, 21, Reply::Viewed { file: FileNumber(7), .. })]), "{view:?}");
    // Another object may have its id meanwhile.
    disk.asks(1, 22, Verb::Delete { ids: vec![name(4)] });
    disk.disk_works();
    disk.put(1, UNIT);
    release(&mut disk, 2, &pins[..1]);
    assert!(!disk.removed.contains(&7));
    release(&mut disk, 2, &pins[1..]);
    disk.disk_works();
    assert_eq!((disk.stats().doomed, disk.removed.contains(&7)), (0, true));
    assert!(disk.state(1).is_some());
}

#[test]
fn a_file_is_not_rewritten_while_all_that_is_left_in_it_is_viewed() {
    let (mut disk, _) = pinned_full();
    disk.get(10, &[1, 2], FOREVER);
    let (_, pins) = places(&disk.disk_works());
    let before = described(&mut disk, 1).place;
    // With 2, more than half of the file is dead.
    disk.delete(20, 2);
    release(&mut disk, 2, &pins[1..]);
    disk.disk_works();
    assert_eq!((described(&mut disk, 1).place, disk.removed.contains(&7)), (before, false));
    release(&mut disk, 2, &pins[..1]);
    disk.disk_works();
    assert_ne!(described(&mut disk, 1).place, before, "then it is");
    assert!(disk.removed.contains(&7));
}

#[test]
fn what_is_moved_while_it_is_looked_at_is_viewed_where_it_was() {
    let (mut disk, _) = pinned_full();
    disk.get(10, &[1, 2], FOREVER);
    disk.delete(20, 2);
    while !disk.carried().contains(&1) {
        disk.written(WriteOutcome::Written);
    }
    let before = described(&mut disk, 1).place;
    assert_eq!(disk.get(11, &[1, 4], FOREVER), []);
    disk.written(WriteOutcome::Written);
    let after = described(&mut disk, 1).place;
    assert_ne!(after, before);
    let answers = disk.disk_works();
    let answers: Vec<_> = answers.into_iter().filter(|answer| answer.1 == 11).collect();
    let [(_, _, Reply::Got { objects, .. })] = &answers[..] else { panic!("{answers:?}") };
    let Got::OnDisk(_, place, _) = objects[0] else { panic!("{objects:?}") };
    assert_eq!((Some(place), disk.removed.contains(&7)), (before, false));
    release(&mut disk, 2, &objects.iter().map(pin_of).collect::<Vec<_>>());
    assert!(disk.removed.contains(&7));
    assert_eq!(described(&mut disk, 1).place, after);
}

#[test]
fn a_client_that_dies_views_nothing_any_more() {
    let (mut disk, _) = pinned_full();
    disk.asks(3, 10, get(&[1, 2], FOREVER));
    disk.disk_works();
    for id in [1, 2] {
        disk.delete(20, id);
    }
    disk.disk_works();
    assert!(!disk.removed.contains(&7));
    disk.happens(Event::ClientGone { client: ClientId(3) });
    assert_eq!((disk.stats().doomed, disk.removed.contains(&7)), (0, true));
}

#[test]
fn children_of_a_fork_inherit_views() {
    let (mut disk, _) = pinned_full();
    disk.get(10, &[1, 2], FOREVER);
    disk.disk_works();
    let lease = ClientId(1000);
    let leased = disk.asks(2, 11, Verb::Lease { lease });
    assert_eq!(leased, [(2, 11, Reply::Leased { lease, objects: 2 })]);
    disk.happens(Event::ClientGone { client: ClientId(2) });
    let holders = described(&mut disk, 1).holders;
    assert_eq!(holders.iter().map(|it| it.client).collect::<Vec<_>>(), [lease]);
    disk.happens(Event::ClientGone { client: lease });
    assert_eq!(described(&mut disk, 1).holders, []);
}

#[test]
fn what_is_not_what_was_written_is_lost_and_what_can_not_be_read_is_told() {
    let (mut disk, _) = pinned_full();
    assert_eq!(disk.get(10, &[1, 2], FOREVER), []);
    let lost = disk.restored(ReadOutcome::Lost);
    assert_eq!(lost, [(2, 10, Reply::Refused(Refusal::Lost(name(1))))]);
    assert_eq!((disk.state(1), disk.state(2)), (None, ON_DISK));
    assert_eq!((disk.disk_works(), disk.stats().totals.lost), (vec![], 1));
    assert_eq!(disk.get(11, &[2, 3, 4], FOREVER), []);
    let failed = disk.restored(ReadOutcome::Failed);
    assert_eq!(failed, [(2, 11, Reply::Refused(Refusal::RestoreFailed(name(2))))]);
    assert_eq!((disk.state(2), disk.stats().totals.disk_errors), (ON_DISK, 2));
}

#[test]
fn what_turns_out_to_be_lost_is_gone_also_when_nobody_wants_it_any_more() {
    let (mut disk, _) = pinned_full();
    assert_eq!(disk.get(10, &[1, 2], 1000), []);
    assert_eq!(disk.ticks_at(1000).len(), 1);
    assert_eq!((disk.restored(ReadOutcome::Lost), disk.restored(ReadOutcome::Failed)), (vec![], vec![]));
    assert_eq!((disk.state(1), disk.state(2), disk.stats().totals.lost), (None, ON_DISK, 1));
}

#[test]
fn gets_that_are_in_each_others_way_wait_for_each_other_and_not_for_ever() {
    // Nothing can be written any more: 2 and 3 take all of memory but for 4 units.
    let mut disk = Spilling::with_room(16 * UNIT, 20 * UNIT);
    disk.put(1, 8 * UNIT);
    assert_eq!(disk.asks(1, 5, Verb::Evict { bytes: 1 }), []);
    assert_eq!(disk.disk_works().len(), 1);
    disk.put(2, 6 * UNIT);
    disk.put(3, 6 * UNIT);
    disk.disk_works();
    assert_eq!([1, 2, 3].map(|id| disk.state(id) == ON_DISK), [true, false, false]);
    // Both are let in, and for neither there is a way to room; one alone finds that out for all.
    for (number, client) in [(10, 2), (11, 3)] {
        assert_eq!(disk.asks(client, number, get(&[1], FOREVER)), []);
    }
    assert_eq!(disk.restores.len(), 1);
    let answers = disk.disk_works();
    let answered: Vec<_> = answers.iter().map(|answer| (answer.1, places(std::slice::from_ref(answer)).0)).collect();
    assert_eq!(answered, [(10, "d".to_owned()), (11, "d".to_owned())]);
}

#[test]
fn who_does_not_wait_gets_from_disk_only_what_is_viewed_there() {
    let (mut disk, _) = pinned_full();
    let restoring = |count| vec![Got::Not(GetStatus::Restoring); count];
    assert_eq!(disk.get(10, &[1, 2], 0), [(2, 10, Reply::Got { timed_out: true, objects: restoring(2) })]);
    disk.disk_works();
    disk.happens(Event::ClientGone { client: ClientId(1) });
    let (mut disk, _) = pinned_full();
    assert_eq!(disk.get(11, &[1, 2], 1000), []);
    assert_eq!(disk.restored(ReadOutcome::Read), []);
    // The first is there, and kept for the get until its time is up.
    let partial = Verb::Get { timeout_ns: 0, partial: true, ids: vec![name(1), name(2)] };
    let answers = disk.asks(3, 12, partial);
    let [(3, 12, Reply::Got { objects, timed_out: true })] = &answers[..] else { panic!("{answers:?}") };
    assert!(matches!(objects[..], [Got::OnDisk(..), Got::Not(GetStatus::Restoring)]), "{objects:?}");
    let objects = vec![Got::Not(GetStatus::Present), Got::Not(GetStatus::Restoring)];
    assert_eq!(disk.ticks_at(1000), [(2, 11, Reply::Got { timed_out: true, objects })]);
    // The look at the second ends, and with it what nobody waits for.
    assert_eq!(disk.disk_works(), []);
    disk.happens(Event::ClientGone { client: ClientId(3) });
    for id in [1, 2] {
        disk.delete(20, id);
    }
    disk.disk_works();
    assert!(disk.removed.contains(&7), "nobody reads there");
}

#[test]
fn a_get_is_answered_from_disk_when_nothing_can_be_written_to_make_room() {
    let mut disk = Spilling::new(16 * UNIT);
    disk.put(1, 4 * UNIT);
    assert_eq!(disk.asks(1, 5, Verb::Evict { bytes: 1 }), []);
    assert_eq!(disk.disk_works().len(), 1);
    (2..=4).for_each(|id| disk.put(id, 4 * UNIT));
    disk.put(5, 3 * UNIT);
    disk.written(WriteOutcome::NoRoom);
    assert_eq!(disk.get(6, &[1], FOREVER), []);
    assert_eq!(places(&disk.disk_works()).0, "d");
    // What collides with what is held for another get alone waits for that one.
    assert_eq!(disk.stats().gets_waiting, 0);
}

#[test]
fn a_get_of_more_than_memory_holds_is_answered_from_disk_and_keeps_nothing_from_creates() {
    let mut disk = Spilling::new(16 * UNIT);
    (1..=5).for_each(|id| {
        assert!(disk.put_waiting(1, id, 4 * UNIT, FOREVER).len() <= 1);
        disk.disk_works();
    });
    assert_eq!(disk.get(10, &[1, 2, 3, 4, 5], FOREVER), []);
    assert_eq!(disk.put_waiting(11, 11, 12 * UNIT, FOREVER), []);
    let answers = disk.disk_works();
    let mut numbers: Vec<u64> = answers.iter().map(|answer| answer.1).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [10, 11]);
    assert!(answers.iter().all(|answer| answer.1 == 11 || pinned(std::slice::from_ref(answer)) < 5));
}

#[test]
fn what_is_viewed_counts_against_the_most_there_may_be() {
    let (mut disk, _) = pinned_full();
    disk.get(10, &[1, 2], FOREVER);
    let (_, pins) = places(&disk.disk_works());
    for id in [1, 2] {
        disk.delete(20, id);
    }
    disk.disk_works();
    let viewed = disk_bytes(&mut disk);
    release(&mut disk, 2, &pins);
    assert!(disk_bytes(&mut disk) + 2 * (2 * UNIT) <= viewed, "it was all there until then");
}

#[test]
fn a_client_whose_page_is_full_is_refused_and_nothing_stays_viewed_for_it() {
    let (mut disk, _) = pinned_full();
    let ids = vec![name(3); 15];
    assert_eq!(disk.asks(2, 9, Verb::Get { timeout_ns: 0, partial: false, ids }).len(), 1);
    assert_eq!(disk.get(10, &[1, 2], FOREVER), []);
    let limit = Reply::Refused(Refusal::Limit { what: "pins of one client", limit: 15 });
    assert_eq!(disk.disk_works(), [(2, 10, limit)]);
    let now = disk.store.now;
    disk.ticks_at(now);
    for id in [1, 2] {
        disk.delete(20, id);
    }
    disk.disk_works();
    assert_eq!((disk.stats().doomed, disk.removed.contains(&7)), (0, true));
}

#[test]
fn what_is_being_written_leaves_as_little_room_as_what_is_pinned() {
    let mut disk = Spilling::new(16 * UNIT);
    disk.put(1, 6 * UNIT);
    assert_eq!(disk.asks(1, 2, Verb::Evict { bytes: UNIT }), []);
    disk.disk_works();
    let object = Wanted { evictable: false, ..wanted(3, 11 * UNIT) };
    super::created(&disk.asks(1, 3, Verb::Create { timeout_ns: 0, objects: vec![object] }));
    assert_eq!(disk.get(10, &[1], FOREVER), []);
    assert_eq!(places(&disk.disk_works()).0, "d");
}

fn get(ids: &[u8], timeout_ns: u64) -> Verb {
    Verb::Get { timeout_ns, partial: false, ids: ids.iter().map(|id| name(*id)).collect() }
}

fn disk_bytes(disk: &mut Spilling) -> u64 {
    let stats = disk.stats();
    stats.disk_live_bytes + stats.disk_dead_bytes + stats.disk_queue_bytes
}

const NOWHERE: Location =
    Location { segment: 0, format: plasmad_wire::Format::Raw, metadata_bytes: 0, offset: 0, data_bytes: 0 };
