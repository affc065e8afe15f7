//! Get, release, wait, contains.

use std::collections::BTreeSet;

use plasmad_core::effect::Got;
use plasmad_core::{ClientId, Refusal, Reply, RequestTag};
use plasmad_wire::value::GetStatus;
use plasmad_wire::{Location, ObjectId, Pin};

use super::state::{Model, Purpose, Wait};
use super::transcript::Transcript;
use crate::support::{Checked, Violation, ensure};

impl Model {
    pub(super) fn await_objects(
        &mut self,
        said: &mut Transcript,
        client: ClientId,
        tag: RequestTag,
        timeout_ns: u64,
        purpose: Purpose,
    ) -> Checked {
        if let Purpose::Look { count, ids } = &purpose {
            if ids.iter().collect::<BTreeSet<_>>().len() != ids.len() {
                return self.answer(said, client, tag, Err(Refusal::Malformed("an id is repeated in a wait")));
            }
            if *count == 0 || *count as usize > ids.len() {
                return self.answer(said, client, tag, Err(Refusal::Malformed("a wait counts from 1 to its ids")));
            }
        }
        if timeout_ns == 0 || self.is_satisfied(&purpose) {
            return self.answer_get(said, &Wait { client, tag, since: self.now, deadline: None, purpose });
        }
        if let Err(refusal) = self.may_wait(client, tag) {
            return self.answer(said, client, tag, Err(refusal));
        }
        self.start_waiting(client, tag, timeout_ns, purpose);
        // The rings are read once more: what was told before anybody listened has made no sound.
        self.told_late(true);
        let before = self.waits.len();
        self.read_rings(said)?;
        self.seen.told_when_expected += u64::from(self.waits.len() < before);
        Ok(())
    }

    /// An object was sealed: who waited for it and has all now is answered, in the order they came.
    pub(super) fn answer_satisfied(&mut self, said: &mut Transcript, id: ObjectId) -> Checked {
        let numbers: Vec<u64> = self.waits.keys().copied().collect();
        for number in numbers {
            let wait = &self.waits[&number];
            let concerned = match &wait.purpose {
                Purpose::Create(_) => false,
                Purpose::Get { ids, .. } | Purpose::Look { ids, .. } => ids.contains(&id),
            };
            if concerned && self.is_satisfied(&wait.purpose) {
                let wait = self.waits.remove(&number).expect("it is there");
                self.seen.gets_served += 1;
                self.answer_get(said, &wait)?;
            }
        }
        Ok(())
    }

    fn is_satisfied(&self, purpose: &Purpose) -> bool {
        let sealed = |ids: &[ObjectId]| ids.iter().filter(|id| self.find_sealed(**id).is_some()).count();
        match purpose {
            Purpose::Create(_) => false,
            Purpose::Get { ids, .. } => sealed(ids) == ids.len(),
            Purpose::Look { count, ids } => sealed(ids) >= *count as usize,
        }
    }

    /// The answer to a get or wait as things are now.
    pub(super) fn answer_get(&mut self, said: &mut Transcript, wait: &Wait) -> Checked {
        let Wait { client, tag, .. } = *wait;
        let (partial, ids) = match &wait.purpose {
            Purpose::Create(_) => unreachable!("a create is no get"),
            Purpose::Look { ids, .. } => {
                let present = self.present(ids);
                return self.answer(said, client, tag, Ok(present));
            }
            Purpose::Get { partial, ids } => (*partial, ids),
        };
        let complete = self.is_satisfied(&wait.purpose);
        if !complete && !partial {
            let objects = ids.iter().map(|id| Got::Not(self.status(*id))).collect();
            return self.answer(said, client, tag, Ok(Reply::Got { timed_out: true, objects }));
        }
        let wanted = ids.iter().filter(|id| self.find_sealed(**id).is_some()).count();
        let known = &self.clients[&client];
        if known.pins.len() + wanted > self.words {
            self.seen.pages_full += 1;
            let refusal = Refusal::Limit { what: "pins of one client", limit: known.asked_pins };
            return self.answer(said, client, tag, Err(refusal));
        }
        let Reply::Got { timed_out, objects } = said.reply(client, tag)? else {
            return Err(Violation(format!("no pins for {client:?} {tag:?}")));
        };
        ensure!(timed_out != complete && objects.len() == ids.len(), "{timed_out} {objects:?} for {ids:?}");
        ids.iter().zip(objects).try_for_each(|(id, got)| self.pin(client, *id, got))
    }

    /// One object of a get that pins.
    fn pin(&mut self, client: ClientId, id: ObjectId, got: Got) -> Checked {
        let Some(slot) = self.find_sealed(id) else {
            let status = self.status(id);
            ensure!(got == Got::Not(status), "{id:?} is {status:?}, told as {got:?}");
            return Ok(());
        };
        let Got::Pinned(pin, location) = got else {
            return Err(Violation(format!("{id:?} is sealed, told as {got:?}")));
        };
        let object = &self.objects[&slot];
        let record = &object.record;
        ensure!(pin.handle == object.handle(slot), "{pin:?} for slot {slot}: {object:?}");
        let expected = Location {
            segment: record.extent.segment,
            format: record.format,
            metadata_bytes: record.metadata_bytes,
            offset: record.extent.offset,
            data_bytes: record.data_bytes,
        };
        ensure!(location == expected, "{location:?} for {expected:?}");
        let known = self.clients.get_mut(&client).expect("it asked");
        known.asked_pins += 1;
        let before = known.pins.insert(pin.word, pin.handle);
        ensure!(before.is_none() && (pin.word as usize) < self.words, "{pin:?} is no free word");
        self.totals.gets += 1;
        if let Some(at) = self.recency.iter().position(|used| *used == slot) {
            let used = self.recency.remove(at);
            self.recency.push(used);
        }
        Ok(())
    }

    pub(super) fn release(&mut self, client: ClientId, pins: &[Pin]) -> Result<Reply, Refusal> {
        let mut refusal = None;
        let mut released = 0;
        for pin in pins {
            let known = self.clients.get_mut(&client).expect("it asked");
            if known.pins.get(&pin.word) != Some(&pin.handle) {
                refusal = refusal.or(Some(Refusal::NotHeld(pin.handle)));
                continue;
            }
            known.pins.remove(&pin.word);
            known.asked_pins = known.asked_pins.saturating_sub(1);
            released += 1;
            self.sweep_due |= self.is_current(pin.handle) && self.objects[&pin.handle.slot].doomed;
        }
        refusal.map_or(Ok(Reply::Done(released)), Err)
    }

    pub(super) fn present(&self, ids: &[ObjectId]) -> Reply {
        Reply::Present(ids.iter().map(|id| self.find_sealed(*id).is_some()).collect())
    }

    fn status(&self, id: ObjectId) -> GetStatus {
        match self.find(id) {
            None => GetStatus::Absent,
            Some((_, object)) if object.sealed_at.is_none() => GetStatus::Unsealed,
            Some(_) => GetStatus::Present,
        }
    }
}
