//! What a run has to do with its disk: it works now and then, another store takes it over, and in the end all of it is read.

use std::collections::BTreeMap;

use plasmad_core::effect::Description;
use plasmad_core::{Effect, Event, Nanos, Reply, RequestTag, Residence, Store, Verb};
use plasmad_wire::limits::FOREVER;
use plasmad_wire::{ObjectId, Pin, Role};

use super::disk::{Disk, Mark};
use super::simulator::{LAST, PIN_WORDS, Simulator};
use crate::support::{Checked, Pages, Violation, ensure};

impl Simulator {
    /// Some of what the disk was asked for is done; now and then is looked what would be left if the store ended.
    pub(super) fn disk_works(&mut self) -> Checked {
        if self.liar.disk.is_none() {
            return Ok(());
        }
        while self.disk_random.percent(40) {
            let Some(event) = self.liar.disk.as_mut().and_then(Disk::step) else { break };
            self.happens(event)?;
        }
        if self.disk_random.percent(3) { self.ends_and_begins() } else { Ok(()) }
    }

    /// Another store adopts what is on disk: all that was there before, and nothing else.
    fn ends_and_begins(&mut self) -> Checked {
        let Some(disk) = &mut self.liar.disk else { return Ok(()) };
        let mut store = Store::new(self.config);
        let (mut pages, mut effects) = (Pages::new(PIN_WORDS), Vec::new());
        store.handle(0, Event::Adopted(disk.survives()), &mut pages, &mut effects);
        effects.clear();
        store.handle(
            0,
            Event::ClientJoined { client: LAST, role: Role::Reader, pushes: false },
            &mut pages,
            &mut effects,
        );
        let mut found = BTreeMap::new();
        for object in list(&mut store, 0, &mut pages)? {
            let Some(place) = object.place else { return Err(Violation(format!("nowhere on disk: {object:?}"))) };
            disk.check_survivor(object.id, place)?;
            found.insert(object.id, place);
        }
        disk.check_survivors(&found)
    }

    /// Whether an object may be dropped is known by its id, where there is a disk.
    pub(super) fn judge(&mut self, event: &mut Event) {
        self.liar.deletes = None;
        if self.liar.disk.is_none() {
            return;
        }
        match event {
            Event::Asked { verb: Verb::Create { objects, .. }, .. } => {
                objects.iter_mut().for_each(|wanted| wanted.evictable = Disk::is_evictable(wanted.id));
            }
            Event::Asked { client, tag, verb: Verb::Delete { .. } } => self.liar.deletes = Some((*client, tag.number)),
            _ => {}
        }
    }

    /// What an event means for the disk, and what the disk is asked for.
    pub(super) fn note_disk(
        &mut self,
        event: &Event,
        effects: &[Effect],
        before: &BTreeMap<ObjectId, Mark>,
    ) -> Checked {
        let looks_closely = self.looks_closely();
        let Some(disk) = &mut self.liar.disk else { return Ok(()) };
        disk.after_event();
        if let Event::Asked { client, tag, verb: Verb::Delete { ids } } = event {
            let is_refused = effects.iter().any(|effect| {
                matches!(effect, Effect::Reply { client: whom, tag: which, reply: Reply::Refused(_) }
                    if (whom, which) == (client, tag))
            });
            if !is_refused && self.liar.alive.contains_key(client) {
                disk.deleted(ids, (*client, tag.number), before);
            }
        }
        for effect in effects {
            disk.asked(effect)?;
            match effect {
                Effect::Reply { client, tag, reply: Reply::Done(_) } => disk.delete_answered((*client, tag.number)),
                Effect::Reply { reply: Reply::Created(made), .. } => {
                    made.iter().for_each(|(_, extent)| disk.memory_given(*extent));
                }
                _ => {}
            }
        }
        if !looks_closely {
            return Ok(());
        }
        let visible = self.liar.index.values().filter(|shown| shown.visible).map(|shown| &shown.record);
        disk.check_memory(visible)
    }

    /// All that the disk was asked for is done, and what is asked for behind that.
    pub(super) fn disk_finishes(&mut self) -> Checked {
        for _ in 0..DISK_STEPS_MAX {
            let Some(disk) = &mut self.liar.disk else { return Ok(()) };
            let event = match disk.step() {
                Some(event) => event,
                None if disk.is_busy() => continue,
                // It tries again what failed before.
                None if self.store.next_deadline().is_some() || self.store.wants_tick() => {
                    self.now = self.workload.jump(DELAY_NS);
                    Event::Tick
                }
                None => return Ok(()),
            };
            self.happens(event)?;
        }
        Ok(())
    }

    /// Whatever is there, in memory or on disk, can be read, one after the other, each with its own bytes.
    pub(super) fn read_everything(&mut self) -> Checked {
        let Some(disk) = &self.liar.disk else { return Ok(()) };
        for (at, id) in disk.ids().into_iter().enumerate() {
            // Others may turn out to be lost when a file is rewritten.
            let is_there = |disk: &Disk| disk.ids().contains(&id);
            if !self.liar.disk.as_ref().is_some_and(is_there) {
                continue;
            }
            let tag = RequestTag { number: 10 + at as u64, kind: 0, silent: false };
            let get = Verb::Get { timeout_ns: FOREVER, partial: false, ids: vec![id] };
            self.happens(Event::Asked { client: LAST, tag, verb: get })?;
            self.disk_finishes()?;
            if self.open.contains_key(&(LAST, tag.number)) {
                // With the disk full, memory may be full of what can't leave it.
                let is_full = self.liar.disk.as_ref().is_some_and(Disk::is_full);
                ensure!(is_full, "never answered: a get of {id:?}");
                self.happens(Event::Cancelled { client: LAST, number: tag.number })?;
                continue;
            }
            let claims: Vec<_> = self.liar.pages.claims().filter(|(client, ..)| *client == LAST).collect();
            let is_lost = !self.liar.disk.as_ref().is_some_and(is_there);
            ensure!(claims.len() == 1 || is_lost, "{id:?} is there, and can't be read: {claims:?}");
            let pins = claims.into_iter().map(|(_, word, handle)| Pin { word, handle }).collect();
            let tag = RequestTag { number: 10_000 + at as u64, kind: 0, silent: false };
            self.happens(Event::Asked { client: LAST, tag, verb: Verb::Release { pins } })?;
        }
        Ok(())
    }
}

/// All objects of a store.
pub(super) fn list(store: &mut Store, now: Nanos, residence: &mut impl Residence) -> Checked<Vec<Description>> {
    let (mut all, mut cursor) = (Vec::new(), 0);
    loop {
        let tag = RequestTag { number: 3, kind: 0, silent: false };
        let mut effects = Vec::new();
        let verb = Verb::List { cursor, limit: 100 };
        store.handle(now, Event::Asked { client: LAST, tag, verb }, residence, &mut effects);
        let Some(Effect::Reply { reply: Reply::Listed { next, objects, .. }, .. }) = effects.pop() else {
            return Err(Violation(format!("no list: {effects:?}")));
        };
        all.extend(objects);
        match next {
            Some(next) => cursor = next,
            None => return Ok(all),
        }
    }
}

/// Longer than the store waits before it tries again what failed.
const DELAY_NS: Nanos = 6_000_000_000;

/// Far more than there is to do.
const DISK_STEPS_MAX: usize = 3_000;
