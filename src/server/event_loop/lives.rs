//! Whose claims end though nobody says so: clients without a connection whose process lives, and may have nothing left
//! of the memory it was a client in.
//!
//! Their life files tell, and have to be asked. That is done once a second for each, and more often while somebody waits
//! for the room that they may take; so many in a turn, so that a crowd of them delays nobody.

use std::collections::VecDeque;

use plasmad_core::{ClientId, Event, Nanos};

use super::Engine;

/// Clients to look at, those first that were looked at longest ago, and when that was.
#[derive(Debug, Default)]
pub(super) struct Lives {
    line: VecDeque<(Nanos, ClientId)>,
}

impl Engine {
    /// Looks whether a client is gone; if not, again from time to time. One without a life file ends with its process.
    pub(super) fn look_at_life(&mut self, client: ClientId) {
        let Some(life) = self.clients.get(client).and_then(|client| client.life.as_ref()) else { return };
        if life.is_over() {
            tracing::debug!("client {} has let go of its memory", client.0);
            self.tell(Event::ClientGone { client });
        } else {
            self.lives.line.push_back((self.clock.now(), client));
        }
    }

    /// Looks at those whose turn it is.
    pub(super) fn look_at_lives(&mut self, now: Nanos) {
        for _ in 0..LOOKS_PER_TURN {
            if self.next_look_at_lives().is_none_or(|due| due > now) {
                return;
            }
            if let Some((_, client)) = self.lives.line.pop_front() {
                self.look_at_life(client);
            }
        }
    }

    pub(super) fn next_look_at_lives(&self) -> Option<Nanos> {
        let pause = if self.store.is_short_of_room() { PAUSE_WHEN_SHORT_NS } else { PAUSE_NS };
        self.lives.line.front().map(|(looked, _)| looked + pause)
    }
}

/// Between two looks at one client.
const PAUSE_NS: Nanos = 1_000_000_000;
/// The same while somebody waits for room.
const PAUSE_WHEN_SHORT_NS: Nanos = 20_000_000;
/// A look is a system call of some hundred nanoseconds.
const LOOKS_PER_TURN: usize = 64;
