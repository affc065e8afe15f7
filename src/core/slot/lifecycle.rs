//! The states an object passes through, and the moves between them.
//!
//! ```text
//!          Create          Seal           SpillStart          SpillDone
//!   Free ---------> Created ----> Sealed ------------> Spilling --------> Spilled
//!    ^                 |          |  | ^                |   |                | |
//!    |      Abort      |          |  | |  SpillFailed   |   |                | | RestoreStart
//!    +-----------------+          |  | +----------------+   |                | v
//!    ^            Evict           |  |                      |              Restoring
//!    +----------------------------+  | Delete               | Delete         |
//!    |                               v                      v                | RestoreDone: Sealed
//!    +---------------------------- Doomed <-----------------+                | RestoreFailed: Spilled
//!            LastRelease
//!
//!         Grant            Name                                                 Abandon
//!   Free --------> Granted ------> Created      TakeBack: Granted -> Free      Created ----> Doomed
//!
//!         Adopt
//!   Free --------> Spilled         Delete: Spilled -> Free, Restoring -> Doomed; DeleteViewed: Spilled -> Doomed
//! ```
//!
//! Invariant: an object has an extent in every state but `Free`, `Spilled`, and `Doomed` if it was viewed on disk; it can be
//! found by its id in every state but `Free`, `Granted` and `Doomed`.

use plasmad_wire::ChangeKind;

/// Where an object is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// No object lives in this slot.
    Free,
    /// Handed to a client, which may have written into it; no object yet.
    Granted,
    /// Being written by its creator; nobody else sees it.
    Created,
    /// Immutable and in memory.
    Sealed,
    /// Being written to disk, still readable.
    Spilling,
    /// On disk only.
    Spilled,
    /// Coming back from disk.
    Restoring,
    /// Deleted or given up, still pinned: its bytes stay where they are until the last release.
    Doomed,
}

/// What can happen to an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// Somebody reserves it.
    Create,
    /// The slot is handed to a client.
    Grant,
    /// The client made an object of it.
    Name,
    /// The client didn't use it.
    TakeBack,
    /// Its creator publishes it.
    Seal,
    /// Its creator gives it up, or is gone.
    Abort,
    /// The same, while children of a fork may still write there.
    Abandon,
    /// Somebody deletes it.
    Delete,
    /// The same, while somebody reads it where it lies on disk.
    DeleteViewed,
    /// The store drops it to make room.
    Evict,
    /// Nobody pins the deleted object any more.
    LastRelease,
    /// The store begins to write it to disk.
    SpillStart,
    /// It is on disk and its memory is taken back.
    SpillDone,
    /// It could not be written, or somebody pins it: it stays in memory.
    SpillFailed,
    /// The store begins to read it from disk.
    RestoreStart,
    /// It is in memory again.
    RestoreDone,
    /// It could not be read.
    RestoreFailed,
    /// A former store left it on disk.
    Adopt,
}

/// A move that its state doesn't allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IllegalMove {
    /// Where the object was, and still is.
    pub from: State,
    /// What was tried.
    pub tried: Move,
}

impl Move {
    /// What subscribers hear of it, if anything.
    pub fn change(self) -> Option<ChangeKind> {
        match self {
            Move::Seal => Some(ChangeKind::Sealed),
            Move::Delete | Move::DeleteViewed => Some(ChangeKind::Deleted),
            Move::Evict => Some(ChangeKind::Evicted),
            Move::SpillDone => Some(ChangeKind::Spilled),
            Move::RestoreDone => Some(ChangeKind::Restored),
            Move::Create
            | Move::Grant
            | Move::Name
            | Move::TakeBack
            | Move::Abort
            | Move::Abandon
            | Move::LastRelease
            | Move::SpillStart
            | Move::SpillFailed
            | Move::RestoreStart
            | Move::RestoreFailed
            | Move::Adopt => None,
        }
    }
}

impl State {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// The state behind a move.
    pub fn after(self, made: Move) -> Result<State, IllegalMove> {
        let next = match (self, made) {
            (State::Free, Move::Create) => State::Created,
            (State::Free, Move::Grant) => State::Granted,
            (State::Free, Move::Adopt) => State::Spilled,
            (State::Granted, Move::Name) => State::Created,
            (State::Granted, Move::TakeBack) => State::Free,
            (State::Created, Move::Seal) => State::Sealed,
            (State::Created, Move::Abort) => State::Free,
            (State::Created, Move::Abandon) => State::Doomed,
            (State::Sealed, Move::Delete) => State::Doomed,
            (State::Sealed, Move::Evict) => State::Free,
            (State::Sealed, Move::SpillStart) => State::Spilling,
            (State::Spilling, Move::SpillDone) => State::Spilled,
            (State::Spilling, Move::SpillFailed) => State::Sealed,
            (State::Spilling, Move::Delete) => State::Doomed,
            (State::Spilled, Move::RestoreStart) => State::Restoring,
            (State::Spilled, Move::Delete) => State::Free,
            (State::Spilled, Move::DeleteViewed) => State::Doomed,
            (State::Restoring, Move::RestoreDone) => State::Sealed,
            (State::Restoring, Move::RestoreFailed) => State::Spilled,
            (State::Restoring, Move::Delete) => State::Doomed,
            (State::Doomed, Move::LastRelease) => State::Free,
            (
                State::Free
                | State::Granted
                | State::Created
                | State::Sealed
                | State::Spilling
                | State::Spilled
                | State::Restoring
                | State::Doomed,
                tried,
            ) => return Err(IllegalMove { from: self, tried }),
        };
        Ok(next)
    }

    /// The object's bytes are in memory, sealed, and may be pinned.
    pub fn is_readable(self) -> bool {
        match self {
            State::Sealed | State::Spilling => true,
            State::Free | State::Granted | State::Created | State::Spilled | State::Restoring | State::Doomed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 8] = [
        State::Free,
        State::Granted,
        State::Created,
        State::Sealed,
        State::Spilling,
        State::Spilled,
        State::Restoring,
        State::Doomed,
    ];

    const MOVES: [Move; 18] = [
        Move::Create,
        Move::Grant,
        Move::Name,
        Move::TakeBack,
        Move::Seal,
        Move::Abort,
        Move::Abandon,
        Move::Delete,
        Move::DeleteViewed,
        Move::Evict,
        Move::LastRelease,
        Move::SpillStart,
        Move::SpillDone,
        Move::SpillFailed,
        Move::RestoreStart,
        Move::RestoreDone,
        Move::RestoreFailed,
        Move::Adopt,
    ];

    #[test]
    fn subscribers_hear_what_changes_for_readers() {
        // In the order of `MOVES`; '-' is not spoken of.
        for (made, expected) in MOVES.into_iter().zip("----S--DDE--P--R--".chars()) {
            let heard = match made.change() {
                None => '-',
                Some(ChangeKind::Sealed) => 'S',
                Some(ChangeKind::Deleted) => 'D',
                Some(ChangeKind::Evicted) => 'E',
                Some(ChangeKind::Spilled) => 'P',
                Some(ChangeKind::Restored) => 'R',
            };
            assert_eq!(heard, expected, "{made:?}");
        }
    }

    #[test]
    fn every_state_meets_every_move() {
        // One row a state, one column a move; '-' is refused, a letter is the state behind it.
        let table = [
            "CG---------------O", // Free (G: granted, O: adopted)
            "--CF--------------", // Granted
            "----SFD-----------", // Created
            "-------D-F-P------", // Sealed (P: spilling)
            "-------D----OS----", // Spilling (O: spilled, on disk only)
            "-------FD-----R---", // Spilled
            "-------D-------SO-", // Restoring
            "----------F-------", // Doomed
        ];
        for (state, row) in STATES.into_iter().zip(table) {
            for (made, expected) in MOVES.into_iter().zip(row.chars()) {
                let found = match state.after(made) {
                    Err(refused) => {
                        assert_eq!(refused, IllegalMove { from: state, tried: made });
                        '-'
                    }
                    Ok(State::Free) => 'F',
                    Ok(State::Granted) => 'G',
                    Ok(State::Created) => 'C',
                    Ok(State::Sealed) => 'S',
                    Ok(State::Spilling) => 'P',
                    Ok(State::Spilled) => 'O',
                    Ok(State::Restoring) => 'R',
                    Ok(State::Doomed) => 'D',
                };
                assert_eq!(found, expected, "{state:?} meets {made:?}");
            }
        }
    }
}
