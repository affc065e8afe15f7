//! `plasmad evict`: room, now.

use clap::Args;
use plasmad_client::Role;
use serde_json::json;

use super::failures::failure;
use super::output::Output;
use super::session::Session;
use crate::error::Failure;
use crate::size;

/// Drop evictable objects nobody uses, the least recently used first; prints the bytes freed
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Evict {
    /// How much memory to free: 4096, 64KiB, 2GiB
    #[arg(value_parser = size::parse)]
    size: u64,
}

impl Evict {
    pub(super) fn run(self, session: &Session, output: &Output) -> Result<(), Failure> {
        let store = session.connect("evict", Role::Writer)?;
        let it = store.evict(self.size).map_err(failure)?;
        let document = json!({
            "asked_bytes": it.asked_bytes, "freed_bytes": it.freed_bytes, "dropped": it.dropped, "spilled": it.spilled,
        });
        output.answer(document, || format!("{}\n", it.freed_bytes))
    }
}

const EXAMPLES: &str = "\
Examples:
  plasmad evict 512MiB          before something large is put
  plasmad --json evict 1GiB     how many were dropped for it";
