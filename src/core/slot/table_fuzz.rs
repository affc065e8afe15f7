//! The slot table beside a naive one: a list of objects, looked through for every question.

use alloc::vec::Vec;

use super::*;
use crate::arena::fill::Random;
use crate::testing::{Compared, agree, notice, same};

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// A slot's generation stays when its object goes.
    KeepsGenerations,
    /// A deleted object can still be found.
    FindsTheDeleted,
    /// A free slot stands in the free list twice.
    FreesTwice,
}

/// Objects that are not free, and the least generation each slot may have next.
#[derive(Default)]
struct Naive {
    objects: Vec<(u32, u64, ObjectId, State)>,
    generations: Vec<(u32, u64)>,
}

impl Naive {
    fn findable(&self, id: ObjectId) -> Option<SlotNumber> {
        let found = self.objects.iter().find(|(_, _, other, state)| *other == id && *state != State::Doomed);
        found.map(|(slot, ..)| SlotNumber(*slot))
    }

    fn resolve(&self, handle: Handle) -> Option<SlotNumber> {
        let found = self.objects.iter().find(|it| (it.0, it.1) == (handle.slot, handle.generation));
        found.map(|(slot, ..)| SlotNumber(*slot))
    }
}

struct Pair {
    table: SlotTable,
    naive: Naive,
    slots_max: u32,
    fault: Fault,
    /// Names of objects that are there, or were.
    handles: Vec<Handle>,
}

impl Pair {
    fn new(slots_max: u32, fault: Fault) -> Self {
        let table = SlotTable::new(slots_max, [7, 9]);
        Self { table, naive: Naive::default(), slots_max, fault, handles: Vec::new() }
    }

    /// A new object, if its id is new and there is a vacancy.
    fn occupy(&mut self, id: u8) -> Compared {
        let (data_bytes, metadata_bytes) = (id.into(), 0);
        let wanted = Named { id: name(id), data_bytes, metadata_bytes, format: Format::Raw, evictable: false };
        if self.table.find(wanted.id).is_some() || self.table.vacancies() == 0 {
            return self.compare();
        }
        let extent = Extent { segment: 0, offset: 64, bytes: id.into() };
        let slot = self.table.occupy(&wanted, extent, ClientId(1), 5);
        let handle = self.table.handle(slot);
        let taken = self.naive.objects.iter().any(|(other, ..)| *other == slot.0);
        same("an occupied slot is given out", taken, false)?;
        let least = self.naive.generations.iter().find(|it| it.0 == slot.0).map_or(1, |it| it.1);
        same("generation", handle.generation >= least, true)?;
        self.naive.generations.retain(|it| it.0 != slot.0);
        self.naive.generations.push((slot.0, handle.generation + 1));
        self.naive.objects.push((slot.0, handle.generation, wanted.id, State::Created));
        self.handles.push(handle);
        self.compare()
    }

    /// An object moves on, if it may.
    fn advance(&mut self, index: usize, by: Move) -> Compared {
        let Some((slot, generation, id, state)) = self.naive.objects.get(index).copied() else { return Ok(()) };
        let Ok(after) = state.after(by) else { return Ok(()) };
        let slot = SlotNumber(slot);
        self.table.advance(slot, by);
        match after {
            State::Free => drop(self.naive.objects.swap_remove(index)),
            // Its memory is free: what names this use of it names nothing from now on.
            State::Spilled => {
                self.naive.objects[index] = (slot.0, generation + 1, id, after);
                self.naive.generations.retain(|it| it.0 != slot.0);
                self.naive.generations.push((slot.0, generation + 2));
            }
            after => self.naive.objects[index] = (slot.0, generation, id, after),
        }
        match self.fault {
            Fault::KeepsGenerations if after == State::Free => self.table.slots[slot.0 as usize].generation -= 1,
            Fault::FindsTheDeleted if after == State::Doomed => {
                let hash = id.hash(self.table.hash_seed);
                let next = self.table.by_id.link(hash, slot);
                self.table.slots[slot.0 as usize].next = next;
            }
            Fault::FreesTwice if after == State::Free && slot.0 == 0 => self.table.free.push(slot),
            _ => {}
        }
        self.compare()
    }

    fn compare(&self) -> Compared {
        let (table, naive) = (&self.table, &self.naive);
        for id in 0..IDS {
            let found = naive.findable(name(id));
            same("find", table.find(name(id)), found)?;
            let readable = found.filter(|slot| table[*slot].state.is_readable());
            same("find_readable", table.find_readable(name(id)), readable)?;
        }
        for handle in &self.handles {
            same("resolve", table.resolve(*handle), naive.resolve(*handle))?;
        }
        same("occupied", table.occupied_count(), naive.objects.len())?;
        same("vacancies", table.vacancies(), self.slots_max as usize - naive.objects.len())?;
        let findable = naive.objects.iter().filter(|it| it.3 != State::Doomed).count();
        same("findable", table.findable_count(), findable)?;
        let mut expected: Vec<u32> = naive.objects.iter().map(|it| it.0).filter(|slot| *slot >= 1).collect();
        expected.sort_unstable();
        same("from slot 1 on", table.occupied_from(1).map(|(slot, _)| slot.0).collect(), expected)?;
        for slot in 0..self.slots_max + 1 {
            let object = naive.objects.iter().find(|it| it.0 == slot);
            let bytes = object.map_or(0, |it| table[SlotNumber(it.0)].extent.bytes);
            same("claimed bytes", table.claimed_bytes(SlotNumber(slot)), bytes)?;
        }
        for state in [State::Created, State::Sealed, State::Spilling, State::Spilled, State::Restoring, State::Doomed] {
            let count = naive.objects.iter().filter(|it| it.3 == state).count();
            same("count", table.count_in(state), count as u64)?;
        }
        naive.objects.iter().try_for_each(|it| same("state", table[SlotNumber(it.0)].state, it.3))
    }
}

fn name(id: u8) -> ObjectId {
    ObjectId::new([id + 1; ObjectId::BYTES])
}

fn run(seed: u64, operations: u64, fault: Fault) -> Compared {
    let mut random = Random(seed);
    let mut pair = Pair::new(8, fault);
    for _ in 0..operations {
        match random.below(4) {
            0 => pair.occupy(random.below(IDS.into()) as u8)?,
            _ => {
                let index = random.below(9) as usize;
                pair.advance(index, MOVES[random.below(MOVES.len() as u64) as usize])?;
            }
        }
        if pair.handles.len() > 40 {
            pair.handles.remove(0);
        }
    }
    Ok(())
}

#[test]
fn table_and_list_agree() {
    agree(0..20, |seed| run(seed, 1000, Fault::None));
}

#[test]
#[ignore = "the long run: some seconds with optimisation"]
fn table_and_list_agree_for_long() {
    agree(100..200, |seed| run(seed, 10_000, Fault::None));
}

#[test]
fn every_short_sequence_agrees() {
    // Two slots, two ids; each step creates one of them or moves one of the objects on.
    let steps: Vec<(usize, Option<Move>)> = [(0, None), (1, None)]
        .into_iter()
        .chain([Move::Seal, Move::Abort, Move::Delete, Move::Evict, Move::LastRelease].map(|by| (0, Some(by))))
        .chain([(1, Some(Move::Seal)), (1, Some(Move::Delete))])
        .collect();
    let length = 5;
    for sequence in 0..steps.len().pow(length) {
        let mut pair = Pair::new(2, Fault::None);
        let mut rest = sequence;
        for _ in 0..length {
            let (which, by) = steps[rest % steps.len()];
            rest /= steps.len();
            let compared = match by {
                None => pair.occupy(which as u8),
                Some(by) => pair.advance(which, by),
            };
            assert_eq!(compared, Ok(()), "sequence {sequence}");
        }
    }
}

#[test]
fn a_broken_table_is_noticed() {
    notice(0..4, "generation", |seed| run(seed, 1000, Fault::KeepsGenerations));
    notice(0..4, "find", |seed| run(seed, 1000, Fault::FindsTheDeleted));
    notice(0..4, "occupied", |seed| run(seed, 1000, Fault::FreesTwice));
}

const IDS: u8 = 12;

const MOVES: [Move; 12] = [
    Move::Create,
    Move::Seal,
    Move::Abort,
    Move::Delete,
    Move::Evict,
    Move::LastRelease,
    Move::SpillStart,
    Move::SpillDone,
    Move::SpillFailed,
    Move::RestoreStart,
    Move::RestoreDone,
    Move::RestoreFailed,
];
