//! What debug builds check of the ledgers after each event is noticed when it doesn't hold.

use alloc::vec;
use core::ops::FnOnce;

use plasmad_wire::limits::FOREVER;
use plasmad_wire::{Extent, Format, ObjectId, Pin};

use super::*;
use crate::event::Wanted;
use crate::residence::{FillFailed, Pinned, Record};
use crate::testing::notice;

/// Shared memory that nobody uses.
struct Unused;

impl Residence for Unused {
    fn fill(&mut self, _: Extent, _: &[u8], _: &[u8]) -> Result<(), FillFailed> {
        Ok(())
    }
    fn drain(&mut self, _: ClientId, _: &mut Vec<Entry>) {}
    fn grant(&mut self, _: ClientId, _: &[Grant]) {}
    fn revoke(&mut self, _: ClientId, _: &[SlotNumber], _: &mut SlotSet) {}
    fn keep(&mut self, _: SlotNumber) {}
    fn expect(&mut self, _: &[ObjectId], _: bool) {}
    fn publish(&mut self, _: SlotNumber, _: &Record) {}
    fn pin(&mut self, _: ClientId, _: SlotNumber, _: u64) -> Option<u32> {
        None
    }
    fn unpin(&mut self, _: ClientId, _: Pin) -> bool {
        false
    }
    fn holds(&mut self, _: ClientId, _: Pin) -> bool {
        false
    }
    fn pinned(&mut self, _: &mut SlotSet) {}
    fn pinned_by(&mut self, _: ClientId, _: &mut SlotSet) {}
    fn reserve(&mut self, _: SlotNumber, _: u64) {}
    fn holders(&mut self, _: &mut dyn FnMut(ClientId, SlotNumber)) {}
    fn recent(&mut self, _: &mut dyn FnMut(SlotNumber)) {}
    fn want(&mut self, _: bool) {}
    fn retract(&mut self, _: &[SlotNumber]) -> Result<(), Pinned> {
        Ok(())
    }
    fn doom(&mut self, _: SlotNumber) {}
    fn free(&mut self, _: SlotNumber, _: u64) {}
    fn leave(&mut self, _: ClientId) {}
}

/// A client with an unsealed object and a get that waits; then something is wrong, and time passes.
fn with_a_mistake(mistake: impl FnOnce(&mut Store)) {
    let (when_full, upkeep) = (crate::WhenFull::Refuse, Upkeep::NONE);
    let config = Config { capacity_bytes: 4096, slots_max: 8, hash_seed: [1, 2], when_full, upkeep, spill: None };
    let mut store = Store::new(config);
    let happens = |store: &mut Store, event| store.handle(0, event, &mut Unused, &mut vec![]);
    let id = ObjectId::new([1; 28]);
    let object = Wanted { id, data_bytes: 1, metadata_bytes: 0, format: Format::Raw, evictable: false, payload: None };
    for client in [CLIENT, ClientId(2)] {
        happens(&mut store, Event::ClientJoined { client, role: Role::Writer, pushes: true });
    }
    let asks = |number, verb| Event::Asked { client: CLIENT, tag: RequestTag { number, kind: 0, silent: false }, verb };
    happens(&mut store, asks(1, Verb::Create { timeout_ns: 0, objects: vec![object] }));
    happens(&mut store, asks(2, Verb::Get { timeout_ns: FOREVER, partial: false, ids: vec![id] }));
    mistake(&mut store);
    happens(&mut store, Event::Tick);
}

fn ledger(store: &mut Store, client: ClientId) -> &mut Ledger {
    store.clients.ledger(client).expect("it has joined")
}

#[test]
fn nothing_wrong_is_noticed_when_nothing_is() {
    with_a_mistake(|_| ());
}

#[test]
fn an_object_in_no_ledger_is_noticed() {
    notice(0..1, "every unsealed object stands in a ledger", |_| {
        with_a_mistake(|store| ledger(store, CLIENT).unsealed.clear());
        Ok(())
    });
}

#[test]
fn an_object_in_another_ledger_is_noticed() {
    notice(0..1, "an unsealed object's ledger", |_| {
        with_a_mistake(|store| {
            let unsealed = core::mem::take(&mut ledger(store, CLIENT).unsealed);
            ledger(store, ClientId(2)).unsealed = unsealed;
        });
        Ok(())
    });
}

#[test]
fn a_wait_in_no_ledger_is_noticed() {
    notice(0..1, "every wait stands in a ledger", |_| {
        with_a_mistake(|store| ledger(store, CLIENT).waiting.clear());
        Ok(())
    });
}

const CLIENT: ClientId = ClientId(1);
