//! What the socket costs: verbs beside bare round trips of the same lengths between two processes.

use plasmad_client::{Buffer, CreateOptions, ObjectId, Store, Timeout};
use plasmad_wire::request::{Create, Get, NewObject, Seal};
use plasmad_wire::response::{Count, Created, CreatedObject, Got, GotObject};
use plasmad_wire::value::{GetStatus, Handle, Location, Pin};
use plasmad_wire::{Format, Request, Response};

use super::Made;
use crate::bench::Bench;
use crate::daemon::{Daemon, engine_pid};
use crate::error::Result;
use crate::limits::{Echo, RoundTrip};
use crate::placement::Placement;
use crate::row::{Bar, Row, Unit};
use crate::slice::{Budget, Slice};
use crate::syscalls::Operation;

pub(crate) fn measure(bench: &mut Bench<'_>, wanted: &[&str]) -> Result<Vec<Row>> {
    let daemon = bench.daemon(&["--memory", "128MiB"])?;
    let store = daemon.connect_by_socket()?;
    let mut echo = Echo::start(bench)?;
    let placement = Placement::apart(&[], &[echo.pid(), engine_pid(&store)?]);
    let mut rows = Vec::new();
    if wanted.contains(&"get_socket") {
        rows.push(get(bench, &daemon, &store, &mut echo)?.note(placement.note()));
    }
    if wanted.contains(&"create_seal_socket") {
        rows.push(create_seal(bench, &daemon, &store, &mut echo)?.note(placement.note()));
    }
    Ok(rows)
}

/// Get of a small object: one round trip. The releases come when the clock stands.
fn get(bench: &mut Bench<'_>, daemon: &Daemon, store: &Store, echo: &mut Echo) -> Result<Row> {
    let mut made = Made::new(store);
    made.put_small(bench, 1)?;
    let id = made.ids[0];
    let trip = get_lengths();
    let mut held: Vec<Buffer> = Vec::with_capacity(100_000);
    let rounds = bench.rounds();
    let pair = bench.pair(
        "get_socket",
        rounds,
        || {
            let slice = Slice::run(Budget::EACH, || {
                held.push(store.get(id, Timeout::NO_WAIT)?);
                Ok(())
            })?;
            held.clear();
            // Answered when all the releases are done.
            store.ping()?;
            Ok(slice)
        },
        || Slice::run(Budget::EACH, || echo.round_trip(trip)),
    )?;
    let (request, answer) = (trip.request_bytes, trip.answer_bytes);
    Ok(Row::new("get_socket", Unit::Microseconds, &pair.ours)
        .reference("1 bare round trip", &pair.theirs)
        .syscalls(bench.syscalls(Operation::GetBySocket, daemon)?)
        .bar(Bar::ratio_max(1.2))
        .note(format!("{request} bytes there, {answer} back; system calls with the release's send")))
}

/// Create and seal of a small object: two round trips.
fn create_seal(bench: &mut Bench<'_>, daemon: &Daemon, store: &Store, echo: &mut Echo) -> Result<Row> {
    let options = CreateOptions::default();
    let [create, seal] = create_seal_lengths();
    let mut made = Made::new(store);
    let rounds = bench.rounds();
    let pair = bench.pair(
        "create_seal_socket",
        rounds,
        || {
            let slice = Slice::run(Budget::EACH, || {
                made.push(store.create(64, &options)?.seal()?);
                Ok(())
            })?;
            made.delete()?;
            Ok(slice)
        },
        || {
            Slice::run(Budget::EACH, || {
                echo.round_trip(create)?;
                echo.round_trip(seal)
            })
        },
    )?;
    let lengths = [create.request_bytes, create.answer_bytes, seal.request_bytes, seal.answer_bytes];
    Ok(Row::new("create_seal_socket", Unit::Microseconds, &pair.ours)
        .reference("2 bare round trips", &pair.theirs)
        .syscalls(bench.syscalls(Operation::CreateSeal, daemon)?)
        .bar(Bar::ratio_max(1.2))
        .note(format!("{}, {} and {}, {} bytes", lengths[0], lengths[1], lengths[2], lengths[3])))
}

/// The frames of a get of one object.
pub(super) fn get_lengths() -> RoundTrip {
    let location = Location { segment: 0, format: Format::Raw, metadata_bytes: 0, offset: 0, data_bytes: 64 };
    let object = GotObject { status: GetStatus::Pinned, pin: Pin { word: 0, handle: HANDLE }, location };
    lengths(
        Request::Get(Get { timeout_ns: 0, partial: false, ids: vec![ID] }),
        Response::Got(Got { timed_out: false, objects: vec![object] }),
    )
}

fn create_seal_lengths() -> [RoundTrip; 2] {
    let wanted = NewObject { id: ID, data_bytes: 64, metadata_bytes: 0, format: Format::Raw, evictable: false };
    let created = CreatedObject { handle: HANDLE, segment: 0, offset: 0 };
    [
        lengths(
            Request::Create(Create { timeout_ns: 0, objects: vec![wanted] }),
            Response::Created(Created { objects: vec![created] }),
        ),
        lengths(Request::Seal(Seal { handles: vec![HANDLE] }), Response::Count(Count { count: 1 })),
    ]
}

fn lengths(request: Request, answer: Response) -> RoundTrip {
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    request.append(&mut asked, 0, 1);
    answer.append(&mut answered, request.kind(), 1);
    RoundTrip { request_bytes: asked.len(), answer_bytes: answered.len() }
}

const ID: ObjectId = ObjectId::new([1; 28]);
const HANDLE: Handle = Handle { slot: 0, generation: 1 };
