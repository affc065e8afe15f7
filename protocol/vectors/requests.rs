//! Requests, each in a plain form and at its edges.

use plasmad_wire::codec::Blob;
use plasmad_wire::features::{SHARED_GETS, SHARED_PUTS};
use plasmad_wire::limits::{FOREVER, MAGIC, PROTOCOL_VERSION};
use plasmad_wire::request::{
    Abort, Cancel, Contains, Create, Delete, Evict, Get, Goodbye, Grant, Hello, InlineObject, Lease, List, NewObject,
    Ping, Put, Release, Ring, Seal, Stat, Stats, Subscribe, View, Wait,
};
use plasmad_wire::{Format, Handle, ObjectId, Pin, Request, Role};

/// Every kind at least once.
pub fn requests() -> Vec<(&'static str, Request)> {
    let id = |byte: u8| ObjectId::new([byte; 28]);
    let handle = Handle { slot: 5, generation: 0x00ff_0000_0000_0001 };
    let pin = Pin { word: 262_143, handle };
    let object = |format, evictable| NewObject { id: id(1), data_bytes: 1 << 40, metadata_bytes: 3, format, evictable };
    let inline = InlineObject {
        id: id(2),
        format: Format::Arrow,
        evictable: true,
        metadata: Blob(b"meta".to_vec()),
        data: Blob(b"data".to_vec()),
    };
    let empty = InlineObject { metadata: Blob(Vec::new()), data: Blob(Vec::new()), ..inline.clone() };
    let hello = Hello {
        magic: MAGIC,
        version: PROTOCOL_VERSION,
        role: Role::Writer,
        has_pidfd: true,
        features: SHARED_GETS | SHARED_PUTS,
        pid: 4711,
        label: "loader é".to_owned(),
    };
    let reader = Hello { role: Role::Reader, has_pidfd: false, label: String::new(), ..hello.clone() };
    vec![
        ("hello of a writer", Request::Hello(hello)),
        ("hello of a reader without a label", Request::Hello(reader)),
        ("goodbye", Request::Goodbye(Goodbye {})),
        ("cancel", Request::Cancel(Cancel { target: u64::MAX })),
        ("ping", Request::Ping(Ping {})),
        ("create of one", Request::Create(Create { timeout_ns: 0, objects: vec![object(Format::Raw, false)] })),
        (
            "create of two that waits for ever",
            Request::Create(Create {
                timeout_ns: FOREVER,
                objects: vec![object(Format::Pickle5, true), object(Format::Arrow, false)],
            }),
        ),
        ("create of none", Request::Create(Create { timeout_ns: 1, objects: Vec::new() })),
        ("seal", Request::Seal(Seal { handles: vec![handle, handle] })),
        ("abort", Request::Abort(Abort { handles: vec![handle] })),
        (
            "put of two, one without any bytes",
            Request::Put(Put { timeout_ns: 30_000_000_000, objects: vec![inline, empty] }),
        ),
        ("get with a repeat", Request::Get(Get { timeout_ns: 0, partial: false, ids: vec![id(1), id(2), id(1)] })),
        ("get of what is there", Request::Get(Get { timeout_ns: FOREVER, partial: true, ids: vec![id(3)] })),
        ("release", Request::Release(Release { pins: vec![pin] })),
        ("delete", Request::Delete(Delete { ids: vec![id(1)] })),
        ("contains", Request::Contains(Contains { ids: vec![id(1), id(2)] })),
        ("wait for one of two", Request::Wait(Wait { timeout_ns: 1, count: 1, ids: vec![id(1), id(2)] })),
        ("stat", Request::Stat(Stat { id: id(255) })),
        ("list", Request::List(List { cursor: 17, limit: 1024 })),
        ("stats", Request::Stats(Stats {})),
        ("evict", Request::Evict(Evict { bytes: 1 << 30 })),
        ("subscribe", Request::Subscribe(Subscribe { existing: false, queue_max: 1 })),
        ("subscribe to all there is", Request::Subscribe(Subscribe { existing: true, queue_max: 65_536 })),
        ("ring", Request::Ring(Ring {})),
        ("grant", Request::Grant(Grant { bytes: 1024, count: 16 })),
        ("lease", Request::Lease(Lease {})),
        ("view", Request::View(View { pin })),
    ]
}
