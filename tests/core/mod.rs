//! Rules of the core, each as a sentence, over shared memory that tells the truth.

mod creates;
mod departures;
mod grants;
mod leases;
mod lies;
mod shared;
mod spill;
mod spill_ahead;
mod spill_files;
mod spill_reserve;
mod spill_views;
mod subscriptions;
mod upkeep;

use plasmad_core::event::{Payload, Wanted};
use plasmad_core::{ClientId, Config, Effect, Event, Nanos, Reply, RequestTag, Store, Upkeep, Verb, WhenFull};
use plasmad_wire::{Format, Handle, ObjectId, Role};

use crate::support::Pages;

/// A store with its clients, at a moment.
struct Fixture {
    store: Store,
    pages: Pages,
    now: Nanos,
    /// What the shell is sent for.
    errand: Option<Effect>,
}

impl Fixture {
    /// An empty store of so many bytes, with clients 1 to 3.
    fn new(capacity_bytes: u64, when_full: WhenFull) -> Self {
        Self::with_upkeep(capacity_bytes, when_full, Upkeep::NONE)
    }

    /// The same, where the shell is sent on errands; the first is there when the first client is.
    fn with_upkeep(capacity_bytes: u64, when_full: WhenFull, upkeep: Upkeep) -> Self {
        Self::with(Config { capacity_bytes, slots_max: 100, hash_seed: [1, 2], when_full, upkeep, spill: None })
    }

    fn with(config: Config) -> Self {
        let mut fixture = Self { store: Store::new(config), pages: Pages::new(16), now: 0, errand: None };
        for client in 1..=3 {
            fixture.happens(Event::ClientJoined { client: ClientId(client), role: Role::Writer, pushes: true });
        }
        fixture
    }

    fn happens(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.store.handle(self.now, event, &mut self.pages, &mut effects);
        for errand in effects.iter().filter(|it| matches!(it, Effect::Populate(_) | Effect::GiveBack(_))) {
            assert_eq!(self.errand.replace(errand.clone()), None, "one errand at a time");
        }
        effects
    }

    /// The answers to a request and to those it served: whose, which, what.
    fn asks(&mut self, client: u64, number: u64, verb: Verb) -> Vec<(u64, u64, Reply)> {
        let tag = RequestTag { number, kind: 0, silent: false };
        replies(self.happens(Event::Asked { client: ClientId(client), tag, verb }))
    }

    /// Time passes up to a moment.
    fn ticks_at(&mut self, now: Nanos) -> Vec<(u64, u64, Reply)> {
        self.now = now;
        replies(self.happens(Event::Tick))
    }

    /// Client 1 puts an object.
    fn put(&mut self, id: u8, bytes: u64) {
        let payload = Some(Payload { data: vec![0; bytes as usize], metadata: Vec::new() });
        let objects = vec![Wanted { payload, ..wanted(id, bytes) }];
        assert_eq!(self.asks(1, 1, Verb::Create { timeout_ns: 0, objects }), [(1, 1, Reply::Done(1))]);
    }

    /// Client 1 deletes an object.
    fn delete(&mut self, id: u8) {
        assert_eq!(self.asks(1, 1, Verb::Delete { ids: vec![name(id)] }), [(1, 1, Reply::Done(1))]);
    }

    /// A client pins an object; how to give it back.
    fn pin(&mut self, client: u64, id: u8) -> Verb {
        let replies = self.asks(client, 1, Verb::Get { timeout_ns: 0, partial: false, ids: vec![name(id)] });
        let [(_, _, Reply::Got { objects, .. })] = &replies[..] else { panic!("{replies:?}") };
        let [plasmad_core::effect::Got::Pinned(pin, _)] = objects[..] else { panic!("{objects:?}") };
        Verb::Release { pins: vec![pin] }
    }

    /// A client asks for room; what came of it.
    fn create(&mut self, client: u64, number: u64, timeout_ns: u64, id: u8, bytes: u64) -> Vec<(u64, u64, Reply)> {
        self.asks(client, number, Verb::Create { timeout_ns, objects: vec![wanted(id, bytes)] })
    }

    fn is_sealed(&mut self, id: u8) -> bool {
        let replies = self.asks(2, 99, Verb::Contains { ids: vec![name(id)] });
        replies == [(2, 99, Reply::Present(vec![true]))]
    }

    fn stats(&mut self) -> plasmad_core::stats::Snapshot {
        let replies = self.asks(2, 98, Verb::Stats);
        let [(_, _, Reply::Stats(stats))] = &replies[..] else { panic!("{replies:?}") };
        **stats
    }
}

fn replies(effects: Vec<Effect>) -> Vec<(u64, u64, Reply)> {
    let reply = |effect| match effect {
        Effect::Reply { client, tag, reply } => Some((client.0, tag.number, reply)),
        Effect::Forget { .. } | Effect::Expel { .. } | Effect::Populate(_) | Effect::GiveBack(_) => None,
        Effect::Write(_) | Effect::Restore(_) | Effect::RemoveFile(_) => None,
    };
    effects.into_iter().filter_map(reply).collect()
}

fn name(id: u8) -> ObjectId {
    ObjectId::from_slice(&[id]).expect("one byte is an id")
}

/// An object that may be dropped.
fn wanted(id: u8, data_bytes: u64) -> Wanted {
    Wanted { id: name(id), data_bytes, metadata_bytes: 0, format: Format::Raw, evictable: true, payload: None }
}

/// The handle of the only object a reply tells of.
fn created(replies: &[(u64, u64, Reply)]) -> Handle {
    match replies {
        [(_, _, Reply::Created(made))] => made[0].0,
        other => panic!("no room: {other:?}"),
    }
}

/// Whose requests were answered how: `+` with room, `-` without, `!` because the id is taken.
fn outcomes(replies: &[(u64, u64, Reply)]) -> Vec<(u64, char)> {
    let outcome = |reply: &Reply| match reply {
        Reply::Created(_) => '+',
        Reply::Refused(plasmad_core::Refusal::Full(_)) => '-',
        Reply::Refused(plasmad_core::Refusal::Exists(_)) => '!',
        _ => '?',
    };
    let waiting = replies.iter().filter(|(_, number, _)| *number >= 10);
    waiting.map(|(_, number, reply)| (*number, outcome(reply))).collect()
}
