//! Objects that have to leave memory for somebody.

use alloc::collections::VecDeque;
use core::ops::Range;

use plasmad_wire::Handle;

use crate::clients::ClientId;
use crate::event::RequestTag;

/// Objects chosen once, and written batch by batch. What goes, is pinned or is deleted meanwhile is passed over.
#[derive(Debug)]
pub struct Order {
    /// Batches tell whom they work for by this.
    pub number: u64,
    /// Not in a batch yet.
    pub todo: VecDeque<Handle>,
    /// In batches that aren't done.
    pub in_flight: u32,
    /// Where they lie, if that is to be one piece in the end; with the holes between and beside them.
    pub gathered: Range<u64>,
}

impl Order {
    /// Nothing more will come of it.
    pub fn is_done(&self) -> bool {
        self.todo.is_empty() && self.in_flight == 0
    }
}

/// Somebody asked for memory to be freed, and waits.
#[derive(Debug)]
pub struct Evicting {
    /// What is written for that.
    pub order: Order,
    /// Whose.
    pub client: ClientId,
    /// Which request.
    pub tag: RequestTag,
    /// The asker can still be answered.
    pub is_heard: bool,
    /// What was asked.
    pub asked_bytes: u64,
    /// What was freed so far.
    pub freed_bytes: u64,
    /// Objects dropped for good.
    pub dropped: u64,
    /// Objects that are on disk.
    pub spilled: u64,
}
