//! Creates that wait for room, first come, first served.
//!
//! Invariant: nobody overtakes. While one waits, all that come later wait behind it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::Nanos;
use crate::clients::ClientId;
use crate::event::{RequestTag, Wanted};

/// One create that waits.
#[derive(Clone, Debug)]
pub struct CreateWait {
    /// Who asked.
    pub client: ClientId,
    /// Returned with the answer.
    pub tag: RequestTag,
    /// What was asked.
    pub objects: Vec<Wanted>,
    /// Since when it waits.
    pub since: Nanos,
    /// When it is refused.
    pub deadline: Option<Nanos>,
}

impl CreateWait {
    /// What it takes of the daemon's memory while it waits.
    pub fn bytes(&self) -> u64 {
        let inline = self.objects.iter().filter_map(|wanted| wanted.payload.as_ref());
        let inline: usize = inline.map(|payload| payload.data.len() + payload.metadata.len()).sum();
        (size_of::<Self>() + self.objects.len() * size_of::<Wanted>() + inline) as u64
    }
}

/// All creates that wait, by their place in line.
#[derive(Debug, Default)]
pub struct CreateQueue {
    line: BTreeMap<u64, CreateWait>,
    next_place: u64,
}

impl CreateQueue {
    /// To the end of the line; returns the place.
    pub fn push(&mut self, wait: CreateWait) -> u64 {
        let place = self.next_place;
        self.next_place += 1;
        self.line.insert(place, wait);
        place
    }

    /// Who is first, and its place.
    pub fn first(&self) -> Option<(u64, &CreateWait)> {
        self.line.first_key_value().map(|(place, wait)| (*place, wait))
    }

    /// Who is at a place.
    pub fn wait(&self, place: u64) -> Option<&CreateWait> {
        self.line.get(&place)
    }

    /// Out of the line.
    pub fn remove(&mut self, place: u64) -> Option<CreateWait> {
        self.line.remove(&place)
    }

    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.line.len()
    }
}
