//! The types messages are made of, each by itself; and ids as text.

use plasmad_wire::codec::Blob;
use plasmad_wire::error::{Full, Holder};
use plasmad_wire::request::{InlineObject, NewObject};
use plasmad_wire::response::{CreatedObject, ExtentInfo, FilePlace, GotObject, ObjectInfo};
use plasmad_wire::value::{GetStatus, ObjectState};
use plasmad_wire::{ErrorBody, ErrorCode, Format, Handle, Location, ObjectId, Pin, Role};

use crate::messages::value;
use crate::{Outcome, outcome};

/// A byte tells the type, the rest is its encoding.
pub fn any(input: &[u8]) -> Outcome {
    match input {
        [] => 0,
        [which, body @ ..] => TYPES[usize::from(*which) % TYPES.len()](body),
    }
}

/// Ids as people write them: 56 hex digits, of either case, and 1 to 28 bytes.
fn id_as_text(body: &[u8]) -> Outcome {
    let padded = ObjectId::from_slice(body);
    assert_eq!(padded.is_some(), (1..=ObjectId::BYTES).contains(&body.len()), "an id has 1 to 28 bytes");
    if let Some(id) = padded {
        assert!(id.as_bytes().starts_with(body), "an id keeps its bytes");
        assert_eq!(ObjectId::from_hex(&id.to_string()), Some(id), "an id is read as it is printed");
    }
    let Ok(text) = std::str::from_utf8(body) else { return outcome("no text") };
    let Some(id) = ObjectId::from_hex(text) else { return outcome("no id") };
    assert_eq!(id.to_string(), text.to_ascii_lowercase(), "an id is printed as it was read");
    outcome("id")
}

const TYPES: &[fn(&[u8]) -> Outcome] = &[
    value::<u8>,
    value::<u16>,
    value::<u32>,
    value::<u64>,
    value::<bool>,
    value::<[u8; 16]>,
    value::<ObjectId>,
    value::<Handle>,
    value::<Pin>,
    value::<Location>,
    value::<Format>,
    value::<Role>,
    value::<ObjectState>,
    value::<GetStatus>,
    value::<ErrorCode>,
    value::<Blob>,
    value::<String>,
    value::<Option<u64>>,
    value::<Option<ObjectId>>,
    value::<Option<Full>>,
    value::<Vec<bool>>,
    value::<Vec<Handle>>,
    value::<Vec<Pin>>,
    value::<Vec<ObjectId>>,
    value::<Vec<NewObject>>,
    value::<Vec<InlineObject>>,
    value::<Vec<CreatedObject>>,
    value::<Vec<GotObject>>,
    value::<Vec<ObjectInfo>>,
    value::<Vec<Holder>>,
    value::<ExtentInfo>,
    value::<FilePlace>,
    value::<ErrorBody>,
    id_as_text,
];
