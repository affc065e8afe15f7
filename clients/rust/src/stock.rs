//! The places this client was granted and has not used, by what they hold.
//!
//! Invariant: a place in the stock is a hint; whether it is still this client's is seen when it is pinned.
//!
//! Sizes are rounded up to classes: multiples of 64 bytes up to 1 KiB, then eight to each doubling, so that a class wastes
//! an eighth at most. 1025 bytes take a place of 1152. What an object doesn't fill the daemon takes back.

use std::collections::VecDeque;

use plasmad_shm::page::Grant;
use plasmad_wire::limits::GRANT_BYTES_MAX;

/// Places of all sizes.
#[derive(Debug)]
pub(crate) struct Stock {
    shelves: Vec<Shelf>,
}

/// Places of one size.
#[derive(Clone, Debug, Default)]
struct Shelf {
    places: VecDeque<Grant>,
    /// How many there ought to be; more each time some are asked for.
    full: u32,
    /// More were asked for, and have not come.
    is_asked: bool,
    /// Puts that ask the daemon as ever, since it had nothing to grant; and how many it will be next time.
    pauses: u32,
    pause_next: u32,
}

/// A size that places come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Class(usize);

impl Class {
    /// The smallest that holds so many bytes; `None` if none does.
    pub(crate) fn of(bytes: u64) -> Option<Self> {
        if bytes > GRANT_BYTES_MAX {
            return None;
        }
        let bytes = bytes.max(1);
        if bytes <= FINE_BYTES_MAX {
            return Some(Self(bytes.div_ceil(UNIT_BYTES) as usize - 1));
        }
        // Within a doubling the classes are an eighth of its start apart: 1152, 1280 ... 2048 behind 1024.
        let doubling = (bytes - 1).ilog2();
        let step = 1 << (doubling - STEPS.ilog2());
        let within = (bytes - (1 << doubling)).div_ceil(step) - 1;
        let doublings = u64::from(doubling - FINE_BYTES_MAX.ilog2());
        Some(Self((FINE_BYTES_MAX / UNIT_BYTES + doublings * STEPS + within) as usize))
    }

    /// What a place of this class holds.
    pub(crate) fn bytes(self) -> u64 {
        let number = self.0 as u64;
        let fine = FINE_BYTES_MAX / UNIT_BYTES;
        if number < fine {
            return (number + 1) * UNIT_BYTES;
        }
        let (doublings, within) = ((number - fine) / STEPS, (number - fine) % STEPS);
        let start = FINE_BYTES_MAX << doublings;
        start + (within + 1) * (start / STEPS)
    }
}

impl Stock {
    pub(crate) fn new() -> Self {
        let classes = Class::of(GRANT_BYTES_MAX).expect("it is the largest").0 + 1;
        Self { shelves: vec![Shelf::default(); classes] }
    }

    /// Puts a place on its shelf.
    pub(crate) fn add(&mut self, bytes: u64, grant: Grant) {
        if let Some(class) = Class::of(bytes) {
            let shelf = &mut self.shelves[class.0];
            (shelf.is_asked, shelf.pause_next) = (false, 0);
            shelf.places.push_back(grant);
        }
    }

    /// Takes the place that was granted first.
    pub(crate) fn take(&mut self, class: Class) -> Option<Grant> {
        self.shelves[class.0].places.pop_front()
    }

    /// So many are used that more are asked for: others may have come.
    pub(crate) fn is_low(&self, class: Class) -> bool {
        let shelf = &self.shelves[class.0];
        let used = shelf.full.saturating_sub(shelf.places.len() as u32);
        used >= (shelf.full / 2).min(USED_MAX)
    }

    /// How many more to ask for by the way, if it is time.
    pub(crate) fn next_order(&mut self, class: Class) -> Option<u32> {
        let is_low = self.is_low(class);
        let shelf = &mut self.shelves[class.0];
        if shelf.is_asked || shelf.full == 0 || !is_low {
            return None;
        }
        Some(shelf.order(class))
    }

    /// How many to ask for and wait: there is none left. `None`: the daemon had none lately, and isn't asked each time.
    pub(crate) fn next_request(&mut self, class: Class) -> Option<u32> {
        let shelf = &mut self.shelves[class.0];
        if shelf.pauses > 0 {
            shelf.pauses -= 1;
            return None;
        }
        Some(shelf.order(class))
    }

    /// All that were granted were taken back unused: so many are not needed.
    pub(crate) fn was_stale(&mut self, class: Class) {
        self.shelves[class.0].full = 0;
    }

    /// The daemon had nothing to grant.
    pub(crate) fn was_refused(&mut self, class: Class) {
        let shelf = &mut self.shelves[class.0];
        shelf.is_asked = false;
        shelf.full = 0;
        shelf.pause_next = (2 * shelf.pause_next).clamp(1, PAUSES_MAX);
        shelf.pauses = shelf.pause_next;
    }
}

impl Shelf {
    fn order(&mut self, class: Class) -> u32 {
        let most = (FULL_BYTES_MAX / class.bytes()).clamp(1, FULL_MAX.into()) as u32;
        self.full = (GROWTH * self.full).max(FULL_FIRST).min(most);
        self.is_asked = true;
        self.full - (self.places.len() as u32).min(self.full - 1)
    }
}

const UNIT_BYTES: u64 = 64;
const FINE_BYTES_MAX: u64 = 1024;
/// Classes in each doubling.
const STEPS: u64 = 8;
/// Somebody who puts once is granted few.
const FULL_FIRST: u32 = 16;
const GROWTH: u32 = 4;
const FULL_MAX: u32 = 2048;
const FULL_BYTES_MAX: u64 = 4 << 20;
/// When so many are used more are asked for, so that the daemon reads the ring while it is being filled, and little at a
/// time.
const USED_MAX: u32 = 256;
/// After this many puts at the latest a daemon that had nothing to grant is asked again.
const PAUSES_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for_and_waste_an_eighth_at_most() {
        let mut last = None;
        for bytes in 0..=GRANT_BYTES_MAX {
            let class = Class::of(bytes).unwrap();
            let holds = class.bytes();
            assert!(holds >= bytes && holds.is_multiple_of(UNIT_BYTES), "{bytes} in {holds}");
            assert!(holds - bytes.max(1) < UNIT_BYTES.max(bytes / 8 + 1), "{bytes} in {holds}");
            assert_eq!(Class::of(holds), Some(class));
            assert!(last.is_none_or(|Class(before)| before == class.0 || before + 1 == class.0), "{bytes}");
            last = Some(class);
        }
        assert_eq!(Class::of(GRANT_BYTES_MAX + 1), None);
        assert_eq!((Class::of(1024).unwrap().bytes(), Class::of(1025).unwrap().bytes()), (1024, 1152));
    }

    #[test]
    fn more_are_asked_for_each_time_and_ahead_of_need() {
        let (mut stock, class) = (Stock::new(), Class::of(1024).unwrap());
        let grant = |slot| Grant { slot, generation_low: 1 };
        assert_eq!(stock.next_order(class), None, "who never put is asked for nothing");
        assert_eq!(stock.next_request(class), Some(16));
        (0..16).for_each(|slot| stock.add(1024, grant(slot)));
        assert_eq!(stock.next_order(class), None);
        assert_eq!((0..8).map(|_| stock.take(class).unwrap().slot).sum::<u32>(), 28);
        assert_eq!(stock.next_order(class), Some(56), "as many as are missing from 64");
        assert_eq!(stock.next_order(class), None, "they are on their way");
        let asked: Vec<_> = (0..5).filter_map(|_| stock.next_request(class)).collect();
        assert_eq!(asked, [248, 1016, 2040, 2040, 2040]);
        (16..2056).for_each(|slot| stock.add(1024, grant(slot)));
        let used = (1..=2048).find(|_| stock.take(class).is_some() && stock.next_order(class).is_some());
        assert_eq!(used, Some(256), "long before there are none");
    }

    #[test]
    fn a_daemon_that_has_nothing_is_asked_less_and_less_often() {
        let (mut stock, class) = (Stock::new(), Class::of(64).unwrap());
        let mut asked = 0;
        for _ in 0..1000 {
            if stock.next_request(class).is_some() {
                asked += 1;
                stock.was_refused(class);
            }
        }
        assert!((15..25).contains(&asked), "{asked}");
        stock.add(64, Grant { slot: 1, generation_low: 1 });
        assert_eq!(stock.take(class).map(|grant| grant.slot), Some(1));
    }
}
