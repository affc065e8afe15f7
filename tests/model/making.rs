//! Create, seal and abort.

use plasmad_core::effect::Shortage;
use plasmad_core::event::Wanted;
use plasmad_core::queue::{LOOK_AHEAD, PASSED_BYTES_MIN};
use plasmad_core::residence::Record;
use plasmad_core::{ClientId, Refusal, Reply, RequestTag};
use plasmad_wire::limits::METADATA_BYTES_MAX;
use plasmad_wire::{ChangeKind, Extent, Handle, ObjectId};

use super::state::{Model, Object, Purpose, Wait, reserved};
use super::transcript::Transcript;
use crate::support::{Call, Checked, Violation, ensure};

impl Model {
    pub(super) fn create(
        &mut self,
        said: &mut Transcript,
        client: ClientId,
        tag: RequestTag,
        timeout_ns: u64,
        objects: Vec<Wanted>,
    ) -> Checked {
        // What became free just now is for those who were here before.
        if self.room_changed {
            self.serve_creates(said, Look::Now)?;
        }
        if let Err(refusal) = self.check_new(said, &objects, Look::Now)? {
            return self.answer(said, client, tag, Err(refusal));
        }
        let is_new = !self.waits.values().any(|wait| (wait.client, wait.tag.number) == (client, tag.number));
        let served = match self.line().len() {
            0 => self.try_create(said, client, tag, &objects, Look::Now)?,
            // If anything was taken back for it, the others are looked at before it once more.
            1..=LOOK_AHEAD if is_new && !self.room_changed => self.try_to_pass(said, client, tag, &objects)?,
            _ => false,
        };
        if served {
            return Ok(());
        }
        if timeout_ns == 0 {
            let shortage = self.shortage(client, &objects);
            return self.answer(said, client, tag, Err(Refusal::Full(shortage)));
        }
        if let Err(refusal) = self.may_wait(client, tag) {
            return self.answer(said, client, tag, Err(refusal));
        }
        self.start_waiting(client, tag, timeout_ns, Purpose::Create(objects));
        Ok(())
    }

    /// The core looks at the line at the end of an event: if it must, and maybe more than once.
    pub(super) fn look_at_line(&mut self, said: &mut Transcript) -> Checked {
        loop {
            let before = said.calls_left();
            self.serve_creates(said, Look::Maybe)?;
            if said.calls_left() == before {
                return Ok(());
            }
        }
    }

    /// The first as long as there is room for it, then those close behind it that may pass, and so on.
    fn serve_creates(&mut self, said: &mut Transcript, look: Look) -> Checked {
        while let Some(first) = self.line().first().copied() {
            if !self.serve(said, first, look)? && !self.serve_close_behind(said)? {
                break;
            }
        }
        self.room_changed = false;
        Ok(())
    }

    fn serve_close_behind(&mut self, said: &mut Transcript) -> Checked<bool> {
        let mut any = false;
        for number in self.line().into_iter().skip(1).take(LOOK_AHEAD) {
            let Wait { client, tag, purpose: Purpose::Create(objects), .. } = self.waits[&number].clone() else {
                unreachable!("it is a create")
            };
            if self.try_to_pass(said, client, tag, &objects)? {
                self.waits.remove(&number);
                any = true;
            }
        }
        Ok(any)
    }

    /// Who isn't first is served if holes are enough, and the first has not been passed by as many bytes as it asks for.
    fn try_to_pass(
        &mut self,
        said: &mut Transcript,
        client: ClientId,
        tag: RequestTag,
        objects: &[Wanted],
    ) -> Checked<bool> {
        let first = self.line()[0];
        let Purpose::Create(asked) = &self.waits[&first].purpose else { unreachable!("it is a create") };
        let all: Vec<Wanted> = asked.iter().chain(objects).cloned().collect();
        let bytes = |objects: &[Wanted]| {
            objects.iter().fold(0_u64, |sum, wanted| sum.saturating_add(wanted.bytes().unwrap_or(u64::MAX)))
        };
        let passed = if self.passed.0 == first { self.passed.1 } else { 0 };
        let passed = passed.saturating_add(bytes(objects).max(PASSED_BYTES_MIN));
        if passed > bytes(asked) || self.slots_missing(&all) > 0 || !self.fits_all(objects) {
            return Ok(false);
        }
        if let Some(wanted) = objects.iter().find(|wanted| self.find(wanted.id).is_some()) {
            self.answer(said, client, tag, Err(Refusal::Exists(wanted.id)))?;
            return Ok(true);
        }
        self.passed = (first, passed);
        self.seen.passed += 1;
        self.make(said, client, tag, objects)?;
        Ok(true)
    }

    /// A create's time is up; only the first in line looks for room once more.
    pub(super) fn expire_create(&mut self, said: &mut Transcript, number: u64) -> Checked {
        if !self.waits.contains_key(&number) {
            return Ok(());
        }
        if self.line().first() == Some(&number) {
            if self.serve(said, number, Look::Now)? {
                self.room_changed = true;
                return Ok(());
            }
        } else if self.room_changed {
            self.serve_creates(said, Look::Now)?;
        }
        let Some(wait) = self.waits.remove(&number) else { return Ok(()) };
        self.room_changed = true;
        self.seen.creates_expired += 1;
        let Purpose::Create(objects) = wait.purpose else { unreachable!("it is a create") };
        let shortage = self.shortage(wait.client, &objects);
        self.answer(said, wait.client, wait.tag, Err(Refusal::Full(shortage)))
    }

    fn serve(&mut self, said: &mut Transcript, number: u64, look: Look) -> Checked<bool> {
        let wait = self.waits[&number].clone();
        let Purpose::Create(objects) = wait.purpose else { unreachable!("it is a create") };
        if let Err(refusal) = self.check_new(said, &objects, look)? {
            // Without a look nobody knows.
            if look == Look::Maybe
                && matches!(refusal, Refusal::TableFull { .. })
                && !said.is_next(wait.client, wait.tag)
            {
                return Ok(false);
            }
            // Those that are deleted were looked at before.
            self.sweep_due &= !matches!(refusal, Refusal::TableFull { .. });
            self.waits.remove(&number);
            self.answer(said, wait.client, wait.tag, Err(refusal))?;
            return Ok(true);
        }
        let served = self.try_create(said, wait.client, wait.tag, &objects, look)?;
        if served {
            self.seen.served_in_line += 1;
            self.waits.remove(&number);
        }
        Ok(served)
    }

    /// What can be refused without looking for room; but grants are taken back when there are too few slots.
    fn check_new(&mut self, said: &mut Transcript, objects: &[Wanted], look: Look) -> Checked<Result<(), Refusal>> {
        if let Err(refusal) = self.check_request(objects) {
            return Ok(Err(refusal));
        }
        if self.slots_missing(objects) > 0 && (look == Look::Now || said.takes_back()) {
            self.take_back_all(said)?;
            if let Some(wanted) = objects.iter().find(|wanted| self.find(wanted.id).is_some()) {
                return Ok(Err(Refusal::Exists(wanted.id)));
            }
        }
        if self.slots_missing(objects) > 0 && (look == Look::Now || matches!(said.next_call(), Some(Call::Free(..)))) {
            self.sweep(said)?;
        }
        if self.slots_missing(objects) > self.candidates().len() {
            return Ok(Err(Refusal::TableFull { objects_max: self.config.slots_max }));
        }
        Ok(Ok(()))
    }

    fn check_request(&self, objects: &[Wanted]) -> Result<(), Refusal> {
        for wanted in objects {
            if wanted.metadata_bytes > METADATA_BYTES_MAX {
                return Err(Refusal::Limit { what: "bytes of metadata", limit: METADATA_BYTES_MAX.into() });
            }
            if self.find(wanted.id).is_some() {
                return Err(Refusal::Exists(wanted.id));
            }
        }
        let mut ids: Vec<ObjectId> = objects.iter().map(|wanted| wanted.id).collect();
        ids.sort();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Refusal::Exists(pair[0]));
        }
        let bytes = || objects.iter().map(|wanted| wanted.bytes().unwrap_or(u64::MAX));
        if bytes().map(|bytes| u128::from(bytes).div_ceil(64) * 64).sum::<u128>() > self.config.capacity_bytes.into() {
            let asked = bytes().fold(0, u64::saturating_add);
            return Err(Refusal::Full(Shortage { asked, ..self.shortage_without_pins() }));
        }
        Ok(())
    }

    /// Follows the core's decision whether there is room, and holds it to the rules.
    fn try_create(
        &mut self,
        said: &mut Transcript,
        client: ClientId,
        tag: RequestTag,
        objects: &[Wanted],
        look: Look,
    ) -> Checked<bool> {
        if !self.fits_all(objects) && (look == Look::Now || said.takes_back()) {
            let before = self.granted_bytes();
            self.take_back_all(said)?;
            self.seen.taken_back += u64::from(self.granted_bytes() < before);
            // Rings were read for that, and one of these may have been put.
            if let Some(wanted) = objects.iter().find(|wanted| self.find(wanted.id).is_some()) {
                self.answer(said, client, tag, Err(Refusal::Exists(wanted.id)))?;
                return Ok(true);
            }
        }
        if matches!(said.next_call(), Some(Call::Free(..))) {
            self.sweep(said)?;
        }
        if said.found_room(client, tag).is_none() {
            self.check_no_room(objects)?;
            self.sweep_due = false;
            return Ok(false);
        }
        if !self.fits_all(objects) {
            let window = said.retracted().unwrap_or_default();
            self.seen.drops_for_one += u64::from(objects.len() == 1);
            self.seen.drops_for_batch += u64::from(objects.len() > 1);
            self.check_window(objects, &window)?;
            window.iter().try_for_each(|slot| self.drop_object(said, slot.0))?;
            self.sweep_due = false;
        }
        self.drop_for_slots(said, objects)?;
        self.make(said, client, tag, objects)?;
        Ok(true)
    }

    /// The core made these where there was room.
    fn make(&mut self, said: &mut Transcript, client: ClientId, tag: RequestTag, objects: &[Wanted]) -> Checked {
        let is_inline = objects.iter().all(|wanted| wanted.payload.is_some());
        if is_inline && !objects.is_empty() {
            self.put(said, client, tag, objects)
        } else {
            self.reserve(said, client, tag, objects)
        }
    }

    /// How many slots there are too few for so many objects.
    fn slots_missing(&self, objects: &[Wanted]) -> usize {
        (objects.len() + self.objects.len() + self.granted.len()).saturating_sub(self.config.slots_max as usize)
    }

    /// A create had room and not enough slots: the least recently used go, a 256th of all slots at least.
    fn drop_for_slots(&mut self, said: &mut Transcript, objects: &[Wanted]) -> Checked {
        let missing = self.slots_missing(objects);
        if missing == 0 {
            return Ok(());
        }
        let mut expected = self.candidates();
        expected.truncate(missing.max(self.config.slots_max as usize / 256));
        let window: Vec<u32> = said.retracted().unwrap_or_default().iter().map(|slot| slot.0).collect();
        ensure!(window == expected, "{window:?} was dropped for {missing} slots, {expected:?} is least recently used");
        self.seen.drops_for_slots += 1;
        self.sweep_due = false;
        window.into_iter().try_for_each(|slot| self.drop_object(said, slot))
    }

    fn reserve(&mut self, said: &mut Transcript, client: ClientId, tag: RequestTag, objects: &[Wanted]) -> Checked {
        let Reply::Created(made) = said.reply(client, tag)? else {
            return Err(Violation(format!("not told where to write: {client:?} {tag:?}")));
        };
        ensure!(made.len() == objects.len(), "{} objects of {}", made.len(), objects.len());
        for ((handle, extent), wanted) in made.into_iter().zip(objects) {
            self.check_placement(extent, wanted.bytes(), &[])?;
            self.occupy(client, handle, extent, wanted)?;
        }
        Ok(())
    }

    fn put(&mut self, said: &mut Transcript, client: ClientId, tag: RequestTag, objects: &[Wanted]) -> Checked {
        let mut extents = Vec::new();
        for wanted in objects {
            let Some(Call::Fill { extent, failed, .. }) = said.next_call().cloned() else {
                return Err(Violation(format!("{:?} was not filled; found {:?}", wanted.id, said.next_call())));
            };
            self.check_placement(extent, wanted.bytes(), &extents)?;
            let (data_bytes, metadata_bytes) = (wanted.data_bytes as usize, wanted.metadata_bytes as usize);
            said.call(Call::Fill { extent, data_bytes, metadata_bytes, failed })?;
            self.raise_high_water(extent);
            if failed {
                self.totals.creates += objects.len() as u64;
                self.totals.aborts += objects.len() as u64;
                return self.answer(said, client, tag, Err(Refusal::FillFailed(wanted.id)));
            }
            extents.push(extent);
        }
        for (wanted, extent) in objects.iter().zip(extents) {
            let Some(Call::Publish(slot, Record { generation, .. })) = said.next_call().cloned() else {
                return Err(Violation(format!("{:?} was not published; found {:?}", wanted.id, said.next_call())));
            };
            self.occupy(client, Handle { slot: slot.0, generation }, extent, wanted)?;
            self.seal_one(said, slot.0)?;
        }
        self.answer(said, client, tag, Ok(Reply::Done(objects.len() as u32)))
    }

    fn occupy(&mut self, client: ClientId, handle: Handle, extent: Extent, wanted: &Wanted) -> Checked {
        self.check_vacant(handle)?;
        let record = Record {
            id: wanted.id,
            generation: handle.generation,
            extent,
            data_bytes: wanted.data_bytes,
            metadata_bytes: wanted.metadata_bytes,
            format: wanted.format,
        };
        let (created_at, evictable) = (self.now, wanted.evictable);
        let (sealed_at, doomed, was_granted) = (None, false, false);
        let object = Object { record, evictable, creator: client, created_at, sealed_at, doomed, was_granted };
        self.objects.insert(handle.slot, object);
        self.raise_high_water(extent);
        self.totals.creates += 1;
        Ok(())
    }

    /// A slot that is used from now on was free, and is not mistaken for what it was before.
    pub(super) fn check_vacant(&self, handle: Handle) -> Checked {
        let Handle { slot, generation } = handle;
        let is_used = self.objects.contains_key(&slot) || self.granted.contains_key(&slot);
        ensure!(slot < self.config.slots_max && !is_used, "{handle:?} is in use");
        let least = self.generations.get(&slot).copied().unwrap_or(1);
        ensure!(generation >= least, "{handle:?} was used before: {least} is the least");
        Ok(())
    }

    pub(super) fn raise_high_water(&mut self, extent: Extent) {
        self.high_water_bytes = self.high_water_bytes.max(extent.offset + reserved(extent.bytes));
    }

    pub(super) fn seal(
        &mut self,
        said: &mut Transcript,
        client: ClientId,
        handles: &[Handle],
    ) -> Checked<Result<Reply, Refusal>> {
        if let Err(refusal) = self.own_unsealed(client, handles) {
            return Ok(Err(refusal));
        }
        handles.iter().try_for_each(|handle| self.seal_one(said, handle.slot))?;
        Ok(Ok(Reply::Done(handles.len() as u32)))
    }

    pub(super) fn abort(
        &mut self,
        said: &mut Transcript,
        client: ClientId,
        handles: &[Handle],
    ) -> Checked<Result<Reply, Refusal>> {
        if let Err(refusal) = self.own_unsealed(client, handles) {
            return Ok(Err(refusal));
        }
        handles.iter().try_for_each(|handle| self.give_up(said, handle.slot))?;
        Ok(Ok(Reply::Done(handles.len() as u32)))
    }

    fn own_unsealed(&self, client: ClientId, handles: &[Handle]) -> Result<(), Refusal> {
        let own = self.unsealed(client);
        if let Some(handle) = handles.iter().find(|it| !self.is_current(**it) || !own.contains(&it.slot)) {
            return Err(Refusal::NotHeld(*handle));
        }
        let mut sorted: Vec<&Handle> = handles.iter().collect();
        sorted.sort_by_key(|handle| handle.slot);
        let repeated = sorted.windows(2).find(|pair| pair[0] == pair[1]);
        repeated.map_or(Ok(()), |pair| Err(Refusal::NotHeld(*pair[0])))
    }

    pub(super) fn seal_one(&mut self, said: &mut Transcript, slot: u32) -> Checked {
        let now = self.now;
        let object = self.objects.get_mut(&slot).expect("looked at before");
        object.sealed_at = Some(now);
        let object = object.clone();
        said.call(Call::Publish(plasmad_core::SlotNumber(slot), object.record))?;
        self.totals.seals += 1;
        self.note(ChangeKind::Sealed, slot);
        if self.may_drop(&object) {
            self.recency.push(slot);
            self.room_changed = true;
        }
        self.answer_satisfied(said, object.record.id)
    }

    pub(super) fn give_up(&mut self, said: &mut Transcript, slot: u32) -> Checked {
        self.totals.aborts += 1;
        // The index shows of others that they were handed out.
        if self.objects[&slot].was_granted {
            return self.free(said, slot);
        }
        let object = self.objects.remove(&slot).expect("looked at before");
        self.generations.insert(slot, object.record.generation + 1);
        self.room_changed = true;
        Ok(())
    }
}

/// Whether the core looks for room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// It must.
    Now,
    /// It need not, if nothing has changed.
    Maybe,
}
