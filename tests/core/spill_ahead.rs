//! What comes back from disk before anybody asks for it, for those who read on.

use plasmad_core::disk::ReadOutcome;
use plasmad_core::{Refusal, Reply, Verb};
use plasmad_wire::limits::FOREVER;
use plasmad_wire::value::ObjectState;

use super::name;
use super::spill::{ON_DISK, Spilling, UNIT, pinned};

/// So many objects, all of them on disk alone, one behind the other; 15 are read ahead at a time.
fn on_disk(count: u8) -> Spilling {
    let mut disk = Spilling::new(1024 * UNIT);
    (1..=count).for_each(|id| disk.put(id, UNIT));
    assert_eq!(disk.asks(1, 1, Verb::Evict { bytes: u64::MAX }), []);
    disk.disk_works();
    assert!((1..=count).all(|id| disk.state(id) == ON_DISK));
    disk
}

impl Spilling {
    /// Objects that are being read, in the order in which that was asked for.
    fn being_read(&self) -> Vec<u8> {
        let id_of = |it: &plasmad_core::disk::Restore| (1..100).find(|id| name(*id) == it.record.id).unwrap();
        self.restores.iter().map(id_of).collect()
    }
}

#[test]
fn who_reads_on_finds_what_comes_next_in_memory() {
    let mut disk = on_disk(40);
    assert_eq!(disk.get(5, &[3], FOREVER), []);
    assert_eq!(disk.being_read(), [3], "it may be the only one");
    assert_eq!(pinned(&disk.disk_works()), 1);
    assert_eq!(disk.get(6, &[4], FOREVER), []);
    assert_eq!(disk.being_read(), (4..=19).collect::<Vec<_>>());
    assert_eq!(pinned(&disk.restored(ReadOutcome::Read)), 1);
    // Whoever comes for one that is on its way waits for that, and has more read behind those.
    assert_eq!(disk.get(7, &[18], FOREVER), []);
    assert_eq!(disk.being_read(), (5..=20).collect::<Vec<_>>(), "as many as are read at a time");
    assert_eq!(pinned(&disk.disk_works()), 1);
    assert_eq!(pinned(&disk.get(8, &[5, 12, 19, 34], 0)), 4);
    assert_eq!((disk.state(2), disk.state(35)), (ON_DISK, ON_DISK));
}

#[test]
fn who_jumps_about_has_only_that_read() {
    let mut disk = on_disk(40);
    for id in [20, 3, 31, 9, 1] {
        assert_eq!(disk.get(5, &[id], FOREVER), []);
        assert_eq!(disk.being_read(), [id]);
        disk.disk_works();
    }
}

#[test]
fn nothing_is_read_ahead_while_somebody_waits_for_room() {
    let mut disk = on_disk(40);
    (50..=53).for_each(|id| disk.put(id, 250 * UNIT));
    assert_eq!(pinned(&disk.get(4, &[50, 51, 52, 53], 0)), 4);
    assert_eq!(disk.put_waiting(9, 60, 100 * UNIT, FOREVER), []);
    disk.get(5, &[3], FOREVER);
    disk.disk_works();
    disk.get(6, &[4], FOREVER);
    assert_eq!(disk.being_read(), [4]);
}

#[test]
fn nothing_leaves_memory_for_what_is_read_ahead_unless_it_is_on_disk_as_well() {
    let mut disk = on_disk(40);
    (50..=53).for_each(|id| disk.put(id, 250 * UNIT));
    disk.put(54, 22 * UNIT);
    assert_eq!(pinned(&disk.get(4, &[50, 51, 52, 53, 54], 0)), 5);
    // Nothing of that could be written, so there is room for two.
    disk.get(5, &[3], FOREVER);
    disk.disk_works();
    disk.get(6, &[4], FOREVER);
    assert_eq!(disk.being_read(), [4]);
    disk.disk_works();
    assert!((50..=54).all(|id| disk.state(id) == Some(ObjectState::Sealed)));
}

#[test]
fn what_is_lost_is_not_gone_before_somebody_asks_for_it() {
    let mut disk = on_disk(10);
    disk.get(5, &[3], FOREVER);
    disk.disk_works();
    disk.get(6, &[4], FOREVER);
    assert_eq!(pinned(&disk.restored(ReadOutcome::Read)), 1);
    assert_eq!(disk.being_read()[..2], [5, 6]);
    assert_eq!(disk.restored(ReadOutcome::Lost), []);
    assert_eq!(disk.state(5), ON_DISK);
    // For whoever waits already it is read once more.
    assert_eq!(disk.get(7, &[6], FOREVER), []);
    let lost = |number, id| vec![(2, number, Reply::Refused(Refusal::Lost(name(id))))];
    assert_eq!(disk.restored(ReadOutcome::Lost), []);
    while disk.being_read() != [6] {
        disk.restored(ReadOutcome::Read);
    }
    assert_eq!(disk.restored(ReadOutcome::Lost), lost(7, 6));
    assert_eq!(disk.get(8, &[5], FOREVER), []);
    assert_eq!(disk.restored(ReadOutcome::Lost), lost(8, 5));
    assert_eq!((disk.state(5), disk.state(6), disk.stats().totals.lost), (None, None, 2));
}
