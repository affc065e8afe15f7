//! What one client, or all of them together, may take of the engine; stated in SPEC.md, section 7.
//!
//! Invariant: whatever clients send, the engine's memory, descriptors and the time of one turn stay bounded. Whoever
//! goes over a bound is told by name where it can still be told, disconnected, and logged once.

use std::collections::VecDeque;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use plasmad_core::Nanos;

use super::connection::Serial;

/// Connections that have a fixed time to do something, those with the least of it left first.
#[derive(Debug)]
pub(crate) struct Overdue<T> {
    after: Nanos,
    line: VecDeque<(Nanos, usize, Serial, T)>,
}

impl<T> Overdue<T> {
    /// Nobody yet; all who come will have this long.
    pub(crate) fn after(time: Duration) -> Self {
        Self { after: time.as_nanos() as Nanos, line: VecDeque::new() }
    }

    /// A connection's time begins.
    pub(crate) fn push(&mut self, now: Nanos, key: usize, serial: Serial, note: T) {
        self.line.push_back((now + self.after, key, serial, note));
    }

    /// The next whose time is up. It may have done it, or be gone, and another have its key: look at its serial.
    pub(crate) fn pop_due(&mut self, now: Nanos) -> Option<(usize, Serial, T)> {
        let (deadline, ..) = self.line.front()?;
        let (_, key, serial, note) = if *deadline <= now { self.line.pop_front()? } else { return None };
        Some((key, serial, note))
    }

    /// When the next one's time is up.
    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        self.line.front().map(|(deadline, ..)| *deadline)
    }
}

/// How many connections fit into the descriptors this process may have: a socket, a pidfd, a page and a life file for
/// each, and half a lease.
pub(crate) fn connections_max() -> usize {
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    let connections = descriptors.saturating_sub(OWN_DESCRIPTORS) / DESCRIPTORS_EACH;
    connections.clamp(1, CONNECTIONS_MAX) as usize
}

/// How many leases fit beside so many connections: a page and a life file for each.
pub(crate) fn leases_max(connections_max: usize) -> usize {
    connections_max.div_ceil(2)
}

/// From accept to a whole `Hello`.
pub(crate) const GREETING_TIME_MAX: Duration = Duration::from_secs(5);
/// Frames taken from one connection before the others have their turn.
pub(crate) const FRAMES_PER_TURN: usize = 4;
/// For so long after that it stands in line when it speaks up again.
pub(crate) const GREEDY_TIME: Duration = Duration::from_millis(10);
/// How long one turn is spent on newcomers and on those in line, behind those who have just spoken: about as long as
/// one request takes, so that whoever asks now waits no longer than that.
pub(crate) const BUSY_TIME_PER_TURN: Duration = Duration::from_micros(50);
/// No request is taken from a client while so much of its answers waits.
pub(crate) const OUTBOX_BYTES_MAX: usize = 1 << 20;
/// Nor while so many descriptors wait with them: each is one of the daemon's.
pub(crate) const OUTBOX_DESCRIPTORS_MAX: usize = 4;
/// A client that takes nothing of them for so long is disconnected.
pub(crate) const UNREAD_TIME_MAX: Duration = Duration::from_secs(1);
/// What frames that have begun and not ended may take, of all connections together.
pub(crate) const INBOX_BYTES_MAX: usize = 64 << 20;

const CONNECTIONS_MAX: u64 = 65_536;
const DESCRIPTORS_EACH: u64 = 5;
/// Standard streams, listener, poll, arena, index, keeper, and some to spare.
const OWN_DESCRIPTORS: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_end_in_the_order_they_began() {
        let mut greeting = Overdue::after(Duration::from_nanos(100));
        greeting.push(10, 1, Serial(1), ());
        greeting.push(20, 2, Serial(2), ());
        assert_eq!(greeting.next_deadline(), Some(110));
        assert_eq!(greeting.pop_due(109), None);
        assert_eq!(greeting.pop_due(110), Some((1, Serial(1), ())));
        assert_eq!(greeting.pop_due(110), None);
        assert_eq!(greeting.pop_due(130), Some((2, Serial(2), ())));
        assert_eq!(greeting.next_deadline(), None);
    }
}
