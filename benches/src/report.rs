//! What a run found: as a document, and as a table.

use serde_json::{Value, json};

use crate::machine;
use crate::row::{Bar, Row};
use crate::statistics::median;

/// All measured rows.
#[derive(Debug)]
pub struct Report {
    pub(crate) rows: Vec<Row>,
    left_out: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new(), left_out: Vec::new() }
    }

    pub(crate) fn leave_out(&mut self, rows: &[&str], reason: &str) {
        self.left_out.extend(rows.iter().map(|row| ((*row).to_owned(), reason.to_owned())));
    }

    /// Rows that can't be measured here, each with the reason.
    pub fn left_out(&self) -> &[(String, String)] {
        &self.left_out
    }

    /// The rows whose bar is missed.
    pub fn missed(&self) -> Vec<&str> {
        self.rows.iter().filter(|row| row.is_met() == Some(false)).map(|row| row.name).collect()
    }

    /// The JSON document.
    pub fn document(&self) -> Value {
        let left_out = self.left_out.iter().map(|(name, why)| json!({ "name": name, "why": why }));
        json!({
            "schema": 1,
            "version": env!("CARGO_PKG_VERSION"),
            "machine": machine::document(),
            "rows": self.rows.iter().map(Row::document).collect::<Vec<_>>(),
            "left_out": left_out.collect::<Vec<_>>(),
        })
    }

    /// For people: a line for each row, and its notes below.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<19} {:>14} {:>7} {:>14}  {:<25} {:>9} {:<16}\n",
            "ROW", "MEDIAN", "RATIO", "REFERENCE", "", "SYSCALLS", "BAR"
        );
        for row in &self.rows {
            text += &line(row);
        }
        for (name, why) in &self.left_out {
            text += &format!("{name:<19} left out: {why}\n");
        }
        text
    }
}

fn line(row: &Row) -> String {
    let value = |value: f64| format!("{} {}", significant(value), row.unit.name());
    let reference = row.reference.as_ref();
    let beside = reference.map_or_else(String::new, |reference| value(median(&reference.rounds)));
    let ratio = row.ratio().map_or_else(String::new, |ratio| format!("{ratio:.3}"));
    let syscalls = row.syscalls_per_op.map_or_else(String::new, |count| format!("{count:.3}"));
    let met = row.is_met().map_or("", |met| if met { "met" } else { "MISSED" });
    let line = format!(
        "{:<19} {:>14} {ratio:>7} {beside:>14}  {:<25} {syscalls:>9} {:<16} {met}",
        row.name,
        value(row.median()),
        reference.map_or("", |reference| reference.name),
        bar(&row.bar),
    );
    let percentiles = format!("p50 {}, p99 {}", significant(row.p50), significant(row.p99));
    format!("{}\n{:<19} {percentiles}, {} ops a round; {}\n", line.trim_end(), "", row.operations, row.notes.join("; "))
}

fn bar(bar: &Bar) -> String {
    let parts = [
        (bar.ratio_max, "ratio <= "),
        (bar.ratio_min, "ratio >= "),
        (bar.value_max, "<= "),
        (bar.syscalls_max, "calls <= "),
    ];
    let parts = parts.into_iter().filter_map(|(value, name)| Some(format!("{name}{}", value?)));
    parts.collect::<Vec<_>>().join(", ")
}

/// Four digits: nobody measures more.
fn significant(value: f64) -> String {
    let before_the_point = if value == 0.0 { 1 } else { value.abs().log10().floor() as i32 + 1 };
    let digits = (4 - before_the_point).max(0) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::slices;
    use crate::row::{Bar, Unit};

    fn report() -> Report {
        let mut report = Report::new();
        let row = |name, bar| Row::new(name, Unit::Seconds, &slices(&[0.5])).bar(bar);
        report.rows.push(row("good", Bar::value_max(0.5)));
        report.rows.push(row("canary", Bar::value_max(0.4)));
        report.rows.push(row("free", Bar::default()));
        report.leave_out(&["large"], "too large");
        report
    }

    #[test]
    fn figures_have_four_digits_whatever_their_size() {
        let texts = [0.0, 0.000_123_45, 0.5, 1.23456, 99.999, 12345.6].map(significant);
        assert_eq!(texts, ["0.000", "0.0001234", "0.5000", "1.235", "100.00", "12346"]);
    }

    #[test]
    fn a_missed_bar_is_told_by_name() {
        assert_eq!(report().missed(), ["canary"]);
    }

    #[test]
    fn the_document_has_the_machine_and_every_row() {
        let document = report().document();
        assert_eq!(document["schema"], 1);
        for field in ["cpu", "cores", "kernel", "page_bytes"] {
            assert!(!document["machine"][field].is_null(), "{field}");
        }
        let names: Vec<_> = document["rows"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
        assert_eq!(names, ["good", "canary", "free"]);
        assert_eq!(document["left_out"][0]["name"], "large");
    }

    #[test]
    fn the_table_says_what_was_missed_and_left_out() {
        let table = report().table();
        assert!(table.lines().any(|line| line.starts_with("canary") && line.ends_with("<= 0.4           MISSED")));
        assert!(table.lines().any(|line| line.starts_with("good") && line.ends_with(" met")));
        assert!(table.contains("left out: too large"));
    }
}
