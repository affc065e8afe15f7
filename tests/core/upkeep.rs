//! Memory made present ahead of use, and given back when nobody used it for a while.

use plasmad_core::arena::{SPAN_BYTES, Stretch};
use plasmad_core::{ClientId, Effect, Event, Nanos, Reply, RequestTag, Upkeep, Verb, WhenFull};
use plasmad_wire::limits::FOREVER;
use plasmad_wire::{Extent, Handle};

use super::{Fixture, created, outcomes, replies, wanted};
use crate::support::Random;

fn populate(first: u64, spans: u64, is_free: bool) -> Option<Effect> {
    Some(Effect::Populate(Stretch { offset: first * SPAN_BYTES, bytes: spans * SPAN_BYTES, is_free }))
}

fn give_back(first: u64, spans: u64) -> Option<Effect> {
    Some(Effect::GiveBack(Extent { segment: 0, offset: first * SPAN_BYTES, bytes: spans * SPAN_BYTES }))
}

/// 32 spans of memory, of which some are kept ahead of use.
fn store_with_ahead(spans: u64, when_full: WhenFull) -> Fixture {
    let upkeep = Upkeep { ahead_bytes: spans * SPAN_BYTES, idle_ns: IDLE_NS };
    let mut store = Fixture::with_upkeep(32 * SPAN_BYTES, when_full, upkeep);
    store.do_errands();
    store
}

impl Fixture {
    /// The shell is back; what it is sent for next.
    fn errand_done(&mut self, succeeded: bool) -> Option<Effect> {
        self.errand.take().expect("the shell is on an errand");
        self.happens(Event::ErrandDone { succeeded });
        self.errand.clone()
    }

    /// Errands are done until there is none.
    fn do_errands(&mut self) {
        while self.errand.is_some() {
            self.errand_done(true);
        }
    }

    /// Client 2 uses so much memory for a moment.
    fn use_shortly(&mut self, bytes: u64) {
        let handle = created(&self.create(2, 1, 0, 200, bytes));
        self.abort(handle);
        self.do_errands();
    }

    fn abort(&mut self, handle: Handle) {
        assert_eq!(self.asks(2, 2, Verb::Abort { handles: vec![handle] }), [(2, 2, Reply::Done(1))]);
    }

    /// Time passes up to a moment, or up to the next errand.
    fn wait_until(&mut self, end: Nanos) -> Option<Effect> {
        while let Some(deadline) = self.store.next_deadline().filter(|deadline| *deadline <= end) {
            assert_eq!(self.ticks_at(deadline), []);
            if self.errand.is_some() {
                return self.errand.clone();
            }
        }
        self.now = self.now.max(end.min(self.now + 2 * IDLE_NS));
        None
    }
}

#[test]
fn memory_is_populated_ahead_of_use() {
    let upkeep = Upkeep { ahead_bytes: 12 * SPAN_BYTES, idle_ns: IDLE_NS };
    let mut store = Fixture::with_upkeep(64 * SPAN_BYTES, WhenFull::Refuse, upkeep);
    assert_eq!(store.errand, populate(0, 8, true));
    assert!(!store.store.is_populated());
    assert_eq!(store.errand_done(true), populate(8, 4, true));
    assert_eq!(store.errand_done(true), None);
    assert!(store.store.is_populated());
    // It ends in the middle of a span; the other half is wanted, and the span isn't free.
    created(&store.create(2, 1, 0, 1, 20 * SPAN_BYTES + SPAN_BYTES / 2));
    assert_eq!(store.errand, populate(20, 1, false));
    assert_eq!(store.errand_done(true), populate(21, 8, true));
    assert_eq!(store.errand_done(true), populate(29, 4, true));
    assert_eq!(store.errand_done(true), None);
}

#[test]
fn small_objects_are_followed_too() {
    let mut store = store_with_ahead(8, WhenFull::Refuse);
    for id in 1..=7 {
        created(&store.create(2, 1, 0, id, SPAN_BYTES));
        assert_eq!(store.errand, None, "after {id} of them");
    }
    created(&store.create(2, 1, 0, 8, SPAN_BYTES));
    assert_eq!(store.errand, populate(8, 8, true));
}

#[test]
fn the_front_of_the_longest_hole_is_kept_ready_beside_the_short_holes() {
    let mut store = store_with_ahead(4, WhenFull::Refuse);
    let handles = [1, 2, 3].map(|id| created(&store.create(2, 1, 0, id, 6 * SPAN_BYTES)));
    store.do_errands();
    store.abort(handles[1]);
    // 6 spans between the others, then 14 behind them: the four first of each.
    // Whoever used the former may have left pages of it out.
    assert_eq!(store.wait_until(Nanos::MAX), populate(6, 4, true));
    assert_eq!(store.errand_done(true), populate(18, 4, true));
    assert_eq!(store.errand_done(true), None);
    assert_eq!(store.wait_until(Nanos::MAX), give_back(10, 2));
    assert_eq!(store.errand_done(true), None);
    assert!(store.store.is_populated());
    assert_eq!(store.wait_until(Nanos::MAX), None);
}

#[test]
fn all_of_the_arena_is_populated_if_that_is_wanted() {
    let upkeep = Upkeep { ahead_bytes: u64::MAX, idle_ns: Nanos::MAX };
    let mut store = Fixture::with_upkeep(9 * SPAN_BYTES + 4096, WhenFull::Refuse, upkeep);
    let rest = Stretch { offset: 8 * SPAN_BYTES, bytes: SPAN_BYTES + 4096, is_free: true };
    assert_eq!(store.errand_done(true), Some(Effect::Populate(rest)));
    assert_eq!(store.errand_done(true), None);
    store.use_shortly(9 * SPAN_BYTES);
    assert_eq!(store.wait_until(Nanos::MAX), None);
}

#[test]
fn an_arena_shorter_than_a_span_is_populated_too() {
    let upkeep = Upkeep { ahead_bytes: 1 << 30, idle_ns: IDLE_NS };
    let mut store = Fixture::with_upkeep(64 << 10, WhenFull::Refuse, upkeep);
    assert!(!store.store.is_populated());
    assert_eq!(store.errand_done(true), None);
    assert!(store.store.is_populated());
}

#[test]
fn what_nobody_used_for_the_idle_time_goes_back_but_for_what_is_kept_ahead() {
    let mut store = store_with_ahead(4, WhenFull::Refuse);
    store.now = 1000;
    store.use_shortly(20 * SPAN_BYTES);
    assert_eq!(store.wait_until(Nanos::MAX), give_back(16, 8), "the last ones first");
    let idle_ns = store.now - 1000;
    assert!((IDLE_NS..=IDLE_NS + IDLE_NS / 6).contains(&idle_ns), "given back after {idle_ns}");
    assert_eq!(store.stats().free_bytes, 32 * SPAN_BYTES, "it counts as free meanwhile");
    assert_eq!(store.errand_done(true), give_back(8, 8));
    assert_eq!(store.errand_done(true), give_back(4, 4));
    assert_eq!(store.errand_done(true), None);
    // Nothing is missing, and there is nothing to wait for.
    assert!(store.store.is_populated());
    assert_eq!(store.wait_until(Nanos::MAX), None);
    assert_eq!(store.store.next_deadline(), None);
}

#[test]
fn what_was_used_in_between_stays_for_another_idle_time() {
    let mut store = store_with_ahead(0, WhenFull::Refuse);
    store.use_shortly(20 * SPAN_BYTES);
    assert_eq!(store.wait_until(IDLE_NS / 2), None);
    store.use_shortly(9 * SPAN_BYTES);
    assert_eq!(store.wait_until(Nanos::MAX), give_back(12, 8));
    assert_eq!(store.errand_done(true), give_back(9, 3));
    assert_eq!(store.errand_done(true), None);
    assert!(store.now < IDLE_NS + IDLE_NS / 2);
    // Now, just before the rest would go, a bit of it is used.
    store.use_shortly(1);
    assert_eq!(store.wait_until(IDLE_NS * 2), give_back(1, 8));
    assert!(store.now >= IDLE_NS + IDLE_NS / 2);
    assert_eq!(store.errand_done(true), None);
    assert_eq!(store.wait_until(Nanos::MAX), give_back(0, 1));
}

#[test]
fn what_was_given_back_is_populated_again_when_its_use_comes_near() {
    let mut store = store_with_ahead(8, WhenFull::Refuse);
    store.use_shortly(24 * SPAN_BYTES);
    store.wait_until(Nanos::MAX);
    store.do_errands();
    created(&store.create(2, 1, 0, 1, 10 * SPAN_BYTES));
    assert_eq!(store.errand, populate(10, 8, true));
}

#[test]
fn a_create_that_finds_no_room_waits_for_what_is_given_back_and_drops_nothing() {
    for timeout_ns in [0, FOREVER] {
        let mut store = store_with_ahead(0, WhenFull::Evict);
        store.put(1, 64);
        store.use_shortly(30 * SPAN_BYTES);
        assert_eq!(store.wait_until(Nanos::MAX), give_back(23, 8));
        // What fits beside it is served at once.
        created(&store.create(2, 9, 0, 2, SPAN_BYTES));
        assert_eq!(store.create(2, 10, timeout_ns, 3, 28 * SPAN_BYTES), []);
        store.errand = None;
        let served = store.happens(Event::ErrandDone { succeeded: true });
        assert_eq!(outcomes(&replies(served)), [(10, '+')]);
        assert!(store.is_sealed(1), "nothing was dropped");
    }
}

#[test]
fn nobody_waits_long_for_a_shell_that_does_not_come_back() {
    let mut store = store_with_ahead(0, WhenFull::Evict);
    store.put(1, 64);
    store.use_shortly(30 * SPAN_BYTES);
    assert_eq!(store.wait_until(Nanos::MAX), give_back(23, 8));
    assert_eq!(store.create(2, 10, 0, 3, 32 * SPAN_BYTES), []);
    assert_eq!(store.create(2, 11, 10 * SECOND, 4, 23 * SPAN_BYTES), []);
    let late = store.now + SECOND;
    assert_eq!(store.ticks_at(late - 1), []);
    // The one doesn't fit without what is away; the other does when an object goes for it.
    assert!(store.is_sealed(1));
    assert_eq!(outcomes(&store.ticks_at(late)), [(10, '-'), (11, '+')]);
    assert!(!store.is_sealed(1));
}

#[test]
fn nothing_is_given_back_while_somebody_waits_for_room() {
    let mut store = store_with_ahead(0, WhenFull::Refuse);
    store.put(1, 64);
    store.use_shortly(20 * SPAN_BYTES);
    assert_eq!(store.create(2, 10, FOREVER, 3, 32 * SPAN_BYTES), []);
    assert_eq!(store.wait_until(3 * IDLE_NS), None);
    store.happens(Event::Cancelled { client: CLIENT, number: 10 });
    assert_eq!(store.errand, give_back(13, 8));
}

#[test]
fn an_errand_that_fails_is_the_last_of_its_kind() {
    let upkeep = Upkeep { ahead_bytes: 12 * SPAN_BYTES, idle_ns: IDLE_NS };
    let mut store = Fixture::with_upkeep(64 * SPAN_BYTES, WhenFull::Refuse, upkeep);
    assert_eq!(store.errand_done(false), None);
    assert!(store.store.is_populated(), "there is no more to come");
    // What was used goes back all the same.
    store.use_shortly(40 * SPAN_BYTES);
    assert_eq!(store.wait_until(Nanos::MAX), give_back(32, 8));
    assert_eq!(store.errand_done(false), None);
    store.use_shortly(64 * SPAN_BYTES);
    assert_eq!(store.wait_until(Nanos::MAX), None);
    assert_eq!(store.stats().largest_hole_bytes, 64 * SPAN_BYTES);
}

/// Whatever happens meanwhile.
#[test]
fn what_is_given_back_is_in_nobodys_hands() {
    let mut given_back = 0;
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut store = store_with_ahead(seed % 8, WhenFull::Refuse);
        let mut made: Vec<(Handle, Extent)> = Vec::new();
        for number in 10..2000 {
            let asks = |verb| Event::Asked { client: CLIENT, tag: RequestTag { number, kind: 0, silent: false }, verb };
            let event = match random.below(8) {
                0..3 => {
                    let object = wanted((number % 97) as u8, random.below(12) * random.below(SPAN_BYTES));
                    asks(Verb::Create { timeout_ns: 0, objects: vec![object] })
                }
                3..5 if !made.is_empty() => {
                    let (handle, _) = made.swap_remove(random.below(made.len() as u64) as usize);
                    asks(Verb::Abort { handles: vec![handle] })
                }
                5..7 if store.errand.take().is_some() => Event::ErrandDone { succeeded: true },
                _ => {
                    store.now += random.below(IDLE_NS);
                    Event::Tick
                }
            };
            for (_, _, reply) in replies(store.happens(event)) {
                made.extend(if let Reply::Created(made) = reply { made } else { Vec::new() });
            }
            if let Some(Effect::GiveBack(piece)) = &store.errand {
                given_back += 1;
                let meets = |it: &Extent| it.offset < piece.offset + piece.bytes && piece.offset < it.offset + it.bytes;
                let taken = made.iter().find(|(_, extent)| meets(extent));
                assert_eq!(taken, None, "seed {seed}: {piece:?} is being given back");
            }
        }
    }
    assert!(given_back > 1000, "only {given_back} looks at memory that was being given back");
}

const CLIENT: ClientId = ClientId(2);
const SECOND: Nanos = 1_000_000_000;
const IDLE_NS: Nanos = 60 * SECOND;
