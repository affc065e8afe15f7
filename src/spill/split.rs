//! A long record that several threads read at once, each a part of it.
//!
//! Invariant: what became of it is known when the last part is done, and is told by whoever did that.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use plasmad_core::disk::{BLOCK_BYTES, Restore};

use super::read::Trouble;

/// A restore in parts.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) restore: Restore,
    part_bytes: u64,
    sums: Mutex<Sums>,
}

#[derive(Debug)]
struct Sums {
    /// Of each part that is done.
    parts: Vec<u32>,
    left: usize,
    /// What the record's header says of all of it.
    expected: u32,
    trouble: Option<Trouble>,
}

/// What a part tells: its own checksum, and the first one what its record's header says of all of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartRead {
    pub(crate) checksum: u32,
    pub(crate) expected: Option<u32>,
}

impl Split {
    /// The restore in parts, if it is so long that this pays. If all threads are there for it (`is_alone`), that is sooner.
    pub(crate) fn new(restore: Restore, is_alone: bool) -> Option<Arc<Self>> {
        let bytes = body_bytes(&restore);
        let share = (bytes / PARTS_ALONE).next_multiple_of(BLOCK_BYTES);
        let part_bytes = if is_alone { share.clamp(PART_BYTES_MIN, PART_BYTES_MAX) } else { PART_BYTES_MAX };
        let parts = bytes.div_ceil(part_bytes) as usize;
        let sums = Sums { parts: vec![0; parts], left: parts, expected: 0, trouble: None };
        (parts > 1).then(|| Arc::new(Self { restore, part_bytes, sums: Mutex::new(sums) }))
    }

    /// Where its parts are in data and metadata.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let (bytes, part_bytes) = (body_bytes(&self.restore), self.part_bytes);
        (0..bytes.div_ceil(part_bytes)).map(move |part| part * part_bytes..bytes.min((part + 1) * part_bytes))
    }

    /// A part is done; with the last one, what became of all of it.
    pub(crate) fn done(&self, part: usize, read: Result<PartRead, Trouble>) -> Option<Result<(), Trouble>> {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.left -= 1;
        match read {
            Ok(PartRead { checksum, expected }) => {
                sums.parts[part] = checksum;
                sums.expected = expected.unwrap_or(sums.expected);
            }
            // What is lost stays so, whatever else can't be read just now.
            Err(trouble) => match sums.trouble {
                Some(Trouble::Lost(_)) => (),
                _ => sums.trouble = Some(trouble),
            },
        }
        (sums.left == 0).then(|| {
            let parts = sums.parts.iter().zip(self.ranges());
            let whole = parts.fold(0, |whole, (part, range)| {
                crc32c::crc32c_combine(whole, *part, (range.end - range.start) as usize)
            });
            match sums.trouble.take() {
                Some(trouble) => Err(trouble),
                None if whole != sums.expected => Err(Trouble::changed()),
                None => Ok(()),
            }
        })
    }
}

fn body_bytes(restore: &Restore) -> u64 {
    restore.record.data_bytes + u64::from(restore.record.metadata_bytes)
}

/// Long enough that the reads of several threads, in turns, go on like one.
pub(crate) const PART_BYTES_MAX: u64 = 4 << 20;
/// Into some four parts goes what nothing else is read beside: while one is checked and copied the disk reads others.
const PARTS_ALONE: u64 = 4;
/// In shorter parts, four threads are woken for what one has done as soon: slower where processors are short.
const PART_BYTES_MIN: u64 = 512 << 10;

#[cfg(test)]
mod tests {
    use plasmad_core::disk::{DiskPlace, DiskRecord, FileNumber};
    use plasmad_wire::{Format, ObjectId};

    use super::*;

    fn restore(data_bytes: u64) -> Restore {
        let record = DiskRecord {
            sequence: 1,
            id: ObjectId::new([0; 28]),
            tombstone: false,
            data_bytes,
            metadata_bytes: 10,
            format: Format::Raw,
            evictable: false,
            created_at: 0,
            sealed_at: 0,
        };
        let place = DiskPlace { file: FileNumber(1), offset: 0, bytes: 0 };
        Restore { number: 1, place, record, into: None, is_guess: false }
    }

    fn split() -> (Arc<Split>, Vec<u8>) {
        let bytes: Vec<u8> = (0..2 * PART_BYTES_MAX + 10).map(|at| ((at * at) >> 7) as u8).collect();
        (Split::new(restore(2 * PART_BYTES_MAX), false).unwrap(), bytes)
    }

    fn read(split: &Split, bytes: &[u8], part: usize, expected: u32) -> Result<PartRead, Trouble> {
        let range = split.ranges().nth(part).unwrap();
        let checksum = crc32c::crc32c(&bytes[range.start as usize..range.end as usize]);
        Ok(PartRead { checksum, expected: (part == 0).then_some(expected) })
    }

    #[test]
    fn short_records_are_not_split_and_parts_cover_long_ones() {
        assert!(Split::new(restore(PART_BYTES_MAX - 10), false).is_none());
        let split = Split::new(restore(PART_BYTES_MAX), false).unwrap();
        assert_eq!(split.ranges().collect::<Vec<_>>(), [0..PART_BYTES_MAX, PART_BYTES_MAX..PART_BYTES_MAX + 10]);
    }

    #[test]
    fn what_is_read_alone_is_split_into_four_that_are_neither_very_short_nor_very_long() {
        let parts = |data_bytes| Split::new(restore(data_bytes), true).map_or(1, |split| split.ranges().count());
        assert_eq!([1, 256 << 10, 700 << 10, 1 << 20, 3 << 20, 16 << 20].map(parts), [1, 1, 2, 3, 4, 5]);
        assert_eq!(parts((64 << 20) - 10), 16);
    }

    #[test]
    fn the_parts_make_up_the_whole_in_whatever_order_they_are_done() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let (split, bytes) = split();
            let expected = crc32c::crc32c(&bytes);
            let told = order.map(|part| split.done(part, read(&split, &bytes, part, expected)));
            assert!(matches!(told, [None, None, Some(Ok(()))]), "{told:?}");
        }
    }

    #[test]
    fn one_part_that_is_wrong_or_missing_is_enough() {
        for wrong in 0..3 {
            let (split, bytes) = split();
            let mut flipped = bytes.clone();
            flipped[split.ranges().nth(wrong).unwrap().start as usize] ^= 1;
            let told = [0, 1, 2].map(|part| split.done(part, read(&split, &flipped, part, crc32c::crc32c(&bytes))));
            assert!(matches!(told[2], Some(Err(Trouble::Lost(_)))), "{told:?}");
        }
        let failed = || Err(Trouble::Failed("EIO".to_owned()));
        let lost = || Err(Trouble::Lost("gone".to_owned()));
        let (split, bytes) = split();
        split.done(0, read(&split, &bytes, 0, crc32c::crc32c(&bytes)));
        split.done(1, lost());
        assert!(matches!(split.done(2, failed()), Some(Err(Trouble::Lost(_)))));
        let (split, bytes) = self::split();
        split.done(0, failed());
        split.done(1, read(&split, &bytes, 1, 0));
        assert!(matches!(split.done(2, read(&split, &bytes, 2, 0)), Some(Err(Trouble::Failed(_)))));
    }
}
