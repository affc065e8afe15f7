//! The line of creates that wait for room, and who passes the first in it.
//!
//! Whatever may make room looks at the first; when it can't be served, then at those close behind it, in their order, who
//! take what is free and nothing else: nothing is dropped, taken back or written for them. Who comes while others wait is
//! looked at once in the same way. How many pass is counted by [`CreateQueue`](crate::queue::CreateQueue). What is being
//! gathered for the first is out of bounds for them all, and while a restore waits for memory nobody is served.

use alloc::vec::Vec;

use super::make::{asked_bytes, sizes};
use super::{Store, Turn};
use crate::clients::ClientId;
use crate::effect::{Refusal, Reply};
use crate::event::{RequestTag, Wanted};
use crate::queue::WaitKey;
use crate::residence::Residence;
use crate::slot::SlotNumber;

impl Store {
    /// Serves all who wait for room, restores first, until somebody has to go on waiting.
    pub(super) fn serve_waiting<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        self.serve_once(turn);
        self.ask_for_releases(turn);
        self.room_changed = false;
    }

    fn serve_once<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        for _ in 0..ROUNDS_MAX {
            if self.disk.exists {
                let room_changed = core::mem::take(&mut self.room_changed);
                self.serve_restores(turn, room_changed);
            }
            while self.serve_first(turn, false) || self.serve_close_behind(turn) {}
            // What was put inline may have been the last thing that a get lacked but for what is on disk.
            if !self.disk.restores_due {
                break;
            }
        }
        self.disk.room_due = !self.creates.is_empty();
    }

    /// While anybody waits for room, clients ring when they release something by themselves.
    pub(super) fn ask_for_releases<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        while self.wanted != self.needs_releases() {
            self.wanted = !self.wanted;
            turn.residence.want(self.wanted);
            if self.wanted {
                // Whoever released just before that has made no sound, so the first in line looks once more.
                self.room_changed = true;
                self.serve_once(turn);
            }
        }
    }

    /// Clients need not ring any more: what is being written makes room, and who waits is looked at when that is done.
    pub(super) fn spare_releases<R: Residence>(&mut self, turn: &mut Turn<'_, R>) {
        if self.wanted && !self.needs_releases() {
            self.wanted = false;
            turn.residence.want(false);
        }
    }

    fn needs_releases(&self) -> bool {
        self.is_short_of_room() && self.spilling_bytes == 0
    }

    /// A create's time is up. Those behind it may fit where it didn't.
    pub(super) fn expire_create<R: Residence>(&mut self, turn: &mut Turn<'_, R>, place: u64) {
        if self.creates.first().is_none_or(|(first, _)| first != place) {
            if self.room_changed {
                self.serve_waiting(turn);
            }
            return self.refuse_create(turn, place);
        }
        // Pins that clients let go by themselves make no event, so the first in line looks once more.
        if !self.serve_first(turn, true) {
            self.refuse_create(turn, place);
        }
    }

    /// Answers the first in line, unless it has to go on waiting or there is none.
    fn serve_first<R: Residence>(&mut self, turn: &mut Turn<'_, R>, is_last_look: bool) -> bool {
        let Some((place, wait)) = self.creates.first().filter(|_| !self.disk.is_short) else { return false };
        let (client, objects) = (wait.client, wait.objects.clone());
        // Others went before it since it came: its ids may be taken now, and the table full.
        let answer = match self.check_new(turn, &objects) {
            Err(refusal) => Err(refusal),
            Ok(()) => match self.try_create(turn, client, &objects, is_last_look) {
                Some(answer) => answer,
                None => return false,
            },
        };
        if let Some((client, tag)) = self.stop_waiting(turn, WaitKey::Create(place)) {
            self.answer(turn, client, tag, answer);
        }
        true
    }

    /// Answers those that may pass the first, unless there is none.
    fn serve_close_behind<R: Residence>(&mut self, turn: &mut Turn<'_, R>) -> bool {
        if self.disk.is_short || !self.creates.may_pass(0) {
            return false;
        }
        let mut any = false;
        let places: Vec<u64> = self.creates.close_behind().collect();
        for place in places {
            let Some(wait) = self.creates.wait(place).filter(|wait| self.may_fit(&wait.objects)) else { continue };
            let (client, objects) = (wait.client, wait.objects.clone());
            let Some(answer) = self.try_to_pass(turn, client, &objects) else { continue };
            if let Some((client, tag)) = self.stop_waiting(turn, WaitKey::Create(place)) {
                self.answer(turn, client, tag, answer);
                any = true;
            }
        }
        any
    }

    /// Whoever comes now is close behind the first, nobody before it is to be looked at, and no answer could be taken for
    /// that of another request of its client's.
    pub(super) fn may_newcomer_pass(&mut self, client: ClientId, tag: RequestTag) -> bool {
        let ledger = self.clients.ledger(client);
        let is_new = ledger.is_some_and(|ledger| !ledger.waiting.contains_key(&tag.number));
        is_new && self.creates.is_end_close() && !self.room_changed
    }

    /// Makes objects of what is free, if there is enough and the first in line may be passed; `None` if not.
    pub(super) fn try_to_pass<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        client: ClientId,
        objects: &[Wanted],
    ) -> Option<Result<Reply, Refusal>> {
        let bytes = asked_bytes(objects);
        // The first finds its slots when it finds its room.
        let slots = objects.len() + self.creates.first().map_or(0, |(_, first)| first.objects.len());
        let is_kept = self.bytes_for(bytes) < bytes;
        if self.disk.is_short || is_kept || !self.creates.may_pass(bytes) || slots > self.slots.vacancies() {
            return None;
        }
        let extents = self.allocate_all(&sizes(objects))?;
        let is_gathered = extents.iter().any(|extent| self.is_gathered(*extent));
        let taken = objects.iter().try_for_each(|wanted| self.check_id(wanted));
        if is_gathered || taken.is_err() {
            extents.into_iter().for_each(|extent| self.arena.free(extent));
            return taken.err().filter(|_| !is_gathered).map(Err);
        }
        self.creates.note_passed(bytes);
        // Those that wait for one of these ids are to be told.
        self.room_changed = true;
        Some(self.place(turn, client, objects, extents))
    }

    /// What may be taken of memory for puts of so many bytes. While the disk makes room, who wants much leaves what those
    /// may still take who pass, and is looked at again when that is done.
    pub(super) fn bytes_for(&self, bytes: u64) -> u64 {
        if bytes <= LITTLE_BYTES_MAX || self.spilling_bytes == 0 {
            return u64::MAX;
        }
        let to_be_had = self.arena.free_bytes() + self.droppable_bytes + self.clean_bytes;
        to_be_had.saturating_sub(self.creates.saved_bytes())
    }

    /// A deleted object leaves memory: if it was little, others like it may take that before who waits for the disk.
    pub(super) fn note_left(&mut self, slot: SlotNumber) {
        let object = &self.slots[slot];
        let bytes = self.arena.reserved_bytes(object.extent);
        if self.disk.exists && object.sealed_at.is_some() && bytes <= LITTLE_BYTES_MAX {
            self.creates.note_left(bytes);
        }
    }

    /// Each alone would find a hole.
    fn may_fit(&self, objects: &[Wanted]) -> bool {
        objects.iter().all(|wanted| wanted.bytes().is_some_and(|bytes| self.arena.fits(bytes)))
    }

    fn refuse_create<R: Residence>(&mut self, turn: &mut Turn<'_, R>, place: u64) {
        let Some(objects) = self.creates.wait(place).map(|wait| wait.objects.clone()) else { return };
        if let Some((client, tag)) = self.stop_waiting(turn, WaitKey::Create(place)) {
            let shortage = self.shortage(turn, client, &objects);
            self.answer(turn, client, tag, Err(Refusal::Full(shortage)));
        }
    }
}

/// Who wants no more than this takes what there is.
const LITTLE_BYTES_MAX: u64 = 64 << 10;
/// How often all are looked at in one event.
const ROUNDS_MAX: usize = 4;
