//! A claim on a sealed object, however it was made.

use plasmad_wire::request::{Release, Ring};
use plasmad_wire::response::GotObject;
use plasmad_wire::value::Pin;
use plasmad_wire::{Location, ObjectId, Request};

use crate::session::Session;

/// What keeps an object where it is, and where that is.
#[derive(Debug)]
pub(crate) struct Pinned {
    claim: Claim,
    pub(crate) location: Location,
}

#[derive(Clone, Copy, Debug)]
enum Claim {
    /// Written by the daemon, for a get over the socket.
    Asked(Pin),
    /// Written by this process, into this cell of its page.
    Own(u32),
}

impl Session {
    /// Pins an object without asking; `None` proves nothing.
    pub(crate) fn pin(&self, id: &ObjectId) -> Option<Pinned> {
        let (cell, location) = self.fast.as_ref()?.pin(id)?;
        let pinned = Pinned { claim: Claim::Own(cell), location };
        if self.arena.sealed(&location).is_none() {
            self.unpin(&pinned);
            return None;
        }
        Some(pinned)
    }

    /// A pin of an answer; `None` if the object doesn't lie in the arena.
    pub(crate) fn adopt(&self, object: &GotObject) -> Option<Pinned> {
        self.arena.sealed(&object.location)?;
        Some(Pinned { claim: Claim::Asked(object.pin), location: object.location })
    }

    /// Gives a claim back, waiting for nothing. In a forked child it is the parent's, and stays.
    pub(crate) fn unpin(&self, pinned: &Pinned) {
        match (pinned.claim, &self.fast) {
            (Claim::Asked(pin), _) => self.connection.tell(&Request::Release(Release { pins: vec![pin] })),
            (Claim::Own(cell), Some(fast)) => {
                if self.connection.is_own() && fast.release(cell) {
                    self.connection.tell(&Request::Ring(Ring {}));
                }
            }
            (Claim::Own(_), None) => unreachable!("own claims are made through what is shared"),
        }
    }

    /// The data and the metadata of what is pinned.
    pub(crate) fn bytes(&self, pinned: &Pinned) -> (&[u8], &[u8]) {
        self.arena.sealed(&pinned.location).expect("looked at when it was pinned")
    }
}
