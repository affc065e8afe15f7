//! Which memory is to be present: ahead of use it is made so, and what nobody used for a while goes back.
//!
//! Memory is looked after by spans of 2 MiB. *Wanted* are those that the next objects will lie in: the shortest holes
//! first, as the allocator takes them, until they add up to what is kept ahead; and as much from the front of the
//! longest hole, for an object that fits nowhere else.
//!
//! ```text
//! absent ── populated, or used ──> present ── whole, free, not wanted, at enough looks in a row ──> given back, absent
//! ```
//!
//! Invariant: a span goes back only if nothing was allocated in it for the whole idle time. The allocator notes each
//! span in which it allocates; a look, some seconds apart, counts the spans that were free then and are not noted, and
//! clears the notes. So an allocation costs a bit, and a look a walk over the longer holes.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use plasmad_wire::Extent;

use super::span_set::{SPAN_BYTES, SpanSet, inside, touched};
use super::{Allocator, Block};
use crate::Nanos;

/// How much is done about memory that nobody uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Upkeep {
    /// So much free memory is made present and stays so, if there is as much; [`u64::MAX`] is all of the arena.
    pub ahead_bytes: u64,
    /// Memory beyond that goes back when it was free for so long; [`Nanos::MAX`] is never.
    pub idle_ns: Nanos,
}

impl Upkeep {
    /// Memory is present from its first use on, for ever.
    pub const NONE: Self = Self { ahead_bytes: 0, idle_ns: Nanos::MAX };
}

/// A range of the arena that is to be made present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// Where it starts: on a span.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// Nothing lies there.
    pub is_free: bool,
}

/// What is known of the memory behind an arena.
#[derive(Debug)]
pub struct Spans {
    upkeep: Upkeep,
    capacity_bytes: u64,
    /// There may be memory behind them: they were populated or used since they were given back.
    present: SpanSet,
    /// They were populated since they were given back. What was only used may lack some pages.
    populated: SpanSet,
    /// What the next objects will lie in.
    wanted: SpanSet,
    /// Free for long enough, and not wanted.
    idle: SpanSet,
    /// At how many looks in a row a span was free and had been since the one before. The first doesn't tell how long.
    free_looks: Vec<u8>,
    next_look: Option<Nanos>,
    /// What the allocator had allocated and had in use at the last look: the same again means that nothing happened.
    looked_at: (u64, u64),
    /// What the allocator had allocated when `wanted` was made.
    planned_at: u64,
    /// Something wanted may not be populated. This and the next spare most events a walk over the sets.
    may_lack: bool,
    /// Something may be idle.
    may_give_back: bool,
    /// The machine has no memory for it, or population doesn't work.
    population_failed: bool,
    /// Memory can't be given back here.
    giving_back_failed: bool,
}

impl Spans {
    /// Nothing is present.
    pub fn new(upkeep: Upkeep, arena: &Allocator) -> Self {
        assert!(upkeep.idle_ns > 0, "an idle time takes some time");
        let none = SpanSet::new(arena.capacity_bytes());
        let mut spans = Self {
            upkeep,
            capacity_bytes: arena.capacity_bytes(),
            present: none.clone(),
            populated: none.clone(),
            wanted: none.clone(),
            free_looks: vec![0; none.spans()],
            idle: none,
            next_look: None,
            looked_at: activity(arena),
            planned_at: 0,
            may_lack: false,
            may_give_back: false,
            population_failed: false,
            giving_back_failed: false,
        };
        spans.plan(arena);
        spans
    }

    /// Follows what happened in the arena; to be called after each event, and at [`Self::next_look`].
    pub fn follow(&mut self, now: Nanos, arena: &mut Allocator) {
        if self.next_look.is_some_and(|look| look <= now) {
            self.look(now, arena);
        } else if arena.allocated_bytes_total() - self.planned_at >= PLAN_AGAIN_BYTES {
            self.plan(arena);
        }
        if self.next_look.is_none() && self.gives_back() && activity(arena) != self.looked_at {
            self.next_look = Some(now.saturating_add(self.look_ns()));
        }
    }

    /// When the next look is due; `None` while nothing can become idle.
    pub fn next_look(&self) -> Option<Nanos> {
        self.next_look
    }

    /// What is to be made present next, if anything is.
    pub fn to_populate(&mut self, arena: &Allocator) -> Option<Stretch> {
        if !self.may_lack || self.population_failed {
            return None;
        }
        let Some(first) = self.wanted.first_outside(&self.populated) else {
            self.may_lack = false;
            return None;
        };
        let is_free = self.is_free(arena, first);
        let lacks = |span: usize| self.wanted.contains(span) && !self.populated.contains(span);
        let more =
            (first + 1..first + STRETCH_SPANS).take_while(|span| lacks(*span) && self.is_free(arena, *span) == is_free);
        let bytes = self.bytes_of(first..first + 1 + more.count());
        Some(Stretch { offset: bytes.start, bytes: bytes.end - bytes.start, is_free })
    }

    /// A stretch is present, or can't be made so; then nothing is tried any more.
    pub fn populated(&mut self, stretch: Stretch, succeeded: bool) {
        if succeeded {
            let spans = touched(stretch.offset..stretch.offset + stretch.bytes);
            self.populated.insert_all(spans.clone());
            self.present.insert_all(spans);
        }
        self.population_failed |= !succeeded;
    }

    /// Everything wanted is present, or can't be made so.
    pub fn is_populated(&self) -> bool {
        self.population_failed || self.wanted.first_outside(&self.populated).is_none()
    }

    /// What is to be given back next, if anything is: a piece of a hole.
    pub fn to_give_back(&mut self, arena: &Allocator) -> Option<Extent> {
        if !self.may_give_back || self.giving_back_failed {
            return None;
        }
        while let Some(last) = self.idle.last() {
            // It may have been used since the look that found it idle.
            let still_idle = |span: usize| {
                self.idle.contains(span) && self.is_free(arena, span) && !arena.used_lately().contains(span)
            };
            let spans =
                (last.saturating_sub(STRETCH_SPANS - 1)..=last).rev().take_while(|span| still_idle(*span)).count();
            if spans > 0 {
                let bytes = self.bytes_of(last + 1 - spans..last + 1);
                return Some(Extent { segment: 0, offset: bytes.start, bytes: bytes.end - bytes.start });
            }
            self.idle.remove_all(last..last + 1);
        }
        self.may_give_back = false;
        None
    }

    /// A piece was given back and is in reach again, or can't be given back; then nothing is tried any more.
    pub fn given_back(&mut self, extent: Extent, succeeded: bool, arena: &Allocator) {
        let spans = touched(extent.offset..extent.offset + extent.bytes);
        self.idle.remove_all(spans.clone());
        if succeeded {
            self.present.remove_all(spans.clone());
            self.populated.remove_all(spans);
        }
        self.giving_back_failed |= !succeeded;
        // While it was out of reach, other memory was wanted in its place.
        self.plan(arena);
    }

    /// Counts the spans that nobody uses, and clears the allocator's notes.
    fn look(&mut self, now: Nanos, arena: &mut Allocator) {
        self.present.add(arena.used_lately());
        self.plan(arena);
        let mut free = SpanSet::new(self.capacity_bytes);
        for hole in arena.holes_from(self.least_hole_bytes()) {
            free.insert_all(inside(hole.offset..hole.end(), self.capacity_bytes));
        }
        // The arena's last span may lie in a hole that is shorter than a span.
        if let Some(last) = free.spans().checked_sub(1).filter(|last| self.is_free(arena, *last)) {
            free.insert_all(last..last + 1);
        }
        self.idle.clear();
        let mut may_become_idle = false;
        for (span, looks) in self.free_looks.iter_mut().enumerate() {
            *looks = match (free.contains(span), arena.used_lately().contains(span)) {
                (false, _) => 0,
                (true, true) => 1,
                (true, false) => looks.saturating_add(1),
            };
            if free.contains(span) && self.present.contains(span) && !self.wanted.contains(span) {
                may_become_idle = true;
                if *looks > LOOKS {
                    self.idle.insert_all(span..span + 1);
                    self.may_give_back = true;
                }
            }
        }
        arena.forget_used_lately();
        self.looked_at = activity(arena);
        self.next_look = (may_become_idle && self.gives_back()).then(|| now.saturating_add(self.look_ns()));
    }

    /// Finds out what the next objects will lie in.
    fn plan(&mut self, arena: &Allocator) {
        self.planned_at = arena.allocated_bytes_total();
        self.wanted.clear();
        if self.upkeep.ahead_bytes == u64::MAX {
            self.wanted.insert_all(0..self.wanted.spans());
        } else {
            let mut left = self.upkeep.ahead_bytes;
            for hole in arena.holes_from(self.least_hole_bytes()) {
                if left == 0 {
                    break;
                }
                left -= self.want_front(hole, left);
            }
            // Of several longest ones the first is taken first.
            let longest = arena.holes_from(arena.largest_hole_bytes().max(self.least_hole_bytes())).next();
            longest.map(|hole| self.want_front(hole, self.upkeep.ahead_bytes));
        }
        self.idle.subtract(&self.wanted);
        self.may_lack = true;
    }

    fn want_front(&mut self, hole: Block, bytes_max: u64) -> u64 {
        let front = hole.bytes.min(bytes_max);
        self.wanted.insert_all(touched(hole.offset..hole.offset + front));
        front
    }

    fn is_free(&self, arena: &Allocator, span: usize) -> bool {
        span < self.wanted.spans() && arena.hole_around(self.bytes_of(span..span + 1)).is_some()
    }

    /// Where spans lie; the last one of the arena may be short.
    fn bytes_of(&self, spans: Range<usize>) -> Range<u64> {
        spans.start as u64 * SPAN_BYTES..(spans.end as u64 * SPAN_BYTES).min(self.capacity_bytes)
    }

    /// Shorter holes hold no whole span, unless the arena itself is shorter than one.
    fn least_hole_bytes(&self) -> u64 {
        SPAN_BYTES.min(self.capacity_bytes)
    }

    fn gives_back(&self) -> bool {
        self.upkeep.idle_ns != Nanos::MAX && !self.giving_back_failed
    }

    fn look_ns(&self) -> Nanos {
        self.upkeep.idle_ns.div_ceil(u64::from(LOOKS))
    }
}

/// Differs whenever something was allocated or freed in between.
fn activity(arena: &Allocator) -> (u64, u64) {
    (arena.allocated_bytes_total(), arena.used_bytes())
}

/// Looks in an idle time; one more is counted, since the first only finds that a span is free. So a span is given back
/// after one idle time and at most a sixth of it more.
const LOOKS: u8 = 6;
/// At most so many spans are populated or given back at once: 16 MiB, some milliseconds.
const STRETCH_SPANS: usize = 8;
/// What is wanted is found anew when so much was allocated.
const PLAN_AGAIN_BYTES: u64 = 16 << 20;

#[cfg(test)]
#[path = "spans_fuzz.rs"]
mod fuzz;
