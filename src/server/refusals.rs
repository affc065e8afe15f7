//! Sentences for what is refused: what, which id, which limit, what to do.

use plasmad_core::Refusal;
use plasmad_core::effect::{DiskTrouble, Shortage};
use plasmad_wire::error::{ErrorBody, ErrorCode, Full};
use plasmad_wire::{ObjectId, Response};

use super::clients::Clients;
use crate::size::display;

/// Bytes that are no request of this protocol.
pub(crate) fn malformed(what: &str) -> Response {
    body(ErrorCode::Malformed, format!("{what}; the connection is closed"))
}

/// A request this daemon doesn't know.
pub(crate) fn unknown(kind: u16) -> Response {
    body(
        ErrorCode::UnknownRequest,
        format!("request kind {kind} is not known to plasmad {}", env!("CARGO_PKG_VERSION")),
    )
}

/// A limit, by its name and value.
pub(crate) fn limit(what: &str, limit: u64) -> Response {
    body(ErrorCode::LimitExceeded, limit_sentence(what, limit))
}

/// A lease that can't be made.
pub(crate) fn no_lease(error: &std::io::Error) -> Response {
    body(ErrorCode::Internal, format!("plasmad has no descriptors or memory left for a lease: {error}"))
}

/// A spill file that can't be opened.
pub(crate) fn no_view(path: &std::path::Path, error: &std::io::Error) -> Response {
    body(ErrorCode::SpillFailed, format!("{} can't be opened: {error}; release the pin, and get again", path.display()))
}

/// A connection on which no handshake came.
pub(crate) fn silent(seconds: u64) -> Response {
    let what = format!("no handshake came within {seconds} seconds: send a Hello first; the connection is closed");
    body(ErrorCode::LimitExceeded, what)
}

/// A connection too many.
pub(crate) fn crowded(connections_max: usize) -> Response {
    let what = format!("all {connections_max} connections that this daemon's descriptors allow are taken");
    body(ErrorCode::LimitExceeded, what + ": close some, or raise its hard limit of open files")
}

/// The oldest of too many unfinished frames.
pub(crate) fn unfinished(bytes_max: usize) -> Response {
    let bytes = display(bytes_max as u64);
    let what = format!("unfinished frames of all clients take more than {bytes}, and this one began first");
    body(ErrorCode::LimitExceeded, what + ": send frames whole; the connection is closed")
}

/// The daemon is stopping.
pub(crate) fn stopping() -> Response {
    body(ErrorCode::ShuttingDown, "plasmad is stopping: the request was not done".to_owned())
}

/// The object a refusal is about.
pub(crate) fn id(refusal: &Refusal) -> Option<ObjectId> {
    match refusal {
        Refusal::Exists(id)
        | Refusal::NotFound(id)
        | Refusal::NotSealed(id)
        | Refusal::FillFailed(id)
        | Refusal::Lost(id)
        | Refusal::RestoreFailed(id) => Some(*id),
        Refusal::NotHeld(_)
        | Refusal::Full(_)
        | Refusal::TableFull { .. }
        | Refusal::Limit { .. }
        | Refusal::Denied
        | Refusal::Cancelled
        | Refusal::Malformed(_) => None,
    }
}

/// The numbers of a full store.
pub(crate) fn numbers(refusal: &Refusal, clients: &Clients) -> Option<Full> {
    let Refusal::Full(shortage) = refusal else { return None };
    Some(Full {
        asked: shortage.asked,
        free: shortage.free,
        largest_hole: shortage.largest_hole,
        pinned: shortage.pinned,
        pinned_by_asker: shortage.pinned_by_asker,
        capacity: shortage.capacity,
        pinned_by: shortage.holders.iter().map(|holding| clients.holder(holding)).collect(),
    })
}

/// A plain sentence for people.
pub(crate) fn sentence(refusal: &Refusal, clients: &Clients) -> String {
    match refusal {
        Refusal::Exists(id) => format!("object {id} exists already: delete it first, or use another id"),
        Refusal::NotFound(id) => format!("there is no object {id}: it was never made, or it was deleted or evicted"),
        Refusal::NotSealed(id) => format!("object {id} is still being written: seal or abort it first"),
        Refusal::NotHeld(handle) => {
            let (slot, generation) = (handle.slot, handle.generation);
            format!(
                "slot {slot}, generation {generation}, is not, or no longer, this client's to seal, abort, view or release"
            )
        }
        Refusal::Full(shortage) => shortage_sentence(shortage, clients),
        Refusal::TableFull { objects_max } => format!(
            "there are {objects_max} objects, as many as this store can have: delete some, or start plasmad with more \
             --max-objects"
        ),
        Refusal::Limit { what, limit } => limit_sentence(what, *limit),
        Refusal::Denied => "this connection is a reader's: it can look and get, but not change anything".to_owned(),
        Refusal::Cancelled => "the request was taken back by its client".to_owned(),
        Refusal::Malformed(what) => (*what).to_owned(),
        Refusal::FillFailed(id) => {
            format!("the machine has no memory for object {id}: free some, or start plasmad with less --memory")
        }
        Refusal::Lost(id) => {
            format!("object {id} is lost: what lies on disk isn't what was written there; plasmad's log says where")
        }
        Refusal::RestoreFailed(id) => {
            format!("object {id} is on disk, which couldn't be read just now: try again; plasmad's log says why")
        }
    }
}

fn limit_sentence(what: &str, limit: u64) -> String {
    format!("the limit of {what} is {limit}: ask for less at a time")
}

fn shortage_sentence(shortage: &Shortage, clients: &Clients) -> String {
    let (asked, capacity) = (display(shortage.asked), display(shortage.capacity));
    if shortage.asked > shortage.capacity {
        return format!("{asked} can never fit: the store has {capacity} in all; start plasmad with more --memory");
    }
    let (free, hole, pinned) = (display(shortage.free), display(shortage.largest_hole), display(shortage.pinned));
    let numbers = format!("no room for {asked}: {free} of {capacity} are free, the largest hole has {hole}");
    let fits_beside_pins = shortage.asked <= shortage.capacity.saturating_sub(shortage.pinned);
    match shortage.disk.filter(|_| fits_beside_pins) {
        Some(DiskTrouble::Full { taken, max }) => {
            let (taken, max) = (display(taken), display(max));
            let disk = format!("{taken} of the {max} that may be spilled are taken");
            return format!("{numbers}, {disk}; delete objects, or start plasmad with more --spill-max");
        }
        Some(DiskTrouble::Failing) => {
            return format!("{numbers}, and objects can't be spilled just now; plasmad's log says why");
        }
        None => {}
    }
    if shortage.pinned == 0 {
        return format!("{numbers}, nothing is pinned; delete objects, or mark them evictable when you create them");
    }
    let own = display(shortage.pinned_by_asker);
    if shortage.pinned_by_asker * 2 > shortage.pinned {
        return format!("{numbers}, and {own} are pinned by yourself: release buffers you no longer need");
    }
    let most = shortage.holders.first().map(|holding| clients.holder(holding));
    let by = most.map_or_else(String::new, |it| format!(" (most by process {} {:?})", it.pid, it.label));
    format!("{numbers}, {pinned} are pinned{by}; delete objects or wait for others to release theirs")
}

fn body(code: ErrorCode, message: String) -> Response {
    Response::Error(ErrorBody { code, id: None, message, full: None })
}
