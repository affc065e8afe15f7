//! What comes out of the core: answers, and things the shell is to do.

use alloc::boxed::Box;
use alloc::vec::Vec;

use plasmad_wire::error::ErrorCode;
use plasmad_wire::value::{GetStatus, ObjectState};
use plasmad_wire::{Extent, Format, Handle, Location, ObjectId, Pin};

use crate::Nanos;
use crate::arena::Stretch;
use crate::clients::ClientId;
use crate::disk::{Batch, DiskPlace, FileNumber, Restore};
use crate::event::RequestTag;
use crate::stats::Snapshot;

/// Something for the shell to do, in the order given. Shared memory has been changed before it is seen.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Answer a request.
    Reply {
        /// Whom.
        client: ClientId,
        /// Which request.
        tag: RequestTag,
        /// With what.
        reply: Reply,
    },
    /// A client told what cannot be: it is to be disconnected. What it holds stays until its process is gone.
    Expel {
        /// Whom.
        client: ClientId,
        /// What it told.
        why: &'static str,
    },
    /// A client holds nothing any more and is forgotten; its page and its pidfd can go.
    Forget {
        /// Whom.
        client: ClientId,
    },
    /// Make a piece of the arena present, and tell by [`ErrandDone`](crate::Event::ErrandDone). Until then there is
    /// no other errand.
    Populate(Stretch),
    /// Give a piece of the arena back to the system, and tell by [`ErrandDone`](crate::Event::ErrandDone). Until then
    /// it belongs to nobody, and there is no other errand.
    GiveBack(Extent),
    /// Write records to disk, and tell by [`Written`](crate::Event::Written). Extents that are read for it belong to the
    /// batch until then. Batches of one file are asked for in the order of their offsets, and may be done in any.
    Write(Batch),
    /// Read a record from disk, and tell by [`Restored`](crate::Event::Restored). The extent it goes to, if any, belongs to
    /// whoever reads until then.
    Restore(Restore),
    /// Remove a file: nothing in it is wanted any more, and nothing is being written or read there.
    RemoveFile(FileNumber),
}

/// An answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// To a create: where to write.
    Created(Vec<(Handle, Extent)>),
    /// To seal, abort, put, release, delete and grant: how many.
    Done(u32),
    /// To a get.
    Got {
        /// The time ran out before all were there.
        timed_out: bool,
        /// In the order asked for.
        objects: Vec<Got>,
    },
    /// To view: where the bytes lie.
    Viewed {
        /// In which spill file, which stays as long as the pin.
        file: FileNumber,
        /// Where in it, in segment 0.
        location: Location,
    },
    /// To contains and wait: sealed or not.
    Present(Vec<bool>),
    /// To stat.
    Described(Description),
    /// To list.
    Listed {
        /// How many objects there are.
        total: u64,
        /// The next cursor.
        next: Option<u32>,
        /// A page of them.
        objects: Vec<Description>,
    },
    /// To lease.
    Leased {
        /// What holds it.
        lease: ClientId,
        /// How many objects. With none there is no lease.
        objects: u32,
    },
    /// To subscribe, once; what happens from now on is taken from the store.
    Subscribed,
    /// To stats.
    Stats(Box<Snapshot>),
    /// To evict.
    Evicted {
        /// What was asked.
        asked_bytes: u64,
        /// What was freed.
        freed_bytes: u64,
        /// How many objects were dropped for it.
        dropped: u64,
        /// How many went that are on disk.
        spilled: u64,
    },
    /// No, and why.
    Refused(Refusal),
}

/// One object of a get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Got {
    /// Pinned, and where it is.
    Pinned(Pin, Location),
    /// Pinned where it lies on disk: the record's place, and where in its file the bytes are.
    OnDisk(Pin, DiskPlace, Location),
    /// Not pinned; never [`GetStatus::Pinned`] nor [`GetStatus::OnDisk`].
    Not(GetStatus),
}

/// Everything that can be told of one object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// Its id.
    pub id: ObjectId,
    /// Where it is in its life.
    pub state: ObjectState,
    /// Length of the data.
    pub data_bytes: u64,
    /// Length of the metadata.
    pub metadata_bytes: u32,
    /// How the data is encoded.
    pub format: Format,
    /// May be dropped when memory is short.
    pub evictable: bool,
    /// When it was created.
    pub created_at: Nanos,
    /// When it was sealed.
    pub sealed_at: Option<Nanos>,
    /// Where it lies in memory.
    pub extent: Option<Extent>,
    /// Where it lies on disk.
    pub place: Option<DiskPlace>,
    /// Who pins it.
    pub holders: Vec<Holding>,
}

/// What one client pins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holding {
    /// Who.
    pub client: ClientId,
    /// How many pins.
    pub pins: u32,
    /// How many bytes they keep in place, each object counted once.
    pub bytes: u64,
}

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The id is taken, sealed or not.
    Exists(ObjectId),
    /// Nothing has this id.
    NotFound(ObjectId),
    /// The object isn't sealed yet.
    NotSealed(ObjectId),
    /// No unsealed object of the asker's, or no pin of the asker's, or no longer.
    NotHeld(Handle),
    /// No room, now or ever.
    Full(Shortage),
    /// There are as many objects as the store can have.
    TableFull {
        /// How many that is.
        objects_max: u32,
    },
    /// A limit, with its name and value.
    Limit {
        /// What is limited.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
    /// The asker's role doesn't allow it.
    Denied,
    /// The asker took the request back.
    Cancelled,
    /// The request's own fields contradict each other.
    Malformed(&'static str),
    /// The shell could not write the bytes into the arena.
    FillFailed(ObjectId),
    /// The object was on disk, and what lies there is not what was written. It is gone.
    Lost(ObjectId),
    /// The object is on disk, which couldn't be read just now.
    RestoreFailed(ObjectId),
}

impl Refusal {
    /// The code on the wire.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Exists(_) => ErrorCode::ObjectExists,
            Self::NotFound(_) => ErrorCode::ObjectNotFound,
            Self::NotSealed(_) => ErrorCode::ObjectNotSealed,
            Self::NotHeld(_) => ErrorCode::NotHeld,
            Self::Full(_) => ErrorCode::StoreFull,
            Self::TableFull { .. } | Self::Limit { .. } => ErrorCode::LimitExceeded,
            Self::Denied => ErrorCode::AccessDenied,
            Self::Cancelled => ErrorCode::Cancelled,
            Self::Malformed(_) => ErrorCode::Malformed,
            Self::FillFailed(_) => ErrorCode::Internal,
            Self::Lost(_) => ErrorCode::ObjectLost,
            Self::RestoreFailed(_) => ErrorCode::SpillFailed,
        }
    }
}

/// The numbers behind a full store, in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shortage {
    /// The arena's size.
    pub capacity: u64,
    /// What was asked for.
    pub asked: u64,
    /// What is free in all.
    pub free: u64,
    /// The largest contiguous piece of it.
    pub largest_hole: u64,
    /// What pins keep in place.
    pub pinned: u64,
    /// What the asker's own pins keep in place.
    pub pinned_by_asker: u64,
    /// Who pins most, the most first.
    pub holders: Vec<Holding>,
    /// Why nothing goes to disk for it; `None` if there is no disk, or it isn't that.
    pub disk: Option<DiskTrouble>,
}

/// Why objects stay in memory though there is a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskTrouble {
    /// Files take as much as they may, or what is left is less than what was asked for.
    Full {
        /// What they take.
        taken: u64,
        /// What they may.
        max: u64,
    },
    /// Writing failed lately.
    Failing,
}
