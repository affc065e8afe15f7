//! `plasmad stats`: the store's numbers.

use std::time::Duration;

use clap::Args;
use plasmad_client::{Role, Store};
use serde_json::Value;

use super::failures::failure;
use super::output::Output;
use super::session::Session;
use crate::error::{Exit, Failure};
use crate::size;

/// Show the store's numbers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Stats {
    /// Again and again, every so many seconds
    #[arg(long, value_name = "SECONDS")]
    watch: Option<f64>,
}

impl Stats {
    pub(super) fn run(self, session: &Session, output: &Output) -> Result<(), Failure> {
        let store = session.connect("stats", Role::Reader)?;
        let Some(seconds) = self.watch else { return show(&store, output) };
        let pause = Duration::try_from_secs_f64(seconds).ok().filter(|pause| !pause.is_zero());
        let pause =
            pause.ok_or_else(|| Failure::usage(format!("--watch {seconds} is no time: write seconds above 0")))?;
        loop {
            show(&store, output)?;
            session.pause(pause)?;
        }
    }
}

fn show(store: &Store, output: &Output) -> Result<(), Failure> {
    let json = store.stats_json().map_err(failure)?;
    let document: Value = serde_json::from_str(&json)
        .map_err(|error| Failure::new(Exit::Bug, "Internal", format!("the stats can't be read: {error}")))?;
    let text = || text(&document);
    output.answer(document.clone(), text)
}

fn text(stats: &Value) -> String {
    let number = |path: &str| stats.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let bytes = |path: &str| size::display(number(path));
    let uptime = stats["uptime_seconds"].as_f64().unwrap_or(0.0);
    let lines = [
        ("store", format!("plasmad {} at {}", text_of(&stats["version"]), text_of(&stats["socket"]))),
        ("processes", format!("keeper {}, engine {}, up {uptime:.0} s", number("/pid"), number("/engine_pid"))),
        ("memory", format!("{} of {} used", bytes("/memory/used_bytes"), bytes("/memory/capacity_bytes"))),
        ("", format!("{} free, largest hole {}", bytes("/memory/free_bytes"), bytes("/memory/largest_hole_bytes"))),
        ("", format!("{} pinned, {} evictable", bytes("/memory/pinned_bytes"), bytes("/memory/evictable_bytes"))),
        ("", format!("{} present", bytes("/memory/populated_bytes"))),
        ("objects", format!("{} sealed, {} being written", number("/objects/sealed"), number("/objects/created"))),
        ("disk", disk(&stats["spill"])),
        (
            "clients",
            format!("{} connected, {} of them readers", number("/clients/connected"), number("/clients/readers")),
        ),
        (
            "waiting",
            format!("{} gets, {} creates", number("/clients/gets_waiting"), number("/clients/creates_waiting")),
        ),
        (
            "so far",
            format!(
                "{} creates, {} gets, {} deletes, {} evictions",
                number("/totals/creates"),
                number("/totals/gets_socket") + number("/totals/gets_shared"),
                number("/totals/deletes"),
                number("/totals/evictions")
            ),
        ),
    ];
    lines.into_iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}

fn disk(spill: &Value) -> String {
    let Some(directory) = spill["directory"].as_str() else { return "nothing is spilled".to_owned() };
    let bytes = |field: &str| size::display(spill[field].as_u64().unwrap_or(0));
    let (live, dead, most) = (bytes("live_bytes"), bytes("dead_bytes"), bytes("max_bytes"));
    format!("{live} on disk and {dead} to be cleared, of {most}, in {directory}")
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

const EXAMPLES: &str = "\
Examples:
  plasmad stats --watch 2                              again every two seconds
  plasmad --json stats | jq .memory.free_bytes";
