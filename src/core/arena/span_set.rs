//! A set of spans: a bit for each 2 MiB of the arena.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// The spans of one arena that have something in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpanSet {
    bits: Vec<u64>,
    spans: usize,
}

impl SpanSet {
    /// An empty set for an arena of so many bytes; its last span may be a short one.
    pub fn new(capacity_bytes: u64) -> Self {
        let spans = capacity_bytes.div_ceil(SPAN_BYTES) as usize;
        Self { bits: vec![0; spans.div_ceil(64)], spans }
    }

    /// How many spans the arena has.
    pub fn spans(&self) -> usize {
        self.spans
    }

    /// Adds neighbours.
    pub fn insert_all(&mut self, spans: Range<usize>) {
        self.each_word(spans, |word, mask| *word |= mask);
    }

    /// Takes neighbours out.
    pub fn remove_all(&mut self, spans: Range<usize>) {
        self.each_word(spans, |word, mask| *word &= !mask);
    }

    /// Is it a member?
    pub fn contains(&self, span: usize) -> bool {
        self.bits.get(span / 64).is_some_and(|word| word >> (span % 64) & 1 == 1)
    }

    /// Adds all members of another set of the same arena.
    pub fn add(&mut self, other: &Self) {
        self.bits.iter_mut().zip(&other.bits).for_each(|(word, other)| *word |= other);
    }

    /// Takes all members of another set of the same arena out.
    pub fn subtract(&mut self, other: &Self) {
        self.bits.iter_mut().zip(&other.bits).for_each(|(word, other)| *word &= !other);
    }

    /// Empties the set.
    pub fn clear(&mut self) {
        self.bits.fill(0);
    }

    /// The first member that the other set lacks.
    pub fn first_outside(&self, other: &Self) -> Option<usize> {
        let words = self.bits.iter().zip(&other.bits).map(|(word, other)| word & !other);
        let (at, word) = words.enumerate().find(|(_, word)| *word != 0)?;
        Some(at * 64 + word.trailing_zeros() as usize)
    }

    /// The last member.
    pub fn last(&self) -> Option<usize> {
        let (at, word) = self.bits.iter().enumerate().rev().find(|(_, word)| **word != 0)?;
        Some(at * 64 + 63 - word.leading_zeros() as usize)
    }

    fn each_word(&mut self, spans: Range<usize>, change: impl Fn(&mut u64, u64)) {
        assert!(spans.end <= self.spans, "span {} is beyond the arena's {}", spans.end, self.spans);
        let mut from = spans.start;
        while from < spans.end {
            let end = spans.end.min((from / 64 + 1) * 64);
            // 1 to 64 ones, moved to where they belong.
            let mask = (u64::MAX >> (64 - (end - from))) << (from % 64);
            change(&mut self.bits[from / 64], mask);
            from = end;
        }
    }
}

/// The spans that a range of bytes touches.
pub(super) fn touched(bytes: Range<u64>) -> Range<usize> {
    let end = if bytes.is_empty() { bytes.start / SPAN_BYTES } else { bytes.end.div_ceil(SPAN_BYTES) };
    (bytes.start / SPAN_BYTES) as usize..end as usize
}

/// The spans that lie wholly in a range of an arena of so many bytes. The arena's last span may be a short one.
pub(super) fn inside(bytes: Range<u64>, capacity_bytes: u64) -> Range<usize> {
    let start = bytes.start.div_ceil(SPAN_BYTES);
    let end = if bytes.end == capacity_bytes { bytes.end.div_ceil(SPAN_BYTES) } else { bytes.end / SPAN_BYTES };
    start as usize..end.max(start) as usize
}

/// Memory is made present and given back by spans: the size of a huge page, on a multiple of it.
pub const SPAN_BYTES: u64 = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_come_and_go_over_the_borders_of_words() {
        let mut set = SpanSet::new(200 * SPAN_BYTES);
        set.insert_all(60..130);
        set.remove_all(64..128);
        let members: Vec<usize> = (0..200).filter(|span| set.contains(*span)).collect();
        assert_eq!(members, [60, 61, 62, 63, 128, 129]);
        assert_eq!((set.last(), set.contains(10_000)), (Some(129), false));
        let mut others = SpanSet::new(200 * SPAN_BYTES);
        others.insert_all(0..64);
        assert_eq!((set.first_outside(&others), others.first_outside(&set)), (Some(128), Some(0)));
        set.subtract(&others);
        others.add(&set);
        assert_eq!((set.first_outside(&others), others.last()), (None, Some(129)));
    }

    #[test]
    fn a_range_touches_spans_and_holds_some_of_them_wholly() {
        let capacity = 4 * SPAN_BYTES + 4096;
        assert_eq!(touched(SPAN_BYTES - 1..SPAN_BYTES + 1), 0..2);
        assert!(touched(SPAN_BYTES - 1..SPAN_BYTES - 1).is_empty());
        assert_eq!(inside(SPAN_BYTES - 1..SPAN_BYTES + 1, capacity), 1..1);
        assert_eq!(inside(1..3 * SPAN_BYTES, capacity), 1..3);
        // The last span is shorter than the others.
        assert_eq!(inside(4 * SPAN_BYTES..capacity, capacity), 4..5);
        assert_eq!(SpanSet::new(capacity).spans(), 5);
    }

    #[test]
    #[should_panic(expected = "beyond the arena's 3")]
    fn a_span_beyond_the_arena_is_our_own_mistake() {
        SpanSet::new(3 * SPAN_BYTES).insert_all(2..4);
    }
}
