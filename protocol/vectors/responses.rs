//! Answers, each in a plain form and at its edges, with the kind of request they answer.

use plasmad_wire::codec::Blob;
use plasmad_wire::error::{Full, Holder};
use plasmad_wire::features::SHARED_GETS;
use plasmad_wire::limits;
use plasmad_wire::response::{
    Changes, Count, Created, CreatedObject, Evicted, ExtentInfo, FilePlace, Got, GotObject, Leased, Listed, ObjectInfo,
    Pong, Present, StatsDocument, Viewed, Welcome,
};
use plasmad_wire::value::{GetStatus, ObjectState};
use plasmad_wire::{Change, ChangeKind, ErrorBody, ErrorCode, Format, Handle, Location, ObjectId, Pin, Response, Role};

/// Every kind at least once, and every error code.
pub fn responses() -> Vec<(&'static str, u16, Response)> {
    let handle = Handle { slot: 5, generation: 9 };
    let located = GotObject {
        status: GetStatus::Pinned,
        pin: Pin { word: 3, handle },
        location: Location {
            segment: 1,
            format: Format::Arrow,
            metadata_bytes: 65_536,
            offset: 4096,
            data_bytes: 1 << 40,
        },
    };
    let on_disk_location = Location { segment: 0, offset: (1 << 26) + 4096, ..located.location };
    let viewed = GotObject { status: GetStatus::OnDisk, location: on_disk_location, ..located.clone() };
    let created = CreatedObject { handle, segment: 1, offset: 64 };
    let count = Response::Count(Count { count: 2 });
    let mut all = vec![
        ("welcome of a writer", 1, Response::Welcome(welcome())),
        ("pong", 4, Response::Pong(Pong { epoch: 1, ready: true })),
        ("created", 5, Response::Created(Created { objects: vec![created] })),
        ("count of a seal", 6, count.clone()),
        ("count of an abort", 7, count.clone()),
        ("count of a put", 8, count.clone()),
        ("got", 9, Response::Got(Got { timed_out: false, objects: vec![located.clone()] })),
        ("got on disk", 9, Response::Got(Got { timed_out: false, objects: vec![located, viewed] })),
        ("got nothing in time", 9, Response::Got(Got { timed_out: true, objects: unpinned() })),
        ("count of a release", 10, count.clone()),
        ("count of a delete", 11, count.clone()),
        ("count of a grant", 20, count),
        ("leased", 21, Response::Leased(Leased { objects: 3 })),
        ("viewed", 22, Response::Viewed(Viewed { location: on_disk_location })),
        ("present of a contains", 12, Response::Present(Present { sealed: vec![true, false] })),
        ("present of a wait", 13, Response::Present(Present { sealed: Vec::new() })),
        ("info of an object in memory", 14, Response::ObjectInfo(in_memory())),
        ("info of an object on disk", 14, Response::ObjectInfo(on_disk())),
        ("a page of a list", 15, Response::Listed(Listed { total: 9, next: Some(4), objects: vec![in_memory()] })),
        ("the last page of a list", 15, Response::Listed(Listed { total: 0, next: None, objects: Vec::new() })),
        ("stats", 16, Response::Stats(StatsDocument { json: Blob(br#"{"schema":1}"#.to_vec()) })),
        ("evicted", 17, Response::Evicted(Evicted { asked_bytes: 1, freed_bytes: 4096, dropped: 1, spilled: 0 })),
        ("no changes yet", 18, Response::Changes(Changes { lost: 0, changes: Vec::new() })),
        ("changes of every kind behind a gap", 18, Response::Changes(Changes { lost: u64::MAX, changes: changes() })),
    ];
    all.extend(ErrorCode::ALL.iter().map(|code| ("refusal", 5, refusal(*code))));
    all
}

fn changes() -> Vec<Change> {
    let change = |kind: &ChangeKind| Change {
        kind: *kind,
        id: ObjectId::new([*kind as u8 + 1; 28]),
        data_bytes: 1 << 40,
        metadata_bytes: 65_536,
    };
    ChangeKind::ALL.iter().map(change).collect()
}

fn welcome() -> Welcome {
    Welcome {
        version: limits::PROTOCOL_VERSION,
        role: Role::Writer,
        segments: 1,
        features: SHARED_GETS,
        store_id: [0xAB; 16],
        epoch: 1,
        client: 7,
        capacity_bytes: 1 << 32,
        frame_body_bytes_max: limits::FRAME_BODY_BYTES_MAX,
        items_max: limits::ITEMS_MAX,
        metadata_bytes_max: limits::METADATA_BYTES_MAX,
        pins_max: 262_144,
        put_inline_bytes_max: limits::PUT_INLINE_BYTES_MAX,
        server_version: "0.1.0".to_owned(),
    }
}

fn unpinned() -> Vec<GotObject> {
    let nowhere = Location { segment: 0, format: Format::Raw, metadata_bytes: 0, offset: 0, data_bytes: 0 };
    let nothing = Pin { word: 0, handle: Handle { slot: 0, generation: 0 } };
    let statuses = GetStatus::ALL.iter().filter(|status| !matches!(status, GetStatus::Pinned | GetStatus::OnDisk));
    statuses.map(|status| GotObject { status: *status, pin: nothing, location: nowhere }).collect()
}

fn in_memory() -> ObjectInfo {
    ObjectInfo {
        id: ObjectId::new([1; 28]),
        state: ObjectState::Sealed,
        in_memory: true,
        on_disk: false,
        evictable: true,
        format: Format::Pickle5,
        metadata_bytes: 3,
        data_bytes: 100,
        created_unix_ns: 1_700_000_000_000_000_000,
        sealed_unix_ns: Some(1_700_000_000_000_000_001),
        extent: Some(ExtentInfo { segment: 0, offset: 128, bytes: 103 }),
        file: None,
        pins: 2,
        pinned_by: vec![holder()],
    }
}

fn on_disk() -> ObjectInfo {
    ObjectInfo {
        state: ObjectState::Spilled,
        in_memory: false,
        on_disk: true,
        sealed_unix_ns: None,
        extent: None,
        file: Some(FilePlace { path: "/var/tmp/é".to_owned(), offset: 1 << 33 }),
        pins: 0,
        pinned_by: Vec::new(),
        ..in_memory()
    }
}

fn refusal(code: ErrorCode) -> Response {
    let full = Full {
        asked: 1,
        free: 2,
        largest_hole: 3,
        pinned: 4,
        pinned_by_asker: 5,
        capacity: 6,
        pinned_by: vec![holder()],
    };
    Response::Error(ErrorBody {
        code,
        id: (code == ErrorCode::ObjectExists).then(|| ObjectId::new([7; 28])),
        message: format!("{code:?}"),
        full: (code == ErrorCode::StoreFull).then_some(full),
    })
}

fn holder() -> Holder {
    Holder { client: 7, pid: 4711, label: "loader".to_owned(), pins: 2, bytes: 206 }
}
