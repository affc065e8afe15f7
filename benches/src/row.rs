//! A measured row, and whether its bar is met.

use serde_json::{Value, json};

use crate::slice::Slice;
use crate::statistics::{median, percentile, ratio};

/// One measured thing.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    /// Operations in a round, on average.
    pub(crate) operations: u64,
    pub(crate) rounds: Vec<f64>,
    /// Of single operations or batches; for rates, how fast the slow ones were.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) reference: Option<Reference>,
    pub(crate) syscalls_per_op: Option<f64>,
    pub(crate) bar: Bar,
    pub(crate) notes: Vec<String>,
}

/// What a figure is in.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Unit {
    Nanoseconds,
    Microseconds,
    Seconds,
    /// Operations of so many bytes.
    GigabytesPerSecond(u64),
    PerSecond,
    /// A part of a whole.
    Share,
}

/// The machine's own limit.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<f64>,
}

/// What was promised; several promises must all be kept.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Bar {
    pub(crate) ratio_max: Option<f64>,
    pub(crate) ratio_min: Option<f64>,
    pub(crate) value_max: Option<f64>,
    pub(crate) syscalls_max: Option<f64>,
}

impl Bar {
    pub(crate) const fn ratio_max(max: f64) -> Self {
        Self { ratio_max: Some(max), ..Self::NONE }
    }

    pub(crate) const fn ratio_min(min: f64) -> Self {
        Self { ratio_min: Some(min), ..Self::NONE }
    }

    pub(crate) const fn value_max(max: f64) -> Self {
        Self { value_max: Some(max), ..Self::NONE }
    }

    /// And at most so many system calls an operation.
    pub(crate) const fn syscalls_max(self, max: f64) -> Self {
        Self { syscalls_max: Some(max), ..self }
    }

    const NONE: Self = Self { ratio_max: None, ratio_min: None, value_max: None, syscalls_max: None };
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "us",
            Self::Seconds => "s",
            Self::GigabytesPerSecond(_) => "GB/s",
            Self::PerSecond => "1/s",
            Self::Share => "1",
        }
    }

    /// What an operation of so many seconds is in this unit.
    pub(crate) fn value(self, seconds: f64) -> f64 {
        match self {
            Self::Nanoseconds => seconds * 1e9,
            Self::Microseconds => seconds * 1e6,
            Self::Seconds | Self::Share => seconds,
            Self::GigabytesPerSecond(bytes) => bytes as f64 / seconds / 1e9,
            Self::PerSecond => 1.0 / seconds,
        }
    }

    /// A figure for each round. What is a latency is told as the round's median operation: its mean would say how
    /// often the machine did something else. What is a rate is told as all bytes in all the time.
    pub(crate) fn values(self, slices: &[Slice]) -> Vec<f64> {
        let seconds = |slice: &Slice| match self {
            Self::Microseconds | Self::Seconds => median(&slice.samples),
            Self::Nanoseconds | Self::GigabytesPerSecond(_) | Self::PerSecond | Self::Share => slice.seconds_each(),
        };
        slices.iter().map(|slice| self.value(seconds(slice))).collect()
    }
}

impl Row {
    /// A slice is a round; the percentiles are over all samples of all rounds.
    pub(crate) fn new(name: &'static str, unit: Unit, rounds: &[Slice]) -> Self {
        let samples: Vec<f64> = rounds.iter().flat_map(|slice| slice.samples.iter().copied()).collect();
        let operations: u64 = rounds.iter().map(|slice| slice.operations).sum();
        let batch = operations / samples.len() as u64;
        let of = if batch > 1 { format!("p50 and p99 of batches of {batch}") } else { "p50 and p99 of each".into() };
        Self {
            name,
            unit,
            operations: operations / rounds.len() as u64,
            rounds: unit.values(rounds),
            p50: unit.value(percentile(&samples, 50.0)),
            p99: unit.value(percentile(&samples, 99.0)),
            reference: None,
            syscalls_per_op: None,
            bar: Bar::NONE,
            notes: vec![of],
        }
    }

    pub(crate) fn reference(mut self, name: &'static str, rounds: &[Slice]) -> Self {
        self.reference = Some(Reference { name, rounds: self.unit.values(rounds) });
        self
    }

    pub(crate) fn bar(mut self, bar: Bar) -> Self {
        self.bar = bar;
        self
    }

    pub(crate) fn syscalls(mut self, per_op: f64) -> Self {
        self.syscalls_per_op = Some(per_op);
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub(crate) fn median(&self) -> f64 {
        median(&self.rounds)
    }

    pub(crate) fn ratio(&self) -> Option<f64> {
        self.reference.as_ref().map(|reference| ratio(&self.rounds, &reference.rounds))
    }

    /// `None` without a bar. A bar on something that wasn't measured is missed.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let Bar { ratio_max, ratio_min, value_max, syscalls_max } = self.bar;
        let holds = |bar: Option<f64>, found: Option<f64>, keeps: fn(f64, f64) -> bool| {
            bar.map(|bar| found.is_some_and(|found| keeps(found, bar)))
        };
        let (at_most, at_least): (fn(_, _) -> _, fn(_, _) -> _) = (|a: f64, b: f64| a <= b, |a: f64, b: f64| a >= b);
        let judged = [
            holds(ratio_max, self.ratio(), at_most),
            holds(ratio_min, self.ratio(), at_least),
            holds(value_max, Some(self.median()), at_most),
            holds(syscalls_max, self.syscalls_per_op, at_most),
        ];
        judged.into_iter().flatten().reduce(|a, b| a && b)
    }

    pub(crate) fn document(&self) -> Value {
        let reference = self
            .reference
            .as_ref()
            .map(|it| json!({ "name": it.name, "rounds": it.rounds, "median": median(&it.rounds) }));
        let bars = [
            ("ratio_max", self.bar.ratio_max),
            ("ratio_min", self.bar.ratio_min),
            ("value_max", self.bar.value_max),
            ("syscalls_max", self.bar.syscalls_max),
        ];
        let bars = bars.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
        let bar: serde_json::Map<String, Value> = bars.collect();
        json!({
            "name": self.name,
            "unit": self.unit.name(),
            "ops": self.operations,
            "rounds": self.rounds,
            "median": self.median(),
            "p50": self.p50,
            "p99": self.p99,
            "reference": reference,
            "ratio": self.ratio(),
            "syscalls_per_op": self.syscalls_per_op,
            "bar": (!bar.is_empty()).then_some(bar),
            "met": self.is_met(),
            "note": (!self.notes.is_empty()).then(|| self.notes.join("; ")),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rounds of one operation each, in seconds.
    pub(crate) fn slices(seconds: &[f64]) -> Vec<Slice> {
        seconds.iter().map(|&seconds| Slice { operations: 1, seconds, samples: vec![seconds] }).collect()
    }

    fn row(bar: Bar) -> Row {
        let row = Row::new("canary", Unit::Seconds, &slices(&[2.0, 3.0, 4.0]));
        row.reference("the machine", &slices(&[1.0, 1.5, 2.0])).syscalls(0.5).bar(bar)
    }

    #[test]
    fn a_bar_is_met_up_to_its_value_and_missed_beyond() {
        let met = |bar| row(bar).is_met();
        assert_eq!(met(Bar::default()), None);
        assert_eq!([met(Bar::ratio_max(2.0)), met(Bar::ratio_max(1.99))], [Some(true), Some(false)]);
        assert_eq!([met(Bar::ratio_min(2.0)), met(Bar::ratio_min(2.01))], [Some(true), Some(false)]);
        assert_eq!([met(Bar::value_max(3.0)), met(Bar::value_max(2.99))], [Some(true), Some(false)]);
        let both = |syscalls| met(Bar::ratio_max(2.0).syscalls_max(syscalls));
        assert_eq!([both(0.5), both(0.49)], [Some(true), Some(false)]);
    }

    #[test]
    fn a_bar_on_something_not_measured_is_missed() {
        let row = Row::new("canary", Unit::Seconds, &slices(&[1.0]));
        assert_eq!(row.clone().bar(Bar::ratio_max(9.0)).is_met(), Some(false));
        assert_eq!(row.bar(Bar::value_max(9.0).syscalls_max(9.0)).is_met(), Some(false));
    }

    #[test]
    fn the_document_has_all_fields_even_when_they_are_empty() {
        let document = row(Bar::ratio_max(1.2)).note("so").document();
        assert_eq!(document["bar"], json!({ "ratio_max": 1.2 }));
        assert_eq!(document["reference"], json!({ "name": "the machine", "rounds": [1.0, 1.5, 2.0], "median": 1.5 }));
        assert_eq!(document["met"], json!(false));
        assert_eq!((&document["median"], &document["ratio"]), (&json!(3.0), &json!(2.0)));
        let bare = Row::new("canary", Unit::Seconds, &slices(&[1.0])).document();
        for field in ["reference", "ratio", "syscalls_per_op", "bar", "met"] {
            assert_eq!(bare.get(field), Some(&Value::Null), "{field}");
        }
    }

    #[test]
    fn a_latency_is_the_median_of_its_round_and_a_rate_the_whole_of_it() {
        let mut slice = Slice::default();
        [1.0, 1.0, 10.0].into_iter().for_each(|seconds| slice.add(1, seconds));
        assert_eq!(Unit::Seconds.values(&[slice.clone()]), [1.0]);
        assert_eq!(Unit::PerSecond.values(&[slice]), [0.25]);
    }

    #[test]
    fn a_rate_counts_the_slow_operations_in_its_p99() {
        let mut slice = Slice::default();
        (0..100).for_each(|at| slice.add(1, if at < 98 { 1.0 } else { 4.0 }));
        let row = Row::new("canary", Unit::GigabytesPerSecond(8_000_000_000), &[slice]);
        assert_eq!((row.p50, row.p99), (8.0, 2.0));
    }
}
