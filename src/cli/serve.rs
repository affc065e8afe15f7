//! `plasmad serve`: resolves every default, refuses what can't work, and serves.

use std::path::PathBuf;

use clap::Args;
use plasmad_client::default_socket_path;
use plasmad_shm::fd_passing;

use crate::config::{Access, Config, FullPolicy, LogFormat, Populate};
use crate::error::{Exit, Failure};
use crate::keeper;
use crate::memory::machine;
use crate::size::{self, Size};

/// Start a store and serve it until SIGTERM
///
/// Prints one line when it serves: `plasmad 0.1.0 serving PATH, 4.0 GiB, pid N`. SIGTERM drains and exits 0; a
/// second one stops at once.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// How much memory objects may take: 512MiB, 4GiB, or a share of what this cgroup may use.
    #[arg(long, value_name = "SIZE", default_value = "30%")]
    memory: Size,
    /// What happens when memory is full.
    #[arg(long, value_name = "POLICY", value_enum, default_value = "spill")]
    when_full: FullPolicy,
    /// Which memory is made ready before it is used.
    #[arg(long, value_name = "HOW", value_enum, default_value = "ahead")]
    populate: Populate,
    /// How many objects there can be; each takes 68 bytes of index when it is used.
    #[arg(long, value_name = "N", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..=OBJECTS_MAX))]
    max_objects: u32,
    /// Let this user connect as a reader; may be repeated.
    #[arg(long, value_name = "UID")]
    reader_uid: Vec<u32>,
    /// Let this group connect as readers; may be repeated.
    #[arg(long, value_name = "GID")]
    reader_gid: Vec<u32>,
    /// Let this user do everything; may be repeated.
    #[arg(long, value_name = "UID")]
    writer_uid: Vec<u32>,
    /// Let this group do everything; may be repeated.
    #[arg(long, value_name = "GID")]
    writer_gid: Vec<u32>,
    /// Keep nothing on disk. This version never does.
    #[arg(long)]
    no_spill: bool,
    /// How much is logged on standard error: error, warn, info, debug, trace.
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = ["error", "warn", "info", "debug", "trace"])]
    log_level: String,
    /// In which form.
    #[arg(long, value_name = "FORM", value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Write the ready line to this open descriptor as well, then close it.
    #[arg(long, value_name = "N")]
    ready_fd: Option<i32>,
    /// Stop when this process ends.
    #[arg(long, value_name = "PID")]
    exit_with_pid: Option<u32>,
}

impl Serve {
    pub(super) fn run(self, socket: Option<PathBuf>) -> Result<(), Failure> {
        let ready = self.ready_fd.map(fd_passing::adopt).transpose().map_err(|error| {
            let fd = self.ready_fd.unwrap_or_default();
            Failure::usage(format!("--ready-fd {fd} can't be used: {error}"))
        })?;
        let config = self.resolve(socket)?;
        keeper::serve(&config, ready)
    }

    fn resolve(self, socket: Option<PathBuf>) -> Result<Config, Failure> {
        Ok(Config {
            socket: socket.unwrap_or_else(default_socket_path),
            memory_bytes: memory_bytes(self.memory)?,
            when_full: self.when_full,
            populate: self.populate,
            objects_max: self.max_objects,
            access: Access {
                writer_uids: self.writer_uid,
                writer_gids: self.writer_gid,
                reader_uids: self.reader_uid,
                reader_gids: self.reader_gid,
            },
            exit_with_pid: self.exit_with_pid,
            log_level: self.log_level,
            log_format: self.log_format,
        })
    }
}

/// The arena's size: whole pages, and no more than the machine can ever give.
fn memory_bytes(asked: Size) -> Result<u64, Failure> {
    let limit = machine::limit();
    let bytes = match asked {
        Size::Bytes(bytes) => bytes.checked_next_multiple_of(PAGE_BYTES).unwrap_or(u64::MAX),
        Size::Percent(percent) => limit.bytes / 100 * u64::from(percent) / PAGE_BYTES * PAGE_BYTES,
    };
    if bytes > limit.bytes {
        let (asked, given) = (size::display(bytes), size::display(limit.bytes));
        let what = format!("--memory asks for {asked}, but {} is {given}", limit.name);
        return Err(Failure::new(Exit::Usage, "MemoryUnavailable", what).hint("ask for less"));
    }
    if bytes < MEMORY_BYTES_MIN {
        let least = size::display(MEMORY_BYTES_MIN);
        return Err(Failure::usage(format!("--memory {} is too little", size::display(bytes)))
            .hint(format!("ask for at least {least}")));
    }
    Ok(bytes)
}

const PAGE_BYTES: u64 = 4096;
/// Less than this is a slip of the unit.
const MEMORY_BYTES_MIN: u64 = 64 << 10;
/// An index of this many slots takes 17 GiB when it is full.
const OBJECTS_MAX: i64 = 1 << 28;
