//! Stat, list, stats, and the numbers behind a full store. Nothing is changed here.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use plasmad_wire::limits::{HOLDERS_MAX, LIST_ITEMS_MAX};
use plasmad_wire::value::ObjectState;
use plasmad_wire::{ObjectId, Role};

use super::{Store, Turn};
use crate::clients::ClientId;
use crate::effect::{Description, Holding, Refusal, Reply, Shortage};
use crate::event::Wanted;
#[cfg(debug_assertions)]
use crate::queue::WaitKey;
use crate::residence::Residence;
use crate::slot::{SlotNumber, State};
#[cfg(debug_assertions)]
use crate::spill::{Cargo, Kept, ReadingFor};
use crate::stats::Snapshot;

impl Store {
    pub(super) fn stat<R: Residence>(&mut self, turn: &mut Turn<'_, R>, id: ObjectId) -> Result<Reply, Refusal> {
        let slot = self.slots.find(id).ok_or(Refusal::NotFound(id))?;
        let holders = holders_of(turn, &[slot]);
        Ok(Reply::Described(self.describe(slot, &holders)))
    }

    pub(super) fn list<R: Residence>(&mut self, turn: &mut Turn<'_, R>, cursor: u32, limit: u32) -> Reply {
        let limit = limit.clamp(1, LIST_ITEMS_MAX) as usize;
        let visible =
            self.slots.occupied_from(cursor).filter(|(_, slot)| !matches!(slot.state, State::Granted | State::Doomed));
        let mut page: Vec<SlotNumber> = visible.map(|(number, _)| number).take(limit + 1).collect();
        let next = (page.len() > limit).then(|| page.pop()).flatten().map(|slot| slot.0);
        let holders = holders_of(turn, &page);
        let objects = page.iter().map(|slot| self.describe(*slot, &holders)).collect();
        Reply::Listed { total: self.slots.findable_count() as u64, next, objects }
    }

    pub(super) fn snapshot<R: Residence>(&mut self, turn: &mut Turn<'_, R>) -> Snapshot {
        self.sweep(turn);
        self.pinned.clear();
        turn.residence.pinned(&mut self.pinned);
        let since = [self.creates.first().map(|(_, wait)| wait.since), self.gets.oldest().map(|wait| wait.since)];
        let connected = || self.clients.iter().filter(|(_, ledger)| ledger.connected);
        Snapshot {
            capacity_bytes: self.config.capacity_bytes,
            used_bytes: self.arena.used_bytes() - self.granted_bytes,
            free_bytes: self.free_bytes(),
            largest_hole_bytes: self.largest_hole_bytes(),
            granted_bytes: self.granted_bytes,
            high_water_bytes: self.arena.high_water_bytes(),
            pinned_bytes: self.pinned.members().iter().map(|slot| self.slots.claimed_bytes(*slot)).sum(),
            unsealed_bytes: self.unsealed_bytes,
            evictable_bytes: self.droppable_bytes,
            created: (self.slots.findable_count() as u64) - self.sealed_count,
            sealed: self.slots.count_in(State::Sealed),
            spilling: self.slots.count_in(State::Spilling),
            spilled: self.slots.count_in(State::Spilled),
            restoring: self.slots.count_in(State::Restoring),
            doomed: self.slots.count_in(State::Doomed),
            disk_files: self.disk.files.count() as u64,
            disk_live_bytes: self.disk.files.live_bytes(),
            disk_dead_bytes: self.disk.files.dead_bytes(),
            disk_queue_bytes: self.disk.files.in_flight_bytes() + self.disk.reading_bytes,
            slots: self.config.slots_max.into(),
            slots_used: self.slots.occupied_count() as u64 - self.granted_count,
            connected: connected().count() as u64,
            readers: connected().filter(|(_, ledger)| ledger.role == Role::Reader).count() as u64,
            gets_waiting: self.gets.count() as u64,
            creates_waiting: self.creates.count() as u64,
            oldest_wait_ns: since.into_iter().flatten().min().map_or(0, |since| turn.now - since),
            totals: self.totals,
        }
    }

    /// Why there is no room for these, with everybody's pins. What is granted now could not be taken back.
    pub(super) fn shortage<R: Residence>(
        &mut self,
        turn: &mut Turn<'_, R>,
        asker: ClientId,
        objects: &[Wanted],
    ) -> Shortage {
        let mut by_client: BTreeMap<ClientId, (u32, BTreeMap<SlotNumber, u64>)> = BTreeMap::new();
        let mut all = BTreeMap::new();
        turn.residence.holders(&mut |client, slot| {
            let bytes = self.slots.claimed_bytes(slot) + self.slots.granted_bytes(slot, client);
            let (pins, slots) = by_client.entry(client).or_default();
            *pins += 1;
            slots.insert(slot, bytes);
            all.entry(slot).and_modify(|most: &mut u64| *most = bytes.max(*most)).or_insert(bytes);
        });
        let mut holders: Vec<Holding> = by_client
            .iter()
            .map(|(client, (pins, slots))| Holding { client: *client, pins: *pins, bytes: slots.values().sum() })
            .collect();
        let pinned_by_asker = holders.iter().find(|holding| holding.client == asker).map_or(0, |it| it.bytes);
        holders.sort_by_key(|holding| core::cmp::Reverse(holding.bytes));
        holders.truncate(HOLDERS_MAX);
        let asked = objects.iter().fold(0, |sum: u64, it| sum.saturating_add(it.bytes().unwrap_or(u64::MAX)));
        Shortage {
            asked,
            free: self.arena.free_bytes(),
            largest_hole: self.arena.largest_hole_bytes(),
            pinned: all.values().sum(),
            pinned_by_asker,
            holders,
            disk: self.disk.trouble(asked),
            ..self.shortage_without_pins()
        }
    }

    pub(super) fn shortage_without_pins(&self) -> Shortage {
        Shortage {
            capacity: self.config.capacity_bytes,
            asked: 0,
            free: self.free_bytes(),
            largest_hole: self.largest_hole_bytes(),
            pinned: 0,
            pinned_by_asker: 0,
            holders: Vec::new(),
            disk: None,
        }
    }

    /// What objects don't occupy. Grants are counted as free: they are taken back for whoever needs the room.
    pub(super) fn free_bytes(&self) -> u64 {
        self.arena.free_bytes() + self.granted_bytes
    }

    fn describe(&self, slot: SlotNumber, holders: &Holders) -> Description {
        let object = &self.slots[slot];
        let in_memory = object.state.is_readable() || object.state == State::Created;
        let holding =
            |(client, pins): (&ClientId, &u32)| Holding { client: *client, pins: *pins, bytes: object.extent.bytes };
        Description {
            id: object.id,
            state: visible_state(object.state),
            data_bytes: object.data_bytes,
            metadata_bytes: object.metadata_bytes,
            format: object.format,
            evictable: object.evictable,
            created_at: object.created_at,
            sealed_at: object.sealed_at,
            extent: in_memory.then_some(object.extent),
            place: self.disk.home(slot).map(|home| home.place),
            holders: holders.get(&slot).into_iter().flatten().map(holding).collect(),
        }
    }

    /// The counters against the table they summarise.
    #[cfg(debug_assertions)]
    pub(super) fn check_counts(&self) {
        if self.slots.occupied_count() > CHECKED_SLOTS_MAX {
            return;
        }
        let (mut sealed, mut unsealed_bytes, mut lists, mut doomed, mut used) = (0, 0, [0; 4], 0, 0);
        let (mut granted, mut granted_bytes) = (0, 0);
        for (number, slot) in self.slots.occupied_from(0) {
            used += self.arena.reserved_bytes(slot.extent);
            match slot.state {
                State::Granted => {
                    granted += 1;
                    granted_bytes += self.arena.reserved_bytes(slot.extent);
                }
                State::Created => unsealed_bytes += slot.extent.bytes,
                State::Doomed => doomed += usize::from(!self.is_being_read(number)),
                State::Sealed => {
                    sealed += 1;
                    lists[self.list_of(number) as usize] += 1;
                }
                State::Spilling | State::Spilled | State::Restoring => sealed += 1,
                State::Free => unreachable!("occupied slots are not free"),
            }
        }
        assert_eq!(self.sealed_count, sealed, "sealed objects");
        assert_eq!(self.unsealed_bytes, unsealed_bytes, "unsealed bytes");
        let listed = [self.recency.count(), self.clean.count(), self.dirty.count()];
        assert_eq!(listed, lists[..3], "objects that may leave memory: droppable, clean, dirty");
        assert_eq!(self.doomed.len(), doomed, "doomed objects");
        assert_eq!((self.granted_count, self.granted_bytes), (granted, granted_bytes), "granted slots");
        assert_eq!(self.arena.used_bytes(), used, "every extent has an object");
        assert_eq!(self.arena.used_bytes() + self.arena.free_bytes(), self.config.capacity_bytes);
        self.check_ledgers();
        self.check_disk();
    }

    /// Where records lie against where objects are.
    #[cfg(debug_assertions)]
    fn check_disk(&self) {
        let mut clean_bytes = 0;
        for (slot, home) in self.disk.homes() {
            let object = &self.slots[slot];
            let is_there = matches!(object.state, State::Sealed | State::Spilled | State::Restoring);
            assert!(is_there, "{slot:?} is {:?} and has a record", object.state);
            assert_eq!(self.disk.files.kept_at(home.place), Some(Kept::Object(slot)), "a record's file knows of it");
            if object.state == State::Sealed {
                clean_bytes += self.arena.reserved_bytes(object.extent);
            }
        }
        let on_disk = self.slots.count_in(State::Spilled) + self.slots.count_in(State::Restoring);
        assert_eq!(self.disk.homes().count(), on_disk as usize + self.clean.count(), "what is on disk has a record");
        assert_eq!(self.clean_bytes, clean_bytes, "what is on disk and in memory");
        for (slot, place) in &self.disk.views {
            let is_there = matches!(self.slots[*slot].state, State::Spilled | State::Doomed);
            assert!(is_there, "{slot:?} is {:?} and is viewed on disk", self.slots[*slot].state);
            assert!(
                self.disk.files.is_used(place.file),
                "nobody keeps the file of {place:?}, where {slot:?} is viewed"
            );
        }
        let written = self.disk.carried().filter_map(|carried| match carried.cargo {
            Cargo::Spilled(slot, _) => Some(self.arena.reserved_bytes(self.slots[slot].extent)),
            Cargo::Moved(..) | Cargo::Tombstone | Cargo::MovedTombstone(_) => None,
        });
        assert_eq!(self.spilling_bytes, written.sum::<u64>(), "what is being written");
    }

    /// It was deleted while it came back from disk.
    #[cfg(debug_assertions)]
    fn is_being_read(&self, slot: SlotNumber) -> bool {
        self.disk.reads.values().any(|reading| reading.reason != ReadingFor::View && reading.object.slot == slot.0)
    }

    /// The ledgers against what they tell of: unsealed objects stand in their creator's, waits in their asker's.
    #[cfg(debug_assertions)]
    fn check_ledgers(&self) {
        let (mut unsealed, mut waiting, mut granted) = (0, 0, 0);
        for (client, ledger) in self.clients.iter() {
            for slot in &ledger.unsealed {
                let object = &self.slots[*slot];
                assert_eq!((object.state, object.creator), (State::Created, client), "an unsealed object's ledger");
            }
            for (number, key) in &ledger.waiting {
                let found = match key {
                    WaitKey::Create(place) => self.creates.wait(*place).map(|wait| (wait.client, wait.tag.number)),
                    WaitKey::Get(number) => self.gets.wait(*number).map(|wait| (wait.client, wait.tag.number)),
                };
                assert_eq!(found, Some((client, *number)), "a wait's ledger");
            }
            let its = ledger.pushing.granted.iter().filter_map(|handle| self.still_granted(*handle));
            let its = its.filter(|slot| self.slots[*slot].creator == client);
            assert_eq!(
                its.count() as u32,
                ledger.pushing.granted_count,
                "granted slots stand in their client's ledger"
            );
            for slot in &ledger.pushing.in_vain {
                let found = &self.slots[*slot];
                assert_eq!((found.state, found.creator), (State::Granted, client), "a slot written in vain is granted");
            }
            granted += u64::from(ledger.pushing.granted_count);
            unsealed += ledger.unsealed.len();
            waiting += ledger.waiting.len();
        }
        let created = self.slots.occupied_from(0).filter(|(_, slot)| slot.state == State::Created).count();
        assert_eq!(granted, self.granted_count, "every granted slot stands in a ledger");
        assert_eq!(unsealed, created, "every unsealed object stands in a ledger");
        assert_eq!(waiting, self.creates.count() + self.gets.count(), "every wait stands in a ledger");
    }
}

type Holders = BTreeMap<SlotNumber, BTreeMap<ClientId, u32>>;

/// Who pins these slots: one scan of all pages.
fn holders_of<R: Residence>(turn: &mut Turn<'_, R>, slots: &[SlotNumber]) -> Holders {
    let mut holders = Holders::new();
    turn.residence.holders(&mut |client, slot| {
        // A page of a list is in the order of its slots.
        if slots.binary_search(&slot).is_ok() {
            *holders.entry(slot).or_default().entry(client).or_default() += 1;
        }
    });
    holders
}

fn visible_state(state: State) -> ObjectState {
    match state {
        State::Created => ObjectState::Created,
        State::Sealed => ObjectState::Sealed,
        State::Spilling => ObjectState::Spilling,
        State::Spilled => ObjectState::Spilled,
        State::Restoring => ObjectState::Restoring,
        State::Free | State::Granted | State::Doomed => unreachable!("only objects that can be found are described"),
    }
}

/// Debug builds check the counters after each event while the table is smaller than this.
#[cfg(debug_assertions)]
const CHECKED_SLOTS_MAX: usize = 256;
