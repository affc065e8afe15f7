//! `plasmad put`: files into objects.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use plasmad_client::{CreateOptions, ObjectId, Role, Store, Timeout, id};
use serde_json::json;

use super::failures::failure;
use super::names::IdArgument;
use super::output::Output;
use super::progress::{CHUNK_BYTES, Progress};
use super::session::{Session, seconds};
use crate::error::Failure;

/// Put files into the store; prints an id for each
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Put {
    /// Files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The object's id, 56 hex digits; for one file
    #[arg(long, value_name = "HEX", conflicts_with = "name")]
    id: Option<IdArgument>,
    /// The object's name, from which every language makes the same id; for one file
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Bytes of your own beside the data
    #[arg(long, value_name = "TEXT", default_value = "")]
    metadata: String,
    /// May be dropped when memory is short
    #[arg(long)]
    evictable: bool,
    /// How long to wait for room, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Timeout,
}

impl Put {
    pub(super) fn run(self, session: &Session, output: &Output) -> Result<(), Failure> {
        if self.files.len() > 1 && (self.id.is_some() || self.name.is_some()) {
            let what = format!("one id can't name {} files", self.files.len());
            return Err(Failure::usage(what).hint("put them one at a time, or without --id and --name"));
        }
        let store = session.connect("put", Role::Writer)?;
        let mut objects = Vec::new();
        for file in &self.files {
            let start = Instant::now();
            let (id, bytes) = self.put(session, &store, file, output)?;
            let seconds = start.elapsed().as_secs_f64();
            objects.push(json!({ "id": id.to_string(), "name": self.name, "data_bytes": bytes, "seconds": seconds }));
            if !output.json {
                super::output::write(format!("{id}\n").as_bytes())?;
            }
        }
        if output.json { output.answer(json!({ "objects": objects }), String::new) } else { Ok(()) }
    }

    fn put(&self, session: &Session, store: &Store, path: &Path, output: &Output) -> Result<(ObjectId, u64), Failure> {
        let named = self.name.as_deref().map(id::from_name);
        let options = CreateOptions {
            id: self.id.map(|id| id.0).or(named),
            metadata: self.metadata.clone().into_bytes(),
            evictable: self.evictable,
            timeout: self.timeout,
            ..CreateOptions::default()
        };
        if path == Path::new("-") {
            let data = session.read_input(Progress::new(output, "standard input", None))?;
            let id = store.put(&data, &options).map_err(failure)?;
            return Ok((id, data.len() as u64));
        }
        let file = |error| Failure::file(path.display(), error);
        let mut source = File::open(path).map_err(file)?;
        let metadata = source.metadata().map_err(file)?;
        if !metadata.is_file() {
            let what = format!("{} is no regular file", path.display());
            return Err(Failure::usage(what).hint("put - reads standard input"));
        }
        // Straight into the object's memory; a failure on the way aborts it.
        let mut writer = store.create(metadata.len(), &options).map_err(failure)?;
        let mut progress = Progress::new(output, path.display(), Some(metadata.len()));
        for chunk in writer.chunks_mut(CHUNK_BYTES) {
            source.read_exact(chunk).map_err(file)?;
            progress.advance(chunk.len());
        }
        if source.read(&mut [0]).map_err(file)? > 0 {
            let changed = io::Error::other("it grew while it was read");
            return Err(Failure::file(path.display(), changed));
        }
        Ok((writer.seal().map_err(failure)?, metadata.len()))
    }
}

const EXAMPLES: &str = "\
Examples:
  plasmad put --name model weights.bin        under a name every language can ask for
  plasmad put part-*.bin                      each gets an id of its own, printed a line each
  tar c folder | plasmad put --name backup -  what a pipe brings
  plasmad put --evictable cache.bin           may go when memory is short";
