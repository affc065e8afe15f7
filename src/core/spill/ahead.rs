//! Who reads on where: what lies behind a record that was wanted is likely wanted next, when the one before it was.
//!
//! A *stretch* is a piece of a file that somebody reads in its order. It begins with one record; the next one that is
//! wanted right behind it makes it known, and from then on records are named that are worth reading ahead of need, twice as
//! much each time. What is wanted in the first half of what was read ahead says nothing new; in the second half it has the
//! next records named, so that whoever reads on need not wait in between.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

use crate::disk::{BLOCK_BYTES, DiskPlace, FileNumber};

/// Stretches that were read lately.
#[derive(Debug)]
pub struct Ahead {
    /// The one that was used last is last.
    stretches: VecDeque<Stretch>,
    /// No more than this is read ahead at a time.
    bytes_max: u64,
}

#[derive(Debug)]
struct Stretch {
    file: FileNumber,
    /// What was read, as far as that matters, and read ahead.
    range: Range<u64>,
    /// The middle of what was read ahead the last time.
    middle: u64,
    /// How much that was to be.
    ahead_bytes: u64,
}

impl Ahead {
    /// Nothing was read yet.
    pub fn new(bytes_max: u64) -> Self {
        Self { stretches: VecDeque::new(), bytes_max }
    }

    /// A record is wanted, with these behind it in its file, in order. Which of them are worth reading as well?
    pub fn wanted(&mut self, place: DiskPlace, behind: impl Iterator<Item = DiskPlace>) -> Vec<DiskPlace> {
        let DiskPlace { file, offset, bytes } = place;
        let is_of =
            |it: &Stretch| it.file == file && (it.range.start..=it.range.end + PADDING_BYTES_MAX).contains(&offset);
        let known = self.stretches.iter().position(is_of).and_then(|at| self.stretches.remove(at));
        let mut stretch = match known {
            Some(stretch) if offset < stretch.middle => {
                self.stretches.push_back(stretch);
                return Vec::new();
            }
            Some(Stretch { range, ahead_bytes, .. }) => {
                let ahead_bytes = (2 * ahead_bytes).max(AHEAD_BYTES_MIN).min(self.bytes_max);
                Stretch { file, range: offset..range.end.max(offset + bytes), middle: 0, ahead_bytes }
            }
            None => Stretch { file, range: offset..offset + bytes, middle: 0, ahead_bytes: 0 },
        };
        let (mut left, end) = (stretch.ahead_bytes, stretch.range.end);
        let ahead: Vec<DiskPlace> = behind
            .skip_while(|it| it.offset < end)
            .take(RECORDS_MAX)
            .take_while(|it| {
                let is_near = it.offset <= stretch.range.end + GAP_BYTES_MAX && it.bytes <= left;
                if is_near {
                    left -= it.bytes;
                    stretch.range.end = it.offset + it.bytes;
                }
                is_near
            })
            .collect();
        stretch.middle = u64::midpoint(end, stretch.range.end);
        self.stretches.push_back(stretch);
        if self.stretches.len() > STRETCHES_MAX {
            self.stretches.pop_front();
        }
        ahead
    }
}

/// How many are known at a time: clients that read side by side.
const STRETCHES_MAX: usize = 8;
/// How far apart records may lie when one is right behind the other: a batch's last and the next one's first.
const PADDING_BYTES_MAX: u64 = BLOCK_BYTES;
/// So much that is dead is read over.
const GAP_BYTES_MAX: u64 = 64 << 10;
/// How many are named at a time.
const RECORDS_MAX: usize = 256;
/// How much is read ahead the first time.
const AHEAD_BYTES_MIN: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: u64 = 64 << 10;

    /// Record number so and so of a file full of them.
    fn place(file: u32, number: u64) -> DiskPlace {
        DiskPlace { file: FileNumber(file), offset: number * EACH, bytes: EACH }
    }

    /// Which are read ahead.
    fn wanted(ahead: &mut Ahead, file: u32, number: u64) -> Vec<u64> {
        let behind = (number + 1..1000).map(|number| place(file, number));
        ahead.wanted(place(file, number), behind).iter().map(|it| it.offset / EACH).collect()
    }

    #[test]
    fn who_reads_on_has_more_read_each_time_up_to_a_bound() {
        let mut ahead = Ahead::new(12 * EACH);
        assert!(wanted(&mut ahead, 1, 10).is_empty());
        assert_eq!(wanted(&mut ahead, 1, 11), [12, 13, 14, 15]);
        assert_eq!(wanted(&mut ahead, 1, 16), (17..25).collect::<Vec<_>>());
        assert_eq!(wanted(&mut ahead, 1, 25), (26..38).collect::<Vec<_>>());
        assert_eq!(wanted(&mut ahead, 1, 38), (39..51).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_wanted_of_what_was_read_ahead_says_something_new_in_the_second_half() {
        let mut ahead = Ahead::new(1 << 20);
        wanted(&mut ahead, 1, 10);
        assert_eq!(wanted(&mut ahead, 1, 11), [12, 13, 14, 15]);
        assert!(wanted(&mut ahead, 1, 12).is_empty());
        assert!(wanted(&mut ahead, 1, 13).is_empty());
        assert_eq!(wanted(&mut ahead, 1, 14), (16..24).collect::<Vec<_>>());
        assert!(wanted(&mut ahead, 1, 15).is_empty());
        assert_eq!(wanted(&mut ahead, 1, 21), (24..40).collect::<Vec<_>>());
    }

    #[test]
    fn of_short_records_no_more_are_named_than_are_soon_read() {
        let mut ahead = Ahead::new(1 << 20);
        let at = |number: u64| DiskPlace { file: FileNumber(1), offset: number * 192, bytes: 192 };
        let mut wanted = |number| ahead.wanted(at(number), (number + 1..10_000).map(at)).len();
        let most = RECORDS_MAX as u64;
        assert_eq!([wanted(0), wanted(1)], [0, RECORDS_MAX]);
        assert_eq!([wanted(2), wanted(most / 2), wanted(most / 2 + 2), wanted(most / 2 + 3)], [0, 0, RECORDS_MAX, 0]);
    }

    #[test]
    fn who_jumps_about_has_nothing_read_ahead() {
        let mut ahead = Ahead::new(1 << 20);
        for number in [500, 20, 300, 4, 700, 698, 297, 10] {
            assert!(wanted(&mut ahead, 1, number).is_empty(), "{number}");
        }
        assert!(wanted(&mut ahead, 2, 11).is_empty(), "another file");
    }

    #[test]
    fn several_may_read_side_by_side_and_those_that_stopped_are_forgotten() {
        let mut ahead = Ahead::new(1 << 20);
        let files = 0..STRETCHES_MAX as u32;
        files.clone().for_each(|file| _ = wanted(&mut ahead, file, 0));
        files.clone().for_each(|file| assert_eq!(wanted(&mut ahead, file, 1).len(), 4));
        wanted(&mut ahead, 100, 0);
        assert!(wanted(&mut ahead, 0, 6).is_empty());
        assert_eq!(wanted(&mut ahead, 2, 6).len(), 8);
    }

    #[test]
    fn a_hole_is_read_over_when_it_is_small_and_a_long_record_ends_it() {
        let mut ahead = Ahead::new(1 << 20);
        let at = |offset: u64, bytes: u64| DiskPlace { file: FileNumber(1), offset, bytes };
        ahead.wanted(at(0, 4096), core::iter::empty());
        let near = [at(4096 + GAP_BYTES_MAX, 4096), at(2 * 4096 + 2 * GAP_BYTES_MAX + 1, 4096)];
        assert_eq!(ahead.wanted(at(4096, 0), near.into_iter()), near[..1]);
        let mut ahead = Ahead::new(1 << 20);
        ahead.wanted(at(0, 4096), core::iter::empty());
        let long = [at(8192, 4096), at(12288, 2 << 20), at(12288 + (2 << 20), 64)];
        assert_eq!(ahead.wanted(at(4096, 4096), long.into_iter()), long[..1]);
    }
}
