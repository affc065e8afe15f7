//! What goes wrong around the core, from a seed: deaths at any point, late answers, jumps of the clock, reconnections.
//!
//! The shell's contract is kept: each client hears its answers in the order they were given, but clients hear them
//! late, and one after another in any order; a death is told once, some time after it; time never goes back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use plasmad_core::effect::Got;
use plasmad_core::{ClientId, Effect, Nanos, Reply};
use plasmad_wire::Pin;

use crate::support::{Checked, Random, ensure};

use super::liar::{Liar, unheard};

/// How often each situation came up, so that a run which misses one proves nothing.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Seen {
    /// A process died while the core looked at the pages.
    pub(super) deaths_in_a_scan: u64,
    /// A process died holding pins.
    pub(super) deaths_with_pins: u64,
    /// A process died while a request of its waited.
    pub(super) deaths_with_waits: u64,
    /// A process died while it wrote an object.
    pub(super) deaths_with_unsealed: u64,
    /// An answer reached nobody: its client was dead or gone.
    pub(super) answers_lost: u64,
    /// An answer was heard after answers that were given later, to others.
    pub(super) answers_overtaken: u64,
    /// A create was served that wasn't first in line.
    pub(super) creates_that_passed: u64,
    /// Somebody was handed memory ahead while a create waited.
    pub(super) grants_that_passed: u64,
    /// The clock jumped over two deadlines or more.
    pub(super) jumps_over_deadlines: u64,
    /// A process connected again and left claims with its former connection.
    pub(super) reconnections_with_claims: u64,
    /// A new connection spoke of what the former one holds, and was refused.
    pub(super) foreign_claims_refused: u64,
    /// A process forked while it held pins.
    pub(super) forks_with_pins: u64,
    /// A process forked while it wrote an object.
    pub(super) forks_with_unsealed: u64,
    /// A process forked with more than a lease holds.
    pub(super) forks_refused: u64,
    /// What children had inherited outlived their parent.
    pub(super) leases_outlived: u64,
    /// A slot was claimed when it was to be taken back.
    pub(super) claimed_and_taken_back: u64,
    /// By a process that stood still.
    pub(super) stopped_and_taken_back: u64,
    /// A slot was told of when it was to be taken back.
    pub(super) told_and_taken_back: u64,
    /// Something was told between the mark and the reading of the ring.
    pub(super) told_while_taken_back: u64,
    /// A claim came to nothing: the slot was being taken back, or its client changed its mind.
    pub(super) claims_let_go: u64,
    /// A process died between its claim and what it would have told.
    pub(super) deaths_before_telling: u64,
    /// A process died behind that, before it could ring.
    pub(super) deaths_after_telling: u64,
    /// A client rang.
    pub(super) rings: u64,
    /// A client told what cannot be.
    pub(super) lies: u64,
}

impl Seen {
    /// The situations of several runs, by name.
    pub(super) fn total(runs: &[Self]) -> [(&'static str, u64); 24] {
        let total = |count: fn(&Self) -> u64| runs.iter().map(count).sum::<u64>();
        [
            ("deaths in a scan", total(|seen| seen.deaths_in_a_scan)),
            ("deaths with pins", total(|seen| seen.deaths_with_pins)),
            ("deaths with waits", total(|seen| seen.deaths_with_waits)),
            ("deaths with unsealed objects", total(|seen| seen.deaths_with_unsealed)),
            ("answers lost", total(|seen| seen.answers_lost)),
            ("answers overtaken", total(|seen| seen.answers_overtaken)),
            ("creates that passed others", total(|seen| seen.creates_that_passed)),
            ("grants that passed creates", total(|seen| seen.grants_that_passed)),
            ("jumps over deadlines", total(|seen| seen.jumps_over_deadlines)),
            ("reconnections with claims", total(|seen| seen.reconnections_with_claims)),
            ("foreign claims refused", total(|seen| seen.foreign_claims_refused)),
            ("forks with pins", total(|seen| seen.forks_with_pins)),
            ("forks with unsealed objects", total(|seen| seen.forks_with_unsealed)),
            ("forks refused", total(|seen| seen.forks_refused)),
            ("leases that outlived their client", total(|seen| seen.leases_outlived)),
            ("claimed and taken back", total(|seen| seen.claimed_and_taken_back)),
            ("stopped and taken back", total(|seen| seen.stopped_and_taken_back)),
            ("told and taken back", total(|seen| seen.told_and_taken_back)),
            ("told while taken back", total(|seen| seen.told_while_taken_back)),
            ("claims let go", total(|seen| seen.claims_let_go)),
            ("deaths before telling", total(|seen| seen.deaths_before_telling)),
            ("deaths after telling", total(|seen| seen.deaths_after_telling)),
            ("rings", total(|seen| seen.rings)),
            ("lies", total(|seen| seen.lies)),
        ]
    }
}

/// What happens out of turn.
pub(super) enum Surprise {
    /// Nothing: the workload goes on.
    None,
    /// So much time passes at once.
    Jump(Nanos),
    /// A process closes its socket and connects again.
    Reconnects(ClientId),
    /// The shell learns of a death.
    DeathIsTold(ClientId),
    /// A process forks.
    Forks(ClientId),
    /// The last child that used this lease is gone.
    LeaseEnds(ClientId),
}

/// Everything that is late.
pub(super) struct Turmoil {
    random: Random,
    pub(super) seen: Seen,
    /// Answers on their way, by client, each with its number among all.
    on_their_way: BTreeMap<ClientId, VecDeque<(u64, Effect)>>,
    given: u64,
    heard: u64,
    /// The processes of former connections.
    former: BTreeSet<ClientId>,
}

impl Turmoil {
    pub(super) fn new(seed: u64) -> Self {
        let (on_their_way, former) = (BTreeMap::new(), BTreeSet::new());
        Self { random: Random(seed ^ 0x5eed), seen: Seen::default(), on_their_way, given: 0, heard: 0, former }
    }

    /// What happens before the next event.
    pub(super) fn surprise(&mut self, liar: &mut Liar) -> Surprise {
        liar.one_dies |= self.random.percent(1);
        if self.random.percent(3) {
            let all: Vec<ClientId> = liar.alive.keys().copied().collect();
            liar.pushers.stopped = self.random.pick(&all).copied().into_iter().collect();
        }
        let dead: Vec<ClientId> = liar.dead.iter().copied().collect();
        let living = liar.able_to_pin();
        let leases: Vec<ClientId> = liar.leases.iter().copied().collect();
        match self.random.below(100) {
            0..10 => self.random.pick(&dead).map_or(Surprise::None, |client| Surprise::DeathIsTold(*client)),
            10 => Surprise::Jump(1 << self.random.below(30)),
            11 => self.random.pick(&living).map_or(Surprise::None, |client| Surprise::Reconnects(*client)),
            12..14 => self.random.pick(&living).map_or(Surprise::None, |client| Surprise::Forks(*client)),
            14..16 => self.random.pick(&leases).map_or(Surprise::None, |lease| Surprise::LeaseEnds(*lease)),
            _ => Surprise::None,
        }
    }

    /// Answers leave.
    pub(super) fn send(&mut self, effects: &[Effect]) {
        for effect in effects {
            let Effect::Reply { client, .. } = effect else { continue };
            self.given += 1;
            self.on_their_way.entry(*client).or_default().push_back((self.given, effect.clone()));
        }
    }

    /// Some clients hear some of what is on its way to them, in any order of clients, each in its own order.
    pub(super) fn arrive(&mut self, liar: &mut Liar, all: bool) -> Checked<Vec<Effect>> {
        let mut arrived = Vec::new();
        while all || self.random.percent(60) {
            let waiting: Vec<ClientId> = self.on_their_way.keys().copied().collect();
            let Some(client) = self.random.pick(&waiting).copied() else { break };
            let Some(line) = self.on_their_way.get_mut(&client) else { break };
            let Some((number, effect)) = line.pop_front() else { break };
            if line.is_empty() {
                self.on_their_way.remove(&client);
            }
            let Effect::Reply { reply, .. } = &effect else { continue };
            let pins: Vec<Pin> =
                if let Reply::Got { objects, .. } = reply { pinned(objects).collect() } else { vec![] };
            let can_hear = liar.alive.get(&client) == Some(&true) && !liar.dead.contains(&client);
            for pin in pins {
                let promised = liar.unheard.remove(&unheard(client, pin)) && can_hear;
                // Heard late, an answer is still true: what it says is pinned is pinned.
                let stands = liar.pages.claims().any(|claim| claim == (client, pin.word, pin.handle));
                ensure!(stands || !promised, "{client:?} heard of {pin:?}, and that is gone");
            }
            if !can_hear {
                self.seen.answers_lost += 1;
                continue;
            }
            self.seen.answers_overtaken += u64::from(number < self.heard);
            self.heard = self.heard.max(number);
            arrived.push(effect);
        }
        Ok(arrived)
    }

    /// A process left this connection for another, and lives.
    pub(super) fn leaves(&mut self, client: ClientId) {
        self.former.insert(client);
    }

    /// Is it the former connection of a process that has a new one?
    pub(super) fn is_former(&self, client: ClientId) -> bool {
        self.former.contains(&client)
    }
}

fn pinned(objects: &[Got]) -> impl Iterator<Item = Pin> {
    objects.iter().filter_map(|got| match got {
        Got::Pinned(pin, _) | Got::OnDisk(pin, ..) => Some(*pin),
        Got::Not(_) => None,
    })
}
