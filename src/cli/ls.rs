//! `plasmad ls`: what is in the store.

use clap::{Args, ValueEnum};
use plasmad_client::{ObjectInfo, Role};
use serde_json::json;

use super::failures::failure;
use super::object;
use super::output::Output;
use super::session::Session;
use super::time;
use crate::error::Failure;
use crate::size;

/// List objects
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Ls {
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = ["created", "sealed", "spilling", "spilled", "restoring"])]
    state: Option<String>,
    /// The oldest, largest or most pinned first
    #[arg(long, value_name = "BY", value_enum, default_value = "age")]
    sort: Order,
    /// How many at most; 0 is all
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    Age,
    Size,
    Pins,
}

impl Ls {
    pub(super) fn run(self, session: &Session, output: &Output) -> Result<(), Failure> {
        let store = session.connect("ls", Role::Reader)?;
        // All of them: the first by size are not the first by slot.
        let mut objects = store.list(None).map_err(failure)?.objects;
        if let Some(state) = &self.state {
            objects.retain(|it| object::state(it.state) == state);
        }
        match self.sort {
            Order::Age => objects.sort_by_key(|it| it.created_unix_ns),
            Order::Size => objects.sort_by_key(|it| std::cmp::Reverse(it.data_bytes)),
            Order::Pins => objects.sort_by_key(|it| std::cmp::Reverse(it.pins)),
        }
        let (total, bytes) = (objects.len(), objects.iter().map(|it| it.data_bytes).sum());
        if self.limit > 0 {
            objects.truncate(self.limit);
        }
        let truncated = objects.len() < total;
        let documents: Vec<_> = objects.iter().map(object::document).collect();
        let document = json!({ "objects": documents, "total": total, "truncated": truncated });
        output.answer(document, || table(&objects, total, bytes))
    }
}

fn table(objects: &[ObjectInfo], total: usize, bytes: u64) -> String {
    let now = time::now_unix_ns();
    let mut text = format!("{:<56}  {:<9} {:>10} {:>7} {:>5}\n", "ID", "STATE", "SIZE", "AGE", "PINS");
    for it in objects {
        let (state, size) = (object::state(it.state), size::display(it.data_bytes));
        let age = time::age(it.created_unix_ns, now);
        text += &format!("{}  {state:<9} {size:>10} {age:>7} {:>5}\n", it.id, it.pins);
    }
    let hidden = total - objects.len();
    let rest = if hidden > 0 { format!(", {hidden} not shown: see --limit") } else { String::new() };
    let noun = if total == 1 { "object" } else { "objects" };
    text + &format!("{total} {noun}, {}{rest}\n", size::display(bytes))
}

const EXAMPLES: &str = "\
Examples:
  plasmad ls --sort size --limit 20                        the largest
  plasmad ls --state created                               who forgot to seal?
  plasmad --json ls --limit 0 | jq '.objects[].id'         all of them, for a script";
