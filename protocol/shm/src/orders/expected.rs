//! What each order is needed for, and what each slip breaks.

use super::scene::Slip;
use crate::faults::Fault;

/// A line of code that asks for an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    /// The file and the function.
    at: &'static str,
    code: &'static str,
    pub(super) verdict: Verdict,
}

/// What happens without it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// A model breaks, and says this.
    Needed(&'static str),
    /// Nothing, and for this reason.
    Spare(&'static str),
    /// Something that loom doesn't show.
    Unseen(&'static str),
}

/// A mistake in the steps, here or in the code itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mistake {
    pub(super) slip: Option<Slip>,
    pub(super) fault: Option<Fault>,
    /// What a model says of it.
    pub(super) breaks: &'static str,
}

impl Order {
    pub(super) fn place(&self) -> String {
        format!("{}: {}", self.at, self.code)
    }
}

use Verdict::{Needed, Spare, Unseen};

pub(super) const ORDERS: &[Order] = &[
    // The fence in the middle of a claim, on either side; and what a claim keeps apart.
    order("ordering.rs set_if_zero_then_fence", "fence(SeqCst);", Needed(RACE)),
    order("page/daemon.rs fence_before_scan", "fence(SeqCst);", Needed(RACE)),
    order("ordering.rs store_then_fence", "word.store(value, Release);", Needed(RACE)),
    order("page/daemon.rs scan", "for claim in own.chain(words).map(|word| word.load(Acquire)) {", Needed(RACE)),
    order(
        "ordering.rs set_if_zero_then_fence",
        "let stored = word.compare_exchange(0, value, SeqCst, Relaxed).is_ok();",
        Spare("the fence behind it does more; on x86-64 it is that fence"),
    ),
    order(
        "index/writer.rs set_state",
        "self.commit(slot).store(commit_word(generation, state), Release);",
        Spare("there is a fence behind each mark, and putting back tells nothing new"),
    ),
    // The fence between saying something and looking whether the other side sleeps.
    order("ordering.rs store_then_fence", "fence(SeqCst);", Needed("nobody is told of the last release")),
    order(
        "index/writer.rs want",
        "self.words.u32_at(WANTED_OFFSET).store(wanted.into(), Release);",
        Spare("there is a fence behind it"),
    ),
    order(
        "index/writer.rs expect",
        "word.store(if expected { others | bit } else { others }, Release);",
        Spare("there is a fence behind it"),
    ),
    // A record, under its commit word.
    order(
        "index/writer.rs publish",
        "commit.store(commit_word(fields.generation, SlotState::Sealed), Release);",
        Needed("another object's fields"),
    ),
    order("index/reader.rs find", "fence(Acquire); #2", Needed("another object's fields")),
    order("index/reader.rs find", "fence(Acquire); #3", Needed("what was there is not found")),
    order("index/reader.rs confirm", "fence(Acquire);", Spare("it is the word behind which `find` has fenced")),
    order("index/reader.rs pin_own", "fence(Acquire);", Spare("who gets its own object has written it")),
    order(
        "index/writer.rs free",
        "self.commit(slot).store(commit_word(generation, SlotState::Free), Release);",
        Spare("nobody looks at what is behind a free slot"),
    ),
    order("index/writer.rs publish", "fence(Release);", Unseen(IN_CHAIN)),
    order("index/writer.rs grant", "fence(Release);", Unseen(IN_CHAIN)),
    // A chain.
    order("index/writer.rs publish", "head.store(slot + 1, Release);", Needed("an object that stays is not found")),
    order(
        "index/reader.rs find",
        "fence(Acquire);",
        Spare("the fence behind the commit word comes before the fields too"),
    ),
    order("index/writer.rs unlink", "return head.store(self.next(slot), Release);", Spare(LEADS_ON)),
    order(
        "index/writer.rs set_next",
        "word.store(word.load(Relaxed) & low_bits(32) | u64::from(next) << 32, Release);",
        Spare(LEADS_ON),
    ),
    order(
        "index/writer.rs next",
        "(self.words.u64_at(self.slot_offset(slot) + 32).load(Acquire) >> 32) as u32",
        Spare("the daemon alone writes links"),
    ),
    // Grants.
    order(
        "index/writer.rs grant",
        "commit.store(commit_word(generation, SlotState::Granted), Release);",
        Needed("a place is taken for a larger or smaller one"),
    ),
    order("index/reader.rs granted_bytes", "fence(Acquire);", Needed("a place is taken for a larger or smaller one")),
    order("index/reader.rs pin_granted", "fence(Acquire);", Needed("a place is taken for a larger or smaller one")),
    order(
        "page/grants.rs grant",
        "self.words().u64_at(GRANTS_TAIL_OFFSET).store(self.grants_tail, Release);",
        Unseen(PASSED_OVER),
    ),
    order(
        "page/grants.rs next_grant",
        "let tail = self.words().u64_at(GRANTS_TAIL_OFFSET).load(Acquire);",
        Unseen(PASSED_OVER),
    ),
    // The ring.
    order(
        "page/ring.rs push",
        "self.words().u64_at(RING_TAIL_OFFSET).store(*tail, Release);",
        Needed("the ring holds what was told"),
    ),
    order(
        "page/ring.rs drain",
        "let tail = self.words().u64_at(RING_TAIL_OFFSET).load(Acquire);",
        Needed("the ring holds what was told"),
    ),
    order("page/ring.rs drain", "self.words().u64_at(RING_HEAD_OFFSET).store(tail, Release);", Unseen(READ_LATE)),
    order(
        "page/ring.rs ring_waiting",
        "tail.wrapping_sub(self.words().u64_at(RING_HEAD_OFFSET).load(Acquire))",
        Unseen(READ_LATE),
    ),
];

const IN_CHAIN: &str = "the slot's new link is seen before it left its chain: `tests/models/chain.pml` shows it";
const LEADS_ON: &str = "what it leads to was published long ago, and who has to find that has heard of it";
const PASSED_OVER: &str = "a grant is passed over, and is nobody's until it is taken back";
const READ_LATE: &str = "entries are read behind the word that lets them be written; loom reads nothing late";

pub(super) const SLIPS: &[Mistake] = &[
    slip(Slip::ScanFirst, RACE),
    slip(Slip::NoScan, RACE),
    slip(Slip::NoMark, RACE),
    slip(Slip::DrainFirst, "a put is lost"),
    slip(Slip::NoDrain, "a put is lost"),
    slip(Slip::ClearFirst, "a put is lost"),
    slip(Slip::ExpectLate, "who waits is forgotten"),
    slip(Slip::FilterFirst, "who waits is forgotten"),
    slip(Slip::WantLate, "nobody is told of the last release"),
    fault(Fault::NoFence, RACE),
    fault(Fault::NoRecheck, RACE),
];

const fn order(at: &'static str, code: &'static str, verdict: Verdict) -> Order {
    Order { at, code, verdict }
}

const fn slip(slip: Slip, breaks: &'static str) -> Mistake {
    Mistake { slip: Some(slip), fault: None, breaks }
}

const fn fault(fault: Fault, breaks: &'static str) -> Mistake {
    Mistake { slip: None, fault: Some(fault), breaks }
}

const RACE: &str = "Causality violation: Concurrent";
