//! Which objects there are: the slot table, the states an object passes through, and sets of slots.

mod chains;
mod lifecycle;
mod set;
mod table;

pub use lifecycle::{IllegalMove, Move, State};
pub use set::SlotSet;
pub use table::{Slot, SlotTable};

/// An object's place in the index, and its identity inside the daemon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SlotNumber(pub u32);
