//! Batches and records over a disk that can fail.

use nix::errno::Errno;
use plasmad_core::disk::{DiskRecord, FileNumber, RECORD_HEADER_BYTES, Source, WriteOutcome, data_start};

use super::read::Trouble;
use super::testing::{ARENA_BYTES, Fault, STAGED_BYTES, Scene, behind, places};

/// Where a record's bytes lie in the arena.
fn lies_at(source: &Source) -> u64 {
    match source {
        Source::Memory(extent) => extent.offset,
        Source::Disk(_) | Source::Nothing => 0,
    }
}

/// Records of every kind of length, as a batch would have them.
fn mixture(scene: &mut Scene) -> Vec<(DiskRecord, Source)> {
    let lengths: [(u64, u32); 12] = [
        (0, 0),
        (0, 7),
        (1, 0),
        (64, 65_536),
        (4096, 1),
        ((1 << 20) - 1, 65_536),
        (1 << 20, 0),
        (100, 3),
        ((1 << 20) + 1, 9),
        (5 << 20, 65_536),
        (STAGED_BYTES as u64, 0),
        (3, 0),
    ];
    let mut records: Vec<_> =
        lengths.iter().enumerate().map(|(at, (data, meta))| scene.record(at as u64 * 640 + 64, *data, *meta)).collect();
    records.push(scene.tombstone(records[0].0.id));
    records
}

#[test]
fn what_is_written_is_read_back_whatever_its_length_and_neighbours() {
    for rotated in 0..13 {
        let mut scene = Scene::new();
        let mut records = mixture(&mut scene);
        records.rotate_left(rotated);
        let batch = scene.batch(1, 3 * 4096, records);
        assert_eq!(scene.write(&batch), WriteOutcome::Written);
        for ((record, source), place) in batch.records.iter().zip(places(&batch)) {
            if !record.tombstone {
                scene.restore(record, &place, lies_at(source)).unwrap();
            }
        }
        let state = scene.disk.state();
        assert_eq!(state.files[&FileNumber(1)].len() as u64, behind(&batch));
        assert_eq!(state.writes.last(), Some(&(FileNumber(1), batch.offset, 4096)), "the first block goes last");
        assert!(state.writes.iter().all(|(_, at, _)| *at >= batch.offset));
    }
}

#[test]
fn every_flipped_bit_of_a_record_is_noticed() {
    for (data, metadata) in [(0, 1), (1, 0), (300, 20), (0, 0)] {
        let mut scene = Scene::new();
        let records = vec![scene.record(64, data, metadata)];
        let batch = scene.batch(1, 0, records);
        assert_eq!(scene.write(&batch), WriteOutcome::Written);
        let (record, place) = (batch.records[0].0, places(&batch)[0]);
        for bit in 0..(RECORD_HEADER_BYTES + data + u64::from(metadata)) * 8 {
            let flip = |scene: &Scene| {
                scene.disk.state().files.get_mut(&FileNumber(1)).unwrap()[bit as usize / 8] ^= 1 << (bit % 8);
            };
            flip(&scene);
            assert!(matches!(scene.restore(&record, &place, 64), Err(Trouble::Lost(_))), "bit {bit}");
            flip(&scene);
        }
        scene.restore(&record, &place, 64).unwrap();
    }
}

#[test]
fn a_flipped_bit_of_a_large_record_is_noticed_in_whichever_piece_it_is() {
    let mut scene = Scene::new();
    let records = vec![scene.record(0, 5 << 20, 100)];
    let batch = scene.batch(1, 0, records);
    assert_eq!(scene.write(&batch), WriteOutcome::Written);
    let (record, place) = (batch.records[0].0, places(&batch)[0]);
    let bytes = record.data_bytes + 100;
    for at in (0..bytes).step_by(1_000_003).chain([bytes - 1]) {
        let at = (data_start(record.data_bytes) + at) as usize;
        scene.disk.state().files.get_mut(&FileNumber(1)).unwrap()[at] ^= 0x10;
        assert!(matches!(scene.restore(&record, &place, 0), Err(Trouble::Lost(_))), "byte {at}");
        scene.disk.state().files.get_mut(&FileNumber(1)).unwrap()[at] ^= 0x10;
    }
}

#[test]
fn a_record_is_lost_where_its_file_is_gone_or_cut_or_holds_another_and_not_where_a_read_fails() {
    let mut scene = Scene::new();
    let records = vec![scene.record(0, 10_000, 0), scene.record(640, 10_000, 0)];
    let batch = scene.batch(1, 0, records);
    assert_eq!(scene.write(&batch), WriteOutcome::Written);
    let (first, second) = (batch.records[0].0, batch.records[1].0);
    let place = places(&batch)[1];
    let why = |scene: &Scene, record: &DiskRecord| match scene.restore(record, &place, 640) {
        Err(Trouble::Lost(why)) => format!("lost: {why}"),
        Err(Trouble::Failed(why)) => format!("failed: {why}"),
        Ok(()) => "read".to_owned(),
    };
    assert_eq!(why(&scene, &second), "read");
    assert_eq!(why(&scene, &first), "lost: another record lies in its place");
    let later = DiskRecord { sequence: second.sequence + 1, ..second };
    assert_eq!(why(&scene, &later), "lost: another record lies in its place");
    scene.disk.state().fault = Some(Fault::Read(Errno::EIO));
    assert!(why(&scene, &second).starts_with("failed: "), "{}", why(&scene, &second));
    scene.disk.state().fault = None;
    scene.disk.state().files.get_mut(&FileNumber(1)).unwrap().truncate(4 * 4096 + 5);
    assert_eq!(why(&scene, &second), "lost: the file ends before the record does");
    scene.disk.state().files.get_mut(&FileNumber(1)).unwrap().truncate(0);
    assert_eq!(why(&scene, &second), "lost: the file ends before the record does");
    scene.disk.state().files.clear();
    assert_eq!(why(&scene, &second), "lost: the file is gone");
}

#[test]
fn records_are_moved_with_new_numbers_and_the_same_bytes() {
    let mut scene = Scene::new();
    let records = mixture(&mut scene);
    let batch = scene.batch(1, 0, records);
    assert_eq!(scene.write(&batch), WriteOutcome::Written);
    let moved: Vec<_> = (batch.records.iter().zip(places(&batch)))
        .filter(|((record, _), _)| !record.tombstone)
        .map(|((record, _), place)| {
            let (new, _) = scene.record(0, 0, 0);
            (DiskRecord { sequence: new.sequence, ..*record }, Source::Disk(place))
        })
        .collect();
    let again = scene.batch(2, 4096, moved);
    assert_eq!(scene.write(&again), WriteOutcome::Written);
    for (((record, _), place), (_, source)) in again.records.iter().zip(places(&again)).zip(&batch.records) {
        scene.restore(record, &place, lies_at(source)).unwrap();
    }
}

#[test]
fn a_record_that_is_damaged_is_not_moved_and_which_one_it_is_is_told() {
    for damage in ["header", "data", "end of file", "file"] {
        let mut scene = Scene::new();
        let records = vec![scene.record(0, 3 << 20, 0), scene.record(640, 3 << 20, 0)];
        let batch = scene.batch(1, 0, records);
        let good = [scene.record(1280, 50, 0)].to_vec();
        let other = scene.batch(3, 0, good);
        assert_eq!([scene.write(&batch), scene.write(&other)], [WriteOutcome::Written; 2]);
        let place = places(&batch)[1];
        let offset = place.offset as usize;
        let file = FileNumber(1);
        match damage {
            "header" => scene.disk.state().files.get_mut(&file).unwrap()[offset + 40] ^= 1,
            "data" => scene.disk.state().files.get_mut(&file).unwrap()[offset + (3 << 20)] ^= 1,
            "end of file" => scene.disk.state().files.get_mut(&file).unwrap().truncate(offset + (2 << 20)),
            _ => drop(scene.disk.state().files.remove(&file)),
        }
        let sources = [places(&other)[0], places(&batch)[1]].map(Source::Disk);
        let moved = vec![(other.records[0].0, sources[0]), (batch.records[1].0, sources[1])];
        let again = scene.batch(2, 0, moved);
        assert_eq!(scene.write(&again), WriteOutcome::SourceLost { record: 1 }, "{damage}");
        assert!(scene.disk.state().files[&FileNumber(2)].iter().all(|byte| *byte == 0), "nothing of it is left");
    }
}

#[test]
fn a_record_that_cannot_be_read_just_now_is_not_moved() {
    let mut scene = Scene::new();
    let records = vec![scene.record(0, 50, 0)];
    let batch = scene.batch(1, 0, records);
    assert_eq!(scene.write(&batch), WriteOutcome::Written);
    scene.disk.state().fault = Some(Fault::Read(Errno::EIO));
    let again = scene.batch(2, 0, vec![(batch.records[0].0, Source::Disk(places(&batch)[0]))]);
    assert_eq!(scene.write(&again), WriteOutcome::Failed);
}

#[test]
fn a_full_disk_is_told_from_a_broken_one_and_nothing_of_the_batch_is_left() {
    let outcomes = [
        (Fault::Write(0, Errno::ENOSPC), WriteOutcome::NoRoom),
        (Fault::Write(2, Errno::EDQUOT), WriteOutcome::NoRoom),
        (Fault::Reserve(Errno::ENOSPC), WriteOutcome::NoRoom),
        (Fault::Reserve(Errno::EFBIG), WriteOutcome::NoRoom),
        (Fault::Write(0, Errno::EIO), WriteOutcome::Failed),
        (Fault::Write(3, Errno::EIO), WriteOutcome::Failed),
        (Fault::Reserve(Errno::EROFS), WriteOutcome::Failed),
        (Fault::Reserve(Errno::EACCES), WriteOutcome::Failed),
    ];
    for (fault, outcome) in outcomes {
        let mut scene = Scene::new();
        let records = mixture(&mut scene);
        let batch = scene.batch(1, 0, records);
        scene.disk.state().fault = Some(fault);
        assert_eq!(scene.write(&batch), outcome, "{fault:?}");
        let written = scene.disk.state().files.get(&FileNumber(1)).cloned().unwrap_or_default();
        assert!(written.iter().all(|byte| *byte == 0), "{fault:?}");
        // It may be tried again, elsewhere or here.
        scene.disk.state().fault = None;
        assert_eq!(scene.write(&batch), WriteOutcome::Written);
        scene.restore(&batch.records[9].0, &places(&batch)[9], lies_at(&batch.records[9].1)).unwrap();
    }
}

#[test]
fn nothing_is_written_where_the_disk_has_no_room_left_for_it() {
    let mut scene = Scene::new();
    let records = vec![scene.record(0, 4000, 0)];
    let batch = scene.batch(1, 0, records);
    scene.disk.state().room = Some(8191);
    assert_eq!(scene.write(&batch), WriteOutcome::NoRoom);
    assert!(scene.disk.state().files.is_empty());
    let tombstones = vec![scene.tombstone(batch.records[0].0.id)];
    let deletes = scene.batch(2, 0, tombstones);
    scene.disk.state().room = Some(0);
    assert_eq!(scene.write(&deletes), WriteOutcome::Written, "what tells of deletes may have the last of it");
    scene.disk.state().room = Some(8192);
    assert_eq!(scene.write(&batch), WriteOutcome::Written);
}

#[test]
fn an_object_as_large_as_the_arena_goes_through_the_same_small_buffer() {
    let mut scene = Scene::new();
    let records = vec![scene.record(0, ARENA_BYTES / 2, 0)];
    let batch = scene.batch(1, 0, records);
    assert_eq!(scene.write(&batch), WriteOutcome::Written);
    assert!(scene.disk.state().writes.iter().all(|(_, _, bytes)| *bytes <= STAGED_BYTES));
    scene.restore(&batch.records[0].0, &places(&batch)[0], 0).unwrap();
}
