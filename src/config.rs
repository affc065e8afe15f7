//! What a daemon is started with, resolved and checked: no defaults are left to be applied behind this.
//!
//! | module | what is in it |
//! |---|---|
//! | `keys` | what can be configured, and the key somebody meant |
//! | `value` | values as text and as TOML |
//! | `layers` | flags over environment over file over defaults |
//! | `file` | the configuration file |
//! | `resolve` | from layers to a [`Config`] |
//! | `print` | a resolved configuration as a file again |
//! | `check` | what it needs of this machine |

pub mod check;
pub mod file;
pub mod keys;
pub mod layers;
pub mod print;
pub mod resolve;
pub mod value;

use std::path::PathBuf;

use plasmad_core::WhenFull;
use serde::{Deserialize, Serialize};

use crate::size::Size;

pub use keys::Key;
pub use resolve::Settings;

/// Everything the engine needs to know; the keeper sends it over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Where clients connect.
    pub socket: PathBuf,
    /// The arena's size, a multiple of a page.
    pub memory_bytes: u64,
    /// What happens when a create finds no room.
    pub when_full: FullPolicy,
    /// Where and how much objects are spilled; nothing if they stay in memory.
    pub spill: Option<Spill>,
    /// Which pages are made present before they are used.
    pub populate: Populate,
    /// Whether memory is made of huge pages.
    pub huge_pages: HugePages,
    /// How many objects there can be.
    pub objects_max: u32,
    /// Who may connect besides the daemon's own user.
    pub access: Access,
    /// The engine ends when this process does.
    pub exit_with_pid: Option<u32>,
    /// How much is logged: `error`, `warn`, `info`, `debug`, `trace`.
    pub log_level: String,
    /// In which form.
    pub log_format: LogFormat,
}

/// `--spill-dir` and `--spill-max`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Spill {
    /// The folder that was given; else a private one is made.
    pub directory: Option<PathBuf>,
    /// What may be spilled: bytes, or a share of what is free there at start.
    pub most: Size,
}

/// `--when-full`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
pub enum FullPolicy {
    /// Drop evictable objects; spill all others to disk.
    Spill,
    /// Drop any unpinned object, least recently used first: a cache.
    Evict,
    /// Drop nothing.
    Refuse,
}

/// `--populate`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
pub enum Populate {
    /// Keep up to 1 GiB ready ahead of use.
    Ahead,
    /// Make the whole arena present at start.
    All,
    /// Leave it to whoever touches a page first.
    None,
}

/// `--huge-pages`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
pub enum HugePages {
    /// Make them of memory that is ready ahead of use, where the kernel can.
    Auto,
    /// Take the arena from the huge pages reserved on this machine, or don't serve.
    Always,
    /// Make none.
    Never,
}

/// `--log-format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON document a line.
    Json,
}

/// Users and groups besides the daemon's own user.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Access {
    /// Users who may do everything.
    pub writer_uids: Vec<u32>,
    /// Groups who may do everything.
    pub writer_gids: Vec<u32>,
    /// Users who may look and get.
    pub reader_uids: Vec<u32>,
    /// Groups who may look and get.
    pub reader_gids: Vec<u32>,
}

impl From<FullPolicy> for WhenFull {
    fn from(policy: FullPolicy) -> Self {
        match policy {
            FullPolicy::Spill => WhenFull::Spill,
            FullPolicy::Evict => WhenFull::Evict,
            FullPolicy::Refuse => WhenFull::Refuse,
        }
    }
}

impl Access {
    /// Only the daemon's own user may connect.
    pub fn is_private(&self) -> bool {
        *self == Self::default()
    }
}
