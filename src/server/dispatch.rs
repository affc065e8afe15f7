//! Requests to events, replies to responses: the only file that knows both.

use std::path::PathBuf;

use plasmad_core::disk::FileNumber;
use plasmad_core::effect::{Description, Got};
use plasmad_core::event::{Payload, Wanted};
use plasmad_core::queue::Heard;
use plasmad_core::{ClientId, Reply, Verb};
use plasmad_wire::codec::Blob;
use plasmad_wire::error::ErrorBody;
use plasmad_wire::limits::PUT_INLINE_BYTES_MAX;
use plasmad_wire::request::{InlineObject, NewObject};
use plasmad_wire::response::{
    Changes, Count, Created, CreatedObject, Evicted, ExtentInfo, FilePlace, Got as GotResponse, GotObject, Leased,
    Listed, ObjectInfo, Pong, Present, StatsDocument, Viewed,
};
use plasmad_wire::value::{GetStatus, Handle, Pin};
use plasmad_wire::{Format, Location, Request, Response};

use super::clients::Clients;
use super::refusals;

/// What a request means.
pub(crate) enum Meaning {
    /// A question for the core.
    Verb(Verb),
    /// Take back the request of this number.
    Cancel(u64),
    /// The client released something by itself.
    Rung,
    /// The client is about to fork.
    Lease,
    /// The client is finished.
    Goodbye,
    /// An answer that needs no core.
    Answer(Response),
}

/// What a request of an admitted client means.
pub(crate) fn meaning(request: Request) -> Meaning {
    Meaning::Verb(match request {
        Request::Hello(_) => return Meaning::Answer(refusals::malformed("a second handshake on one connection")),
        Request::Goodbye(_) => return Meaning::Goodbye,
        Request::Ring(_) => return Meaning::Rung,
        Request::Lease(_) => return Meaning::Lease,
        Request::Cancel(cancel) => return Meaning::Cancel(cancel.target),
        Request::Ping(_) => return Meaning::Answer(Response::Pong(Pong { epoch: EPOCH, ready: true })),
        Request::Create(create) => {
            let objects = create.objects.into_iter().map(wanted).collect();
            Verb::Create { timeout_ns: create.timeout_ns, objects }
        }
        Request::Put(put) => {
            let bytes: usize = put.objects.iter().map(|object| object.data.0.len() + object.metadata.0.len()).sum();
            if bytes as u64 > PUT_INLINE_BYTES_MAX {
                let refusal = refusals::limit("bytes of one inline put", PUT_INLINE_BYTES_MAX);
                return Meaning::Answer(refusal);
            }
            let objects = put.objects.into_iter().map(wanted_inline).collect();
            Verb::Create { timeout_ns: put.timeout_ns, objects }
        }
        Request::Seal(seal) => Verb::Seal { handles: seal.handles },
        Request::Abort(abort) => Verb::Abort { handles: abort.handles },
        Request::Get(get) => Verb::Get { timeout_ns: get.timeout_ns, partial: get.partial, ids: get.ids },
        Request::View(view) => Verb::View { pin: view.pin },
        Request::Release(release) => Verb::Release { pins: release.pins },
        Request::Delete(delete) => Verb::Delete { ids: delete.ids },
        Request::Contains(contains) => Verb::Contains { ids: contains.ids },
        Request::Wait(wait) => Verb::Wait { timeout_ns: wait.timeout_ns, count: wait.count, ids: wait.ids },
        Request::Stat(stat) => Verb::Stat { id: stat.id },
        Request::List(list) => Verb::List { cursor: list.cursor, limit: list.limit },
        Request::Stats(_) => Verb::Stats,
        Request::Subscribe(wanted) => Verb::Subscribe { existing: wanted.existing, queue_max: wanted.queue_max },
        Request::Evict(evict) => Verb::Evict { bytes: evict.bytes },
        Request::Grant(grant) => Verb::Grant { bytes: grant.bytes, count: grant.count },
    })
}

/// What [`Meaning::Lease`] asks of the core, once there is a page for the lease.
pub(crate) fn lease(lease: ClientId) -> Verb {
    Verb::Lease { lease }
}

/// A reply of the core's as it goes over the wire. Stats are told by `stats`, who knows more than the core; `path_of`
/// tells where a spill file lies.
pub(crate) fn response(
    reply: Reply,
    clients: &Clients,
    stats: impl FnOnce(&plasmad_core::stats::Snapshot) -> Vec<u8>,
    path_of: impl Fn(FileNumber) -> PathBuf,
) -> Response {
    match reply {
        Reply::Created(objects) => {
            let object = |(handle, extent): (Handle, plasmad_wire::Extent)| CreatedObject {
                handle,
                segment: extent.segment,
                offset: extent.offset,
            };
            Response::Created(Created { objects: objects.into_iter().map(object).collect() })
        }
        Reply::Done(count) => Response::Count(Count { count }),
        Reply::Got { timed_out, objects } => {
            Response::Got(GotResponse { timed_out, objects: objects.into_iter().map(got).collect() })
        }
        Reply::Viewed { file: _, location } => Response::Viewed(Viewed { location }),
        Reply::Present(sealed) => Response::Present(Present { sealed }),
        Reply::Described(object) => Response::ObjectInfo(info(&object, clients, &path_of)),
        Reply::Listed { total, next, objects } => {
            let objects = objects.iter().map(|object| info(object, clients, &path_of)).collect();
            Response::Listed(Listed { total, next, objects })
        }
        Reply::Leased { lease: _, objects } => Response::Leased(Leased { objects }),
        Reply::Subscribed => Response::Changes(Changes { lost: 0, changes: Vec::new() }),
        Reply::Stats(snapshot) => Response::Stats(StatsDocument { json: Blob(stats(&snapshot)) }),
        Reply::Evicted { asked_bytes, freed_bytes, dropped, spilled } => {
            Response::Evicted(Evicted { asked_bytes, freed_bytes, dropped, spilled })
        }
        Reply::Refused(refusal) => Response::Error(ErrorBody {
            code: refusal.code(),
            id: refusals::id(&refusal),
            message: refusals::sentence(&refusal, clients),
            full: refusals::numbers(&refusal, clients),
        }),
    }
}

/// What a subscriber hears, as it goes over the wire.
pub(crate) fn changes(heard: Heard) -> Response {
    Response::Changes(Changes { lost: heard.lost, changes: heard.changes })
}

fn wanted(object: NewObject) -> Wanted {
    Wanted {
        id: object.id,
        data_bytes: object.data_bytes,
        metadata_bytes: object.metadata_bytes,
        format: object.format,
        evictable: object.evictable,
        payload: None,
    }
}

fn wanted_inline(object: InlineObject) -> Wanted {
    Wanted {
        id: object.id,
        data_bytes: object.data.0.len() as u64,
        metadata_bytes: object.metadata.0.len() as u32,
        format: object.format,
        evictable: object.evictable,
        payload: Some(Payload { data: object.data.0, metadata: object.metadata.0 }),
    }
}

fn got(object: Got) -> GotObject {
    match object {
        Got::Pinned(pin, location) => GotObject { status: GetStatus::Pinned, pin, location },
        Got::OnDisk(pin, _, location) => GotObject { status: GetStatus::OnDisk, pin, location },
        Got::Not(status) => GotObject { status, pin: NO_PIN, location: NO_LOCATION },
    }
}

fn info(object: &Description, clients: &Clients, path_of: &dyn Fn(FileNumber) -> PathBuf) -> ObjectInfo {
    ObjectInfo {
        id: object.id,
        state: object.state,
        in_memory: object.extent.is_some(),
        on_disk: object.place.is_some(),
        evictable: object.evictable,
        format: object.format,
        metadata_bytes: object.metadata_bytes,
        data_bytes: object.data_bytes,
        created_unix_ns: object.created_at,
        sealed_unix_ns: object.sealed_at,
        extent: object.extent.map(|it| ExtentInfo { segment: it.segment, offset: it.offset, bytes: it.bytes }),
        file: object
            .place
            .map(|place| FilePlace { path: path_of(place.file).to_string_lossy().into_owned(), offset: place.offset }),
        pins: object.holders.iter().map(|holding| holding.pins).sum(),
        pinned_by: object.holders.iter().take(HOLDERS_MAX).map(|holding| clients.holder(holding)).collect(),
    }
}

/// How many engines this store has had.
pub(crate) const EPOCH: u64 = 1;
const HOLDERS_MAX: usize = plasmad_wire::limits::HOLDERS_MAX;
const NO_PIN: Pin = Pin { word: 0, handle: Handle { slot: 0, generation: 0 } };
const NO_LOCATION: Location = Location { segment: 0, format: Format::Raw, metadata_bytes: 0, offset: 0, data_bytes: 0 };
