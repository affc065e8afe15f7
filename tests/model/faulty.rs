//! Shared memory that can be broken on purpose, to see that the checker notices.

use plasmad_core::queue::Heard;
use plasmad_core::residence::{Entry, FillFailed, Grant, Pinned, Record};
use plasmad_core::slot::SlotSet;
use plasmad_core::{ClientId, Effect, Event, Reply, Residence, SlotNumber, Verb};
use plasmad_wire::{Extent, Handle, ObjectId, Pin};

use crate::support::Pages;

/// Honest pages, and what is wrong with them.
pub(super) struct Faulty {
    pub(super) pages: Pages,
    pub(super) fault: Fault,
    /// Rings on which something stood.
    entries: u64,
    /// Somebody has begun to wait in this event.
    pub(super) is_waited_for: bool,
}

/// What is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// Every eighth slot's pins are told and not kept.
    ForgetsPins,
    /// Scans see no pins, so a delete frees what is pinned.
    ScansNothing,
    /// Neither scans nor retractions see pins of sealed objects, so what is pinned is dropped.
    RetractsPinned,
    /// Objects are shown with another generation than their handles have.
    PublishesStale,
    /// One number in an answer is wrong.
    MiscountsReply,
    /// Answers to creates are lost.
    LosesReply,
    /// Two answers of one event come in the wrong order.
    SwapsReplies,
    /// New objects are told to lie a cache line before their place.
    ShiftsExtents,
    /// Clients are never asked to ring.
    WantsNothing,
    /// The first change of five or more is not told.
    LosesChange,
    /// Nothing is claimed of what is taken back.
    RevokesClaimed,
    /// Now and then the last entry of a ring is not read.
    LosesEntry,
    /// Now and then an entry is read twice.
    RepeatsEntry,
    /// What stays with its client is shown as being taken back.
    KeepsNothing,
    /// Nobody is asked to ring for what somebody waits for.
    ExpectsNothing,
    /// Rings are not read once more when somebody has begun to wait.
    ReadsOnce,
    /// Clients tell what somebody waits for, and don't ring.
    NobodyRings,
}

impl Faulty {
    pub(super) fn new(pages: Pages, fault: Fault) -> Self {
        Self { pages, fault, entries: 0, is_waited_for: false }
    }

    /// What is wrong with the core's answers.
    pub(super) fn corrupt(&self, effects: &mut Vec<Effect>) {
        match self.fault {
            Fault::MiscountsReply => effects.iter_mut().for_each(|effect| {
                if let Effect::Reply { reply: Reply::Done(count), .. } = effect {
                    *count += u32::from(*count == 2);
                }
            }),
            Fault::LosesReply => {
                effects.retain(|effect| !matches!(effect, Effect::Reply { reply: Reply::Created(_), .. }));
            }
            Fault::SwapsReplies => effects.reverse(),
            Fault::ShiftsExtents => effects.iter_mut().for_each(|effect| {
                if let Effect::Reply { reply: Reply::Created(made), .. } = effect {
                    made.iter_mut().for_each(|(_, extent)| extent.offset = extent.offset.saturating_sub(64));
                }
            }),
            Fault::None
            | Fault::ForgetsPins
            | Fault::ScansNothing
            | Fault::RetractsPinned
            | Fault::PublishesStale
            | Fault::WantsNothing
            | Fault::LosesChange
            | Fault::RevokesClaimed
            | Fault::LosesEntry
            | Fault::RepeatsEntry
            | Fault::KeepsNothing
            | Fault::ExpectsNothing
            | Fault::ReadsOnce
            | Fault::NobodyRings => {}
        }
    }

    /// What is wrong with what subscribers hear.
    pub(super) fn corrupt_heard(&self, heard: &mut Heard) {
        if self.fault == Fault::LosesChange && heard.changes.len() >= 5 {
            heard.changes.remove(0);
        }
    }

    /// Stats count pins, so they would tell of hidden ones before those do any harm.
    pub(super) fn is_betrayed_by(&self, event: &Event) -> bool {
        let hides_pins = matches!(self.fault, Fault::ScansNothing | Fault::RetractsPinned);
        hides_pins && matches!(event, Event::Asked { verb: Verb::Stats, .. })
    }
}

impl Residence for Faulty {
    fn fill(&mut self, extent: Extent, data: &[u8], metadata: &[u8]) -> Result<(), FillFailed> {
        self.pages.fill(extent, data, metadata)
    }

    fn drain(&mut self, client: ClientId, into: &mut Vec<Entry>) {
        if self.fault == Fault::ReadsOnce && self.is_waited_for {
            return;
        }
        self.pages.drain(client, into);
        let Some(last) = into.last().copied() else { return };
        self.entries += 1;
        match self.fault {
            Fault::LosesEntry if self.entries.is_multiple_of(9) => _ = into.pop(),
            Fault::RepeatsEntry if self.entries.is_multiple_of(9) => into.push(last),
            _ => {}
        }
    }

    fn grant(&mut self, client: ClientId, grants: &[Grant]) {
        self.pages.grant(client, grants);
    }

    fn revoke(&mut self, client: ClientId, slots: &[SlotNumber], claimed: &mut SlotSet) {
        self.pages.revoke(client, slots, claimed);
        if self.fault == Fault::RevokesClaimed {
            claimed.clear();
        }
    }

    fn keep(&mut self, slot: SlotNumber) {
        self.pages.keep(slot);
        if self.fault == Fault::KeepsNothing {
            self.pages.mark(slot);
        }
    }

    fn expect(&mut self, ids: &[ObjectId], expected: bool) {
        if self.fault != Fault::ExpectsNothing {
            self.pages.expect(ids, expected);
        }
        self.is_waited_for |= expected;
    }

    fn publish(&mut self, slot: SlotNumber, record: &Record) {
        let stale = u64::from(self.fault == Fault::PublishesStale && record.generation > 1);
        self.pages.publish(slot, &Record { generation: record.generation - stale, ..*record });
    }

    fn pin(&mut self, client: ClientId, slot: SlotNumber, generation: u64) -> Option<u32> {
        let word = self.pages.pin(client, slot, generation)?;
        if self.fault == Fault::ForgetsPins && slot.0.is_multiple_of(8) {
            self.pages.unpin(client, Pin { word, handle: Handle { slot: slot.0, generation } });
        }
        Some(word)
    }

    fn unpin(&mut self, client: ClientId, pin: Pin) -> bool {
        self.pages.unpin(client, pin)
    }

    fn holds(&mut self, client: ClientId, pin: Pin) -> bool {
        self.pages.holds(client, pin)
    }

    fn pinned(&mut self, into: &mut SlotSet) {
        match self.fault {
            Fault::ScansNothing => {}
            Fault::RetractsPinned => self.pages.pinned_out_of_sight(into),
            _ => self.pages.pinned(into),
        }
    }

    fn pinned_by(&mut self, client: ClientId, into: &mut SlotSet) {
        self.pages.pinned_by(client, into);
    }

    fn reserve(&mut self, slot: SlotNumber, generation: u64) {
        self.pages.reserve(slot, generation);
    }

    fn holders(&mut self, visit: &mut dyn FnMut(ClientId, SlotNumber)) {
        self.pages.holders(visit);
    }

    fn recent(&mut self, visit: &mut dyn FnMut(SlotNumber)) {
        self.pages.recent(visit);
    }

    fn want(&mut self, wanted: bool) {
        self.pages.want(wanted && self.fault != Fault::WantsNothing);
    }

    fn retract(&mut self, window: &[SlotNumber]) -> Result<(), Pinned> {
        if self.fault == Fault::RetractsPinned {
            self.pages.retract_pinned_too(window);
            return Ok(());
        }
        self.pages.retract(window)
    }

    fn doom(&mut self, slot: SlotNumber) {
        self.pages.doom(slot);
    }

    fn free(&mut self, slot: SlotNumber, next_generation: u64) {
        self.pages.free(slot, next_generation);
    }

    fn leave(&mut self, client: ClientId) {
        self.pages.leave(client);
    }
}
