//! `plasmad stat`: all about one object.

use clap::Args;
use plasmad_client::Role;

use super::failures::failure;
use super::names::IdArgument;
use super::object;
use super::output::Output;
use super::session::Session;
use crate::error::Failure;

/// Tell all about one object
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Stat {
    /// 56 hex digits, or name:TEXT
    id: IdArgument,
}

impl Stat {
    pub(super) fn run(self, session: &Session, output: &Output) -> Result<(), Failure> {
        let store = session.connect("stat", Role::Reader)?;
        let found = store.stat(self.id.0).map_err(failure)?;
        output.answer(object::document(&found), || object::text(&found))
    }
}

const EXAMPLES: &str = "\
Examples:
  plasmad stat name:model                              size, state, age, and who holds it
  plasmad --json stat name:model | jq .pinned_by";
