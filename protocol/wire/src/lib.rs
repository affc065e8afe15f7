//! The bytes plasmad and its clients put on the socket: pure, no I/O, no unsafe.
//!
//! | module | what is in it |
//! |---|---|
//! | [`codec`] | little-endian values in and out of bytes |
//! | [`value`] | the values both sides speak of: [`ObjectId`], [`Extent`], states, formats |
//! | [`limits`] | every bound of the protocol, in one place |
//! | [`features`] | what a client may leave out |
//! | [`error`] | error codes and the one error body |
//! | [`frame`] | the 16-byte header, and cutting a byte stream into frames |
//! | [`request`] | what a client asks |
//! | [`response`] | what the daemon answers |
//!
//! `protocol/SPEC.md` is the normative text; `protocol/vectors` holds golden frames.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod codec;
pub mod error;
pub mod features;
pub mod frame;
pub mod limits;
pub mod request;
pub mod response;
pub mod value;

pub use codec::DecodeError;
pub use error::{ErrorBody, ErrorCode};
pub use frame::Header;
pub use request::Request;
pub use response::Response;
pub use value::{Change, ChangeKind, Extent, Format, Handle, Location, ObjectId, Pin, Role};
