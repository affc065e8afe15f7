//! What the daemon answers. The order of fields here is the order of bytes on the wire.

use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{Blob, DecodeError, Wire, decode_all, message};
use crate::error::{ErrorBody, Holder};
use crate::frame;
use crate::value::{Change, Format, GetStatus, Handle, Location, ObjectId, ObjectState, Pin, Role};

message! {
    /// Answers `Hello`. With it come the arena's descriptors: for each segment a read-only one, then, for
    /// writers, for each segment a writable one.
    pub struct Welcome {
        /// The protocol spoken from here on.
        pub version: u16,
        /// What the client may do.
        pub role: Role,
        /// How many segments the arena has.
        pub segments: u8,
        /// The features of the client's that the daemon has too.
        pub features: u64,
        /// Names this arena; a handle of another store means nothing here.
        pub store_id: [u8; 16],
        /// How many engines this store has had.
        pub epoch: u64,
        /// The client's number, and as 8 little-endian bytes the prefix of the ids its library makes.
        pub client: u64,
        /// The arena's size, and so the largest object's.
        pub capacity_bytes: u64,
        /// Bytes of a frame's body.
        pub frame_body_bytes_max: u32,
        /// Items in one request.
        pub items_max: u32,
        /// Metadata of one object.
        pub metadata_bytes_max: u32,
        /// Pins one client may hold.
        pub pins_max: u32,
        /// Bytes in one inline put.
        pub put_inline_bytes_max: u64,
        /// The daemon's version, as `plasmad --version` prints it.
        pub server_version: String,
    }
}

message! {
    /// Answers `Ping`.
    pub struct Pong {
        /// How many engines this store has had.
        pub epoch: u64,
        /// Requests are being served.
        pub ready: bool,
    }
}

message! {
    /// Answers `Create`.
    pub struct Created {
        /// In the order asked for.
        pub objects: Vec<CreatedObject>,
    }
}

message! {
    /// Where to write one object.
    pub struct CreatedObject {
        /// What seal and abort want to hear.
        pub handle: Handle,
        /// Which memfd of the arena.
        pub segment: u16,
        /// Where the data starts in it.
        pub offset: u64,
    }
}

message! {
    /// Answers `Seal`, `Abort`, `Put`, `Release`, `Delete` and `Grant`.
    pub struct Count {
        /// How many objects (or pins) it was done to.
        pub count: u32,
    }
}

message! {
    /// Answers `Get`.
    pub struct Got {
        /// The time ran out before all were there.
        pub timed_out: bool,
        /// In the order asked for.
        pub objects: Vec<GotObject>,
    }
}

message! {
    /// One object of a `Get`. Pin and location mean something only when pinned, in memory or on disk; else they are zero.
    pub struct GotObject {
        /// What was found.
        pub status: GetStatus,
        /// The claim, for `Release`.
        pub pin: Pin,
        /// Where the bytes are: in the arena, or in a spill file, which is segment 0 then.
        pub location: Location,
    }
}

message! {
    /// Answers `Contains` and `Wait`.
    pub struct Present {
        /// Sealed or not, in the order asked for.
        pub sealed: Vec<bool>,
    }
}

message! {
    /// Answers `Stat`.
    pub struct ObjectInfo {
        /// The object's id.
        pub id: ObjectId,
        /// Where it is in its life.
        pub state: ObjectState,
        /// It has bytes in memory.
        pub in_memory: bool,
        /// It has bytes on disk.
        pub on_disk: bool,
        /// May be dropped when memory is short.
        pub evictable: bool,
        /// How the data is encoded.
        pub format: Format,
        /// Length of the metadata.
        pub metadata_bytes: u32,
        /// Length of the data.
        pub data_bytes: u64,
        /// Nanoseconds since 1970, UTC.
        pub created_unix_ns: u64,
        /// Nanoseconds since 1970, UTC.
        pub sealed_unix_ns: Option<u64>,
        /// Its place in the arena.
        pub extent: Option<ExtentInfo>,
        /// Its place on disk.
        pub file: Option<FilePlace>,
        /// All pins on it.
        pub pins: u32,
        /// Who holds them, at most 16.
        pub pinned_by: Vec<Holder>,
    }
}

message! {
    /// A piece of the arena.
    pub struct ExtentInfo {
        /// Which memfd.
        pub segment: u16,
        /// Where it starts.
        pub offset: u64,
        /// Data and metadata, in bytes.
        pub bytes: u64,
    }
}

message! {
    /// A place on disk.
    pub struct FilePlace {
        /// The spill file.
        pub path: String,
        /// Where the record starts in it.
        pub offset: u64,
    }
}

message! {
    /// Answers `List`.
    pub struct Listed {
        /// How many objects the store has.
        pub total: u64,
        /// Where to go on; `None` when this was the last page.
        pub next: Option<u32>,
        /// Objects by slot. What comes and goes between two pages may be missed.
        pub objects: Vec<ObjectInfo>,
    }
}

message! {
    /// Answers `Stats`.
    pub struct StatsDocument {
        /// The JSON document of the command line's `stats --json`, in UTF-8.
        pub json: Blob,
    }
}

message! {
    /// Answers `Evict`.
    pub struct Evicted {
        /// What was asked.
        pub asked_bytes: u64,
        /// What was freed.
        pub freed_bytes: u64,
        /// How many objects were dropped.
        pub dropped: u64,
        /// How many objects went to disk.
        pub spilled: u64,
    }
}

message! {
    /// Answers `Subscribe`: at once without any change, then whenever something happened.
    pub struct Changes {
        /// So many changes before these were dropped, because the client didn't read in time.
        pub lost: u64,
        /// In the order in which they happened, at most [`crate::limits::CHANGES_MAX`].
        pub changes: Vec<Change>,
    }
}

message! {
    /// Answers `Lease`. With it comes the lease's life file, if there are any objects.
    pub struct Leased {
        /// How many objects are held for the children.
        pub objects: u32,
    }
}

message! {
    /// Answers `View`. With it comes a read-only descriptor of a spill file.
    pub struct Viewed {
        /// Where in the file the bytes are; segment 0.
        pub location: Location,
    }
}

macro_rules! responses {
    ($($(#[$doc:meta])* $variant:ident($body:ident): $($kind:literal)|+;)*) => {
        /// An answer of any kind. The kind on the wire is the request's with the high bit set.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Response {
            $($(#[$doc])* $variant($body),)*
            /// A refusal.
            Error(ErrorBody),
        }

        impl Response {
            /// Decodes the body of a frame of this kind; `None` for a kind that isn't known.
            pub fn decode(kind: u16, body: &[u8]) -> Option<Result<Self, DecodeError>> {
                if kind == frame::ERROR {
                    return Some(decode_all(body).map(Self::Error));
                }
                match kind.checked_sub(frame::RESPONSE)? {
                    $($($kind)|+ => Some(decode_all(body).map(Self::$variant)),)*
                    _ => None,
                }
            }

            /// Appends the whole frame, as the answer to a request of kind `request_kind`.
            pub fn append(&self, out: &mut Vec<u8>, request_kind: u16, request: u64) {
                let kind = match self {
                    Self::Error(_) => frame::ERROR,
                    _ => frame::RESPONSE | request_kind,
                };
                frame::append(out, kind, 0, request, |body| match self {
                    $(Self::$variant(message) => message.encode(body),)*
                    Self::Error(message) => message.encode(body),
                });
            }
        }
    };
}

responses! {
    /// See [`Welcome`].
    Welcome(Welcome): 1;
    /// See [`Pong`].
    Pong(Pong): 4;
    /// See [`Created`].
    Created(Created): 5;
    /// See [`Count`].
    Count(Count): 6 | 7 | 8 | 10 | 11 | 20;
    /// See [`Got`].
    Got(Got): 9;
    /// See [`Present`].
    Present(Present): 12 | 13;
    /// See [`ObjectInfo`].
    ObjectInfo(ObjectInfo): 14;
    /// See [`Listed`].
    Listed(Listed): 15;
    /// See [`StatsDocument`].
    Stats(StatsDocument): 16;
    /// See [`Evicted`].
    Evicted(Evicted): 17;
    /// See [`Changes`].
    Changes(Changes): 18;
    /// See [`Leased`].
    Leased(Leased): 21;
    /// See [`Viewed`].
    Viewed(Viewed): 22;
}
