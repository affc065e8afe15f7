//! What subscribers hear, on its way into their sockets.
//!
//! Invariant: changes wait in the core, in a queue of bounded length, and leave it only when the client's outbox is
//! nearly empty. So a subscriber that doesn't read never fills its outbox with them, and its requests are served.

use plasmad_core::{ClientId, Store};
use plasmad_wire::limits::CHANGES_MAX;

use super::dispatch;
use super::outbox::Outbox;

/// Moves some of what a client has not heard into its outbox, if there is room.
pub(crate) fn refill(outbox: &mut Outbox, store: &mut Store, client: ClientId) {
    // An empty batch is a walk that found nothing yet, so it goes on, a bounded way.
    for _ in 0..BATCHES_PER_REFILL {
        if outbox.waiting_bytes() >= OUTBOX_BYTES_MAX || !store.has_changes(client) {
            return;
        }
        let Some(heard) = store.take_changes(client, CHANGES_MAX as usize) else { return };
        if !heard.changes.is_empty() {
            let tag = heard.tag;
            dispatch::changes(heard).append(outbox.bytes(), tag.kind, tag.number);
        }
    }
}

/// With this much unsent, changes stay where they are; one batch of them has 42 KB.
const OUTBOX_BYTES_MAX: usize = 32 * 1024;
const BATCHES_PER_REFILL: usize = 4;
