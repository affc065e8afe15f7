//! Stat, list, stats, and the numbers behind a full store.

use plasmad_core::effect::{Description, Holding, Shortage};
use plasmad_core::event::Wanted;
use plasmad_core::stats::Snapshot;
use plasmad_core::{ClientId, Refusal, Reply, RequestTag};
use plasmad_wire::limits::{HOLDERS_MAX, LIST_ITEMS_MAX};
use plasmad_wire::value::ObjectState;
use plasmad_wire::{ObjectId, Role};

use super::state::{Model, Object, Purpose};
use super::transcript::Transcript;
use crate::support::{Checked, Violation, ensure};

impl Model {
    pub(super) fn stat(&self, id: ObjectId) -> Result<Reply, Refusal> {
        let (slot, object) = self.find(id).ok_or(Refusal::NotFound(id))?;
        Ok(Reply::Described(self.describe(slot, object)))
    }

    pub(super) fn list(&self, cursor: u32, limit: u32) -> Reply {
        let limit = limit.clamp(1, LIST_ITEMS_MAX) as usize;
        let visible: Vec<(&u32, &Object)> = self.objects.iter().filter(|(_, object)| !object.doomed).collect();
        let behind: Vec<_> = visible.iter().filter(|(slot, _)| **slot >= cursor).collect();
        let next = behind.get(limit).map(|(slot, _)| **slot);
        let objects = behind.iter().take(limit).map(|(slot, object)| self.describe(**slot, object)).collect();
        Reply::Listed { total: visible.len() as u64, next, objects }
    }

    fn describe(&self, slot: u32, object: &Object) -> Description {
        let record = &object.record;
        let holders = self.clients.iter().map(|(client, known)| (client, self.pins_on(known, slot)));
        let holders = holders.filter(|(_, pins)| *pins > 0);
        Description {
            place: None,
            id: record.id,
            state: if object.sealed_at.is_some() { ObjectState::Sealed } else { ObjectState::Created },
            data_bytes: record.data_bytes,
            metadata_bytes: record.metadata_bytes,
            format: record.format,
            evictable: object.evictable,
            created_at: object.created_at,
            sealed_at: object.sealed_at,
            extent: Some(record.extent),
            holders: holders
                .map(|(client, pins)| Holding { client: *client, pins, bytes: record.extent.bytes })
                .collect(),
        }
    }

    pub(super) fn stats(&mut self, said: &mut Transcript, client: ClientId, tag: RequestTag) -> Checked {
        self.sweep(said)?;
        let Reply::Stats(told) = said.reply(client, tag)? else {
            return Err(Violation("stats were asked for".to_owned()));
        };
        let reached = self.high_water_bytes..=self.config.capacity_bytes;
        ensure!(reached.contains(&told.high_water_bytes), "high water at {}", told.high_water_bytes);
        ensure!(told.used_bytes + told.free_bytes == told.capacity_bytes, "{told:?} does not add up");
        let expected = Snapshot { high_water_bytes: told.high_water_bytes, ..self.snapshot() };
        ensure!(*told == expected, "expected {expected:?}\n   found {told:?}");
        Ok(())
    }

    /// How many wait for room.
    pub(super) fn creates_waiting(&self) -> u64 {
        self.waits.values().filter(|wait| matches!(wait.purpose, Purpose::Create(_))).count() as u64
    }

    fn snapshot(&self) -> Snapshot {
        let count =
            |which: &dyn Fn(&Object) -> bool| self.objects.values().filter(|object| which(object)).count() as u64;
        let bytes = |which: &dyn Fn(&Object) -> bool| -> u64 {
            self.objects.values().filter(|object| which(object)).map(|object| object.record.extent.bytes).sum()
        };
        let creates_waiting = self.creates_waiting();
        let connected = || self.clients.values().filter(|client| client.connected);
        Snapshot {
            capacity_bytes: self.config.capacity_bytes,
            used_bytes: self.used_bytes(),
            free_bytes: self.config.capacity_bytes - self.used_bytes(),
            largest_hole_bytes: self.largest_hole_bytes(),
            granted_bytes: self.granted_bytes(),
            high_water_bytes: self.high_water_bytes,
            pinned_bytes: self.pinned().iter().map(|slot| self.objects[slot].record.extent.bytes).sum(),
            unsealed_bytes: bytes(&|object| object.sealed_at.is_none()),
            evictable_bytes: bytes(&|object| self.may_drop(object)),
            created: count(&|object| object.sealed_at.is_none()),
            sealed: count(&|object| object.sealed_at.is_some() && !object.doomed),
            doomed: count(&|object| object.doomed),
            slots: self.config.slots_max.into(),
            slots_used: self.objects.len() as u64,
            connected: connected().count() as u64,
            readers: connected().filter(|client| client.role == Role::Reader).count() as u64,
            gets_waiting: self.waits.len() as u64 - creates_waiting,
            creates_waiting,
            oldest_wait_ns: self.waits.values().map(|wait| self.now - wait.since).max().unwrap_or(0),
            totals: self.totals,
            ..Snapshot::default()
        }
    }

    /// Why there is no room, with everybody's pins.
    pub(super) fn shortage(&self, asker: ClientId, objects: &[Wanted]) -> Shortage {
        let mut holders: Vec<Holding> = Vec::new();
        for (client, known) in &self.clients {
            let on = |slot: &u32| self.pins_on(known, *slot);
            let held = self.objects.iter().filter(|(slot, _)| on(slot) > 0);
            let granted = self.claimed_grants(known);
            let filled = granted.iter().map(|slot| self.granted[slot].extent.bytes);
            let bytes = held.map(|(_, object)| object.record.extent.bytes).chain(filled).sum();
            let pins = self.objects.keys().map(on).sum::<u32>() + granted.len() as u32;
            if pins > 0 {
                holders.push(Holding { client: *client, pins, bytes });
            }
        }
        let filling = self.clients.values().flat_map(|known| self.claimed_grants(known));
        let filling = filling.map(|slot| self.granted[&slot].extent.bytes);
        let pinned_by_asker = holders.iter().find(|holding| holding.client == asker).map_or(0, |it| it.bytes);
        holders.sort_by_key(|holding| std::cmp::Reverse(holding.bytes));
        holders.truncate(HOLDERS_MAX);
        Shortage {
            asked: objects.iter().map(|wanted| wanted.bytes().unwrap_or(u64::MAX)).fold(0, u64::saturating_add),
            // What is granted still could not be taken back.
            free: self.config.capacity_bytes - self.used_bytes() - self.granted_bytes(),
            largest_hole: self.holes_without(&[]).into_iter().map(|(start, end)| end - start).max().unwrap_or(0),
            pinned: self.pinned().iter().map(|slot| self.objects[slot].record.extent.bytes).chain(filling).sum(),
            pinned_by_asker,
            holders,
            ..self.shortage_without_pins()
        }
    }

    pub(super) fn shortage_without_pins(&self) -> Shortage {
        Shortage {
            capacity: self.config.capacity_bytes,
            asked: 0,
            free: self.config.capacity_bytes - self.used_bytes(),
            largest_hole: self.largest_hole_bytes(),
            pinned: 0,
            pinned_by_asker: 0,
            holders: Vec::new(),
            disk: None,
        }
    }
}
