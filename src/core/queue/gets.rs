//! Gets (and waits) for objects that aren't there yet.
//!
//! Invariant: of a wait's distinct ids, `absent` is the number of those under which nothing is sealed right now, and
//! `missing` of those whose bytes aren't at hand, so that are absent or on disk only, and not viewed there. A wait stays registered under all its ids
//! until it is answered, so the numbers also grow again when one goes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use hashbrown::{DefaultHashBuilder, HashMap};
use plasmad_wire::ObjectId;

use crate::Nanos;
use crate::clients::ClientId;
use crate::event::RequestTag;

/// One get that waits.
#[derive(Clone, Debug)]
pub struct GetWait {
    /// Who asked.
    pub client: ClientId,
    /// Returned with the answer.
    pub tag: RequestTag,
    /// In the order asked for, repeats included.
    pub ids: Vec<ObjectId>,
    /// What happens in the end.
    pub purpose: Purpose,
    /// How many distinct ids are not those of sealed objects.
    pub absent: usize,
    /// How many distinct ids' bytes aren't at hand.
    pub missing: usize,
    /// Since when it waits.
    pub since: Nanos,
    /// When it is answered in any case.
    pub deadline: Option<Nanos>,
}

/// What a wait is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Pin all; at the deadline pin nothing, or what is there.
    Pin {
        /// Pin what is there.
        partial: bool,
    },
    /// Pin nothing; enough are there, in memory or on disk, when no more than this many are absent.
    Look {
        /// How many may be absent.
        missing_max: usize,
    },
}

impl GetWait {
    /// What it takes of the daemon's memory while it waits: its ids stand in a list, and each under itself.
    pub fn bytes(&self) -> u64 {
        (size_of::<Self>() + self.ids.len() * 4 * size_of::<ObjectId>()) as u64
    }

    /// It can be answered as it was asked.
    pub fn is_satisfied(&self) -> bool {
        match self.purpose {
            Purpose::Pin { .. } => self.missing == 0,
            Purpose::Look { missing_max } => self.absent <= missing_max,
        }
    }

    /// All it lacks is on disk. Until then nothing is fetched for it: what it waits for may never come.
    pub fn waits_for_disk(&self) -> bool {
        matches!(self.purpose, Purpose::Pin { .. }) && self.absent == 0 && self.missing > 0
    }
}

/// All gets that wait, by their number and by their ids.
#[derive(Debug, Default)]
pub struct GetWaits {
    waits: BTreeMap<u64, GetWait>,
    by_id: HashMap<ObjectId, Vec<u64>, DefaultHashBuilder>,
    /// Those that lack nothing but what is on disk.
    for_disk: BTreeSet<u64>,
    next_number: u64,
}

/// What became of an object, as those see it who wait for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turned {
    /// It was sealed, and can be read.
    Sealed,
    /// It was at hand, and went for good.
    Gone,
    /// It was at hand, and is on disk now.
    Spilled,
    /// It is in memory again, or can be read where it lies on disk.
    Restored,
    /// It was on disk only, and went for good.
    GoneFromDisk,
}

impl GetWaits {
    /// Registers a wait; returns its number.
    pub fn push(&mut self, wait: GetWait) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        for id in distinct(&wait.ids) {
            self.by_id.entry(id).or_default().push(number);
        }
        if wait.waits_for_disk() {
            self.for_disk.insert(number);
        }
        self.waits.insert(number, wait);
        number
    }

    /// Ends a wait.
    pub fn remove(&mut self, number: u64) -> Option<GetWait> {
        let wait = self.waits.remove(&number)?;
        self.for_disk.remove(&number);
        for id in distinct(&wait.ids) {
            let Some(numbers) = self.by_id.get_mut(&id) else { continue };
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_id.remove(&id);
            }
        }
        Some(wait)
    }

    /// Something became of an object; tells which waits can be answered now, oldest first.
    pub fn turned(&mut self, id: ObjectId, turned: Turned) -> Vec<u64> {
        let mut satisfied = Vec::new();
        if self.waits.is_empty() {
            return satisfied;
        }
        for number in self.by_id.get(&id).into_iter().flatten() {
            let Some(wait) = self.waits.get_mut(number) else { continue };
            let before = wait.is_satisfied();
            match turned {
                Turned::Sealed => (wait.absent, wait.missing) = (wait.absent - 1, wait.missing - 1),
                Turned::Gone => (wait.absent, wait.missing) = (wait.absent + 1, wait.missing + 1),
                Turned::Spilled => wait.missing += 1,
                Turned::Restored => wait.missing -= 1,
                Turned::GoneFromDisk => wait.absent += 1,
            }
            if wait.is_satisfied() && !before {
                satisfied.push(*number);
            }
            if wait.waits_for_disk() {
                self.for_disk.insert(*number);
            } else {
                self.for_disk.remove(number);
            }
        }
        satisfied
    }

    /// Those that lack nothing but what is on disk, oldest first.
    pub fn waiting_for_disk(&self) -> &BTreeSet<u64> {
        &self.for_disk
    }

    /// Waits for an id, oldest first.
    pub fn waiting_for(&self, id: ObjectId) -> &[u64] {
        self.by_id.get(&id).map_or(&[], Vec::as_slice)
    }

    /// A wait, while it waits.
    pub fn wait(&self, number: u64) -> Option<&GetWait> {
        self.waits.get(&number)
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.waits.len()
    }

    /// The one that has waited longest.
    pub fn oldest(&self) -> Option<&GetWait> {
        self.waits.first_key_value().map(|(_, wait)| wait)
    }
}

/// Each id once.
pub fn distinct(ids: &[ObjectId]) -> Vec<ObjectId> {
    let mut distinct = ids.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}
