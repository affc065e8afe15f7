//! Commands and answers, a JSON document a line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What this process is told.
#[derive(Deserialize, Serialize, Debug)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Command {
    /// Start a store.
    Start { directory: String, memory_bytes: u64, spills: bool },
    /// Measure a row.
    Measure { row: Row },
    /// Connect to a store that is there.
    Connect { address: String },
    /// Wait for an object.
    Expect { key: u64 },
    /// Have the bytes ready that will be put.
    ReadyToPut { size: usize, piece: usize },
    /// Put them at this time.
    PutAt { nanoseconds: u64 },
    /// Compare what was put, perhaps, and delete it.
    Settle { verify: bool },
}

/// A row, as `rows.py` describes it.
#[derive(Deserialize, Serialize, Clone, Debug)]
pub(crate) struct Row {
    pub(crate) verb: String,
    pub(crate) bytes: usize,
    pub(crate) calls: usize,
    pub(crate) cold: bool,
    pub(crate) processes: usize,
    pub(crate) objects: usize,
    pub(crate) objects_before: usize,
    pub(crate) lengths: Vec<usize>,
    pub(crate) order: Vec<usize>,
}

/// What it answers.
#[derive(Deserialize, Serialize, Debug)]
#[serde(untagged)]
pub(crate) enum Answer {
    Version {
        version: String,
    },
    Nanoseconds {
        nanoseconds: Vec<f64>,
    },
    /// Several ways to do the same, of which the best counts.
    Ways {
        ways: BTreeMap<String, Vec<f64>>,
    },
    Connected {
        connected: bool,
    },
    Waiting {
        waiting: u64,
    },
    Arrived {
        at: u64,
        crc: u64,
    },
    Ready {
        ready: bool,
    },
    Done {
        done: u64,
    },
    Settled {
        settled: bool,
    },
    Unsupported {
        unsupported: String,
    },
    Failed {
        failed: String,
    },
    Wrong {
        wrong: String,
    },
}

/// Why a command has no good answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It can't be done.
    Unsupported(String),
    /// It should have worked.
    Failed(String),
    /// Other bytes came back than were put.
    Wrong(String),
}

impl Failure {
    pub(crate) fn answer(self) -> Answer {
        match self {
            Self::Unsupported(unsupported) => Answer::Unsupported { unsupported },
            Self::Failed(failed) => Answer::Failed { failed },
            Self::Wrong(wrong) => Answer::Wrong { wrong },
        }
    }
}

impl From<plasmad_client::Error> for Failure {
    fn from(error: plasmad_client::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
