//! What a run has to do with its disk: it works now and then, another store takes it over, and in the end all of it is read.

use std::collections::{BTreeMap, BTreeSet};

use plasmad_core::effect::{Description, Got};
use plasmad_core::event::Wanted;
use plasmad_core::{ClientId, Effect, Event, Nanos, Refusal, Reply, RequestTag, Residence, Store, Verb};
use plasmad_wire::limits::FOREVER;
use plasmad_wire::{Format, ObjectId, Pin, Role};

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

    /// In some runs somebody takes one hole of memory after the other for a while, again and again: gets find no room then
    /// for what is on disk.
    pub(super) fn somebody_hoards(&mut self) -> Checked {
        if !self.has_hoarders || !self.disk_random.percent(20) {
            return Ok(());
        }
        if let Some(client) = self.hoarder.take_if(|_| self.disk_random.percent(8)) {
            let is_alive = self.liar.alive.contains_key(&client);
            return if is_alive { self.happens(Event::ClientGone { client }) } else { Ok(()) };
        }
        let number = self.count();
        let Some(client) = self.hoarder else {
            let client = ClientId(HOARDERS + number);
            self.hoarder = Some(client);
            return self.happens(Event::ClientJoined { client, role: Role::Writer, pushes: false });
        };
        if !self.liar.able_to_pin().contains(&client) {
            return Ok(());
        }
        let tag = |number| RequestTag { number, kind: 0, silent: false };
        self.happens(Event::Asked { client, tag: tag(2 * number), verb: Verb::Stats })?;
        let wanted = Wanted {
            id: ObjectId::from_slice(&(HOARDERS + number).to_be_bytes()).expect("eight bytes are an id"),
            data_bytes: self.hole_bytes,
            metadata_bytes: 0,
            format: Format::Raw,
            evictable: false,
            payload: None,
        };
        let verb = Verb::Create { timeout_ns: 0, objects: vec![wanted] };
        self.happens(Event::Asked { client, tag: tag(2 * number + 1), verb })
    }

    /// In the same runs clients get more of what is on disk than they would by chance.
    pub(super) fn somebody_reads(&mut self) -> Checked {
        let Some(disk) = self.liar.disk.as_ref().filter(|_| self.has_hoarders) else { return Ok(()) };
        if !self.disk_random.percent(10) {
            return Ok(());
        }
        let on_disk: Vec<ObjectId> = disk.out_of_memory(&self.liar.visible_ids()).into_keys().collect();
        let all: Vec<ObjectId> = disk.ids().into_iter().collect();
        let Some(client) = self.disk_random.pick(&self.liar.able_to_pin()).copied() else { return Ok(()) };
        let mut ids = Vec::new();
        for _ in 0..=self.disk_random.below(3) {
            let from = if self.disk_random.percent(80) { &on_disk } else { &all };
            ids.extend(self.disk_random.pick(from));
        }
        let timeout_ns = [0, 1_000_000, FOREVER][self.disk_random.below(3) as usize];
        let verb = Verb::Get { timeout_ns, partial: self.disk_random.percent(20), ids };
        let tag = RequestTag { number: GETS + self.count(), kind: 0, silent: false };
        self.happens(Event::Asked { client, tag, verb })
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
        let claims = self.liar.pages.claims().map(|(_, _, handle)| (handle.slot, handle.generation));
        let claimed: BTreeSet<(u32, u64)> = claims.collect();
        let Some(disk) = &mut self.liar.disk else { return Ok(()) };
        disk.after_event();
        if let Event::Asked { client, tag, verb: Verb::Delete { ids } } = event {
            let is_refused = effects.iter().any(|effect| {
                matches!(effect, Effect::Reply { client: whom, tag: which, reply: Reply::Refused(_) }
                    if (whom, which) == (client, tag))
            });
            if !is_refused && self.liar.alive.contains_key(client) {
                disk.deleted(ids, (*client, tag.number), before, &claimed);
            }
        }
        for effect in effects {
            disk.asked(effect, &claimed)?;
            match effect {
                Effect::Reply { client, tag, reply: Reply::Got { objects, .. } } => {
                    let ids = self.needs.get(&(*client, tag.number)).map_or(&[][..], |(_, ids)| ids);
                    for (id, got) in ids.iter().zip(objects) {
                        let Got::OnDisk(pin, place, location) = got else { continue };
                        disk.was_viewed(*id, pin.handle, *place, *location)?;
                        self.heard_of.push((*client, *pin, place.file, *location));
                    }
                }
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

    /// Clients ask for the files of what they have pinned on disk, and others ask for those too.
    pub(super) fn clients_view(&mut self) -> Checked {
        for (client, pin, file, location) in std::mem::take(&mut self.heard_of) {
            let asks: Vec<ClientId> = self.liar.able_to_pin();
            for asker in asks.into_iter().filter(|asker| *asker == client || pin.word == 0) {
                let is_right = self.liar.pages.holds(asker, pin);
                let tag = RequestTag { number: VIEWS + self.count(), kind: 0, silent: false };
                let expected = is_right.then_some(Reply::Viewed { file, location });
                self.viewing.insert((asker, tag.number), expected.unwrap_or(refused(pin)));
                self.happens(Event::Asked { client: asker, tag, verb: Verb::View { pin } })?;
            }
        }
        Ok(())
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
            ensure!(!self.open.contains_key(&(LAST, tag.number)), "never answered: a get of {id:?}");
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

fn refused(pin: Pin) -> Reply {
    Reply::Refused(Refusal::NotHeld(pin.handle))
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

/// Gets of what is on disk have the numbers behind this one.
const GETS: u64 = 1 << 44;

/// Those who take all of memory have the numbers behind this one.
const HOARDERS: u64 = 1 << 43;

/// Requests for files have the numbers behind this one.
const VIEWS: u64 = 1 << 42;

/// Far more than there is to do.
const DISK_STEPS_MAX: usize = 3_000;
