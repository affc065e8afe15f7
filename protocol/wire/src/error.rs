//! The one body every refusal has: a code for programs, a sentence for people, and the numbers behind it.

use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{code, message};
use crate::value::ObjectId;

code! {
    /// Why a request was refused. Numbers are never used again for something else.
    pub enum ErrorCode: u16 {
        /// The bytes are no request of this protocol; the connection is closed behind this answer.
        Malformed = 1,
        /// The client speaks another version of the protocol.
        UnsupportedVersion = 2,
        /// A request type this daemon doesn't know; the connection stays.
        UnknownRequest = 3,
        /// This connection's role, or this process, may not do that.
        AccessDenied = 4,
        /// A limit of the protocol or of the store.
        LimitExceeded = 5,
        /// The id is taken, sealed or not.
        ObjectExists = 6,
        /// Nothing has this id.
        ObjectNotFound = 7,
        /// The object isn't sealed yet.
        ObjectNotSealed = 8,
        /// No room, now or ever; the numbers say which.
        StoreFull = 9,
        /// The client took the request back.
        Cancelled = 10,
        /// The handle or pin is not, or no longer, this client's.
        NotHeld = 11,
        /// The daemon is stopping.
        ShuttingDown = 12,
        /// Reading or writing the disk failed.
        SpillFailed = 13,
        /// The object's bytes are gone for good.
        ObjectLost = 14,
        /// A mistake of the daemon's own.
        Internal = 15,
    }
}

message! {
    /// A refusal.
    pub struct ErrorBody {
        /// What happened.
        pub code: ErrorCode,
        /// The object it is about.
        pub id: Option<ObjectId>,
        /// A plain sentence: what, which id, which limit, what to do.
        pub message: String,
        /// Only with [`ErrorCode::StoreFull`].
        pub full: Option<Full>,
    }
}

message! {
    /// The numbers behind a `StoreFull`, all in bytes.
    pub struct Full {
        /// What the create asked for, data and metadata.
        pub asked: u64,
        /// What is free in all.
        pub free: u64,
        /// The largest contiguous piece of it.
        pub largest_hole: u64,
        /// What pins keep in place.
        pub pinned: u64,
        /// What the asker's own pins keep in place.
        pub pinned_by_asker: u64,
        /// The arena's size.
        pub capacity: u64,
        /// Who pins most, at most 16 of them.
        pub pinned_by: Vec<Holder>,
    }
}

message! {
    /// A client with pins.
    pub struct Holder {
        /// The client's number.
        pub client: u64,
        /// Its process, where the daemon can see it; else 0.
        pub pid: u32,
        /// What it calls itself; empty if nothing.
        pub label: String,
        /// How many pins.
        pub pins: u32,
        /// How many bytes they keep in place.
        pub bytes: u64,
    }
}
