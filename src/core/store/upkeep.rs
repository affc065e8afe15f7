//! Memory made present ahead of use, and given back: one errand of the shell's at a time.
//!
//! Invariant: what is given back belongs to nobody until the shell says that it is done. A create that finds no room
//! meanwhile waits for that, which is a matter of milliseconds, before it drops anything or is refused. It doesn't wait
//! for a shell that seems not to come back.

use plasmad_wire::Extent;

use super::{Store, Turn};
use crate::Nanos;
use crate::arena::Stretch;
use crate::effect::Effect;
use crate::residence::Residence;

/// What the shell is doing about the arena's memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Errand {
    /// It makes this present.
    Populate(Stretch),
    /// It gives this back, since then; the allocator has it out of reach.
    GiveBack(Extent, Nanos),
}

impl Store {
    /// Sends the shell on its next errand, if there is one and it is free. Ends each event.
    pub(super) fn keep_up<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        self.spans.follow(turn.now, &mut self.arena);
        if self.errand.is_some() {
            return;
        }
        if let Some(stretch) = self.spans.to_populate(&self.arena) {
            self.errand = Some(Errand::Populate(stretch));
            turn.effects.push(Effect::Populate(stretch));
        } else if !self.is_short_of_room()
            && let Some(extent) = self.spans.to_give_back(&self.arena)
        {
            self.arena.withdraw(extent);
            self.errand = Some(Errand::GiveBack(extent, turn.now));
            turn.effects.push(Effect::GiveBack(extent));
        }
    }

    /// The shell is back from its errand.
    ///
    /// # Panics
    /// If it was on none: that is a mistake of the shell's.
    pub(super) fn errand_done(&mut self, succeeded: bool) {
        match self.errand.take().expect("an errand that is done was begun") {
            Errand::Populate(stretch) => self.spans.populated(stretch, succeeded),
            Errand::GiveBack(extent, _) => {
                self.arena.restore(extent);
                self.spans.given_back(extent, succeeded, &self.arena);
                self.room_changed = true;
            }
        }
    }

    /// Some free memory is out of reach for the moment.
    pub(super) fn is_giving_back(&self, now: Nanos) -> bool {
        matches!(self.errand, Some(Errand::GiveBack(_, since)) if now - since < GIVING_BACK_NS_MAX)
    }

    /// How long a create waits for room: while something is given back, long enough for it to be done.
    pub(super) fn create_timeout_ns(&self, now: Nanos, asked_ns: u64) -> u64 {
        if self.is_giving_back(now) { asked_ns.max(GIVING_BACK_NS_MAX) } else { asked_ns }
    }

    /// Everything that is to be present ahead of use is, or can't be had.
    pub fn is_populated(&self) -> bool {
        self.spans.is_populated()
    }
}

/// Far more than giving one stretch back takes, also on a busy machine.
const GIVING_BACK_NS_MAX: Nanos = 1_000_000_000;
