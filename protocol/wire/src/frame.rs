//! The 16-byte header in front of every body, and cutting a byte stream into frames.
//!
//! ```text
//! 0        4      6       8                16
//! +--------+------+-------+----------------+------ - -
//! | body   | kind | flags | request number | body
//! | bytes  |      |       |                |
//! +--------+------+-------+----------------+------ - -
//! ```

use alloc::vec::Vec;

use byteorder::{ByteOrder, LittleEndian};

use crate::codec::Wire;
use crate::limits::FRAME_BODY_BYTES_MAX;

/// What stands in front of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Length of the body.
    pub body_bytes: u32,
    /// Which message the body is.
    pub kind: u16,
    /// [`NO_REPLY`] or nothing.
    pub flags: u16,
    /// Chosen by the client, repeated in the answer.
    pub request: u64,
}

/// A body longer than any frame may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameTooLong {
    /// The header that claims it.
    pub header: Header,
}

impl Header {
    /// Encoded length.
    pub const BYTES: usize = 16;

    /// Reads the header at the front of `stream`: `None` while bytes are missing.
    pub fn parse(stream: &[u8]) -> Result<Option<Self>, FrameTooLong> {
        let Some(bytes) = stream.get(..Self::BYTES) else {
            return Ok(None);
        };
        let header = Self {
            body_bytes: LittleEndian::read_u32(&bytes[0..4]),
            kind: LittleEndian::read_u16(&bytes[4..6]),
            flags: LittleEndian::read_u16(&bytes[6..8]),
            request: LittleEndian::read_u64(&bytes[8..16]),
        };
        if header.body_bytes > FRAME_BODY_BYTES_MAX {
            return Err(FrameTooLong { header });
        }
        Ok(Some(header))
    }

    /// Header and body together.
    pub fn frame_bytes(&self) -> usize {
        Self::BYTES + self.body_bytes as usize
    }

    /// Nothing is to be answered, whatever happens.
    pub fn no_reply(&self) -> bool {
        self.flags & NO_REPLY != 0
    }
}

/// Appends a whole frame to `out`.
pub fn append(out: &mut Vec<u8>, kind: u16, flags: u16, request: u64, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    0u32.encode(out);
    kind.encode(out);
    flags.encode(out);
    request.encode(out);
    body(out);
    let body_bytes = out.len() - start - Header::BYTES;
    LittleEndian::write_u32(&mut out[start..start + 4], body_bytes as u32);
}

/// Header flag: the client wants no answer to this request, not even a refusal.
pub const NO_REPLY: u16 = 1;

/// Header kind bit: this frame answers the request of the kind below it.
pub const RESPONSE: u16 = 0x8000;

/// Header kind of a refusal, whatever was asked.
pub const ERROR: u16 = 0xFFFF;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_where_its_header_says() {
        let mut stream = Vec::new();
        append(&mut stream, 7, NO_REPLY, 42, |body| body.extend_from_slice(b"hello"));
        let header = Header::parse(&stream).unwrap().unwrap();
        assert_eq!((header.kind, header.request, header.body_bytes), (7, 42, 5));
        assert!(header.no_reply());
        assert_eq!(header.frame_bytes(), stream.len());
    }

    #[test]
    fn a_header_waits_for_its_last_byte() {
        let mut stream = Vec::new();
        append(&mut stream, 7, 0, 42, |_| ());
        assert_eq!(Header::parse(&stream[..15]), Ok(None));
    }

    #[test]
    fn a_length_of_four_gigabytes_is_refused_before_anything_is_reserved() {
        assert!(Header::parse(&[0xFF; 16]).is_err());
    }
}
