//! `plasmad rm`: objects out of sight at once, out of memory at their last release.

use clap::Args;
use plasmad_client::Role;
use serde_json::json;

use super::failures::failure;
use super::names::IdArgument;
use super::output::Output;
use super::session::Session;
use crate::error::{Exit, Failure};

/// Delete objects; prints how many there were
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Rm {
    /// 56 hex digits, or name:TEXT
    #[arg(required = true, value_name = "ID")]
    ids: Vec<IdArgument>,
    /// Absent objects are no failure
    #[arg(short, long)]
    force: bool,
}

impl Rm {
    pub(super) fn run(self, session: &Session, output: &Output) -> Result<(), Failure> {
        let store = session.connect("rm", Role::Writer)?;
        let mut removed = 0;
        let mut absent = Vec::new();
        for IdArgument(id) in &self.ids {
            match store.delete(&[*id]).map_err(failure)? {
                0 => absent.push(*id),
                count => removed += count,
            }
        }
        let failed = !absent.is_empty() && !self.force;
        if !(failed && output.json) {
            output.answer(json!({ "removed": removed }), || format!("{removed}\n"))?;
        }
        if !failed {
            return Ok(());
        }
        let first = absent[0];
        let what = format!("{removed} removed; {} were not there, {first} the first of them", absent.len());
        Err(Failure::new(Exit::NotFound, "ObjectNotFound", what).hint("-f makes that no failure"))
    }
}

const EXAMPLES: &str = "\
Examples:
  plasmad rm name:model
  plasmad rm -f ID ID ID        absent ones are no failure";
