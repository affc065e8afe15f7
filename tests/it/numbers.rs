//! The daemon's own numbers, and a summary of ours.

use plasmad_client::Store;
use serde_json::Value;

use crate::support::until::until;

/// The stats document.
pub(crate) fn stats(store: &Store) -> Value {
    serde_json::from_str(&store.stats_json().expect("stats")).expect("stats are JSON")
}

/// A number of the stats document, such as `clients/gets_waiting`.
pub(crate) fn number(store: &Store, name: &str) -> u64 {
    let stats = stats(store);
    let number = stats.pointer(&format!("/{name}")).and_then(Value::as_u64);
    number.unwrap_or_else(|| panic!("no number {name} in {stats}"))
}

/// Waits until the stats have these numbers.
pub(crate) fn until_numbers(store: &Store, wanted: &[(&str, u64)]) {
    let what = format!("{wanted:?}");
    until(&what, || wanted.iter().all(|(name, wanted)| number(store, name) == *wanted).then_some(()));
}

/// The middle one, and the last.
pub(crate) fn median_and_max(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() - 1])
}
