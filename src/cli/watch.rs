//! `plasmad watch`: what happens to objects, as it happens.

use std::time::Duration;

use clap::Args;
use plasmad_client::{Change, ChangeKind, Error, Event, Role, SubscribeOptions};
use serde_json::{Value, json};

use super::failures::failure;
use super::output::{self, Output};
use super::session::Session;
use crate::error::Failure;
use crate::size;

/// Show what happens to objects, until Ctrl-C
///
/// One line for each object that is sealed, deleted, evicted, spilled or restored. Who reads too slowly is told how
/// many events were lost.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plasmad watch                              until Ctrl-C\n  plasmad --json watch --existing | jq .id   what there is, and what comes"
)]
pub(super) struct Watch {
    /// First show all objects that are there, as sealed
    #[arg(long)]
    existing: bool,
}

impl Watch {
    pub(super) fn run(self, session: &Session, output: &Output) -> Result<(), Failure> {
        let store = session.connect("watch", Role::Reader)?;
        let options = SubscribeOptions { existing: self.existing, ..SubscribeOptions::default() };
        let subscription = store.subscribe(options).map_err(failure)?;
        loop {
            match subscription.next(READER_CHECK_TIME) {
                Ok(event) => output.answer(document(event), || line(event))?,
                // While nothing happens no write would tell that the reader is gone.
                Err(Error::Timeout { .. }) => output::check_reader()?,
                Err(error) => return Err(failure(error)),
            }
        }
    }
}

fn document(event: Event) -> Value {
    match event {
        Event::Change(Change { kind, id, data_bytes, metadata_bytes }) => json!({
            "kind": name(kind), "id": id.to_string(), "data_bytes": data_bytes, "metadata_bytes": metadata_bytes,
            "lost": 0,
        }),
        Event::Overflow(lost) => {
            json!({ "kind": "overflow", "id": null, "data_bytes": 0, "metadata_bytes": 0, "lost": lost })
        }
    }
}

fn line(event: Event) -> String {
    match event {
        Event::Change(change) => {
            format!("{:<8} {} {:>10}\n", name(change.kind), change.id, size::display(change.data_bytes))
        }
        Event::Overflow(lost) => format!("{:<8} {lost} events were lost: this reads too slowly\n", "overflow"),
    }
}

fn name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Sealed => "sealed",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Evicted => "evicted",
        ChangeKind::Spilled => "spilled",
        ChangeKind::Restored => "restored",
    }
}

/// A reader that is gone is noticed this soon.
const READER_CHECK_TIME: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_told_in_a_document_and_a_line_of_its_own() {
        let expected = json!({ "kind": "overflow", "id": null, "data_bytes": 0, "metadata_bytes": 0, "lost": 7 });
        assert_eq!(document(Event::Overflow(7)), expected);
        assert_eq!(line(Event::Overflow(7)), "overflow 7 events were lost: this reads too slowly\n");
    }

    #[test]
    fn every_kind_has_its_name() {
        let names: Vec<&str> = ChangeKind::ALL.iter().map(|kind| name(*kind)).collect();
        assert_eq!(names, ["sealed", "deleted", "evicted", "spilled", "restored"]);
    }
}
