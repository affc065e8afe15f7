//! Creates that wait for room: first come, first served, but for some that pass the first.
//!
//! While the first in line can't be served, those close behind it may go before it, as long as they take nothing but what
//! is free. Invariant: those that pass the same first ask together for no more bytes than it does, where each counts as a
//! page at least; so there are no more of them than pages it asks for. From then on nobody passes, and whatever becomes
//! free gathers for it. Whoever becomes first is passed by as much again, however the one before it left.

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
    /// How many bytes that is.
    pub asked_bytes: u64,
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
    /// What has passed the first.
    passed_bytes: u64,
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

    /// The places of those that are close enough behind the first to pass it.
    pub fn close_behind(&self) -> impl Iterator<Item = u64> {
        self.line.keys().skip(1).take(LOOK_AHEAD).copied()
    }

    /// Who comes now is close enough as well.
    pub fn is_end_close(&self) -> bool {
        self.line.len() <= LOOK_AHEAD
    }

    /// May a create of so many bytes pass the first?
    pub fn may_pass(&self, bytes: u64) -> bool {
        let asked = self.first().map_or(0, |(_, first)| first.asked_bytes);
        self.passed_bytes.saturating_add(counted(bytes)) <= asked
    }

    /// One has passed.
    pub fn note_passed(&mut self, bytes: u64) {
        self.passed_bytes += counted(bytes);
    }

    /// Who is at a place.
    pub fn wait(&self, place: u64) -> Option<&CreateWait> {
        self.line.get(&place)
    }

    /// Out of the line.
    pub fn remove(&mut self, place: u64) -> Option<CreateWait> {
        if self.first().is_some_and(|(first, _)| first == place) {
            self.passed_bytes = 0;
        }
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

/// What somebody who passes counts as.
fn counted(bytes: u64) -> u64 {
    bytes.max(PASSED_BYTES_MIN)
}

/// How many behind the first are looked at: enough that small ones find their way past some large ones, and few enough to
/// look at whenever memory becomes free.
pub const LOOK_AHEAD: usize = 64;
/// What the least counts that passes: memory is lost to the first in more than its bytes.
pub const PASSED_BYTES_MIN: u64 = 4096;
