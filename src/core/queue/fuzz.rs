//! Line, waits and deadlines beside naive ones: lists in the order things came, and a set of what can be read.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use plasmad_wire::ObjectId;

use super::*;
use crate::Nanos;
use crate::arena::fill::Random;
use crate::clients::ClientId;
use crate::event::RequestTag;
use crate::testing::{Compared, agree, notice, same};

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// Who comes last stands first.
    Overtakes,
    /// Whoever becomes first was passed already by what passed the one before.
    Inherits,
    /// What may pass is saved without end.
    Hoards,
    /// Nothing that may pass is saved.
    Forgets,
    /// What those leave who passed is for the first.
    TakesLeft,
    /// What is shorter than a page passes as what it is.
    CountsBytes,
    /// Those far behind pass as well.
    LooksFar,
    /// A repeated id counts as many times as it is asked for.
    CountsRepeats,
    /// An object that goes while somebody waits for it is still there for them.
    MissesDepartures,
    /// The deadline of a wait that ended stays.
    KeepsDeadlines,
    /// What is on disk only is there for those who would pin it.
    PinsOnDisk,
}

#[derive(Default)]
struct Naive {
    creates: Vec<(u64, CreateWait)>,
    /// What passed, and which was first then.
    passed: Vec<(u64, u64)>,
    saved: u64,
    gets: Vec<(u64, GetWait)>,
    readable: BTreeSet<u8>,
    on_disk: BTreeSet<u8>,
}

struct Pair {
    creates: CreateQueue,
    gets: GetWaits,
    deadlines: Deadlines,
    naive: Naive,
    fault: Fault,
}

impl Pair {
    fn without(&self, ids: &[ObjectId], there: &dyn Fn(u8) -> bool) -> usize {
        let lacking = ids.iter().filter(|id| !(0..IDS as u8).any(|other| name(other) == **id && there(other)));
        lacking.collect::<BTreeSet<_>>().len()
    }

    fn missing(&self, ids: &[ObjectId]) -> usize {
        self.without(ids, &|id| self.naive.readable.contains(&id))
    }

    fn absent(&self, ids: &[ObjectId]) -> usize {
        self.without(ids, &|id| self.naive.readable.contains(&id) || self.naive.on_disk.contains(&id))
    }

    fn push_create(&mut self, random: &mut Random, number: u64) {
        let deadline = deadline_of(random);
        let tag = RequestTag { number, kind: 5, silent: false };
        let (client, asked_bytes) = (ClientId(1), random.below(20_000));
        let wait = CreateWait { client, tag, objects: Vec::new(), asked_bytes, since: number, deadline };
        let place = self.creates.push(wait.clone());
        self.deadlines.insert(deadline, WaitKey::Create(place));
        match self.fault {
            Fault::Overtakes => self.naive.creates.insert(0, (place, wait)),
            _ => self.naive.creates.push((place, wait)),
        }
    }

    /// Somebody close behind the first passes it, if that may be.
    fn pass(&mut self, random: &mut Random) -> Compared {
        let close = if self.fault == Fault::LooksFar { 2 * LOOK_AHEAD } else { LOOK_AHEAD };
        let close = self.naive.creates.iter().skip(1).take(close);
        let close: Vec<u64> = close.map(|(place, _)| *place).collect();
        same("close", self.creates.close_behind().collect::<Vec<_>>(), close.clone())?;
        let Some((first, wait)) = self.naive.creates.first() else { return Ok(()) };
        let most = wait.asked_bytes + self.naive.saved;
        let before = self.naive.passed.iter().filter(|(whom, _)| whom == first || self.fault == Fault::Inherits);
        let least = if self.fault == Fault::CountsBytes { 0 } else { 4096 };
        let bytes = random.below(12_000);
        let passed = before.map(|(_, bytes)| bytes).sum::<u64>() + bytes.max(least);
        same("may pass", self.creates.may_pass(bytes), passed <= most)?;
        if passed > most || close.is_empty() {
            return Ok(());
        }
        self.naive.passed.push((*first, bytes.max(least)));
        self.creates.note_passed(bytes);
        self.end(WaitKey::Create(close[random.below(close.len() as u64) as usize]))
    }

    /// What somebody leaves is taken from what passed the first, or else saved.
    fn leave(&mut self, random: &mut Random) {
        let bytes = random.below(12_000);
        self.creates.note_left(bytes);
        let first = self.naive.creates.first().map(|(place, _)| *place);
        let mut left = if self.fault == Fault::TakesLeft { 0 } else { bytes };
        for (_, passed) in self.naive.passed.iter_mut().filter(|(whom, _)| Some(*whom) == first) {
            let unpassed = left.min(*passed);
            *passed -= unpassed;
            left -= unpassed;
        }
        self.naive.saved = self.capped(self.naive.saved + left);
    }

    fn push_get(&mut self, random: &mut Random, request: u64) {
        let ids: Vec<ObjectId> = (0..1 + random.below(4)).map(|_| name(random.below(IDS) as u8)).collect();
        let distinct = distinct(&ids).len();
        let purpose = match random.below(2) {
            0 => Purpose::Pin { partial: false },
            _ => Purpose::Look { missing_max: random.below(distinct as u64) as usize },
        };
        let (absent, missing) = (self.absent(&ids), self.missing(&ids));
        let (deadline, tag) = (deadline_of(random), RequestTag { number: request, kind: 9, silent: false });
        let mut wait = GetWait { client: ClientId(1), tag, ids, purpose, absent, missing, since: request, deadline };
        if wait.is_satisfied() {
            return;
        }
        if self.fault == Fault::CountsRepeats {
            wait.missing += wait.ids.len() - distinct;
        }
        let number = self.gets.push(wait.clone());
        self.deadlines.insert(deadline, WaitKey::Get(number));
        self.naive.gets.push((number, wait));
    }

    /// An object comes, goes, or moves between memory and disk; who is served is served at once, as the store does it.
    fn turn(&mut self, id: u8, to_or_from_disk: bool) -> Compared {
        let (readable, on_disk) = (self.naive.readable.remove(&id), self.naive.on_disk.remove(&id));
        let turned = match (readable, on_disk, to_or_from_disk) {
            (true, _, false) => Turned::Gone,
            (true, _, true) => Turned::Spilled,
            (false, true, true) => Turned::Restored,
            (false, true, false) => Turned::GoneFromDisk,
            (false, false, _) => Turned::Sealed,
        };
        match turned {
            Turned::Sealed | Turned::Restored => _ = self.naive.readable.insert(id),
            Turned::Spilled => _ = self.naive.on_disk.insert(id),
            Turned::Gone | Turned::GoneFromDisk => {}
        }
        let found = match (self.fault, turned) {
            (Fault::MissesDepartures, Turned::Gone) | (Fault::PinsOnDisk, Turned::Spilled) => Vec::new(),
            _ => self.gets.turned(name(id), turned),
        };
        let expected: Vec<u64> = self
            .naive
            .gets
            .iter()
            .filter(|(_, wait)| wait.ids.contains(&name(id)) && self.is_satisfied(wait))
            .map(|(number, _)| *number)
            .collect();
        same("served", &found, &expected)?;
        found.into_iter().try_for_each(|number| self.end(WaitKey::Get(number)))
    }

    fn is_satisfied(&self, wait: &GetWait) -> bool {
        match wait.purpose {
            Purpose::Pin { .. } => self.missing(&wait.ids) == 0,
            Purpose::Look { missing_max } => self.absent(&wait.ids) <= missing_max,
        }
    }

    /// A wait ends; a second time, nothing happens.
    fn end(&mut self, key: WaitKey) -> Compared {
        let (deadline, known) = match key {
            WaitKey::Create(place) => {
                self.save(place);
                let known = self.naive.creates.iter().any(|(other, _)| *other == place);
                self.naive.creates.retain(|(other, _)| *other != place);
                (self.creates.remove(place).map(|wait| wait.deadline), known)
            }
            WaitKey::Get(number) => {
                let known = self.naive.gets.iter().any(|(other, _)| *other == number);
                self.naive.gets.retain(|(other, _)| *other != number);
                (self.gets.remove(number).map(|wait| wait.deadline), known)
            }
        };
        same("ends", deadline.is_some(), known)?;
        if self.fault != Fault::KeepsDeadlines {
            self.deadlines.remove(deadline.flatten(), key);
        }
        Ok(())
    }

    /// The first leaves, if it is at this place: what may have passed it and hasn't is saved.
    fn save(&mut self, place: u64) {
        let Some((first, wait)) = self.naive.creates.first().filter(|(first, _)| *first == place) else { return };
        let passed = self.naive.passed.iter().filter(|(whom, _)| whom == first).map(|(_, bytes)| bytes).sum::<u64>();
        self.naive.saved = self.capped(self.naive.saved + wait.asked_bytes - passed);
    }

    fn capped(&self, saved: u64) -> u64 {
        match self.fault {
            Fault::Hoards => saved,
            Fault::Forgets => 0,
            _ => saved.min(SAVED_MAX),
        }
    }

    /// Everything that is due ends, in the order of deadlines, creates first.
    fn expire(&mut self, now: Nanos) -> Compared {
        while let Some(key) = self.deadlines.due(now) {
            same("due", Some(key), self.ends().first().filter(|(at, _)| *at <= now).map(|(_, key)| *key))?;
            self.end(key)?;
            self.compare()?;
        }
        same("left over", self.ends().first().is_some_and(|(at, _)| *at <= now), false)
    }

    fn ends(&self) -> Vec<(Nanos, WaitKey)> {
        let creates = self.naive.creates.iter().map(|(place, wait)| (wait.deadline, WaitKey::Create(*place)));
        let gets = self.naive.gets.iter().map(|(number, wait)| (wait.deadline, WaitKey::Get(*number)));
        let mut ends: Vec<_> = creates.chain(gets).filter_map(|(at, key)| Some((at?, key))).collect();
        ends.sort_unstable();
        ends
    }

    fn compare(&self) -> Compared {
        let first = self.naive.creates.first();
        same("first", self.creates.first().map(|(place, _)| place), first.map(|(place, _)| *place))?;
        same("creates", self.creates.count(), self.naive.creates.len())?;
        same("empty", self.creates.is_empty(), self.naive.creates.is_empty())?;
        same("end", self.creates.is_end_close(), self.naive.creates.len() <= LOOK_AHEAD)?;
        for (place, wait) in &self.naive.creates {
            same("place", self.creates.wait(*place).map(|it| it.tag), Some(wait.tag))?;
        }
        same("gets", self.gets.count(), self.naive.gets.len())?;
        let oldest = self.naive.gets.first();
        same("oldest", self.gets.oldest().map(|wait| wait.tag), oldest.map(|(_, wait)| wait.tag))?;
        for (number, wait) in &self.naive.gets {
            let found = self.gets.wait(*number).map(|it| it.missing);
            same("missing", found, Some(self.missing(&wait.ids)))?;
        }
        let for_disk: Vec<u64> = self.gets.waiting_for_disk().iter().copied().collect();
        let only = |wait: &GetWait| self.absent(&wait.ids) == 0 && matches!(wait.purpose, Purpose::Pin { .. });
        let lacking = self.naive.gets.iter().filter(|(_, wait)| only(wait)).map(|(number, _)| *number);
        same("for disk", for_disk, lacking.collect())?;
        same("next deadline", self.deadlines.next(), self.ends().first().map(|(at, _)| *at))
    }
}

fn name(id: u8) -> ObjectId {
    ObjectId::new([id + 1; ObjectId::BYTES])
}

/// Few moments, so that many fall together.
fn deadline_of(random: &mut Random) -> Option<Nanos> {
    let at = random.below(100);
    (at < 80).then_some(at * 50)
}

fn run(seed: u64, operations: u64, fault: Fault) -> Compared {
    let mut random = Random(seed);
    let (creates, gets, deadlines) = (CreateQueue::new(SAVED_MAX), GetWaits::default(), Deadlines::default());
    let naive = Naive { saved: SAVED_MAX, ..Naive::default() };
    let mut pair = Pair { creates, gets, deadlines, naive, fault };
    for number in 0..operations {
        match random.below(16) {
            0 | 1 => {
                // Now and then more come than are looked at.
                let count = if random.below(50) == 0 { LOOK_AHEAD as u64 } else { 1 };
                (0..count).for_each(|_| pair.push_create(&mut random, number));
            }
            12..15 => pair.pass(&mut random)?,
            15 => pair.leave(&mut random),
            2..5 => pair.push_get(&mut random, number),
            5..8 => pair.turn(random.below(IDS) as u8, random.below(2) == 0)?,
            8 => {
                if let Some((place, _)) = pair.creates.first() {
                    pair.end(WaitKey::Create(place))?;
                }
            }
            9 => pair.end(WaitKey::Create(random.below(number + 1)))?,
            10 => pair.end(WaitKey::Get(random.below(number + 1)))?,
            _ => {
                let now = random.below(60) * 50;
                pair.expire(now)?;
            }
        }
        pair.compare()?;
    }
    Ok(())
}

#[test]
fn queues_and_lists_agree() {
    agree(0..20, |seed| run(seed, 1000, Fault::None));
}

#[test]
#[ignore = "the long run: some seconds with optimisation"]
fn queues_and_lists_agree_for_long() {
    agree(100..200, |seed| run(seed, 5000, Fault::None));
}

#[test]
fn broken_queues_are_noticed() {
    notice(0..4, "first", |seed| run(seed, 1000, Fault::Overtakes));
    notice(0..4, "may pass", |seed| run(seed, 1000, Fault::Inherits));
    notice(0..4, "may pass", |seed| run(seed, 1000, Fault::Hoards));
    notice(0..4, "may pass", |seed| run(seed, 1000, Fault::Forgets));
    notice(0..4, "may pass", |seed| run(seed, 1000, Fault::TakesLeft));
    notice(0..4, "may pass", |seed| run(seed, 1000, Fault::CountsBytes));
    notice(0..4, "close", |seed| run(seed, 1000, Fault::LooksFar));
    notice(0..4, "missing", |seed| run(seed, 1000, Fault::CountsRepeats));
    notice(0..4, "missing", |seed| run(seed, 1000, Fault::MissesDepartures));
    notice(0..4, "missing", |seed| run(seed, 1000, Fault::PinsOnDisk));
    notice(0..4, "deadline", |seed| run(seed, 1000, Fault::KeepsDeadlines));
}

const IDS: u64 = 8;
const SAVED_MAX: u64 = 15_000;
