//! Gets (and waits) for objects that aren't there yet.
//!
//! Invariant: `missing` of a wait is the number of its distinct ids that aren't readable right now; a wait stays
//! registered under all its ids until it is answered, so the number also grows again when one goes.

use alloc::collections::BTreeMap;
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
    /// How many distinct ids aren't readable.
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
    /// Pin nothing; enough are there when no more than this many are missing.
    Look {
        /// How many may be missing.
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
            Purpose::Look { missing_max } => self.missing <= missing_max,
        }
    }
}

/// All gets that wait, by their number and by their ids.
#[derive(Debug, Default)]
pub struct GetWaits {
    waits: BTreeMap<u64, GetWait>,
    by_id: HashMap<ObjectId, Vec<u64>, DefaultHashBuilder>,
    next_number: u64,
}

impl GetWaits {
    /// Registers a wait; returns its number.
    pub fn push(&mut self, wait: GetWait) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        for id in distinct(&wait.ids) {
            self.by_id.entry(id).or_default().push(number);
        }
        self.waits.insert(number, wait);
        number
    }

    /// Ends a wait.
    pub fn remove(&mut self, number: u64) -> Option<GetWait> {
        let wait = self.waits.remove(&number)?;
        for id in distinct(&wait.ids) {
            let Some(numbers) = self.by_id.get_mut(&id) else { continue };
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_id.remove(&id);
            }
        }
        Some(wait)
    }

    /// An object became readable; tells which waits can be answered now, oldest first.
    pub fn appeared(&mut self, id: ObjectId) -> Vec<u64> {
        let mut satisfied = Vec::new();
        if self.waits.is_empty() {
            return satisfied;
        }
        for number in self.by_id.get(&id).into_iter().flatten() {
            let Some(wait) = self.waits.get_mut(number) else { continue };
            wait.missing -= 1;
            if wait.is_satisfied() {
                satisfied.push(*number);
            }
        }
        satisfied
    }

    /// An object isn't readable any more.
    pub fn vanished(&mut self, id: ObjectId) {
        if self.waits.is_empty() {
            return;
        }
        for number in self.by_id.get(&id).into_iter().flatten() {
            if let Some(wait) = self.waits.get_mut(number) {
                wait.missing += 1;
            }
        }
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
