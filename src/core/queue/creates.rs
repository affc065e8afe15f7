//! Creates that wait for room: first come, first served, but for some that pass the first.
//!
//! While the first in line can't be served, those close behind it may go before it, as long as they take nothing but what
//! is free. Invariant: those that pass the same first ask together for no more bytes than it does and what is *saved*, where
//! each counts as a page at least. From then on nobody passes, and whatever becomes free gathers for it. What of that was
//! not used when it leaves is saved for those who pass the next, up to what the queue was made with, and so is what those
//! like them leave. So those who pass have in the long run taken no more than those they pass, and at once as much as was
//! saved; who puts and deletes goes on all the time.

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
#[derive(Debug)]
pub struct CreateQueue {
    line: BTreeMap<u64, CreateWait>,
    next_place: u64,
    /// What has passed the first.
    passed_bytes: u64,
    /// What may pass beside what the first asks for.
    saved_bytes: u64,
    saved_bytes_max: u64,
}

impl CreateQueue {
    /// Nobody waits, and so much may pass the first beside what it asks for.
    pub fn new(saved_bytes_max: u64) -> Self {
        let saved_bytes = saved_bytes_max;
        Self { line: BTreeMap::new(), next_place: 0, passed_bytes: 0, saved_bytes, saved_bytes_max }
    }

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
        counted(bytes) <= self.bytes_to_pass()
    }

    /// How many bytes may still pass the first together.
    pub fn bytes_to_pass(&self) -> u64 {
        let asked = self.first().map_or(0, |(_, first)| first.asked_bytes);
        asked.saturating_add(self.saved_bytes).saturating_sub(self.passed_bytes)
    }

    /// How many of them don't depend on what the first asks for.
    pub fn saved_bytes(&self) -> u64 {
        self.bytes_to_pass().min(self.saved_bytes)
    }

    /// One has passed.
    pub fn note_passed(&mut self, bytes: u64) {
        self.passed_bytes += counted(bytes);
    }

    /// Somebody who might have passed left so many bytes: they are there for others like it.
    pub fn note_left(&mut self, bytes: u64) {
        let unpassed = bytes.min(self.passed_bytes);
        self.passed_bytes -= unpassed;
        self.saved_bytes = (self.saved_bytes + bytes - unpassed).min(self.saved_bytes_max);
    }

    /// Who is at a place.
    pub fn wait(&self, place: u64) -> Option<&CreateWait> {
        self.line.get(&place)
    }

    /// Out of the line.
    pub fn remove(&mut self, place: u64) -> Option<CreateWait> {
        if self.first().is_some_and(|(first, _)| first == place) {
            self.saved_bytes = self.bytes_to_pass().min(self.saved_bytes_max);
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
