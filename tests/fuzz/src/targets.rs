//! Everything that is fuzzed, by name.

use std::sync::LazyLock;

use plasmad_wire::{Request, Response};

use crate::{Outcome, messages, planted, size, store, stream, values};

/// What is fuzzed: it panics when something doesn't hold.
pub type Target = fn(&[u8]) -> Outcome;

/// The decoders, and the core.
pub const TARGETS: &[(&str, Target)] = &[
    ("frame", messages::frame),
    ("request", |input| messages::request(input, Request::decode)),
    ("response", |input| messages::response(input, Response::decode)),
    ("hello", messages::hello),
    ("value", values::any),
    ("stream", stream::incoming),
    ("size", size::size),
    ("store", store::events),
];

/// Decoders with a mistake in them; the fuzzers must find each.
pub const PLANTED: &[(&str, Target)] = &[
    ("cuts-a-label", |input| messages::request(input, planted::cuts_a_label)),
    ("accepts-bytes-left-over", |input| messages::request(input, planted::accepts_bytes_left_over)),
    ("believes-a-count", |input| messages::request(input, planted::believes_a_count)),
    ("reads-two-as-true", |input| messages::response(input, planted::reads_two_as_true)),
];

/// Runs the planted mistake that `PLANTED` names: so one program does for all of them.
pub fn planted(input: &[u8]) -> Outcome {
    static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
        let name = std::env::var("PLANTED").unwrap_or_else(|_| "believes-a-count".to_owned());
        let found = PLANTED.iter().find(|(other, _)| *other == name);
        found.unwrap_or_else(|| panic!("no mistake is called {name}")).1
    });
    CHOSEN(input)
}

/// Runs one, by name.
///
/// # Panics
/// When something doesn't hold, or nothing has this name.
pub fn run(name: &str, input: &[u8]) {
    let planted: (&str, Target) = ("planted", planted);
    let found = TARGETS.iter().chain(PLANTED).chain([&planted]).find(|(other, _)| *other == name);
    let (_, target) = found.unwrap_or_else(|| panic!("nothing is called {name}"));
    target(input);
}

/// A program of libFuzzer's for a target: half the changes are libFuzzer's own, half know of lengths.
#[macro_export]
macro_rules! program {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(|input: &[u8]| {
            $crate::targets::run($name, input);
        });

        libfuzzer_sys::fuzz_mutator!(|input: &mut [u8], bytes: usize, bytes_max: usize, seed: u32| {
            if seed.is_multiple_of(2) {
                $crate::mutation::change_in_place(input, bytes, bytes_max, seed.into())
            } else {
                libfuzzer_sys::fuzzer_mutate(input, bytes, bytes_max)
            }
        });
    };
}
