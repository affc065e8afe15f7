//! Clients that put by themselves, a step at a time, as their library does: take a slot, claim it, look at it again,
//! write, tell, let go, ask whether anybody waits.
//!
//! Each step is one access to shared memory, so whoever drives them may let anything happen in between. Now and then
//! a client lies, as no library would.

use std::collections::{BTreeMap, BTreeSet};

use plasmad_core::residence::{Entry, Grant, Named};
use plasmad_core::{ClientId, Residence, SlotNumber};
use plasmad_wire::limits::METADATA_BYTES_MAX;
use plasmad_wire::{Format, Handle, ObjectId, Pin};

use super::{Pages, Random};

/// All of them.
pub(crate) struct Pushers {
    random: Random,
    clients: BTreeMap<ClientId, Pusher>,
    /// Clients tell what cannot be, once in so many entries; never if it is 0.
    pub(crate) lies_one_in: u64,
    /// They write without a second look: a fault to be noticed.
    pub(crate) looks_once: bool,
    /// Processes that stand still.
    pub(crate) stopped: BTreeSet<ClientId>,
    /// Who made the last step: who is busy goes on for a while.
    last: Option<ClientId>,
    /// What clients are about to tell at the very moment that the store does something.
    late: Vec<(ClientId, Hand, Entry)>,
}

#[derive(Default)]
struct Pusher {
    hands: Vec<Hand>,
    /// Objects it created and will seal, or give up, on its ring.
    unsealed: Vec<(Handle, ObjectId)>,
    /// How many objects it has begun.
    begun: u64,
}

/// What a client tells at the very moment that the store does something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late {
    pub(crate) client: ClientId,
    pub(crate) entry: Entry,
    /// It begins to wait for an object; else it looks for claims.
    pub(crate) when_expected: bool,
}

/// One object that a client is in the middle of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hand {
    pub(crate) grant: Grant,
    pub(crate) at: At,
}

/// How far it is; with the word that holds its claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At {
    /// It has read which slot is next.
    Took,
    /// It has seen that the slot is its own.
    Seen,
    /// It has claimed the slot.
    Claimed(u32),
    /// It has looked again, and the slot was its own still: it writes.
    Writes(u32),
    /// It has told of the object.
    Told(u32, Then),
    /// It has let go of the slot, and not asked yet whether anybody waits.
    LetGo(Then),
}

/// What an object is when all is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// Nothing that anybody could wait for.
    Nothing,
    /// There for everybody.
    There(ObjectId),
    /// Its creator's, to be sealed or given up.
    Unsealed(ObjectId),
}

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Did {
    /// Nothing that anybody sees.
    Nothing,
    /// A claim was written.
    Claimed(Pin),
    /// The slot is the client's to write.
    Confirmed(Grant),
    /// Something was told.
    Told(Entry),
    /// Something was told that is no truth.
    Lied(Entry),
    /// A claim was cleared, of a slot that was told of or was not.
    LetGo { pin: Pin, told: bool },
    /// A verb of the library returned. If it rang, the store will hear of that.
    Returned { rang: bool },
}

impl Pushers {
    pub(crate) fn new(seed: u64) -> Self {
        let (clients, late, stopped) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        Self { random: Random(seed ^ 0x9a54), clients, lies_one_in: 0, looks_once: false, stopped, last: None, late }
    }

    /// A client with a ring.
    pub(crate) fn join(&mut self, client: ClientId) {
        self.clients.insert(client, Pusher::default());
    }

    /// A client does nothing any more; what it was in the middle of.
    pub(crate) fn end(&mut self, client: ClientId) -> Vec<Hand> {
        self.stopped.remove(&client);
        self.clients.remove(&client).map_or_else(Vec::new, |pusher| pusher.hands)
    }

    /// Everything that is in the middle of something.
    pub(crate) fn all_hands(&self) -> impl Iterator<Item = (ClientId, &Hand)> {
        self.clients.iter().flat_map(|(client, pusher)| pusher.hands.iter().map(|hand| (*client, hand)))
    }

    /// A word holds the claim of something that a client is in the middle of.
    pub(crate) fn claims(&self, client: ClientId, word: u32) -> bool {
        let hands = self.clients.get(&client).into_iter().flat_map(|pusher| &pusher.hands);
        hands
            .into_iter()
            .any(|hand| matches!(hand.at, At::Claimed(it) | At::Writes(it) | At::Told(it, _) if it == word))
    }

    /// How many objects a client has begun: it uses the ids of [`own_id`] up to there.
    pub(crate) fn begun(&self, client: ClientId) -> u64 {
        self.clients.get(&client).map_or(0, |pusher| pusher.begun)
    }

    /// What a client that writes tells of next.
    pub(crate) fn next_told(&self) -> Option<ObjectId> {
        let (client, _) = self.all_hands().find(|(_, hand)| matches!(hand.at, At::Writes(_)))?;
        Some(own_id(client, self.begun(client) + 1))
    }

    /// It is time for something else to happen.
    pub(crate) fn pauses(&mut self) -> bool {
        self.random.percent(20)
    }

    /// An object that was created over the socket is ended on the ring.
    pub(crate) fn will_end(&mut self, client: ClientId, handle: Handle, id: ObjectId) {
        if let Some(pusher) = self.clients.get_mut(&client) {
            pusher.unsealed.push((handle, id));
        }
    }

    /// Now and then an object that was created on a ring is ended over the socket.
    pub(crate) fn give_away(&mut self) -> Option<(ClientId, Handle)> {
        if self.random.percent(90) {
            return None;
        }
        let (client, pusher) = self.clients.iter_mut().find(|(_, pusher)| !pusher.unsealed.is_empty())?;
        pusher.unsealed.pop().map(|(handle, _)| (*client, handle))
    }

    /// One step of some client.
    pub(crate) fn step(&mut self, pages: &mut Pages) -> Option<(ClientId, Did)> {
        let clients: Vec<ClientId> = self.clients.keys().copied().filter(|it| !self.stopped.contains(it)).collect();
        let again = self.last.filter(|last| clients.contains(last) && self.random.percent(60));
        let client = again.or_else(|| self.random.pick(&clients).copied())?;
        self.last = Some(client);
        Some((client, self.step_of(client, pages)))
    }

    /// One step of this one, if it may.
    pub(crate) fn step_for(&mut self, client: ClientId, pages: &mut Pages) -> Option<(ClientId, Did)> {
        let is_able = self.clients.contains_key(&client) && !self.stopped.contains(&client);
        is_able.then(|| (client, self.step_of(client, pages)))
    }

    /// Now and then a client that writes finishes at the very moment the store begins to wait for an object, or looks for
    /// claims; what it tells then. Who writes what somebody is about to ask for does so more often.
    pub(crate) fn finish_late(&mut self, pages: &mut Pages, asked: &[ObjectId]) -> Option<Late> {
        let writing = |(client, pusher): (&ClientId, &Pusher)| {
            let at = pusher.hands.iter().position(|hand| matches!(hand.at, At::Writes(_)))?;
            Some((*client, at, asked.contains(&own_id(*client, pusher.begun + 1))))
        };
        let (client, at, when_expected) = self.clients.iter().filter_map(writing).max_by_key(|(.., asked)| *asked)?;
        if self.random.percent(if when_expected { 20 } else { 40 }) {
            return None;
        }
        let pusher = self.clients.get_mut(&client).expect("it was found");
        let hand = pusher.hands.remove(at);
        pusher.begun += 1;
        let id = own_id(client, pusher.begun);
        let entry = Entry::Put(handle_of(&hand.grant), self.describe(id, &hand.grant));
        if when_expected {
            pages.tell_when_expected(client, entry)
        } else {
            pages.tell_when_revoked(client, entry)
        }
        self.late.push((client, hand, entry));
        Some(Late { client, entry, when_expected })
    }

    /// Whoever was to finish at a moment that has not come is where it was; what it has not told.
    pub(crate) fn take_late(&mut self, pages: &mut Pages) -> Vec<(ClientId, Entry)> {
        let untold = pages.take_untold();
        for (client, hand, entry) in std::mem::take(&mut self.late) {
            if let Some(pusher) = self.clients.get_mut(&client).filter(|_| untold.contains(&(client, entry))) {
                pusher.hands.push(hand);
            }
        }
        untold
    }

    fn step_of(&mut self, client: ClientId, pages: &mut Pages) -> Did {
        let pusher = self.clients.get_mut(&client).expect("it is one of ours");
        let (hands, unsealed) = (pusher.hands.len(), pusher.unsealed.len());
        if unsealed > 0 && self.random.percent(15) {
            return self.end_one(client, pages);
        }
        let told = |hand: &Hand| matches!(hand.at, At::Told(..) | At::LetGo(_));
        if let Some(at) = pusher.hands.iter().position(told)
            && self.random.percent(60)
        {
            return self.go_on(client, at, pages);
        }
        if hands > 0 && (hands >= HANDS_MAX || self.random.percent(80)) {
            let at = self.random.below(hands as u64) as usize;
            return self.go_on(client, at, pages);
        }
        if let Some(grant) = pages.next_handed(client) {
            pusher.hands.push(Hand { grant, at: At::Took });
        }
        Did::Nothing
    }

    /// The next step of one object.
    fn go_on(&mut self, client: ClientId, at: usize, pages: &mut Pages) -> Did {
        let pusher = self.clients.get_mut(&client).expect("it is one of ours");
        let Hand { grant, at: stage } = pusher.hands[at];
        let handle = handle_of(&grant);
        let (next, did) = match stage {
            At::Took => (pages.is_granted(&grant).then_some(At::Seen), Did::Nothing),
            At::Seen => match pages.pin(client, grant.slot, grant.generation) {
                Some(word) => (Some(At::Claimed(word)), Did::Claimed(Pin { word, handle })),
                None => (None, Did::Nothing),
            },
            At::Claimed(word) if self.looks_once || pages.is_granted(&grant) => {
                (Some(At::Writes(word)), Did::Confirmed(grant))
            }
            // It was taken back in between. Whoever did that may have seen the claim, and wait for it to go.
            At::Claimed(word) => (Some(At::LetGo(Then::Nothing)), let_go(client, Pin { word, handle }, false, pages)),
            At::Writes(word) if self.random.percent(5) => {
                (Some(At::LetGo(Then::Nothing)), let_go(client, Pin { word, handle }, false, pages))
            }
            At::Writes(word) => {
                let (then, did) = self.tell(client, &grant, pages);
                (Some(At::Told(word, then)), did)
            }
            At::Told(word, then) => (Some(At::LetGo(then)), let_go(client, Pin { word, handle }, true, pages)),
            At::LetGo(then) => {
                let is_expected = matches!(then, Then::There(id) if pages.is_expected(id));
                if let Then::Unsealed(id) = then {
                    self.will_end(client, handle, id);
                }
                (None, Did::Returned { rang: is_expected || pages.is_wanted() })
            }
        };
        let pusher = self.clients.get_mut(&client).expect("it is one of ours");
        match next {
            Some(next) => pusher.hands[at].at = next,
            None => drop(pusher.hands.remove(at)),
        }
        did
    }

    /// Tells of an object: that it is there, or that it is being written.
    fn tell(&mut self, client: ClientId, grant: &Grant, pages: &mut Pages) -> (Then, Did) {
        let pusher = self.clients.get_mut(&client).expect("it is one of ours");
        pusher.begun += 1;
        let id = own_id(client, pusher.begun);
        let named = self.describe(id, grant);
        let handle = handle_of(grant);
        if self.lies_one_in > 0 && self.random.below(self.lies_one_in) == 0 {
            let lie = self.lie(handle, named);
            pages.tell(client, lie);
            return (Then::Nothing, Did::Lied(lie));
        }
        let (entry, then) = match self.random.percent(30) {
            true => (Entry::Create(handle, named), Then::Unsealed(id)),
            false => (Entry::Put(handle, named), Then::There(id)),
        };
        pages.tell(client, entry);
        (then, Did::Told(entry))
    }

    /// Seals an object that it created, or gives it up.
    fn end_one(&mut self, client: ClientId, pages: &mut Pages) -> Did {
        let seals = self.random.percent(80);
        let pusher = self.clients.get_mut(&client).expect("it is one of ours");
        let (handle, id) = pusher.unsealed.remove(0);
        let grant = Grant { slot: SlotNumber(handle.slot), generation: handle.generation, extent: Default::default() };
        let then = if seals { Then::There(id) } else { Then::Nothing };
        pusher.hands.push(Hand { grant, at: At::LetGo(then) });
        let entry = if seals { Entry::Seal(handle) } else { Entry::Abort(handle) };
        pages.tell(client, entry);
        Did::Told(entry)
    }

    /// An object that fits a slot; now and then exactly, or nothing at all.
    fn describe(&mut self, id: ObjectId, grant: &Grant) -> Named {
        let bytes = match self.random.below(10) {
            0 => 0,
            1..5 => grant.extent.bytes,
            _ => self.random.below(grant.extent.bytes + 1),
        };
        let metadata_bytes_max = bytes.min(METADATA_BYTES_MAX.into());
        let metadata_bytes = if self.random.percent(20) { self.random.below(metadata_bytes_max + 1) as u32 } else { 0 };
        let format = if self.random.percent(10) { Format::Arrow } else { Format::Raw };
        let evictable = self.random.percent(50);
        Named { id, data_bytes: bytes - u64::from(metadata_bytes), metadata_bytes, format, evictable }
    }

    fn lie(&mut self, handle: Handle, named: Named) -> Entry {
        match self.random.below(6) {
            0 => Entry::Put(handle, Named { id: ObjectId::new([0xff; ObjectId::BYTES]), ..named }),
            1 => Entry::Create(handle, Named { data_bytes: u64::MAX, ..named }),
            2 => Entry::Put(Handle { generation: handle.generation + 1, ..handle }, named),
            3 => Entry::Put(Handle { slot: u32::MAX, ..handle }, named),
            4 => Entry::Seal(handle),
            _ => Entry::Unreadable("nonsense"),
        }
    }
}

/// The id of an object that a client begins.
pub(crate) fn own_id(client: ClientId, number: u64) -> ObjectId {
    let mut bytes = [0xbb; ObjectId::BYTES];
    bytes[..8].copy_from_slice(&client.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    ObjectId::new(bytes)
}

fn let_go(client: ClientId, pin: Pin, told: bool, pages: &mut Pages) -> Did {
    // Somebody may have guessed the claim and released it over the socket.
    pages.unpin(client, pin);
    Did::LetGo { pin, told }
}

fn handle_of(grant: &Grant) -> Handle {
    Handle { slot: grant.slot.0, generation: grant.generation }
}

/// Objects that a client is in the middle of at a time.
const HANDS_MAX: usize = 3;
