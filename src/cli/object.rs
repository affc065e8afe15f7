//! An object as a JSON document and as text.

use plasmad_client::{Format, Holder, ObjectInfo, ObjectState};
use serde_json::{Value, json};

use super::time;
use crate::size;

/// The ObjectInfo document.
pub(super) fn document(object: &ObjectInfo) -> Value {
    let places = [(object.in_memory, "memory"), (object.on_disk, "disk")];
    let places: Vec<&str> = places.into_iter().filter_map(|(is, name)| is.then_some(name)).collect();
    let extent = object.extent.as_ref();
    let file = object.file.as_ref();
    json!({
        "id": object.id.to_string(),
        "name": null,
        "state": state(object.state),
        "where": places,
        "data_bytes": object.data_bytes,
        "metadata_bytes": object.metadata_bytes,
        "format": format(object.format),
        "pins": object.pins,
        "pinned_by": object.pinned_by.iter().map(holder).collect::<Vec<_>>(),
        "refs": null,
        "evictable": object.evictable,
        "created_at": time::rfc3339(object.created_unix_ns),
        "sealed_at": object.sealed_unix_ns.map(time::rfc3339),
        "extent": extent.map(|it| json!({ "segment": it.segment, "offset": it.offset, "bytes": it.bytes })),
        "file": file.map(|it| json!({ "path": it.path, "offset": it.offset })),
    })
}

/// A line for each fact.
pub(super) fn text(object: &ObjectInfo) -> String {
    let now = time::now_unix_ns();
    let mut lines = vec![
        ("id", object.id.to_string()),
        ("state", state(object.state).to_owned()),
        ("data", size::display(object.data_bytes)),
        ("metadata", size::display(object.metadata_bytes.into())),
        ("format", format(object.format).to_owned()),
        ("evictable", if object.evictable { "yes" } else { "no" }.to_owned()),
        (
            "created",
            format!("{} ({} ago)", time::rfc3339(object.created_unix_ns), time::age(object.created_unix_ns, now)),
        ),
        ("pins", object.pins.to_string()),
    ];
    let holders =
        object.pinned_by.iter().map(|it| ("  held by", format!("process {} {:?}, {} pins", it.pid, it.label, it.pins)));
    lines.extend(holders);
    lines.into_iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}

/// The state's name, as `--state` takes it.
pub(super) fn state(state: ObjectState) -> &'static str {
    match state {
        ObjectState::Created => "created",
        ObjectState::Sealed => "sealed",
        ObjectState::Spilling => "spilling",
        ObjectState::Spilled => "spilled",
        ObjectState::Restoring => "restoring",
    }
}

fn format(format: Format) -> &'static str {
    match format {
        Format::Raw => "raw",
        Format::Pickle5 => "pickle5",
        Format::Arrow => "arrow",
    }
}

fn holder(holder: &Holder) -> Value {
    let pid = (holder.pid != 0).then_some(holder.pid);
    let label = (!holder.label.is_empty()).then_some(&holder.label);
    json!({ "client": holder.client, "pid": pid, "label": label, "pins": holder.pins })
}
