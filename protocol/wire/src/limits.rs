//! Every bound of the protocol, in one place. The daemon enforces them; `Welcome` tells them to the client.

/// The protocol spoken here. A client with another version is refused by name.
pub const PROTOCOL_VERSION: u16 = 1;

/// First four bytes of a `Hello` body: "PLSM".
pub const MAGIC: u32 = u32::from_le_bytes(*b"PLSM");

/// Bytes of a frame's body, in either direction.
pub const FRAME_BODY_BYTES_MAX: u32 = 2 * 1024 * 1024;

/// Ids, objects, handles or pins in one request.
pub const ITEMS_MAX: u32 = 16_384;

/// Bytes of data and metadata together that one `Put` carries inline; more goes through create and seal.
///
/// Half a frame: 16,384 items of bookkeeping (52 bytes each, 852 KB) fit beside it.
pub const PUT_INLINE_BYTES_MAX: u64 = 1024 * 1024;

/// What one granted place takes, data and metadata together; larger objects are created by asking.
pub const GRANT_BYTES_MAX: u64 = 1024 * 1024;

/// Places granted to one client at a time.
pub const GRANTS_MAX: u32 = 8192;

/// The user's own metadata of one object.
pub const METADATA_BYTES_MAX: u32 = 64 * 1024;

/// A client's label, in bytes of UTF-8.
pub const LABEL_BYTES_MAX: usize = 64;

/// Text in an error or a `Welcome`, in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Holders named in one answer (a `StoreFull`, or one object's `pinned_by`).
pub const HOLDERS_MAX: usize = 16;

/// Objects described in one `List` answer.
pub const LIST_ITEMS_MAX: u32 = 1024;

/// Changes in one `Changes` frame.
pub const CHANGES_MAX: u32 = 1024;

/// Changes the daemon keeps for a subscriber that doesn't read; each takes 48 bytes of its memory.
pub const CHANGES_QUEUED_MAX: u32 = 1 << 20;

/// Descriptors passed with one frame.
pub const FDS_MAX: usize = 8;

/// Bytes of a Unix socket's path, without the closing zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// A timeout that never ends.
pub const FOREVER: u64 = u64::MAX;
