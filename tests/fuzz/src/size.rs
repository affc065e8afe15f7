//! Sizes on the command line are read as they are written.

use self::sizes::{Size, display, parse};
use crate::{Outcome, outcome};

#[allow(dead_code, missing_docs)]
#[path = "../../../src/size.rs"]
mod sizes;

/// Any text; and the number its first 8 bytes make, as it would be written.
pub fn size(input: &[u8]) -> Outcome {
    if let Some(number) = input.first_chunk() {
        written(u64::from_le_bytes(*number));
    }
    let Ok(text) = std::str::from_utf8(input) else { return 0 };
    match text.parse::<Size>() {
        Ok(Size::Bytes(bytes)) => {
            assert_eq!(parse(text), Ok(bytes), "{text:?}");
            assert_eq!(parse(&format!(" {} ", text.to_ascii_lowercase())), Ok(bytes), "{text:?} in lower case");
            assert_eq!(parse(&bytes.to_string()), Ok(bytes), "{text:?} in bytes");
            outcome((text.len(), bytes.checked_ilog2()))
        }
        Ok(Size::Percent(percent)) => {
            assert!((1..=100).contains(&percent) && text.ends_with('%'), "{text:?} is {percent} %");
            outcome("percent")
        }
        Err(sentence) => {
            let names = [text, text.trim()].iter().any(|text| sentence.contains(&format!("{text:?}")));
            assert!(names, "{sentence} doesn't say what is wrong");
            outcome(sentence.split_once(" is ").map(|(_, what)| what.get(..10).map(str::to_owned)))
        }
    }
}

fn written(number: u64) {
    assert_eq!(parse(&number.to_string()), Ok(number));
    for (power, unit) in ["B", "KiB", "MiB", "GiB", "TiB"].iter().enumerate() {
        let expected = number.checked_mul(1 << (10 * power));
        assert_eq!(parse(&format!("{number} {unit}")).ok(), expected, "{number} {unit}");
    }
    // Printed with one digit behind the point: off by less than a twentieth of the unit, which is 2^40 at most.
    let printed = display(number >> 1);
    let unit = 1u64 << (10 * ((number >> 1).max(1).ilog2() / 10).min(4));
    let read = parse(&printed).unwrap_or_else(|sentence| panic!("{sentence}"));
    assert!(read.abs_diff(number >> 1) <= unit / 19 + (number >> 50), "{number} is printed as {printed}");
}
