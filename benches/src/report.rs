//! A row, as it is printed and as it is written.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::rounds::{median, ratio};

/// One measured thing.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Operations in a round.
    pub(crate) operations: u32,
    pub(crate) rounds: Vec<f64>,
    pub(crate) reference: Option<Reference>,
    pub(crate) bar: Option<Bar>,
    pub(crate) note: String,
}

/// The machine's own limit.
pub(crate) struct Reference {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<f64>,
}

/// What was promised.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    RatioMax(f64),
    RatioMin(f64),
    ValueMax(f64),
    ValueMin(f64),
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.reference.as_ref().map(|reference| ratio(&self.rounds, &reference.rounds))
    }

    fn is_met(&self) -> Option<bool> {
        let value = median(&self.rounds);
        Some(match self.bar? {
            Bar::RatioMax(max) => self.ratio()? <= max,
            Bar::RatioMin(min) => self.ratio()? >= min,
            Bar::ValueMax(max) => value <= max,
            Bar::ValueMin(min) => value >= min,
        })
    }

    fn json(&self) -> Value {
        let reference = self
            .reference
            .as_ref()
            .map(|it| json!({ "name": it.name, "rounds": it.rounds, "median": median(&it.rounds) }));
        let bar = self.bar.map(|bar| match bar {
            Bar::RatioMax(value) => json!({ "ratio_max": value }),
            Bar::RatioMin(value) => json!({ "ratio_min": value }),
            Bar::ValueMax(value) => json!({ "value_max": value }),
            Bar::ValueMin(value) => json!({ "value_min": value }),
        });
        json!({
            "name": self.name, "unit": self.unit, "ops": self.operations, "rounds": self.rounds,
            "median": median(&self.rounds), "reference": reference, "ratio": self.ratio(), "bar": bar,
            "met": self.is_met(), "note": self.note,
        })
    }
}

/// A line for each row.
pub(crate) fn print(rows: &[Row]) {
    for row in rows {
        let value = format!("{:.3} {}", median(&row.rounds), row.unit);
        let beside = row.reference.as_ref().map_or_else(String::new, |reference| {
            let ratio = row.ratio().unwrap_or_default();
            format!("{} {:.3} {}, ratio {ratio:.3}", reference.name, median(&reference.rounds), row.unit)
        });
        let bar = row.bar.map_or_else(String::new, |bar| match bar {
            Bar::RatioMax(value) => format!("ratio <= {value}"),
            Bar::RatioMin(value) => format!("ratio >= {value}"),
            Bar::ValueMax(value) => format!("<= {value}"),
            Bar::ValueMin(value) => format!(">= {value}"),
        });
        let met = match row.is_met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        println!("{:<22} {value:>14}  {beside:<52} {bar:<14} {met:<6} {}", row.name, row.note);
    }
}

/// Everything, with the machine it was measured on.
pub(crate) fn write(rows: &[Row], path: &Path) {
    let rows: Vec<Value> = rows.iter().map(Row::json).collect();
    let document = json!({ "schema": 1, "version": env!("CARGO_PKG_VERSION"), "machine": machine(), "rows": rows });
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, serde_json::to_vec_pretty(&document).expect("numbers and text")));
    written.unwrap_or_else(|error| panic!("{} can't be written: {error}", path.display()));
    println!("written: {}", path.display());
}

fn machine() -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "cpu": cpu.trim_start_matches(['\t', ' ', ':']),
        "cores": std::thread::available_parallelism().map_or(0, |cores| cores.get()),
        "kernel": kernel.trim(),
        "page_bytes": 4096,
    })
}
