//! What a client asks. The order of fields here is the order of bytes on the wire.

use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{Blob, DecodeError, Wire, decode_all, message};
use crate::frame;
use crate::value::{Format, Handle, ObjectId, Pin, Role};

message! {
    /// First on every connection. The client's own pidfd may be passed with it.
    pub struct Hello {
        /// [`crate::limits::MAGIC`].
        pub magic: u32,
        /// [`crate::limits::PROTOCOL_VERSION`].
        pub version: u16,
        /// What the client wants to do.
        pub role: Role,
        /// A pidfd of the client comes with this frame.
        pub has_pidfd: bool,
        /// Optional features the client knows: [`crate::features`].
        pub features: u64,
        /// The process id as the client sees it: a label, never trusted.
        pub pid: u32,
        /// What the client calls itself, for `stats` and error texts; at most 64 bytes.
        pub label: String,
    }
}

message! {
    /// The client is finished: everything it holds is given back.
    pub struct Goodbye {}
}

message! {
    /// Takes back a request that waits. Never answered itself; the request it names is answered in any case.
    pub struct Cancel {
        /// The request to take back.
        pub target: u64,
    }
}

message! {
    /// Is anybody there?
    pub struct Ping {}
}

message! {
    /// Reserves writable objects, all or none.
    pub struct Create {
        /// How long to wait for room, in nanoseconds; [`crate::limits::FOREVER`] never gives up.
        pub timeout_ns: u64,
        /// What to reserve.
        pub objects: Vec<NewObject>,
    }
}

message! {
    /// An object to be made.
    pub struct NewObject {
        /// Its id; the library makes one where the user doesn't care.
        pub id: ObjectId,
        /// Length of the data.
        pub data_bytes: u64,
        /// Length of the metadata, which the client writes directly behind the data.
        pub metadata_bytes: u32,
        /// How the data is encoded.
        pub format: Format,
        /// May be dropped when memory is short.
        pub evictable: bool,
    }
}

message! {
    /// Publishes objects for good, all or none.
    pub struct Seal {
        /// Objects this client created.
        pub handles: Vec<Handle>,
    }
}

message! {
    /// Gives up unsealed objects, all or none.
    pub struct Abort {
        /// Objects this client created.
        pub handles: Vec<Handle>,
    }
}

message! {
    /// Create, write and seal in one, with the bytes inline; all or none.
    pub struct Put {
        /// How long to wait for room, in nanoseconds.
        pub timeout_ns: u64,
        /// At most [`crate::limits::PUT_INLINE_BYTES_MAX`] bytes together.
        pub objects: Vec<InlineObject>,
    }
}

message! {
    /// An object with its bytes.
    pub struct InlineObject {
        /// Its id.
        pub id: ObjectId,
        /// How the data is encoded.
        pub format: Format,
        /// May be dropped when memory is short.
        pub evictable: bool,
        /// The user's metadata.
        pub metadata: Blob,
        /// The data.
        pub data: Blob,
    }
}

message! {
    /// Waits until all objects are sealed and can be read, in memory or on disk, then pins them all; pins nothing before that.
    pub struct Get {
        /// How long to wait, in nanoseconds; 0 doesn't.
        pub timeout_ns: u64,
        /// When the time is up: pin and return what is there instead of nothing.
        pub partial: bool,
        /// In the order of the answer; repeats are pinned again.
        pub ids: Vec<ObjectId>,
    }
}

message! {
    /// Asks for the file of an object that is pinned on disk.
    pub struct View {
        /// As `Get` told it.
        pub pin: Pin,
    }
}

message! {
    /// Gives pins back. Usually sent without a reply.
    pub struct Release {
        /// As `Get` told them.
        pub pins: Vec<Pin>,
    }
}

message! {
    /// Makes sealed objects invisible at once; their memory is freed at the last release.
    pub struct Delete {
        /// Absent ones are passed over; an unsealed one refuses the whole request.
        pub ids: Vec<ObjectId>,
    }
}

message! {
    /// Which of these are sealed?
    pub struct Contains {
        /// In the order of the answer.
        pub ids: Vec<ObjectId>,
    }
}

message! {
    /// Waits until at least `count` of the objects are sealed; pins nothing.
    pub struct Wait {
        /// How long to wait, in nanoseconds; running out is no error.
        pub timeout_ns: u64,
        /// 1 to the number of ids.
        pub count: u32,
        /// In the order of the answer, without repeats.
        pub ids: Vec<ObjectId>,
    }
}

message! {
    /// All about one object.
    pub struct Stat {
        /// Sealed or not.
        pub id: ObjectId,
    }
}

message! {
    /// All about many objects, a page at a time.
    pub struct List {
        /// 0 first, then the `next` of the answer before.
        pub cursor: u32,
        /// How many at most; the daemon may send fewer.
        pub limit: u32,
    }
}

message! {
    /// The store's own numbers.
    pub struct Stats {}
}

message! {
    /// Makes room now.
    pub struct Evict {
        /// How much memory to free.
        pub bytes: u64,
    }
}

message! {
    /// Asks to be told of every change from now on. Answered again and again, until it is cancelled.
    pub struct Subscribe {
        /// Tell of all sealed objects first.
        pub existing: bool,
        /// Changes the daemon keeps while the client doesn't read; 1 to [`crate::limits::CHANGES_QUEUED_MAX`].
        pub queue_max: u32,
    }
}

message! {
    /// The client released something by itself, while the index said that this is wanted. Never answered.
    pub struct Ring {}
}

message! {
    /// Asks for memory to put objects into by oneself: places of one size, in the client's page. Answered with how many
    /// there are; 0 when memory is short, and then a put asks as ever.
    pub struct Grant {
        /// How much each takes, data and metadata together; 1 to [`crate::limits::GRANT_BYTES_MAX`].
        pub bytes: u64,
        /// How many; at most [`crate::limits::GRANTS_MAX`].
        pub count: u32,
    }
}

message! {
    /// The client is about to fork: what it holds is held for its children too. The answer brings the lease's life file,
    /// unless the client holds nothing.
    pub struct Lease {}
}

macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident = $kind:literal,)*) => {
        /// A request of any kind.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Request { $($(#[$doc])* $name($name),)* }

        impl Request {
            /// Every kind with its name, in the order of the numbers.
            pub const KINDS: &'static [(u16, &'static str)] = &[$(($kind, stringify!($name)),)*];

            /// The header kind.
            pub fn kind(&self) -> u16 {
                match self { $(Self::$name(_) => $kind,)* }
            }

            /// Decodes the body of a frame of this kind; `None` for a kind that isn't known.
            pub fn decode(kind: u16, body: &[u8]) -> Option<Result<Self, DecodeError>> {
                match kind {
                    $($kind => Some(decode_all(body).map(Self::$name)),)*
                    _ => None,
                }
            }

            /// Appends the whole frame.
            pub fn append(&self, out: &mut Vec<u8>, flags: u16, request: u64) {
                frame::append(out, self.kind(), flags, request, |body| match self {
                    $(Self::$name(message) => message.encode(body),)*
                });
            }
        }
    };
}

requests! {
    /// See [`Hello`].
    Hello = 1,
    /// See [`Goodbye`].
    Goodbye = 2,
    /// See [`Cancel`].
    Cancel = 3,
    /// See [`Ping`].
    Ping = 4,
    /// See [`Create`].
    Create = 5,
    /// See [`Seal`].
    Seal = 6,
    /// See [`Abort`].
    Abort = 7,
    /// See [`Put`].
    Put = 8,
    /// See [`Get`].
    Get = 9,
    /// See [`Release`].
    Release = 10,
    /// See [`Delete`].
    Delete = 11,
    /// See [`Contains`].
    Contains = 12,
    /// See [`Wait`].
    Wait = 13,
    /// See [`Stat`].
    Stat = 14,
    /// See [`List`].
    List = 15,
    /// See [`Stats`].
    Stats = 16,
    /// See [`Evict`].
    Evict = 17,
    /// See [`Subscribe`].
    Subscribe = 18,
    /// See [`Ring`].
    Ring = 19,
    /// See [`Grant`].
    Grant = 20,
    /// See [`Lease`].
    Lease = 21,
    /// See [`View`].
    View = 22,
}
