//! Who wants to hear what happens to objects, and what they have not heard yet.
//!
//! Invariant: what a subscriber took and what it is told it lost are together all that happened, in order and each
//! once. Its memory is bounded by its own wish: when the queue is full the oldest change in it gives way.
//!
//! Objects that are there already are not queued: a walk over the slots tells of them when their turn comes. What
//! happens to an object the walk has still to tell of is therefore passed over: it is told as it is then, or never.
//!
//! ```text
//! slots   [told][told][ next ... ]      sealed before the subscription: the walk tells of them, in this order
//! queue   [deleted told one][sealed new one]   what happened since, told when the walk is done
//! ```

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use plasmad_wire::{Change, ChangeKind};

use crate::clients::ClientId;
use crate::event::RequestTag;
use crate::slot::{Slot, SlotNumber, SlotTable, State};

/// All subscriptions, at most one of a client.
#[derive(Debug, Default)]
pub struct Subscriptions {
    live: BTreeMap<ClientId, Subscription>,
    /// Subscribers that had nothing to hear and now have.
    fresh: Vec<ClientId>,
}

#[derive(Debug)]
struct Subscription {
    tag: RequestTag,
    walk: Option<Walk>,
    /// Dropped changes, older than all in the queue.
    lost: u64,
    queue: VecDeque<Change>,
    queue_max: usize,
}

/// What is still to be told of the objects that were there.
#[derive(Clone, Copy, Debug)]
struct Walk {
    /// The next slot to look at.
    next: SlotNumber,
    /// Objects with a later seal than this came after the subscription.
    last_seal: u64,
}

/// Some changes for one subscriber.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// The subscription's request.
    pub tag: RequestTag,
    /// So many changes before these were dropped.
    pub lost: u64,
    /// In order.
    pub changes: Vec<Change>,
}

impl Subscriptions {
    /// Nobody listens, so nothing has to be noted.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The number of a client's subscription, while it has one.
    pub fn number(&self, client: ClientId) -> Option<u64> {
        self.live.get(&client).map(|subscription| subscription.tag.number)
    }

    /// Begins a subscription; `existing` is the number of the last seal, if objects that are there are to be told.
    pub fn begin(&mut self, client: ClientId, tag: RequestTag, queue_max: u32, existing: Option<u64>) {
        let walk = existing.map(|last_seal| Walk { next: SlotNumber(0), last_seal });
        let subscription = Subscription { tag, walk, lost: 0, queue: VecDeque::new(), queue_max: queue_max as usize };
        self.fresh.extend(walk.map(|_| client));
        let before = self.live.insert(client, subscription);
        assert!(before.is_none(), "client {} has two subscriptions", client.0);
    }

    /// Ends a client's subscription; whose request it was.
    pub fn end(&mut self, client: ClientId) -> Option<RequestTag> {
        self.live.remove(&client).map(|subscription| subscription.tag)
    }

    /// Notes for everybody what happened to the object in a slot.
    pub fn note(&mut self, kind: ChangeKind, slot: SlotNumber, object: &Slot) {
        let change = change(kind, object);
        for (client, subscription) in &mut self.live {
            if subscription.walk.is_some_and(|walk| walk.next <= slot && object.seal <= walk.last_seal) {
                continue;
            }
            if !subscription.has_any() {
                self.fresh.push(*client);
            }
            subscription.push(change);
        }
    }

    /// There is something this client has not heard.
    pub fn has_any(&self, client: ClientId) -> bool {
        self.live.get(&client).is_some_and(Subscription::has_any)
    }

    /// Subscribers that had nothing to hear when this was last asked, and now may have.
    pub fn take_fresh(&mut self) -> Vec<ClientId> {
        core::mem::take(&mut self.fresh)
    }

    /// The next changes for a client, at most so many. There may be more even if these are none: a walk looks at a
    /// bounded number of slots at a time.
    pub fn take(&mut self, client: ClientId, changes_max: usize, slots: &SlotTable) -> Option<Heard> {
        let subscription = self.live.get_mut(&client)?;
        let (lost, changes) = match &mut subscription.walk {
            Some(walk) => {
                let changes = walk.go_on(changes_max, slots);
                if walk.next.0 as usize >= slots.ever_used_count() {
                    subscription.walk = None;
                }
                (0, changes)
            }
            None => subscription.pop(changes_max),
        };
        Some(Heard { tag: subscription.tag, lost, changes })
    }
}

impl Subscription {
    fn has_any(&self) -> bool {
        // Something lost lies before something queued.
        self.walk.is_some() || !self.queue.is_empty()
    }

    fn push(&mut self, change: Change) {
        if self.queue.len() == self.queue_max {
            self.queue.pop_front();
            self.lost += 1;
        }
        self.queue.push_back(change);
    }

    fn pop(&mut self, changes_max: usize) -> (u64, Vec<Change>) {
        let taken = self.queue.drain(..changes_max.min(self.queue.len())).collect();
        if self.queue.is_empty() {
            self.queue.shrink_to(KEPT_CHANGES);
        }
        (core::mem::take(&mut self.lost), taken)
    }
}

impl Walk {
    fn go_on(&mut self, changes_max: usize, slots: &SlotTable) -> Vec<Change> {
        let end = self.next.0.saturating_add((changes_max * SLOTS_PER_CHANGE) as u32);
        let mut changes = Vec::new();
        for (number, object) in slots.occupied_in(self.next.0..end) {
            if is_sealed(object.state) && object.seal <= self.last_seal {
                changes.push(change(ChangeKind::Sealed, object));
            }
            if changes.len() == changes_max {
                self.next = SlotNumber(number.0 + 1);
                return changes;
            }
        }
        self.next = SlotNumber(end);
        changes
    }
}

fn change(kind: ChangeKind, object: &Slot) -> Change {
    Change { kind, id: object.id, data_bytes: object.data_bytes, metadata_bytes: object.metadata_bytes }
}

/// On disk or on its way back is there all the same.
fn is_sealed(state: State) -> bool {
    match state {
        State::Sealed | State::Spilling | State::Spilled | State::Restoring => true,
        State::Free | State::Granted | State::Created | State::Doomed => false,
    }
}

/// 65,536 queued changes take 3 MiB.
const _: () = assert!(size_of::<Change>() == 48);

/// Slots a walk looks at for each change it may tell, so that a table with few objects is not looked at in one go.
const SLOTS_PER_CHANGE: usize = 4;
/// A queue that was read keeps room for this many.
const KEPT_CHANGES: usize = 64;
