//! Golden frames: every message in at least one form, and frames that must be refused.
//!
//! Each file holds an array of `{"name", "frame"}` with the frame in hex digits, what it means in the notation of the
//! Rust types (`"value"`), or why it is refused (`"error"`). A client in another language decodes the valid ones,
//! encodes them again, and refuses the others.

mod requests;
mod responses;

use plasmad_wire::frame::{self, RESPONSE};
use plasmad_wire::limits::FRAME_BODY_BYTES_MAX;
use plasmad_wire::{DecodeError, Header, Request, Response};
use serde_json::{Value, json};

pub use requests::requests;
pub use responses::responses;

/// Where the checked-in files are.
pub const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// Every request is sent under this number, and every answer repeats it.
pub const REQUEST: u64 = 0x0102_0304_0506_0708;

/// The files, by name.
pub fn documents() -> Vec<(&'static str, String)> {
    vec![
        ("valid_requests.json", text(requests().iter().map(request_document).collect())),
        ("valid_responses.json", text(responses().iter().map(response_document).collect())),
        ("invalid.json", text(invalid().iter().map(invalid_document).collect())),
    ]
}

/// A frame that must be refused.
pub struct Invalid {
    /// What is wrong, in a few words.
    pub name: &'static str,
    /// The whole frame.
    pub frame: Vec<u8>,
    /// Which error a decoder names.
    pub error: Refused,
}

/// Why a frame is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// By its header alone.
    FrameTooLong,
    /// No message has this kind.
    UnknownKind,
    /// By its body.
    Body(DecodeError),
}

/// Reads a frame as a receiver would, a request or an answer by its kind, and tells why it is refused.
pub fn refusal(bytes: &[u8]) -> Option<Refused> {
    let Ok(header) = Header::parse(bytes) else { return Some(Refused::FrameTooLong) };
    let header = header?;
    let body = bytes.get(Header::BYTES..header.frame_bytes())?;
    let decoded = match header.kind & RESPONSE {
        0 => Request::decode(header.kind, body).map(|decoded| decoded.map(drop)),
        _ => Response::decode(header.kind, body).map(|decoded| decoded.map(drop)),
    };
    match decoded {
        None => Some(Refused::UnknownKind),
        Some(Err(error)) => Some(Refused::Body(error)),
        Some(Ok(())) => None,
    }
}

/// Frames that must be refused.
pub fn invalid() -> Vec<Invalid> {
    let frame = |kind: u16, body: &[u8]| {
        let mut out = Vec::new();
        frame::append(&mut out, kind, 0, REQUEST, |out| out.extend_from_slice(body));
        out
    };
    let too_long = |bytes: u32| {
        let mut out = frame(4, &[]);
        out[..4].copy_from_slice(&bytes.to_le_bytes());
        out
    };
    let counted = |count: u32| {
        let mut body = count.to_le_bytes().to_vec();
        body.extend_from_slice(&[7; 28]);
        body
    };
    let body = |name, frame, error| Invalid { name, frame, error: Refused::Body(error) };
    vec![
        Invalid { name: "body of 4 GiB", frame: too_long(u32::MAX), error: Refused::FrameTooLong },
        Invalid {
            name: "body a byte too long",
            frame: too_long(FRAME_BODY_BYTES_MAX + 1),
            error: Refused::FrameTooLong,
        },
        Invalid { name: "request kind 0", frame: frame(0, &[]), error: Refused::UnknownKind },
        Invalid { name: "request kind unknown", frame: frame(999, &[]), error: Refused::UnknownKind },
        Invalid { name: "answer kind unknown", frame: frame(RESPONSE | 999, &[]), error: Refused::UnknownKind },
        body("ping with a body", frame(4, &[0]), DecodeError::TrailingBytes),
        body("stat of half an id", frame(14, &[7; 14]), DecodeError::Truncated),
        body("stat of the all-zero id", frame(14, &[0; 28]), DecodeError::BadValue("object id")),
        body("delete of more ids than came", frame(11, &counted(2)), DecodeError::Truncated),
        body("delete of too many ids", frame(11, &counted(16_385)), DecodeError::TooMany("item count")),
        body("delete with bytes left over", frame(11, &counted(0)), DecodeError::TrailingBytes),
        body(
            "get with a partial byte of 2",
            frame(9, &[0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]),
            DecodeError::BadValue("flag byte"),
        ),
        body("hello without an end", frame(1, b"PLSM"), DecodeError::Truncated),
        body(
            "pong with a ready byte of 9",
            frame(RESPONSE | 4, &[0, 0, 0, 0, 0, 0, 0, 0, 9]),
            DecodeError::BadValue("flag byte"),
        ),
        body("listed without an end", frame(RESPONSE | 15, &[1]), DecodeError::Truncated),
        body("subscribe with an existing byte of 2", frame(18, &[2, 1, 0, 0, 0]), DecodeError::BadValue("flag byte")),
        body(
            "change of a kind unknown",
            frame(RESPONSE | 18, &{
                let mut body = [7; 8 + 4 + 41];
                body[8..12].copy_from_slice(&1u32.to_le_bytes());
                body
            }),
            DecodeError::BadValue("ChangeKind"),
        ),
        body("refusal of code 0", frame(frame::ERROR, &[0, 0, 0, 0, 0, 0]), DecodeError::BadValue("ErrorCode")),
        body("refusal that isn't UTF-8", frame(frame::ERROR, &[1, 0, 0, 1, 0, 0xFF, 0]), DecodeError::BadValue("text")),
    ]
}

/// The frame of a request.
pub fn request_frame(request: &Request) -> Vec<u8> {
    let mut out = Vec::new();
    request.append(&mut out, 0, REQUEST);
    out
}

/// The frame of an answer to a request of kind `kind`.
pub fn response_frame(kind: u16, response: &Response) -> Vec<u8> {
    let mut out = Vec::new();
    response.append(&mut out, kind, REQUEST);
    out
}

fn request_document((name, request): &(&'static str, Request)) -> Value {
    json!({ "name": name, "frame": hex(&request_frame(request)), "value": format!("{request:?}") })
}

fn response_document((name, kind, response): &(&'static str, u16, Response)) -> Value {
    json!({ "name": name, "frame": hex(&response_frame(*kind, response)), "value": format!("{response:?}") })
}

fn invalid_document(invalid: &Invalid) -> Value {
    let error = match invalid.error {
        Refused::FrameTooLong => "frame too long",
        Refused::UnknownKind => "unknown kind",
        Refused::Body(DecodeError::Truncated) => "truncated",
        Refused::Body(DecodeError::TrailingBytes) => "trailing bytes",
        Refused::Body(DecodeError::BadValue(_)) => "bad value",
        Refused::Body(DecodeError::TooMany(_)) => "too many",
    };
    json!({ "name": invalid.name, "frame": hex(&invalid.frame), "error": error })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(documents: Vec<Value>) -> String {
    let mut text = serde_json::to_string_pretty(&Value::Array(documents)).expect("text and numbers");
    text.push('\n');
    text
}
