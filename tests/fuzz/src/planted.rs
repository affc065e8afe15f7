//! Decoders with a mistake in them, to prove that the fuzzers find what they are for.
//!
//! Each is the real decoder and one mistake that people make. They stand here and not in the decoder, so no build of
//! the daemon can contain them.

use plasmad_wire::{DecodeError, Request, Response};

use crate::messages::Decoded;

/// Cuts a label of more than 32 bytes there, in the middle of a character as well.
pub fn cuts_a_label(kind: u16, body: &[u8]) -> Decoded<Request> {
    let mut decoded = Request::decode(kind, body);
    if let Some(Ok(Request::Hello(hello))) = &mut decoded {
        let shown = if hello.label.len() > 32 { &hello.label[..32] } else { &hello.label };
        assert!(shown.len() <= 32);
    }
    decoded
}

/// Takes a body that has some bytes more than its message.
pub fn accepts_bytes_left_over(kind: u16, body: &[u8]) -> Decoded<Request> {
    match Request::decode(kind, body) {
        Some(Err(DecodeError::TrailingBytes)) if !body.is_empty() => Request::decode(kind, &body[..body.len() - 1]),
        decoded => decoded,
    }
}

/// Makes room for as many ids as a `Delete` says it has, before it looks at how many came.
pub fn believes_a_count(kind: u16, body: &[u8]) -> Decoded<Request> {
    let count = body.first_chunk().map_or(0, |count| u32::from_le_bytes(*count));
    let reserved = if kind == 11 && count <= 16_384 { count as usize } else { 0 };
    let room: Vec<[u8; 28]> = Vec::with_capacity(reserved);
    std::hint::black_box(&room);
    Request::decode(kind, body)
}

/// Reads every byte but 0 as true in a `Pong`.
pub fn reads_two_as_true(kind: u16, body: &[u8]) -> Decoded<Response> {
    let mut body = body.to_vec();
    if let (0x8004, Some(ready)) = (kind, body.get_mut(8)) {
        *ready = u8::from(*ready != 0);
    }
    Response::decode(kind, &body)
}
