//! Sizes as people write and read them: `4096`, `64KiB`, `2GiB`; powers of 1024.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A size given on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Size {
    /// So many bytes.
    Bytes(u64),
    /// So many percent of what there is: for `--memory` of what this cgroup may use, for `--spill-max` of what is free.
    Percent(u8),
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(percent) = text.strip_suffix('%') {
            return match percent.trim().parse() {
                Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
                _ => Err(format!("{text:?} is no percentage from 1% to 100%")),
            };
        }
        parse(text).map(Self::Bytes)
    }
}

/// Reads a size in bytes.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
        return Err(format!("{text:?} is no size: write bytes, or a number with KiB, MiB, GiB or TiB"));
    };
    let too_large = || format!("{text:?} is larger than any machine's memory");
    if let Ok(number) = number.parse::<u64>() {
        return number.checked_mul(*factor).ok_or_else(too_large);
    }
    match number.parse::<f64>() {
        Ok(number) if number * (*factor as f64) < u64::MAX as f64 => Ok((number * (*factor as f64)) as u64),
        Ok(_) => Err(too_large()),
        Err(_) => Err(format!("{text:?} is no size: {number:?} is no number")),
    }
}

/// Prints a size: `4.0 GiB`, `512 B`.
pub fn display(bytes: u64) -> String {
    match UNITS.iter().skip(2).rev().find(|(_, factor)| bytes >= *factor) {
        Some((name, factor)) => format!("{:.1} {name}", bytes as f64 / *factor as f64),
        None => format!("{bytes} B"),
    }
}

/// Larger ones later; the first two are for reading only.
const UNITS: [(&str, u64); 6] =
    [("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!("4096".parse(), Ok(Size::Bytes(4096)));
        assert_eq!("64KiB".parse(), Ok(Size::Bytes(65_536)));
        assert_eq!("2 gib".parse(), Ok(Size::Bytes(2 << 30)));
        assert_eq!("1.5MiB".parse(), Ok(Size::Bytes(1_572_864)));
        assert_eq!("30%".parse(), Ok(Size::Percent(30)));
    }

    #[test]
    fn what_is_no_size_says_so() {
        for text in ["", "GiB", "12 GB", "1e400", "99999999999TiB", "0%", "101%", "-1", "1.2.3MiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_printed_in_the_largest_unit() {
        assert_eq!(display(4 << 30), "4.0 GiB");
        assert_eq!(display(1536), "1.5 KiB");
        assert_eq!(display(512), "512 B");
    }
}
