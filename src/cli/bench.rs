//! `plasmad bench`: the store's own figures beside the machine's limits.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use plasmad_bench::{Error, Settings, Watcher};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::failures;
use super::output::Output;
use crate::error::{Exit, Failure};
use crate::size;

/// Measure this machine: the store beside the machine's own limits
///
/// Starts daemons of its own, unless --socket names one.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Bench {
    /// Only these rows
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    rows: Vec<String>,
    /// How often a row and its reference take turns
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// End with status 1 if a bar is missed
    #[arg(long)]
    check: bool,
    /// How much memory a row may take, daemon and reference together; rows that need more are left out
    #[arg(long, value_name = "SIZE", default_value = "6GiB", value_parser = size::parse)]
    memory: u64,
    /// Write the JSON document to this file as well
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Bench {
    pub(super) fn run(self, socket: Option<PathBuf>, output: &Output) -> Result<(), Failure> {
        let settings = Settings {
            program: "/proc/self/exe".into(),
            socket,
            rows: self.rows,
            rounds: self.rounds.into(),
            memory_bytes: self.memory,
        };
        let mut progress = Progress {
            shown: std::io::stderr().is_terminal() && !output.quiet,
            stop: stop_on_signals().map_err(|error| Failure::file("signals", error))?,
        };
        let run = plasmad_bench::run(&settings, &mut progress);
        progress.clear();
        let report = run.map_err(failure)?;
        let document = report.document();
        if let Some(path) = &self.output {
            let text = format!("{document:#}\n");
            std::fs::write(path, text).map_err(|error| Failure::file(path.display(), error))?;
        }
        output.answer(document, || report.table())?;
        let missed = report.missed();
        if !self.check || missed.is_empty() {
            return Ok(());
        }
        let bars = if missed.len() == 1 { "bar is" } else { "bars are" };
        let what = format!("{} {bars} missed: {}", missed.len(), missed.join(", "));
        output.remark(&what);
        Err(Failure::new(Exit::No, "BarMissed", what))
    }
}

/// The hidden command of the bench's helper processes.
#[derive(Debug, Args)]
pub(super) struct BenchHelper {
    arguments: Vec<String>,
}

impl BenchHelper {
    pub(super) fn run(self) -> Result<(), Failure> {
        plasmad_bench::helper::run(&self.arguments).map_err(failure)
    }
}

/// A line on a terminal that is written over.
struct Progress {
    shown: bool,
    stop: Arc<AtomicBool>,
}

impl Progress {
    fn clear(&self) {
        self.show("");
    }

    fn show(&self, text: &str) {
        if self.shown {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
        }
    }
}

impl Watcher for Progress {
    fn round(&mut self, row: &str, round: usize, rounds: usize) {
        self.show(&format!("{row}: round {} of {rounds}", round + 1));
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The first one ends the run in an orderly way; the second ends the process, and all it started notice that.
fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

fn failure(error: Error) -> Failure {
    let message = error.to_string();
    match error {
        Error::UnknownRow { .. } => Failure::usage(message),
        Error::Impossible { .. } => Failure::usage(message).hint("leave it out with --rows"),
        Error::Interrupted => Failure::new(Exit::Interrupted, "Interrupted", message),
        Error::Store(error) => failures::failure(error),
        Error::Daemon(_) => Failure::new(Exit::Usage, "DaemonFailed", message).hint("it may have said why above"),
        Error::System { what, error } => Failure::file(what, error),
        Error::Helper(_) => Failure::new(Exit::Bug, "Internal", message),
    }
}

const EXAMPLES: &str = "\
Examples:
  plasmad bench                                    all rows, some ten minutes
  plasmad bench --rows get_hot,put_100m --check    these two; status 1 if a bar is missed
  plasmad bench --json -o bench.json               every round, for a program to read";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_a_run_fails_has_its_status() {
        let exit = |error| failure(error).exit;
        assert_eq!(exit(Error::UnknownRow { name: "x".into(), known: vec!["get_hot"] }), Exit::Usage);
        assert_eq!(exit(Error::Interrupted), Exit::Interrupted);
        assert_eq!(exit(Error::Daemon("no".into())), Exit::Usage);
        assert_eq!(exit(Error::Helper("no".into())), Exit::Bug);
    }
}
