//! Values of the configuration: read from text and from TOML, printed as TOML.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::size::{self, Size};

/// What the values of a key look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A path.
    Path,
    /// A size in bytes, or a share of the machine's memory.
    Memory,
    /// A size in bytes, or a share of what is free on a disk.
    Disk,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number between these.
    Count {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// Numbers of users or groups.
    Ids,
    /// Yes or no.
    Switch,
}

/// A value that fits its key's kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Of [`Kind::Path`].
    Path(PathBuf),
    /// Of [`Kind::Memory`].
    Memory(Size),
    /// Of [`Kind::Disk`].
    Disk(Size),
    /// Of [`Kind::Word`].
    Word(&'static str),
    /// Of [`Kind::Count`].
    Count(u32),
    /// Of [`Kind::Ids`].
    Ids(Vec<u32>),
    /// Of [`Kind::Switch`].
    Switch(bool),
}

impl Kind {
    /// Reads a value as an environment variable holds it. The error says what is wrong, not what is allowed.
    pub(super) fn read_text(self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        let wrong = || format!("{text:?}");
        match self {
            Self::Path => Ok(Value::Path(text.into())),
            Self::Memory => text.parse().map(Value::Memory),
            Self::Disk => text.parse().map(Value::Disk),
            Self::Word(_) => self.read_word(text).ok_or_else(wrong),
            Self::Count { .. } => text.parse().ok().and_then(|number| self.count(number)).ok_or_else(wrong),
            Self::Ids => {
                let ids: Option<Vec<u32>> = text.split(',').map(|id| id.trim().parse().ok()).collect();
                ids.map(Value::Ids).ok_or_else(wrong)
            }
            Self::Switch => match text {
                "true" | "1" => Ok(Value::Switch(true)),
                "false" | "0" => Ok(Value::Switch(false)),
                _ => Err(wrong()),
            },
        }
    }

    /// The word of this kind that is written so.
    pub fn read_word(self, text: &str) -> Option<Value> {
        let Self::Word(words) = self else { return None };
        words.iter().find(|word| **word == text).map(|word| Value::Word(word))
    }

    /// Reads a value of a TOML file. The error says what is wrong, not what is allowed.
    pub(super) fn read_toml(self, value: &DeValue<'_>) -> Result<Value, String> {
        let wrong_type = || match value.type_str() {
            kind @ ("array" | "integer") => format!("it is an {kind}"),
            kind => format!("it is a {kind}"),
        };
        match self {
            Self::Path | Self::Word(_) => self.read_text(value.as_str().ok_or_else(wrong_type)?),
            Self::Memory | Self::Disk => match integer(value) {
                Some(bytes) if bytes < 0 => Err(format!("{bytes} is no size")),
                Some(bytes) => self.read_text(&bytes.to_string()),
                None => self.read_text(value.as_str().ok_or_else(wrong_type)?),
            },
            Self::Count { .. } => {
                let number = integer(value).ok_or_else(wrong_type)?;
                self.count(number).ok_or_else(|| number.to_string())
            }
            Self::Ids => {
                let items = value.as_array().ok_or_else(wrong_type)?;
                let id = |item: &DeValue<'_>| {
                    let number = integer(item).ok_or_else(|| format!("an item of it is a {}", item.type_str()))?;
                    u32::try_from(number).map_err(|_| number.to_string())
                };
                items.iter().map(|item| id(item.get_ref())).collect::<Result<_, _>>().map(Value::Ids)
            }
            Self::Switch => value.as_bool().map(Value::Switch).ok_or_else(wrong_type),
        }
    }

    /// What is allowed, in a sentence, as an environment variable holds it.
    pub fn allowed_text(self) -> String {
        match self {
            Self::Path => "a path".to_owned(),
            Self::Memory => "a size such as 512MiB, 4GiB or 30%".to_owned(),
            Self::Disk => "a size such as 64GiB, or a share of what is free there such as 50%".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::Ids => "numbers with commas between them, such as 1000,1001".to_owned(),
            Self::Switch => "true or false".to_owned(),
        }
    }

    /// What is allowed, in a sentence, as a file holds it.
    pub fn allowed_toml(self) -> String {
        match self {
            Self::Path => "a path in quotes".to_owned(),
            Self::Memory => "a size in quotes such as \"512MiB\", \"4GiB\" or \"30%\", or a number of bytes".to_owned(),
            Self::Disk => "a size in quotes such as \"64GiB\" or \"50%\", or a number of bytes".to_owned(),
            Self::Word(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                format!("one of {}", quoted.join(", "))
            }
            Self::Ids => "a list of numbers such as [1000, 1001]".to_owned(),
            Self::Count { .. } | Self::Switch => self.allowed_text(),
        }
    }

    /// The value is of this kind.
    pub fn fits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Path, Value::Path(_))
            | (Self::Memory, Value::Memory(_))
            | (Self::Disk, Value::Disk(_))
            | (Self::Ids, Value::Ids(_))
            | (Self::Switch, Value::Switch(_)) => true,
            (Self::Word(words), Value::Word(word)) => words.contains(word),
            (Self::Count { min, max }, Value::Count(count)) => (min..=max).contains(count),
            _ => false,
        }
    }

    fn count(self, number: i64) -> Option<Value> {
        let value = Value::Count(u32::try_from(number).ok()?);
        self.fits(&value).then_some(value)
    }
}

impl Value {
    /// As it stands in a TOML file.
    pub(super) fn to_toml(&self) -> String {
        match self {
            Self::Path(path) => toml::Value::from(&*path.to_string_lossy()).to_string(),
            Self::Memory(Size::Bytes(bytes)) | Self::Disk(Size::Bytes(bytes)) => bytes.to_string(),
            Self::Memory(Size::Percent(percent)) | Self::Disk(Size::Percent(percent)) => format!("\"{percent}%\""),
            Self::Word(word) => format!("{word:?}"),
            Self::Count(count) => count.to_string(),
            Self::Ids(ids) => format!("{ids:?}"),
            Self::Switch(switch) => switch.to_string(),
        }
    }

    /// For people: sizes in their largest unit.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Memory(Size::Bytes(bytes)) | Self::Disk(Size::Bytes(bytes)) => size::display(*bytes),
            Self::Memory(Size::Percent(percent)) | Self::Disk(Size::Percent(percent)) => format!("{percent}%"),
            _ => self.to_toml(),
        }
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Key;

    #[test]
    fn every_kind_is_read_from_text() {
        let read = |key: Key, text: &str| key.kind().read_text(text);
        assert_eq!(read(Key::Socket, "/a b/s"), Ok(Value::Path("/a b/s".into())));
        assert_eq!(read(Key::Memory, "2GiB"), Ok(Value::Memory(Size::Bytes(2 << 30))));
        assert_eq!(read(Key::Memory, "50%"), Ok(Value::Memory(Size::Percent(50))));
        assert_eq!(read(Key::WhenFull, "evict"), Ok(Value::Word("evict")));
        assert_eq!(read(Key::MaxObjects, "17"), Ok(Value::Count(17)));
        assert_eq!(read(Key::ReaderGid, "1, 2,3"), Ok(Value::Ids(vec![1, 2, 3])));
        assert_eq!(read(Key::NoSpill, "1"), Ok(Value::Switch(true)));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let wrong = [
            (Key::Memory, "lots"),
            (Key::WhenFull, "Evict"),
            (Key::MaxObjects, "0"),
            (Key::MaxObjects, "268435457"),
            (Key::MaxObjects, "1.5"),
            (Key::WriterUid, "alice"),
            (Key::WriterUid, "1,,2"),
            (Key::WriterUid, "-1"),
            (Key::NoSpill, "perhaps"),
            (Key::LogLevel, "loud"),
        ];
        for (key, text) in wrong {
            assert!(key.kind().read_text(text).is_err(), "{key:?} {text}");
        }
    }

    #[test]
    fn what_is_printed_as_toml_reads_back_the_same() {
        let values = [
            (Key::Socket, Value::Path("/a \"b\"\\c\n/ü".into())),
            (Key::Memory, Value::Memory(Size::Bytes(4096))),
            (Key::Memory, Value::Memory(Size::Percent(100))),
            (Key::Populate, Value::Word("none")),
            (Key::MaxObjects, Value::Count(1)),
            (Key::WriterUid, Value::Ids(vec![0, u32::MAX])),
            (Key::WriterGid, Value::Ids(vec![])),
            (Key::SpillDir, Value::Path("".into())),
            (Key::SpillMax, Value::Disk(Size::Bytes(1 << 40))),
            (Key::SpillMax, Value::Disk(Size::Percent(50))),
            (Key::NoSpill, Value::Switch(true)),
        ];
        for (key, value) in values {
            let text = format!("x = {}", value.to_toml());
            let table = toml::de::DeTable::parse(&text).unwrap();
            let (_, read) = table.get_ref().iter().next().unwrap();
            assert_eq!(key.kind().read_toml(read.get_ref()), Ok(value), "{text}");
        }
    }
}
