//! The keys of the configuration. Each is a flag, an environment variable and a key of the file, by one name.
//!
//! Invariant: what isn't listed here can't be configured; a flag without a key belongs to one process alone
//! (`--ready-fd`, `--exit-with-pid`).

use std::path::PathBuf;

use super::value::{Kind, Value};
use crate::size::Size;

/// What can be configured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    /// Where clients connect.
    Socket,
    /// The arena's size.
    Memory,
    /// What happens when a create finds no room.
    WhenFull,
    /// Which memory is made ready before it is used.
    Populate,
    /// Whether memory is made of huge pages.
    HugePages,
    /// How many objects there can be.
    MaxObjects,
    /// Users who may look and get.
    ReaderUid,
    /// Groups who may look and get.
    ReaderGid,
    /// Users who may do everything.
    WriterUid,
    /// Groups who may do everything.
    WriterGid,
    /// Where objects are spilled to.
    SpillDir,
    /// How much is spilled.
    SpillMax,
    /// Keep nothing on disk.
    NoSpill,
    /// How much is logged.
    LogLevel,
    /// In which form.
    LogFormat,
}

impl Key {
    /// All of them, in the order they are printed.
    pub const ALL: [Self; 15] = [
        Self::Socket,
        Self::Memory,
        Self::WhenFull,
        Self::Populate,
        Self::HugePages,
        Self::MaxObjects,
        Self::ReaderUid,
        Self::ReaderGid,
        Self::WriterUid,
        Self::WriterGid,
        Self::SpillDir,
        Self::SpillMax,
        Self::NoSpill,
        Self::LogLevel,
        Self::LogFormat,
    ];

    /// Its name in the file; with two dashes before it, its flag.
    pub fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Memory => "memory",
            Self::WhenFull => "when-full",
            Self::Populate => "populate",
            Self::HugePages => "huge-pages",
            Self::MaxObjects => "max-objects",
            Self::ReaderUid => "reader-uid",
            Self::ReaderGid => "reader-gid",
            Self::WriterUid => "writer-uid",
            Self::WriterGid => "writer-gid",
            Self::SpillDir => "spill-dir",
            Self::SpillMax => "spill-max",
            Self::NoSpill => "no-spill",
            Self::LogLevel => "log-level",
            Self::LogFormat => "log-format",
        }
    }

    /// Its environment variable: `PLASMAD_WHEN_FULL`.
    pub fn variable(self) -> String {
        format!("{PREFIX}{}", self.name().to_uppercase().replace('-', "_"))
    }

    /// What its values look like.
    pub fn kind(self) -> Kind {
        match self {
            Self::Socket | Self::SpillDir => Kind::Path,
            Self::Memory => Kind::Memory,
            Self::SpillMax => Kind::Disk,
            Self::WhenFull => Kind::Word(&["spill", "evict", "refuse"]),
            Self::Populate => Kind::Word(&["ahead", "all", "none"]),
            Self::HugePages => Kind::Word(&["auto", "always", "never"]),
            Self::MaxObjects => Kind::Count { min: 1, max: OBJECTS_MAX },
            Self::ReaderUid | Self::ReaderGid | Self::WriterUid | Self::WriterGid => Kind::Ids,
            Self::NoSpill => Kind::Switch,
            Self::LogLevel => Kind::Word(&LOG_LEVELS),
            Self::LogFormat => Kind::Word(&["text", "json"]),
        }
    }

    /// Its value where nobody gives one.
    pub(super) fn default(self) -> Value {
        match self {
            Self::Socket => Value::Path(plasmad_client::default_socket_path()),
            Self::Memory => Value::Memory(Size::Percent(30)),
            Self::WhenFull => Value::Word("spill"),
            Self::Populate => Value::Word("ahead"),
            Self::HugePages => Value::Word("auto"),
            Self::MaxObjects => Value::Count(1 << 20),
            Self::ReaderUid | Self::ReaderGid | Self::WriterUid | Self::WriterGid => Value::Ids(Vec::new()),
            // A private folder, which depends on the socket.
            Self::SpillDir => Value::Path(PathBuf::new()),
            Self::SpillMax => Value::Disk(Size::Percent(50)),
            Self::NoSpill => Value::Switch(false),
            Self::LogLevel => Value::Word("info"),
            Self::LogFormat => Value::Word("text"),
        }
    }

    /// The key of exactly this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// The key somebody meant who wrote this: at most a third of its letters are wrong.
    pub fn nearest(name: &str) -> Option<Self> {
        let written = name.to_lowercase().replace('_', "-");
        let distances = Self::ALL.into_iter().map(|key| (edits(&written, key.name()), key));
        let (distance, key) = distances.min_by_key(|(distance, _)| *distance)?;
        (distance <= key.name().len() / 3).then_some(key)
    }
}

/// How many letters have to be changed, added, removed, or swapped with their neighbour.
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    // rows[i][j]: edits from the first i letters to the first j.
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let changed = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                    let swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
                    let swapped = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                    changed.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
                }
            };
        }
    }
    rows[from.len()][to.len()]
}

/// What every variable starts with.
pub(super) const PREFIX: &str = "PLASMAD_";
/// As much as can be logged, the least first.
pub const LOG_LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
/// An index of this many slots takes 17 GiB when it is full.
pub const OBJECTS_MAX: u32 = 1 << 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_keys_and_defaults_are_of_the_right_kind() {
        for key in Key::ALL {
            assert_eq!(Key::named(key.name()), Some(key));
            assert!(key.kind().fits(&key.default()), "{key:?}");
        }
        assert_eq!(Key::WhenFull.variable(), "PLASMAD_WHEN_FULL");
    }

    #[test]
    fn a_typo_finds_the_key_that_was_meant() {
        let meant = [
            ("memroy", Key::Memory),
            ("memory-", Key::Memory),
            ("when_full", Key::WhenFull),
            ("Log-Level", Key::LogLevel),
            ("loglevel", Key::LogLevel),
            ("writer-uids", Key::WriterUid),
            ("reader-gdi", Key::ReaderGid),
            ("scoket", Key::Socket),
        ];
        for (written, key) in meant {
            assert_eq!(Key::nearest(written), Some(key), "{written}");
        }
        for strange in ["", "x", "frobnicate", "recover"] {
            assert_eq!(Key::nearest(strange), None, "{strange}");
        }
    }
}
