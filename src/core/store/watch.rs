//! Subscribe, and what subscribers take.
//!
//! Subscribers are told nothing by effects: they take what they have not heard when they can, so one that doesn't
//! costs no more than its queue.

use alloc::vec::Vec;

use plasmad_wire::limits::CHANGES_QUEUED_MAX;

use super::Store;
use crate::clients::ClientId;
use crate::effect::{Refusal, Reply};
use crate::event::RequestTag;
use crate::queue::Heard;

impl Store {
    /// There is something this subscriber has not heard.
    pub fn has_changes(&self, client: ClientId) -> bool {
        self.subscriptions.has_any(client)
    }

    /// Subscribers that had nothing to hear when this was last asked, and now may have.
    pub fn take_fresh_subscribers(&mut self) -> Vec<ClientId> {
        self.subscriptions.take_fresh()
    }

    /// The next changes for a subscriber, at most so many; `None` if it is none. While [`Self::has_changes`] says so
    /// there is more to take, even behind an empty answer.
    pub fn take_changes(&mut self, client: ClientId, changes_max: usize) -> Option<Heard> {
        self.subscriptions.take(client, changes_max, &self.slots)
    }

    pub(super) fn subscribe(
        &mut self,
        client: ClientId,
        tag: RequestTag,
        existing: bool,
        queue_max: u32,
    ) -> Result<Reply, Refusal> {
        if tag.silent {
            return Err(Refusal::Malformed("a subscription is nothing but answers, and none are wanted"));
        }
        if queue_max == 0 {
            return Err(Refusal::Malformed("a subscription's queue has room for 1 change at least"));
        }
        if queue_max > CHANGES_QUEUED_MAX {
            return Err(Refusal::Limit { what: "changes queued for a subscriber", limit: CHANGES_QUEUED_MAX.into() });
        }
        if self.subscriptions.number(client).is_some() {
            return Err(Refusal::Limit { what: "subscriptions of one client", limit: 1 });
        }
        self.may_wait(client, tag, 0)?;
        // Every object that is sealed has a seal up to this one.
        let last_seal = existing.then_some(self.totals.seals);
        self.subscriptions.begin(client, tag, queue_max, last_seal);
        Ok(Reply::Subscribed)
    }

    /// Ends a subscription by its number.
    pub(super) fn unsubscribe(&mut self, client: ClientId, number: u64) -> Option<RequestTag> {
        self.subscriptions.number(client).filter(|it| *it == number)?;
        self.subscriptions.end(client)
    }
}
