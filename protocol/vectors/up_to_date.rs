//! The checked-in frames are those the code makes, and SPEC.md names what the code knows.

use plasmad_vectors::{
    FOLDER, REQUEST, documents, invalid, refusal, request_frame, requests, response_frame, responses,
};
use plasmad_wire::{ErrorCode, Header, Request, Response, limits};

#[test]
fn the_files_are_up_to_date() {
    for (name, text) in documents() {
        let found = std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap_or_default();
        assert!(found == text, "{name} is out of date: run `cargo run -p plasmad-vectors`");
    }
}

#[test]
fn every_request_is_there_and_survives_a_round_trip() {
    let requests = requests();
    for (kind, name) in Request::KINDS {
        assert!(requests.iter().any(|(_, request)| request.kind() == *kind), "{name} has no golden frame");
    }
    for (name, request) in requests {
        let frame = request_frame(&request);
        let header = Header::parse(&frame).unwrap().unwrap();
        assert_eq!((header.request, header.frame_bytes()), (REQUEST, frame.len()), "{name}");
        assert_eq!(Request::decode(header.kind, &frame[Header::BYTES..]), Some(Ok(request)), "{name}");
    }
}

#[test]
fn every_answer_is_there_and_survives_a_round_trip() {
    let responses = responses();
    for kind in (4..=18).chain([1, 20, 21]) {
        let found = responses
            .iter()
            .any(|(_, answered, response)| *answered == kind && !matches!(response, Response::Error(_)));
        assert!(found, "the answer to kind {kind} has no golden frame");
    }
    for (name, kind, response) in responses {
        let frame = response_frame(kind, &response);
        let header = Header::parse(&frame).unwrap().unwrap();
        assert_eq!(Response::decode(header.kind, &frame[Header::BYTES..]), Some(Ok(response)), "{name}");
    }
}

#[test]
fn every_invalid_frame_is_refused_for_its_own_reason() {
    for invalid in invalid() {
        assert_eq!(refusal(&invalid.frame), Some(invalid.error), "{}", invalid.name);
    }
}

/// The canary: a frame changed in any one bit is another frame, or none.
#[test]
fn a_changed_bit_never_goes_unnoticed() {
    for (name, request) in requests() {
        let frame = request_frame(&request);
        for bit in 0..8 * frame.len() {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let header = Header::parse(&changed).ok().flatten();
            let again = header.and_then(|header| {
                let body = changed.get(Header::BYTES..header.frame_bytes())?;
                let decoded = Request::decode(header.kind, body)?.ok()?;
                let mut out = Vec::new();
                decoded.append(&mut out, header.flags, header.request);
                Some(out)
            });
            assert_ne!(again.as_ref(), Some(&frame), "{name}: bit {bit} means nothing");
        }
    }
}

#[test]
fn the_specification_names_every_kind_code_and_limit() {
    let spec = std::fs::read_to_string(format!("{FOLDER}/../SPEC.md")).unwrap();
    for (kind, name) in Request::KINDS.iter().filter(|(_, name)| *name != "Hello") {
        assert!(spec.contains(&format!("| {kind} | **{name}** |")), "SPEC.md lacks kind {kind}, {name}");
    }
    for code in ErrorCode::ALL {
        let row = format!("| {} | {code:?} |", *code as u16);
        assert!(spec.contains(&row), "SPEC.md lacks error code {row}");
    }
    let limits: [(&str, u64); 13] = [
        ("PROTOCOL_VERSION", limits::PROTOCOL_VERSION.into()),
        ("FRAME_BODY_BYTES_MAX", limits::FRAME_BODY_BYTES_MAX.into()),
        ("ITEMS_MAX", limits::ITEMS_MAX.into()),
        ("PUT_INLINE_BYTES_MAX", limits::PUT_INLINE_BYTES_MAX),
        ("METADATA_BYTES_MAX", limits::METADATA_BYTES_MAX.into()),
        ("LABEL_BYTES_MAX", limits::LABEL_BYTES_MAX as u64),
        ("TEXT_BYTES_MAX", limits::TEXT_BYTES_MAX as u64),
        ("HOLDERS_MAX", limits::HOLDERS_MAX as u64),
        ("LIST_ITEMS_MAX", limits::LIST_ITEMS_MAX.into()),
        ("CHANGES_MAX", limits::CHANGES_MAX.into()),
        ("CHANGES_QUEUED_MAX", limits::CHANGES_QUEUED_MAX.into()),
        ("FDS_MAX", limits::FDS_MAX as u64),
        ("SOCKET_PATH_BYTES_MAX", limits::SOCKET_PATH_BYTES_MAX as u64),
    ];
    for (name, value) in limits {
        let row = spec.lines().find(|line| line.starts_with(&format!("| {name}")));
        let row = row.unwrap_or_else(|| panic!("SPEC.md lacks the limit {name}"));
        assert!(row.replace(',', "").contains(&format!("| {value} |")), "SPEC.md has another {name}: {row}");
    }
}
