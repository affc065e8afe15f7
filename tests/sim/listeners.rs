//! Subscribers that keep a list of what is there from what they hear.
//!
//! Promise: whoever began with the existing objects, lost nothing and has heard everything knows exactly the objects
//! that are there.

use std::collections::{BTreeMap, BTreeSet};

use plasmad_core::{ClientId, Store};
use plasmad_wire::{Change, ChangeKind, ObjectId};

use crate::support::{Checked, ensure};

/// What each subscriber believes is there.
#[derive(Default)]
pub(super) struct Listeners {
    believed: BTreeMap<ClientId, BTreeSet<ObjectId>>,
}

impl Listeners {
    /// Somebody subscribes; only who is told what is there can know.
    pub(super) fn join(&mut self, client: ClientId, existing: bool) {
        if existing {
            self.believed.insert(client, BTreeSet::new());
        } else {
            self.believed.remove(&client);
        }
    }

    /// A change goes to nobody.
    pub(super) fn swallow_one(&mut self, store: &mut Store) {
        if let Some(client) = self.believed.keys().next() {
            store.take_changes(*client, 1);
        }
    }

    /// Each takes up to so many changes; who has heard everything is right.
    pub(super) fn listen(&mut self, store: &mut Store, changes_max: usize, there: &BTreeSet<ObjectId>) -> Checked {
        let mut gone = Vec::new();
        for (client, believed) in &mut self.believed {
            let Some(heard) = store.take_changes(*client, changes_max).filter(|heard| heard.lost == 0) else {
                gone.push(*client);
                continue;
            };
            heard.changes.into_iter().try_for_each(|change| believe(believed, change))?;
            if !store.has_changes(*client) {
                ensure!(believed == there, "{client:?} believes in {believed:?}\n   there is {there:?}");
            }
        }
        gone.into_iter().for_each(|client| _ = self.believed.remove(&client));
        Ok(())
    }
}

fn believe(believed: &mut BTreeSet<ObjectId>, change: Change) -> Checked {
    let new = match change.kind {
        ChangeKind::Sealed => believed.insert(change.id),
        ChangeKind::Deleted | ChangeKind::Evicted => believed.remove(&change.id),
        ChangeKind::Spilled | ChangeKind::Restored => believed.contains(&change.id),
    };
    ensure!(new, "told twice, or of nothing: {change:?}");
    Ok(())
}
