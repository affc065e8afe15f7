//! What goes into the core.

use alloc::vec::Vec;
use core::fmt;

use plasmad_wire::{Format, Handle, ObjectId, Pin, Role};

use crate::clients::ClientId;
use crate::disk::{DiskPlace, DiskRecord, ReadOutcome, WriteOutcome};
use crate::residence::Named;

/// Something that happened outside.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client finished its handshake; its page is known to the residence.
    ClientJoined {
        /// A number never used before.
        client: ClientId,
        /// What it may do.
        role: Role,
        /// Its page has a ring that it tells its puts on.
        pushes: bool,
    },
    /// A client asks for something.
    Asked {
        /// Who asks.
        client: ClientId,
        /// Returned with the answer.
        tag: RequestTag,
        /// What is asked.
        verb: Verb,
    },
    /// A client released something by itself while that was wanted.
    Rung,
    /// A client takes a waiting request back, by its number.
    Cancelled {
        /// Whose request.
        client: ClientId,
        /// The number in its tag.
        number: u64,
    },
    /// A client's socket is closed. Nobody can be answered there, but a closed socket is not a dead process:
    /// its claims stay.
    ConnectionClosed {
        /// Whose connection.
        client: ClientId,
    },
    /// A client said goodbye or its process is dead: its claims end.
    ClientGone {
        /// Who is gone.
        client: ClientId,
    },
    /// The shell made memory present, or gave it back, as it was told; or it couldn't.
    ErrandDone {
        /// If not, the like isn't tried any more.
        succeeded: bool,
    },
    /// A batch was written to disk, or wasn't.
    Written {
        /// Its number.
        batch: u64,
        /// What became of it.
        outcome: WriteOutcome,
    },
    /// A record was read from disk, or wasn't.
    Restored {
        /// The restore's number.
        restore: u64,
        /// What became of it.
        outcome: ReadOutcome,
    },
    /// What a former store left on disk: every record that can be read, with those that a later one of the same id
    /// supersedes and with tombstones, in any order. It comes once, before anybody joins.
    Adopted(Vec<(DiskRecord, DiskPlace)>),
    /// Time has passed; deadlines are looked at and deleted objects nobody pins any more are freed.
    Tick,
}

/// The shell's mark on a request, opaque to the core but for its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestTag {
    /// Chosen by the client, unique among its requests that wait.
    pub number: u64,
    /// The kind on the wire.
    pub kind: u16,
    /// Nobody wants the answer.
    pub silent: bool,
}

/// What a client can ask of the core.
#[derive(Clone, Debug)]
pub enum Verb {
    /// Reserve writable objects, all or none.
    Create {
        /// How long to wait for room; [`FOREVER`](plasmad_wire::limits::FOREVER) never gives up.
        timeout_ns: u64,
        /// What to reserve. With a payload, the object is written and sealed as well.
        objects: Vec<Wanted>,
    },
    /// Publish objects for good, all or none.
    Seal {
        /// Unsealed objects of the asker's.
        handles: Vec<Handle>,
    },
    /// Give up unsealed objects, all or none.
    Abort {
        /// Unsealed objects of the asker's.
        handles: Vec<Handle>,
    },
    /// Wait until all are sealed, then pin them all.
    Get {
        /// How long to wait.
        timeout_ns: u64,
        /// Pin what is there when the time is up.
        partial: bool,
        /// Repeats are pinned again.
        ids: Vec<ObjectId>,
    },
    /// Where the bytes of an object are that is pinned on disk.
    View {
        /// The asker's.
        pin: Pin,
    },
    /// Give pins back.
    Release {
        /// As the get told them.
        pins: Vec<Pin>,
    },
    /// Make objects invisible at once, and free them at their last release.
    Delete {
        /// Absent ones are passed over.
        ids: Vec<ObjectId>,
    },
    /// Which are sealed?
    Contains {
        /// In the order of the answer.
        ids: Vec<ObjectId>,
    },
    /// Wait until `count` of them are sealed.
    Wait {
        /// How long to wait.
        timeout_ns: u64,
        /// 1 to the number of ids.
        count: u32,
        /// Without repeats.
        ids: Vec<ObjectId>,
    },
    /// All about one object.
    Stat {
        /// Sealed or not.
        id: ObjectId,
    },
    /// All about many objects.
    List {
        /// The first slot to look at.
        cursor: u32,
        /// How many objects at most.
        limit: u32,
    },
    /// The store's own numbers.
    Stats,
    /// Hear of every change from now on.
    Subscribe {
        /// And first of all that is sealed.
        existing: bool,
        /// How many changes to keep for a subscriber that doesn't take them.
        queue_max: u32,
    },
    /// Make room now.
    Evict {
        /// How much.
        bytes: u64,
    },
    /// The asker is about to fork: whatever becomes of its own claims, what its children inherit stays.
    Lease {
        /// A client that only holds, as long as any of the children uses it; its page is known to the residence.
        lease: ClientId,
    },
    /// Hand out slots to fill.
    Grant {
        /// How much each is to hold.
        bytes: u64,
        /// How many at most.
        count: u32,
    },
}

/// An object somebody wants to make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Its id.
    pub id: ObjectId,
    /// Length of the data.
    pub data_bytes: u64,
    /// Length of the metadata.
    pub metadata_bytes: u32,
    /// How the data is encoded.
    pub format: Format,
    /// May be dropped when memory is short.
    pub evictable: bool,
    /// Data and metadata that came with the request; the object is then sealed at once.
    pub payload: Option<Payload>,
}

impl Wanted {
    /// All but the payload.
    pub fn named(&self) -> Named {
        let Self { id, data_bytes, metadata_bytes, format, evictable, payload: _ } = *self;
        Named { id, data_bytes, metadata_bytes, format, evictable }
    }

    /// Data and metadata together; they lie in one extent. `None` if no machine could count them.
    pub fn bytes(&self) -> Option<u64> {
        self.data_bytes.checked_add(u64::from(self.metadata_bytes))
    }
}

/// An object's bytes, inline.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// The data.
    pub data: Vec<u8>,
    /// The metadata.
    pub metadata: Vec<u8>,
}

/// Lengths say enough, and a megabyte of numbers says nothing.
impl fmt::Debug for Payload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Payload({} + {} bytes)", self.data.len(), self.metadata.len())
    }
}
