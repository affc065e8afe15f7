//! Subscriptions: one that does not read is told what it lost.

use plasmad_core::queue::Heard;
use plasmad_core::{ClientId, Refusal, Reply, RequestTag};
use plasmad_wire::limits::CHANGES_QUEUED_MAX;
use plasmad_wire::{Change, ChangeKind};

use super::state::Model;

/// A subscription, with everything it will hear written out.
pub(super) struct Subscriber {
    tag: RequestTag,
    /// Objects that were there, by slot, and have not been told of.
    existing: Vec<(u32, Change)>,
    /// What happened since.
    queue: Vec<Change>,
    queue_max: usize,
    lost: u64,
}

impl Model {
    pub(super) fn subscribe(
        &mut self,
        client: ClientId,
        tag: RequestTag,
        existing: bool,
        queue_max: u32,
    ) -> Result<Reply, Refusal> {
        if queue_max == 0 {
            return Err(Refusal::Malformed("a subscription's queue has room for 1 change at least"));
        }
        if queue_max > CHANGES_QUEUED_MAX {
            return Err(Refusal::Limit { what: "changes queued for a subscriber", limit: CHANGES_QUEUED_MAX.into() });
        }
        if self.subscribers.contains_key(&client) {
            return Err(Refusal::Limit { what: "subscriptions of one client", limit: 1 });
        }
        self.may_wait(client, tag)?;
        let sealed = self.objects.iter().filter(|(_, object)| object.sealed_at.is_some() && !object.doomed);
        let existing = if existing {
            sealed.map(|(slot, _)| (*slot, self.change(ChangeKind::Sealed, *slot))).collect()
        } else {
            Vec::new()
        };
        let queue_max = queue_max as usize;
        self.subscribers.insert(client, Subscriber { tag, existing, queue: Vec::new(), queue_max, lost: 0 });
        Ok(Reply::Subscribed)
    }

    /// Everybody hears what happened to an object, but for those who never heard that it was there.
    pub(super) fn note(&mut self, kind: ChangeKind, slot: u32) {
        let change = self.change(kind, slot);
        for subscriber in self.subscribers.values_mut() {
            if kind != ChangeKind::Sealed && subscriber.existing.iter().any(|(untold, _)| *untold == slot) {
                subscriber.existing.retain(|(untold, _)| *untold != slot);
                continue;
            }
            subscriber.queue.push(change);
            if subscriber.queue.len() > subscriber.queue_max {
                subscriber.queue.remove(0);
                subscriber.lost += 1;
                self.seen.changes_lost += 1;
            }
        }
    }

    /// What a subscriber should have heard, given what it did: the core chooses how much it tells at a time.
    pub(super) fn heard(&mut self, client: ClientId, heard: &Heard) -> Option<Heard> {
        let subscriber = self.subscribers.get_mut(&client)?;
        let count = heard.changes.len();
        let (lost, changes) = if !subscriber.existing.is_empty() {
            self.seen.existing_told += 1;
            let told = count.min(subscriber.existing.len());
            (0, subscriber.existing.drain(..told).map(|(_, change)| change).collect())
        } else if count == 0 {
            // The last look at slots that hold nothing.
            (0, Vec::new())
        } else {
            let told = count.min(subscriber.queue.len());
            (std::mem::take(&mut subscriber.lost), subscriber.queue.drain(..told).collect())
        };
        Some(Heard { tag: subscriber.tag, lost, changes })
    }

    /// There is something this subscriber has not heard.
    pub(super) fn has_changes(&self, client: ClientId) -> bool {
        self.subscribers.get(&client).is_some_and(|it| !it.existing.is_empty() || !it.queue.is_empty())
    }

    /// The request of a client's subscription.
    pub(super) fn subscription(&self, client: ClientId) -> Option<RequestTag> {
        self.subscribers.get(&client).map(|subscriber| subscriber.tag)
    }

    fn change(&self, kind: ChangeKind, slot: u32) -> Change {
        let record = &self.objects[&slot].record;
        Change { kind, id: record.id, data_bytes: record.data_bytes, metadata_bytes: record.metadata_bytes }
    }
}
