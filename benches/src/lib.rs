//! The store's own figures beside the machine's own limits, each pair measured in turns within the same round.
//!
//! A ratio is the median of the rounds' ratios: what else the machine does in a round slows both halves of it alike.
//! `plasmad bench` runs this; helper processes are the same program under a hidden command, see [`helper`].
//!
//! | module | what is in it |
//! |---|---|
//! | `rows` | one file per group of rows that share their preparation |
//! | `bench` | what every row needs: rounds, a daemon, helper processes |
//! | `daemon`, [`helper`] | the processes that are started, and ended with their value |
//! | `placement` | which processor a process runs on |
//! | `syscalls` | system calls of an operation, counted exactly |
//! | `slice`, `statistics` | from clock readings to figures |
//! | `row` | a measured row, and whether its bar is met |
//! | `report`, `machine` | the document and the table |
//! | `limits` | what the machine can do without a store: round trips, copies |
//! | `disk` | what its disk can do without a store |
//! | `random` | numbers that are the same in every run |

#![forbid(unsafe_code)]

mod bench;
mod daemon;
mod disk;
mod error;
pub mod helper;
mod limits;
mod machine;
mod placement;
mod random;
mod report;
mod row;
mod rows;
mod slice;
mod statistics;
mod syscalls;

use std::path::PathBuf;

use bench::Bench;
pub use error::{Error, Result};
pub use report::Report;
use rows::{CANARY, GROUPS};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `plasmad` program, for daemons and helpers.
    pub program: PathBuf,
    /// A daemon that is there already; else each group of rows starts its own.
    pub socket: Option<PathBuf>,
    /// The rows' names; empty for all.
    pub rows: Vec<String>,
    /// How often a row and its reference take turns.
    pub rounds: usize,
    /// How much memory a row may take, daemon and reference together.
    pub memory_bytes: u64,
}

/// Who watches a run.
pub trait Watcher {
    /// A round of a row begins.
    fn round(&mut self, row: &str, round: usize, rounds: usize);

    /// Asked before every round; true ends the run with [`Error::Interrupted`].
    fn stop(&self) -> bool;
}

/// Measures.
///
/// # Errors
/// A row nobody knows; a row asked for by name that can't be measured here; a daemon that doesn't start.
pub fn run(settings: &Settings, watcher: &mut dyn Watcher) -> Result<Report> {
    check_names(&settings.rows)?;
    let mut report = Report::new();
    let is_wanted = |name: &str| settings.rows.is_empty() || settings.rows.iter().any(|wanted| wanted == name);
    for group in GROUPS.iter().chain(canary(&settings.rows)) {
        let wanted: Vec<&str> = group.rows.iter().copied().filter(|name| is_wanted(name)).collect();
        if wanted.is_empty() {
            continue;
        }
        if let Some(reason) = group.obstacle(settings) {
            if !settings.rows.is_empty() {
                return Err(Error::Impossible { row: wanted[0].to_owned(), reason });
            }
            report.leave_out(&wanted, &reason);
            continue;
        }
        let mut bench = Bench::new(settings, watcher);
        match (group.measure)(&mut bench, &wanted) {
            Ok(rows) => report.rows.extend(rows),
            Err(Error::Impossible { reason, .. }) if settings.rows.is_empty() => report.leave_out(&wanted, &reason),
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

/// The names of all rows, in the order they are measured.
pub fn row_names() -> Vec<&'static str> {
    GROUPS.iter().flat_map(|group| group.rows.iter().copied()).collect()
}

/// Only for those who ask for it.
fn canary(wanted: &[String]) -> Option<&'static rows::Group> {
    wanted.iter().any(|name| CANARY.rows.contains(&name.as_str())).then_some(&CANARY)
}

fn check_names(wanted: &[String]) -> Result<()> {
    let known = row_names();
    let is_known = |name: &str| known.contains(&name) || CANARY.rows.contains(&name);
    match wanted.iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => Err(Error::UnknownRow { name: name.clone(), known }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_row_is_refused_with_the_known_ones() {
        let error = check_names(&["get_hot".to_owned(), "get_cold".to_owned()]).unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.contains("get_cold") && sentence.contains("get_hot, get_random"), "{sentence}");
    }

    #[test]
    fn every_row_has_one_name_of_its_own() {
        let mut names = row_names();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
