//! Messages: a body is refused, or means exactly one message, which means exactly that body.

use std::fmt::Debug;

use plasmad_wire::codec::{DecodeError, Wire, decode_all};
use plasmad_wire::frame::{self, NO_REPLY, RESPONSE};
use plasmad_wire::limits::FRAME_BODY_BYTES_MAX;
use plasmad_wire::request::Hello;
use plasmad_wire::response::Welcome;
use plasmad_wire::{Header, Request, Response};

use crate::memory;
use crate::{Outcome, outcome};

/// What a decoder says of a body; `None` for a kind that isn't known.
pub type Decoded<T> = Option<Result<T, DecodeError>>;

/// Two bytes of kind, then a request's body, read by a decoder.
pub fn request(input: &[u8], decode: fn(u16, &[u8]) -> Decoded<Request>) -> Outcome {
    let Some((kind, body)) = kind_and_body(input) else { return 0 };
    check(body, || decode(kind, body), |message, out| message.append(out, NO_REPLY, REQUEST), kind)
}

/// Two bytes of kind, then an answer's body, read by a decoder.
pub fn response(input: &[u8], decode: fn(u16, &[u8]) -> Decoded<Response>) -> Outcome {
    let Some((kind, body)) = kind_and_body(input) else { return 0 };
    check(body, || decode(kind, body), |message, out| message.append(out, kind & !RESPONSE, REQUEST), kind)
}

/// The bodies of a handshake: a byte tells which, then a `Hello` or a `Welcome`.
pub fn hello(input: &[u8]) -> Outcome {
    match input {
        [] => 0,
        [which, body @ ..] if which % 2 == 0 => value::<Hello>(body),
        [_, body @ ..] => value::<Welcome>(body),
    }
}

/// A whole frame as a receiver finds it at the front of a stream, header first.
pub fn frame(input: &[u8]) -> Outcome {
    let header = match Header::parse(input) {
        Ok(None) => {
            assert!(input.len() < Header::BYTES, "a whole header was not read");
            return 0;
        }
        Err(refused) => {
            assert!(refused.header.body_bytes > FRAME_BODY_BYTES_MAX, "a short frame was refused");
            return 1;
        }
        Ok(Some(header)) => header,
    };
    assert!(header.body_bytes <= FRAME_BODY_BYTES_MAX, "a frame above the limit was taken");
    let mut again = Vec::new();
    frame::append(&mut again, header.kind, header.flags, header.request, |_| ());
    assert_eq!(again[4..], input[4..Header::BYTES], "a header means what its bytes say");
    assert_eq!(header.body_bytes.to_le_bytes(), input[..4], "a header means what its bytes say");
    let Some(body) = input.get(Header::BYTES..header.frame_bytes()) else { return 2 };
    let kind = header.kind;
    match kind & RESPONSE {
        0 => check(body, || Request::decode(kind, body), |it, out| it.append(out, header.flags, header.request), kind),
        _ => check(body, || Response::decode(kind, body), |it, out| it.append(out, kind & !RESPONSE, 0), kind),
    }
}

/// A type's whole encoding.
pub fn value<T: Wire + PartialEq + Debug>(body: &[u8]) -> Outcome {
    let (decoded, bytes) = memory::peak(|| decode_all::<T>(body));
    let name = std::any::type_name::<T>();
    assert!(bytes <= memory::bound(body.len()), "{name} of {} bytes needed {bytes}", body.len());
    match decoded {
        Err(error) => outcome((name, error.to_string())),
        Ok(value) => {
            let mut again = Vec::new();
            value.encode(&mut again);
            assert_eq!(again, body, "{value:?} has another encoding");
            assert!(body.len() >= T::BYTES_MIN, "{value:?} is shorter than any {name}");
            assert_eq!(decode_all::<T>(&again), Ok(value), "read again");
            outcome((name, body.len().checked_ilog2()))
        }
    }
}

/// The kind of the message an input of [`request`] or [`response`] means.
pub fn kind(input: &[u8]) -> Option<u16> {
    let (kind, body) = kind_and_body(input)?;
    let request = matches!(Request::decode(kind, body), Some(Ok(_)));
    (request || matches!(Response::decode(kind, body), Some(Ok(_)))).then_some(kind)
}

/// Every kind the decoders know, found by asking for all that there could be.
pub fn kinds() -> Vec<u16> {
    let known = |kind: &u16| Request::decode(*kind, &[]).is_some() || Response::decode(*kind, &[]).is_some();
    (0..=u16::MAX).filter(known).collect()
}

fn check<T: PartialEq + Debug>(
    body: &[u8],
    decode: impl Fn() -> Decoded<T>,
    append: impl FnOnce(&T, &mut Vec<u8>),
    kind: u16,
) -> Outcome {
    let (decoded, bytes) = memory::peak(&decode);
    assert!(bytes <= memory::bound(body.len()), "kind {kind:#x} of {} bytes needed {bytes}", body.len());
    let message = match decoded {
        None => return 3,
        Some(Err(error)) => return outcome((kind, error.to_string())),
        Some(Ok(message)) => message,
    };
    let mut again = Vec::new();
    append(&message, &mut again);
    let header = Header::parse(&again).expect("no frame is too long").expect("the header is whole");
    assert_eq!((header.kind, header.frame_bytes()), (kind, again.len()), "{message:?}");
    assert_eq!(&again[Header::BYTES..], body, "{message:?} has another encoding");
    assert_eq!(decode(), Some(Ok(message)), "read again");
    outcome((kind, body.len().checked_ilog2()))
}

fn kind_and_body(input: &[u8]) -> Option<(u16, &[u8])> {
    let (kind, body) = input.split_first_chunk()?;
    Some((u16::from_le_bytes(*kind), body))
}

const REQUEST: u64 = 0x0102_0304_0506_0708;
