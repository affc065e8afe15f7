//! The ledgers beside one flat list of facts: who holds what.

use alloc::vec::Vec;

use super::*;
use crate::arena::fill::Random;
use crate::testing::{Compared, agree, notice, same};

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// Who comes back under a new number finds what somebody else left.
    InheritsLedgers,
    /// A ledger with nothing but waiting requests counts as empty.
    OverlooksWaits,
}

/// One thing that one client has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fact {
    Unsealed(SlotNumber),
    Pin,
    Waits(u64, WaitKey),
}

struct Pair {
    clients: Clients,
    known: Vec<(ClientId, Role)>,
    facts: Vec<(ClientId, Fact)>,
    fault: Fault,
}

impl Pair {
    /// A client has something more, or what it has of the kind less.
    fn change(&mut self, client: ClientId, fact: Fact, more: bool) {
        let Some(ledger) = self.clients.ledger(client) else { return };
        let held = self.facts.iter().position(|it| *it == (client, fact));
        match (fact, more) {
            (Fact::Unsealed(slot), true) => drop(ledger.unsealed.insert(slot)),
            (Fact::Unsealed(slot), false) => drop(ledger.unsealed.remove(&slot)),
            (Fact::Pin, true) => ledger.pins += 1,
            (Fact::Pin, false) => ledger.pins -= u64::from(held.is_some()),
            (Fact::Waits(number, key), true) => drop(ledger.waiting.insert(number, key)),
            (Fact::Waits(number, _), false) => drop(ledger.waiting.remove(&number)),
        }
        match (held, more) {
            (Some(index), false) => drop(self.facts.swap_remove(index)),
            (Some(_), true) if fact != Fact::Pin => {}
            (_, true) => self.facts.push((client, fact)),
            (None, false) => {}
        }
    }

    fn join(&mut self, client: ClientId, role: Role) {
        self.clients.join(client, role, true);
        self.known.push((client, role));
        let before = client.0.checked_sub(1).map(ClientId).filter(|_| self.fault == Fault::InheritsLedgers);
        if let Some(left) = before.and_then(|before| self.clients.ledger(before)).map(|it| it.pins)
            && let Some(ledger) = self.clients.ledger(client)
        {
            ledger.pins = left;
        }
    }

    fn leave(&mut self, client: ClientId) -> Compared {
        let known = self.known.iter().any(|(other, _)| *other == client);
        let left = self.clients.leave(client);
        same("left", left.is_some(), known)?;
        if let Some(ledger) = left {
            same("left behind", facts_of(client, &ledger), self.facts_of(client))?;
        }
        self.known.retain(|(other, _)| *other != client);
        self.facts.retain(|(whose, _)| *whose != client);
        Ok(())
    }

    fn facts_of(&self, client: ClientId) -> Vec<(ClientId, Fact)> {
        let mut facts: Vec<_> = self.facts.iter().copied().filter(|(whose, _)| *whose == client).collect();
        facts.sort_unstable();
        facts
    }

    fn compare(&self) -> Compared {
        let found: Vec<(ClientId, Role)> = self.clients.iter().map(|(client, ledger)| (client, ledger.role)).collect();
        same("clients", &found, &self.known)?;
        for (client, ledger) in self.clients.iter() {
            let expected = self.facts_of(client);
            let is_empty = match self.fault {
                Fault::OverlooksWaits => ledger.unsealed.is_empty() && ledger.pins == 0,
                _ => ledger.is_empty(),
            };
            same("is empty", is_empty, expected.is_empty())?;
            same("ledger", facts_of(client, ledger), expected)?;
        }
        Ok(())
    }
}

/// What a ledger says.
fn facts_of(client: ClientId, ledger: &Ledger) -> Vec<(ClientId, Fact)> {
    let unsealed = ledger.unsealed.iter().map(|slot| Fact::Unsealed(*slot));
    let pins = (0..ledger.pins).map(|_| Fact::Pin);
    let waits = ledger.waiting.iter().map(|(number, key)| Fact::Waits(*number, *key));
    let mut facts: Vec<_> = unsealed.chain(pins).chain(waits).map(|fact| (client, fact)).collect();
    facts.sort_unstable();
    facts
}

fn run(seed: u64, operations: u64, fault: Fault) -> Compared {
    let mut random = Random(seed);
    let mut pair = Pair { clients: Clients::default(), known: Vec::new(), facts: Vec::new(), fault };
    let mut next = 0;
    for _ in 0..operations {
        let client = ClientId(next - random.below(6.min(next + 1)));
        match random.below(20) {
            0 => {
                next += 1;
                pair.join(ClientId(next), if random.below(2) == 0 { Role::Writer } else { Role::Reader });
            }
            1 => pair.leave(client)?,
            _ => {
                let fact = match random.below(3) {
                    0 => Fact::Unsealed(SlotNumber(random.below(20) as u32)),
                    1 => Fact::Pin,
                    // A request's number decides its key: it never waits under two.
                    _ => match random.below(20) {
                        number if number.is_multiple_of(2) => Fact::Waits(number, WaitKey::Create(number)),
                        number => Fact::Waits(number, WaitKey::Get(number)),
                    },
                };
                pair.change(client, fact, random.below(2) == 0);
            }
        }
        pair.compare()?;
    }
    Ok(())
}

#[test]
fn ledgers_and_list_agree() {
    agree(0..20, |seed| run(seed, 1000, Fault::None));
}

#[test]
#[ignore = "the long run: some seconds with optimisation"]
fn ledgers_and_list_agree_for_long() {
    agree(100..200, |seed| run(seed, 10_000, Fault::None));
}

#[test]
fn broken_ledgers_are_noticed() {
    notice(0..4, "is empty: false", |seed| run(seed, 1000, Fault::InheritsLedgers));
    notice(0..4, "is empty: true", |seed| run(seed, 1000, Fault::OverlooksWaits));
}
