//! `plasmad get`: an object's bytes, out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use plasmad_client::{Error, Role, Timeout};
use serde_json::json;

use super::failures::failure;
use super::names::IdArgument;
use super::output::{self, Output};
use super::progress::{CHUNK_BYTES, Progress};
use super::session::{Session, seconds};
use crate::error::{Exit, Failure};
use crate::size;

/// Print an object's bytes, or write them to a file
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Get {
    /// 56 hex digits, or name:TEXT
    id: IdArgument,
    /// Write to this file, which appears whole or not at all
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How long to wait for the object, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    timeout: Timeout,
    /// The metadata instead of the data
    #[arg(long)]
    metadata: bool,
    /// Print even to a terminal
    #[arg(long)]
    force: bool,
}

impl Get {
    pub(super) fn run(self, session: &Session, output: &Output) -> Result<(), Failure> {
        if self.output.is_none() && !self.force && io::stdout().is_terminal() {
            return Err(
                Failure::usage("an object's bytes could upset a terminal").hint("use -o FILE, a pipe, or --force")
            );
        }
        let id = self.id.0;
        let store = session.connect("get", Role::Reader)?;
        let got = match store.get(id, self.timeout) {
            // What is on disk is there, and takes a moment to come.
            Err(Error::Timeout { .. })
                if self.timeout == Timeout::NO_WAIT && store.contains(id).map_err(failure)? =>
            {
                store.get(id, Timeout::After(RESTORE_TIME_MAX)).map_err(failure)
            }
            got => got.map_err(|error| self.not_got(error)),
        };
        let buffer = got?;
        let bytes = if self.metadata { buffer.metadata() } else { &buffer };
        let Some(path) = &self.output else { return output::write(bytes) };
        let progress = Progress::new(output, path.display(), Some(bytes.len() as u64));
        write_whole(path, bytes, progress).map_err(|error| Failure::file(path.display(), error))?;
        let (data_bytes, metadata_bytes) = (buffer.len(), buffer.metadata().len());
        let document =
            json!({ "id": id.to_string(), "data_bytes": data_bytes, "metadata_bytes": metadata_bytes, "file": path });
        output.remark(&format!("{} written to {}", size::display(bytes.len() as u64), path.display()));
        output.answer(document, String::new)
    }

    fn not_got(&self, error: Error) -> Failure {
        match error {
            Error::Timeout { .. } if self.timeout == Timeout::NO_WAIT => {
                let what = format!("there is no object {}", self.id.0);
                Failure::new(Exit::NotFound, "ObjectNotFound", what).hint("--timeout waits for it")
            }
            error => failure(error),
        }
    }
}

/// Under another name in the same folder first, then in place. What is there and no regular file, such as /dev/null
/// or a pipe, is written to and stays what it is; behind a link, that is what the link names.
fn write_whole(path: &Path, bytes: &[u8], progress: Progress) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return write_all(&mut OpenOptions::new().write(true).open(path)?, bytes, progress);
    }
    let named = fs::canonicalize(path);
    let path = named.as_deref().unwrap_or(path);
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".plasmad-").permissions(permissions()).tempfile_in(folder)?;
    write_all(file.as_file_mut(), bytes, progress)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn write_all(file: &mut File, bytes: &[u8], mut progress: Progress) -> io::Result<()> {
    for chunk in bytes.chunks(CHUNK_BYTES) {
        file.write_all(chunk)?;
        progress.advance(chunk.len());
    }
    Ok(())
}

/// As any new file: the umask takes off what it should.
fn permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;

    std::fs::Permissions::from_mode(0o666)
}

/// For an object that is on disk, where memory is full of what others pin.
const RESTORE_TIME_MAX: Duration = Duration::from_secs(30);
const EXAMPLES: &str = "\
Examples:
  plasmad get name:model -o weights.bin        a file that appears whole or not at all
  plasmad get name:log --timeout 10 | less     wait up to 10 seconds for it
  plasmad get name:model --metadata            what its writer said of it";
